#ifndef POMPC_LEARNER_PREFETCHER_H_
#define POMPC_LEARNER_PREFETCHER_H_

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/bounded_queue.h"
#include "common/clock.h"
#include "common/event.h"
#include "common/mutex.h"
#include "common/state_timer.h"
#include "common/thread.h"
#include "learner/control/sampling_control.h"
#include "learner/engine.h"
#include "learner/sample_values.h"
#include "learner/shard_clients.h"

namespace pompc::learner {

// The batch of one update.
struct DrawnBatch {
  std::unique_ptr<Engine::Batch> batch;
  SampleOrigins origins;
};

// Where the trainer's batches come from.
class BatchSource {
 public:
  virtual ~BatchSource() = default;

  // The batch of the next update. Waits for it up to `timeout`: DEADLINE_EXCEEDED saying what it
  // waits for. CANCELLED when there will be no more; another error when a batch cannot be used or a
  // shard refuses to draw one.
  virtual absl::StatusOr<DrawnBatch> Next(absl::Duration timeout) = 0;
};

struct PrefetcherOptions {
  // Windows in a batch (a rank's part of it), and batches fetched ahead.
  uint32_t batch_size = 256;
  uint32_t batches = 4;
  // False: none is fetched ahead, a batch is drawn when it is asked for, on the asking thread.
  bool ahead = true;
  // Which windows are drawn for update n is a function of (seed, rank, n) and of the shards' rows.
  uint64_t seed = 1;
  int rank = 0;
  // Updates made so far.
  uint64_t first_update = 0;
  // A shard that failed to deliver is not asked for so long.
  absl::Duration avoid = absl::Milliseconds(500);
  Clock* clock = Clock::Real();
};

// Draws batches from all shards, ahead of the updates: splits each over the shards by their numbers
// of windows, asks all of them at once and puts the answers together, on a thread of its own. A
// shard that does not deliver is left out while others hold windows. Batches are drawn only while
// `control` says that it makes sense. Thread-safe; Next is for one caller.
class Prefetcher : public BatchSource {
 public:
  enum class State { kWaitingForData, kFetching, kFull };
  static constexpr size_t kStates = 3;
  // Names of the states, in order.
  static const std::array<absl::string_view, kStates>& StateNames();
  using Timer = StateTimer<State, kStates>;

  // What is given must outlive this.
  Prefetcher(const PrefetcherOptions& options, SamplingControl* control, ShardClients* shards,
             Engine* engine);
  // Closes.
  ~Prefetcher() override;

  absl::StatusOr<DrawnBatch> Next(absl::Duration timeout) override;

  // Batches ready.
  size_t ready() const { return queue_.size(); }
  const Timer& timer() const { return timer_; }

  // Wakes who waits with CANCELLED and ends the thread, once a call to the shards that is under way
  // has returned (ShardClients::Close cancels it). Idempotent.
  void Close();

 private:
  // A batch, or why there will be no more.
  using Item = absl::StatusOr<DrawnBatch>;

  void Run();
  absl::StatusOr<DrawnBatch> DrawNow();
  // The batch of update `update`; UNAVAILABLE when the shards could not deliver it just now.
  Item Draw(uint64_t update);
  absl::StatusOr<std::vector<replay::WindowBatch>> Fetch(const std::vector<uint32_t>& split,
                                                         uint64_t seed);
  std::vector<uint64_t> UsableWindows() const;
  void SetProblem(std::string problem);

  const PrefetcherOptions options_;
  SamplingControl* const control_;
  ShardClients* const shards_;
  Engine* const engine_;
  BoundedQueue<Item> queue_;
  Timer timer_;

  Event closed_;

  // Of the thread that draws: the next update to draw for, and until when each shard is left out.
  uint64_t update_;
  std::vector<absl::Duration> avoid_until_;

  mutable Mutex mu_;
  // Why there is no batch just now.
  std::string problem_ ABSL_GUARDED_BY(mu_);

  Thread thread_;
};

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_PREFETCHER_H_
