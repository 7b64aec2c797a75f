#include "learner/feed/priority_writer.h"

#include <algorithm>

#include "common/process/log.h"
#include "replay/core/row.h"

namespace pompc::learner {

size_t PendingPriorities::Add(const PriorityUpdate& update) {
  POMPC_CHECK_EQ(update.addresses.size(), update.priorities.size());
  size_t dropped = 0;
  std::map<uint64_t, float>& waiting = waiting_[{update.shard, update.opening}];
  for (size_t i = 0; i < update.addresses.size(); ++i) {
    const auto found = waiting.find(update.addresses[i]);
    if (found != waiting.end()) {
      found->second = update.priorities[i];
    } else if (size_ < most_) {
      waiting.emplace(update.addresses[i], update.priorities[i]);
      ++size_;
    } else {
      ++dropped;
    }
  }
  return dropped;
}

// In turn, so that a shard whose priorities come faster than it takes them does not hold back those
// of the others.
std::optional<PriorityUpdate> PendingPriorities::Take(size_t most) {
  std::erase_if(waiting_, [](const auto& of_shard) { return of_shard.second.empty(); });
  if (waiting_.empty()) return std::nullopt;
  auto next = waiting_.upper_bound(last_);
  if (next == waiting_.end()) next = waiting_.begin();
  last_ = next->first;
  PriorityUpdate update = {.shard = last_.first, .opening = last_.second};
  std::map<uint64_t, float>& waiting = next->second;
  while (!waiting.empty() && update.addresses.size() < most) {
    update.addresses.push_back(waiting.begin()->first);
    update.priorities.push_back(waiting.begin()->second);
    waiting.erase(waiting.begin());
    --size_;
  }
  return update;
}

PriorityWriter::PriorityWriter(ShardClients* shards)
    : shards_(shards), thread_("priority-writer", [this] { Run(); }) {}

PriorityWriter::~PriorityWriter() { Close(); }

void PriorityWriter::Write(const std::vector<PriorityUpdate>& updates) {
  if (updates.empty()) return;
  MutexLock lock(&mu_);
  if (closed_) return;
  // A full queue means that shards take priorities more slowly than they are found. Dropping the
  // newest keeps training at its pace.
  for (const PriorityUpdate& update : updates) lost_ += pending_.Add(update);
  changed_.Signal();
}

void PriorityWriter::WriteAndWait(const std::vector<PriorityUpdate>& updates) {
  for (const PriorityUpdate& update : updates) WriteOne(update);
}

void PriorityWriter::Run() {
  while (true) {
    std::optional<PriorityUpdate> update;
    {
      MutexLock lock(&mu_);
      while (!closed_ && !(update = pending_.Take(replay::kMaxWindows)).has_value()) {
        changed_.Wait(&mu_);
      }
      // Close drops what waits: a shard that hangs must not hold up the end of the learner.
      if (closed_) return;
    }
    WriteOne(*update);
  }
}

void PriorityWriter::WriteOne(const PriorityUpdate& update) {
  POMPC_CHECK_LT(update.shard, shards_->size());
  const absl::StatusOr<proto::UpdatePrioritiesReply> reply =
      (*shards_)[update.shard].UpdatePriorities(update.opening, update.addresses,
                                                update.priorities);
  if (reply.ok()) {
    written_ += reply->updated();
    gone_ += reply->gone();
    return;
  }
  // Not a warning: ShardManager tells of shards that do not answer.
  lost_ += update.addresses.size();
  Log().debug("shard {} took no priorities: {}", update.shard, reply.status().ToString());
}

PriorityWriter::Stats PriorityWriter::stats() const { return {written_, gone_, lost_}; }

void PriorityWriter::Close() {
  {
    MutexLock lock(&mu_);
    closed_ = true;
    changed_.SignalAll();
  }
  thread_.Join();
}

}  // namespace pompc::learner
