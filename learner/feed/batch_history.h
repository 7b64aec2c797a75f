#ifndef POMPC_LEARNER_FEED_BATCH_HISTORY_H_
#define POMPC_LEARNER_FEED_BATCH_HISTORY_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "learner/feed/prefetcher.h"

namespace pompc::learner {

// The batches of the updates that may still be undone, this rank's part of each. When an update has
// failed it finds in them the windows that no update can be made with and has their shards bar them
// from being drawn. Belongs to the thread that makes updates; barred_windows is for any.
class BatchHistory {
 public:
  // Batches held at most; older ones are forgotten.
  static constexpr size_t kBatches = 16;

  // Both must outlive this.
  BatchHistory(Engine* engine, ShardClients* shards) : engine_(engine), shards_(shards) {}

  // The batch of the update that is about to be made. Stays valid until the next call.
  DrawnBatch& Add(DrawnBatch batch);
  // The updates made with them are good.
  void Clear() { batches_.clear(); }

  struct Barred {
    size_t windows = 0;
    // "2 windows of shard 0: rows 17, 90"; empty where there are none.
    std::string names;
  };
  // After Engine::GoBack. Looks through the batches, newest first, for one with windows that the
  // engine finds unusable and bars those. None where they are more than half of their batch: then
  // the parameters are at fault rather than the windows. A shard that does not answer bars nothing;
  // its windows are not among those told. Forgets all batches.
  Barred BarUnusable();

  // Windows barred since the process started.
  uint64_t barred_windows() const { return barred_; }

 private:
  // Those at `positions`, by shard.
  Barred Bar(const std::vector<WindowAddress>& windows, const std::vector<uint32_t>& positions);

  Engine* const engine_;
  ShardClients* const shards_;
  std::deque<DrawnBatch> batches_;
  std::atomic<uint64_t> barred_{0};
};

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_FEED_BATCH_HISTORY_H_
