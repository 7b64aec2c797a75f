#include "learner/feed/plan_writer.h"

#include <optional>
#include <utility>

#include "common/process/log.h"

namespace pompc::learner {

PlanWriter::PlanWriter(ShardClients* shards)
    : shards_(shards), queue_(kQueue), thread_("plan-writer", [this] { Run(); }) {}

PlanWriter::~PlanWriter() { Close(); }

void PlanWriter::Write(std::vector<PlanUpdate> updates) {
  for (PlanUpdate& update : updates) {
    // A full queue means that shards take plans more slowly than they are made. Dropping the newest
    // keeps training at its pace; the rows keep the plans that they have.
    if (!queue_.TryPush(update)) lost_ += update.addresses.size();
  }
}

void PlanWriter::WriteAndWait(const std::vector<PlanUpdate>& updates) {
  for (const PlanUpdate& update : updates) WriteOne(update);
}

void PlanWriter::Run() {
  while (std::optional<PlanUpdate> update = queue_.Pop(Clock::Real())) {
    // Close drops what waits: a shard that hangs must not hold up the end of the learner.
    if (closed_) return;
    WriteOne(*update);
  }
}

void PlanWriter::WriteOne(const PlanUpdate& update) {
  POMPC_CHECK_LT(update.shard, shards_->size());
  POMPC_CHECK_EQ(update.plan_mean.size(), update.plan_std.size());
  const absl::StatusOr<proto::UpdatePlansReply> reply = (*shards_)[update.shard].UpdatePlans(
      update.opening, update.addresses, update.plan_mean, update.plan_std);
  if (reply.ok()) {
    written_ += reply->updated();
    evicted_ += reply->evicted();
    return;
  }
  // Not a warning: ShardManager tells of shards that do not answer.
  lost_ += update.addresses.size();
  Log().debug("shard {} took no plans: {}", update.shard, reply.status().ToString());
}

PlanWriter::Stats PlanWriter::stats() const { return {written_, evicted_, lost_}; }

void PlanWriter::Close() {
  closed_ = true;
  queue_.Close();
  thread_.Join();
}

}  // namespace pompc::learner
