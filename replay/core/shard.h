#ifndef POMPC_REPLAY_CORE_SHARD_H_
#define POMPC_REPLAY_CORE_SHARD_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/clock.h"
#include "common/mutex.h"
#include "common/state_timer.h"
#include "replay/core/limiter.h"
#include "replay/core/row.h"
#include "replay/core/store.h"
#include "replay/core/streams.h"
#include "replay/core/table.h"

namespace pompc::replay {

// What a shard is opened with; the same for as long as it lives.
struct ShardConfig {
  std::string run_id;
  uint32_t shard_index = 0;
  TableOptions table;
};

// What a shard holds at one moment.
struct ShardCounts {
  uint64_t accepted_rows = 0;  // ever
  uint64_t planned_rows = 0;   // of these, with a plan
  uint64_t stored_rows = 0;
  uint64_t stored_bytes = 0;
  uint64_t windows = 0;
  uint64_t capacity_rows = 0;
  uint64_t max_accepted_rows = 0;
  uint64_t sampled_windows = 0;  // ever
  uint32_t blocked_writers = 0;
};

// What became of a chunk.
struct AppendOutcome {
  enum class Kind {
    kAcked,    // stored, now or before; acknowledge once the store says it is durable
    kGap,      // rows from next_row on are missing
    kRefused,  // the segment is closed, nothing was stored: `status`
    kBlocked,  // not taken, the limiter is closed: `status` says why; the waiter will be called
    kFailed,   // not taken, the shard cannot take anything now: `status`
  };
  Kind kind = Kind::kFailed;
  // The shard holds all rows of the segment before this one.
  uint64_t next_row = 0;
  // And its final observation.
  bool ended = false;
  absl::Status status;
};

// Is told that a blocked chunk may be tried again.
class RoomWaiter {
 public:
  virtual ~RoomWaiter() = default;
  // Called once for each enrolment, without locks held, by whichever thread opened the limiter,
  // closed the shard or found that the reason for waiting has changed. Must not block.
  virtual void OnRoom() = 0;
};

// One shard of the replay of one run: table, limiter and the state of every segment behind one
// mutex, which is held for as long as it takes to copy rows in or windows out. Thread-safe. No
// method blocks beyond that: writers that must wait leave a RoomWaiter.
class Shard {
 public:
  // What the shard does at a moment; the times sum to its age. Blocked: nothing to do while a
  // writer waits for the limiter.
  enum class Activity { kIdle, kInserting, kSampling, kBlocked };
  static constexpr size_t kActivities = 4;

  // `incarnation` identifies this shard's memory: another value whenever it starts empty.
  Shard(uint64_t incarnation, Clock* clock, std::unique_ptr<Store> store);
  // Closes.
  ~Shard();

  // Opens the shard. Idempotent. FAILED_PRECONDITION naming both if it was opened for another run,
  // spec or capacity; INVALID_ARGUMENT if it cannot work.
  absl::Status Configure(const ShardConfig& config);

  // What the shard was opened with; never changes afterwards. UNAVAILABLE before Configure,
  // CANCELLED after Close.
  absl::StatusOr<std::shared_ptr<const ShardConfig>> config() const;

  // Takes `rows`, which begin with row `first_row` of their segment; rows that are here already are
  // skipped. Never stores a part of the new rows. If kBlocked, `waiter` is enrolled. kFailed is
  // UNAVAILABLE before Configure, CANCELLED after Close, else the store's status.
  AppendOutcome Append(const SegmentId& segment, uint64_t first_row, const RowsView& rows,
                       const std::shared_ptr<RoomWaiter>& waiter);

  // Closes the segment to everything that follows, for a chunk that cannot be read as rows:
  // kRefused with `why`. As Append where the segment cannot be opened.
  AppendOutcome Refuse(const SegmentId& segment, absl::Status why);

  // Store::WhenDurable for everything appended so far.
  void WhenDurable(std::function<void(absl::Status)> done);

  // Withdraws a waiter. It may be in OnRoom() even so.
  void StopWaiting(const RoomWaiter* waiter);

  // Has waiters try again whose reason for waiting has changed since they were told it, so that
  // they hear the true one: the learner's newest, or for how long it has not been heard from. To be
  // called every few seconds.
  void RenewReasons();

  // Sets the limiter and wakes the writers it has room for; all of them if they have been told that
  // the learner is silent.
  absl::Status Grant(uint64_t max_accepted_rows, std::string reason, bool seed_phase_over);

  // Draws as many windows as `out` has rewards for. REQUIRES: the columns have the sizes of a
  // batch. FAILED_PRECONDITION while there is no valid window.
  absl::Status Sample(uint64_t seed, const WindowColumns& out);

  // Replaces plan statistics, plan_mean and plan_std [n, A], of the rows at `addresses` [n], which
  // were sampled from memory `incarnation`: of another one, all of them count as evicted.
  // INVALID_ARGUMENT, with nothing replaced, for wrong sizes or numbers.
  absl::StatusOr<Table::UpdateCounts> UpdatePlans(uint64_t incarnation,
                                                  std::span<const uint64_t> addresses,
                                                  std::span<const float> plan_mean,
                                                  std::span<const float> plan_std);

  uint64_t incarnation() const { return incarnation_; }
  ShardCounts counts() const;
  // Time in each Activity.
  const StateTimer<Activity, kActivities>& activity() const { return activity_; }

  // Refuses everything from now on and wakes all waiters. Idempotent.
  void Close();

 private:
  using Waiters = std::vector<std::shared_ptr<RoomWaiter>>;

  std::string WhyBlocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return limiter_.WhyBlocked(accepted_rows_, clock_->Now());
  }

  absl::Status ConfigureLocked(const ShardConfig& config) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status CheckOpen() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // What the shard does when it is not working.
  Activity Resting() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  AppendOutcome AppendLocked(const SegmentId& id, uint64_t first_row, const RowsView& rows)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status CheckNewRows(const RowsView& rows, uint32_t begin, uint64_t first_row) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  AppendOutcome StoreNewRows(const StoredChunk& chunk, Streams::Segment* segment)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const uint64_t incarnation_;
  Clock* const clock_;
  const std::unique_ptr<Store> store_;
  StateTimer<Activity, kActivities> activity_;

  mutable Mutex mu_;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  std::shared_ptr<const ShardConfig> config_ ABSL_GUARDED_BY(mu_);
  std::optional<Table> table_ ABSL_GUARDED_BY(mu_);
  Streams streams_ ABSL_GUARDED_BY(mu_){Streams::Options()};
  Limiter limiter_ ABSL_GUARDED_BY(mu_);
  Waiters waiters_ ABSL_GUARDED_BY(mu_);
  // What the one that came last was told.
  std::string told_ ABSL_GUARDED_BY(mu_);
  uint64_t accepted_rows_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t planned_rows_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t sampled_windows_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_CORE_SHARD_H_
