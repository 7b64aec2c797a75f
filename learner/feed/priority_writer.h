#ifndef POMPC_LEARNER_FEED_PRIORITY_WRITER_H_
#define POMPC_LEARNER_FEED_PRIORITY_WRITER_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "common/base/threads.h"
#include "learner/engine/engine.h"
#include "learner/feed/shard_clients.h"

namespace pompc::learner {

// Priorities on their way to the shards, the newest one of each window. Only decides; not
// thread-safe.
class PendingPriorities {
 public:
  // Windows that wait at most, over all shards.
  explicit PendingPriorities(size_t most) : most_(most) {}

  // Takes an update in, in place of older priorities of the same windows. Returns how many windows
  // were dropped for lack of room.
  size_t Add(const PriorityUpdate& update);
  // Takes out what waits for one shard, `most` windows at most; the shards take turns. Nothing if
  // nothing waits.
  std::optional<PriorityUpdate> Take(size_t most);
  // Windows that wait.
  size_t size() const { return size_; }

 private:
  // A shard and its opening.
  using Target = std::pair<uint32_t, replay::Opening>;

  const size_t most_;
  std::map<Target, std::map<uint64_t, float>> waiting_;
  // What was taken from last.
  Target last_;
  size_t size_ = 0;
};

// Writes the priorities that updates find back to the shards, on a thread of its own: no shard
// holds up training. What waits is coalesced, so that a window which several updates have drawn is
// written once. What a shard does not take, because it is unreachable or was restarted, is lost,
// and so is what does not fit into the queue: these windows keep the priorities that they have.
// Thread-safe.
class PriorityWriter {
 public:
  // Windows whose priorities were written, that were no longer in their table, and that were lost.
  struct Stats {
    uint64_t written = 0;
    uint64_t gone = 0;
    uint64_t lost = 0;
  };

  // Windows that wait at most.
  static constexpr size_t kQueue = 65536;

  // `shards` must outlive this.
  explicit PriorityWriter(ShardClients* shards);
  // Closes.
  ~PriorityWriter();

  // Does not wait.
  void Write(const std::vector<PriorityUpdate>& updates);
  // Waits until the shards have answered; keeps no order with Write.
  void WriteAndWait(const std::vector<PriorityUpdate>& updates);

  Stats stats() const;

  // Drops what waits and ends the thread, once a call to a shard that is in flight has returned
  // (ShardClients::Close cancels it). Idempotent.
  void Close();

 private:
  void Run();
  void WriteOne(const PriorityUpdate& update);

  ShardClients* const shards_;
  std::atomic<uint64_t> written_{0}, gone_{0}, lost_{0};
  Mutex mu_;
  CondVar changed_;
  PendingPriorities pending_ ABSL_GUARDED_BY(mu_){kQueue};
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  Thread thread_;
};

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_FEED_PRIORITY_WRITER_H_
