#ifndef POMPC_LEARNER_FEED_PLAN_WRITER_H_
#define POMPC_LEARNER_FEED_PLAN_WRITER_H_

#include <atomic>
#include <cstdint>
#include <vector>

#include "common/base/bounded_queue.h"
#include "common/base/threads.h"
#include "learner/engine/engine.h"
#include "learner/feed/shard_clients.h"

namespace pompc::learner {

// Writes re-made plans back to the shards, on a thread of its own: no shard holds up
// training. What a shard does not take, because it is unreachable or was restarted, is lost, and so
// is what comes faster than it is written: the rows keep older plans. Thread-safe.
class PlanWriter {
 public:
  // Rows whose plans were written, were no longer there, and were lost.
  struct Stats {
    uint64_t written = 0;
    uint64_t evicted = 0;
    uint64_t lost = 0;
  };

  // Messages that wait at most.
  static constexpr size_t kQueue = 16;

  // `shards` must outlive this.
  explicit PlanWriter(ShardClients* shards);
  // Closes.
  ~PlanWriter();

  // Does not wait.
  void Write(std::vector<PlanUpdate> updates);
  // Waits until the shards have answered; keeps no order with Write.
  void WriteAndWait(const std::vector<PlanUpdate>& updates);

  Stats stats() const;

  // Drops what waits and ends the thread, once a call to a shard that is in flight has returned
  // (ShardClients::Close cancels it). Idempotent.
  void Close();

 private:
  void Run();
  void WriteOne(const PlanUpdate& update);

  ShardClients* const shards_;
  BoundedQueue<PlanUpdate> queue_;
  std::atomic<bool> closed_{false};
  std::atomic<uint64_t> written_{0}, evicted_{0}, lost_{0};
  Thread thread_;
};

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_FEED_PLAN_WRITER_H_
