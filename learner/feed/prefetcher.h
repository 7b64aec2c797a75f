#ifndef POMPC_LEARNER_FEED_PREFETCHER_H_
#define POMPC_LEARNER_FEED_PREFETCHER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/base/state_timer.h"
#include "common/base/threads.h"
#include "learner/feed/sample_values.h"
#include "learner/feed/shard_clients.h"
#include "run/control/sampling_control.h"

namespace pompc::learner {

// The batch of one update.
struct DrawnBatch {
  std::unique_ptr<Engine::Batch> batch;
  SampleOrigins origins;
};

// Supplies the trainer with batches.
class BatchSource {
 public:
  virtual ~BatchSource() = default;

  // The batch of the next update. Waits for it up to `timeout`: DEADLINE_EXCEEDED saying what it
  // waits for. CANCELLED when there will be no more; another error when a batch cannot be used or a
  // shard refuses to draw one.
  virtual absl::StatusOr<DrawnBatch> Next(absl::Duration timeout) = 0;
};

struct PrefetcherOptions {
  // Windows in a batch (a rank's part of it).
  uint32_t batch_size = 0;
  // Most batches requested ahead of the update, in flight and ready together.
  uint32_t batches = 0;
  // False: none is requested ahead, a batch is drawn when it is asked for, on the asking thread.
  bool ahead = true;
  // Which windows are drawn for update n is a function of (seed, rank, n) and of the shards' rows.
  uint64_t seed = 1;
  int rank = 0;
  // Updates made so far.
  uint64_t first_update = 0;
  // If given, windows have importance weights with this exponent (TableConfig.beta), as their table
  // draws them with different probabilities.
  std::optional<double> beta = std::nullopt;
  // A shard that failed to deliver is not asked for so long.
  absl::Duration avoid = absl::Milliseconds(500);
  Clock* clock = Clock::Real();
};

// Returns the options of a rank that draws its part of the batches of update `first_update` and of
// those after it. `config` is resolved. REQUIRES: its learner.batch_size is a multiple of
// `world_size`.
PrefetcherOptions MakePrefetcherOptions(const proto::RunConfig& config, int rank, int world_size,
                                        uint64_t first_update);

// Decides how many batches are requested ahead. An update that finds no batch ready while some are
// in flight shows that the requests in flight are too few for the round trip, and one more is kept
// from then on; one fewer, when one was to spare at every one of the last kPeriod updates. So the
// depth settles at round trip x updates a second, rounded up, and a shard nearby is asked for few
// batches, which are as fresh as can be. Not thread-safe.
class PrefetchDepth {
 public:
  static constexpr uint32_t kLeast = 4;
  static constexpr int kPeriod = 256;

  // The depth is between kLeast and `most`, or `most` where that is less.
  explicit PrefetchDepth(uint32_t most);

  uint32_t value() const { return depth_; }
  // A batch is wanted while `ready` are ready and `in_flight` are requested. True if the depth
  // grew.
  bool Wanted(size_t ready, size_t in_flight);

 private:
  const uint32_t least_;
  const uint32_t most_;
  uint32_t depth_;
  // Batches wanted in this period so far, and the least that were ready at one of them.
  int wanted_ = 0;
  size_t least_ready_ = 0;
};

// Draws batches from all shards, ahead of the updates: splits each over the shards by the masses of
// their tables, asks all of them at once and puts the answers together, on a thread of its own.
// Several batches are in flight at a time and are handed out in the order of updates, whatever the
// order of the answers. A shard that does not deliver is left out while others hold windows; what
// it failed to deliver is drawn again while the other batches stay in flight. Batches are drawn
// only while `control` says that it makes sense. Thread-safe; Next is for one caller.
class Prefetcher : public BatchSource {
 public:
  enum class State { kWaitingForData, kFetching, kFull };
  static constexpr size_t kStates = 3;
  // Names of the states, in order.
  static const std::array<absl::string_view, kStates>& StateNames();
  using Timer = StateTimer<State, kStates>;

  // What is given must outlive this. REQUIRES: options.batch_size is not 0, nor is options.batches
  // if batches are requested ahead.
  Prefetcher(const PrefetcherOptions& options, run::SamplingControl* control, WindowSource* shards,
             Engine* engine);
  // Closes.
  ~Prefetcher() override;

  absl::StatusOr<DrawnBatch> Next(absl::Duration timeout) override;

  // Batches that are ready.
  size_t ready() const;
  // Batches that are requested from the shards and not complete.
  size_t in_flight() const;
  const Timer& timer() const { return timer_; }

  // Wakes who waits with CANCELLED and ends the thread. What is in flight is left to the shards'
  // calls, which ShardClients::Close cancels; their late answers are dropped. Idempotent.
  void Close();

 private:
  // A batch, or why there will be no more.
  using Item = absl::StatusOr<DrawnBatch>;
  struct Slot;
  struct Pipeline;

  void Run();
  // One piece of work of the thread: assembles a batch that is complete, or requests one. False
  // when there is nothing to do; then it says in `wait` for how long nothing will be, unless the
  // pipeline changes.
  bool RunOnce(absl::Duration* wait);
  // True if batches may be drawn now. Waits for that only if nothing else can happen meanwhile.
  bool MayDraw(bool others_in_flight);
  absl::StatusOr<DrawnBatch> DrawNow();
  // Requests the slot's windows. False, after noting why, when no shard can be asked just now.
  bool Request(const std::shared_ptr<Slot>& slot);
  // The batch of a slot whose answers are complete; UNAVAILABLE when it has to be drawn again.
  Item Assemble(Slot& slot);
  // Makes the slot ready with what Assemble gave, or has it drawn again.
  void Deliver(const std::shared_ptr<Slot>& slot, Item item);
  uint64_t SeedOf(uint64_t update) const;
  std::vector<uint64_t> UsableMasses() const;
  void SetProblem(std::string problem);

  const PrefetcherOptions options_;
  run::SamplingControl* const control_;
  WindowSource* const shards_;
  Engine* const engine_;
  Timer timer_;

  // Belongs to the thread that draws: until when each shard is left out.
  std::vector<absl::Duration> avoid_until_;

  // Shared with the calls in flight, which may end later than this.
  const std::shared_ptr<Pipeline> pipeline_;

  Thread thread_;
};

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_FEED_PREFETCHER_H_
