#include "learner/feed/plan_writer.h"

#include <optional>
#include <utility>

#include "common/base/check.h"
#include "common/process/log.h"

namespace pompc::learner {

PlanWriter::PlanWriter(ShardClients* shards)
    : shards_(shards), queue_(kQueue), thread_("plan-writer", [this] { Run(); }) {}

PlanWriter::~PlanWriter() { Close(); }

void PlanWriter::Write(std::vector<PlanUpdate> updates) {
  for (PlanUpdate& update : updates) {
    if (!queue_.TryPush(update)) lost_ += update.addresses.size();
  }
}

void PlanWriter::WriteAndWait(const std::vector<PlanUpdate>& updates) {
  for (const PlanUpdate& update : updates) WriteOne(update);
}

void PlanWriter::Run() {
  while (std::optional<PlanUpdate> update = queue_.Pop(Clock::Real())) {
    if (closed_) return;
    WriteOne(*update);
  }
}

void PlanWriter::WriteOne(const PlanUpdate& update) {
  POMPC_CHECK_LT(update.shard, shards_->size());
  const absl::StatusOr<proto::UpdatePlansReply> reply = (*shards_)[update.shard].UpdatePlans(
      update.shard_incarnation, update.addresses, update.plan_mean, update.plan_std);
  if (reply.ok()) {
    written_ += reply->updated();
    evicted_ += reply->evicted();
    return;
  }
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
