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
#include "common/base/state_timer.h"
#include "replay/core/limiter.h"
#include "replay/core/store.h"
#include "replay/core/streams.h"

namespace pompc::replay {

// What a shard is opened with. Run, index, count and table are the same for as long as it lives.
struct ShardConfig {
  // The largest value of chunk_rows that can be configured.
  static constexpr uint32_t kMaxChunkRows = 1024;

  std::string run_id;
  uint32_t shard_index = 0;
  TableOptions table;
  // These two may change when a run is resumed.
  RowLimits limits;
  uint32_t chunk_rows = kMaxChunkRows;
  // Length of the run's list of shards.
  uint32_t shard_count = 1;
  // The start of the learner that opens the shard. It holds the shard until a start with a higher
  // incarnation opens it.
  LearnerStart learner;
  // Makes the selector that draws the windows; called once, when the shard is first opened. If it
  // is absent, the shard uses UniformSelector.
  std::function<std::unique_ptr<Selector>()> make_selector = nullptr;
  // Name of the run's task, and control steps of a decision (0: unknown), for those who look in.
  std::string task;
  uint32_t action_repeat = 0;
};

// What a shard holds at one moment.
struct ShardCounts {
  uint64_t accepted_rows = 0;  // ever
  uint64_t planned_rows = 0;   // of these, with a plan
  uint64_t imported_rows = 0;  // ever; not among the accepted ones
  uint64_t stored_rows = 0;
  uint64_t stored_bytes = 0;
  uint64_t windows = 0;
  uint64_t barred_windows = 0;
  uint64_t capacity_rows = 0;
  uint64_t max_accepted_rows = 0;
  uint64_t sampled_windows = 0;  // ever
  uint32_t blocked_writers = 0;
  // Addresses oldest .. next-1 are stored.
  uint64_t oldest_address = 0;
  uint64_t next_address = 0;
};

// What became of a chunk.
struct AppendOutcome {
  enum class Kind {
    kAcked,    // stored, now or before; acknowledge once the store says it is durable
    kGap,      // rows from next_row on are missing
    kRefused,  // the segment is closed, nothing more is stored: `status`
    kBlocked,  // the limiter does not let all of it in: `status`; the waiter will be called
    kFailed,   // not taken, the shard cannot take anything now: `status`
  };
  Kind kind = Kind::kFailed;
  // The shard holds all rows of the segment before this one.
  uint64_t next_row = 0;
  // True if the shard holds the segment's final observation too.
  bool ended = false;
  absl::Status status;
  // Rows stored by this call.
  uint32_t stored = 0;
};

// The part of a data set that a shard has.
struct ImportPosition {
  // The last episode of which it has rows; absent if it has none.
  std::optional<uint64_t> episode;
  // It has all rows of that episode before this one.
  uint64_t next_row = 0;
  // It has all of the episode that there will be.
  bool ended = false;
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
  // What the shard is doing; the times in all activities sum to its age. kBlocked means that it has
  // nothing to do while a writer waits for the limiter.
  enum class Activity { kIdle, kInserting, kSampling, kBlocked };
  static constexpr size_t kActivities = 4;

  // `incarnation` identifies this shard's memory: every shard that starts empty has a new value.
  Shard(uint64_t incarnation, Clock* clock, std::unique_ptr<Store> store);
  // Closes.
  ~Shard();

  // Opens the shard. Idempotent: on a shard that is open already, it replaces limits, chunk_rows
  // and learner. FAILED_PRECONDITION naming both if it was opened for another run, spec, number of
  // shards or capacity; ABORTED if a start of the learner holds it that is neither this one nor an
  // earlier one; INVALID_ARGUMENT if it cannot work.
  absl::Status Configure(const ShardConfig& config);

  // What the shard was opened with. UNAVAILABLE before Configure, CANCELLED after Close.
  absl::StatusOr<std::shared_ptr<const ShardConfig>> config() const;

  // Takes `rows`, which begin with row `first_row` of their segment; rows that are here already are
  // skipped. If not all new rows fit in the grant, the shard stores those that fit and answers
  // kBlocked for the rest. It also answers kBlocked for a chunk that was planned by a version the
  // learner has not announced yet. In both cases it enrols `waiter`, and the caller gives the same
  // chunk again later. A chunk is refused whole. kFailed is UNAVAILABLE before Configure, CANCELLED
  // after Close, else the store's status.
  AppendOutcome Append(const SegmentId& segment, uint64_t first_row, const RowView& rows,
                       const std::shared_ptr<RoomWaiter>& waiter);

  // Takes `rows` of an episode of a data set, which begin with its row `first_row`, as Append takes
  // those of a writer, but regardless of the learner's grants: they may have no plan after the seed
  // phase, they do not count as accepted, and no version counts. The outcome is never kBlocked.
  AppendOutcome Import(uint32_t data_set, uint64_t episode, uint64_t first_row,
                       const RowView& rows);

  // Returns which part of a data set the shard has. UNAVAILABLE before Configure, CANCELLED after
  // Close.
  absl::StatusOr<ImportPosition> Imported(uint32_t data_set) const;

  // Refuses everything of the segment from now on, because one of its chunks could not be read as
  // rows. The outcome is kRefused with `why`; where the segment cannot be opened, it is that of
  // Append.
  AppendOutcome Refuse(const SegmentId& segment, absl::Status why);

  // Store::WhenDurable for everything appended so far.
  void WhenDurable(std::function<void(absl::Status)> done);

  // Withdraws a waiter. A call of its OnRoom() may still be running when this returns.
  void StopWaiting(const RoomWaiter* waiter);

  // Wakes the waiters whose reason for waiting has changed since they were told it. They try again
  // and are told the present reason: the learner's newest one, or for how long the learner has been
  // silent. To be called every few seconds.
  void RenewReasons();

  // Sets the limiter and wakes the writers that may be able to continue. It wakes all of them if
  // they have been told that the learner is silent. ABORTED, with nothing changed, if `from` is not
  // the start that holds the shard.
  absl::Status Grant(RowGrant grant, const LearnerStart& from = {});

  // Draws out.count windows. REQUIRES: the columns have the sizes of so many.
  // FAILED_PRECONDITION while there is no valid window.
  absl::Status Sample(uint64_t seed, const WindowColumns& out);

  // Visits stored rows as Table::Read does, holding back writers and sampling meanwhile: `max_rows`
  // should take milliseconds. Returns the address after the last one visited, and with it the
  // address that the next row will get.
  absl::StatusOr<std::pair<uint64_t, uint64_t>> ReadRows(
      uint64_t address, uint64_t max_rows,
      const std::function<void(const StoredRow&)>& visit) const;

  // Replaces plan statistics, plan_mean and plan_std [n, A], of the rows at `addresses` [n], which
  // were sampled from memory `incarnation`. If that is another shard memory than this one, all of
  // them count as evicted. INVALID_ARGUMENT, with nothing replaced, for wrong sizes or numbers.
  absl::StatusOr<Table::UpdateCounts> UpdatePlans(uint64_t incarnation,
                                                  std::span<const uint64_t> addresses,
                                                  std::span<const float> plan_mean,
                                                  std::span<const float> plan_std);

  // Bars windows that were drawn from memory `incarnation` (Table::Bar), or none if that is another
  // memory than this one. INVALID_ARGUMENT for more than 65536.
  absl::StatusOr<uint32_t> BarWindows(uint64_t incarnation, std::span<const uint64_t> addresses);

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
  // The activity of a shard that does no work: idle or blocked.
  Activity Resting() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  AppendOutcome AppendLocked(const SegmentId& id, uint64_t first_row, const RowView& rows)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status CheckChunk(const SegmentId& id, const RowView& rows) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status CheckNewRows(const SegmentId& id, const RowView& rows, uint32_t begin,
                            uint64_t first_row) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // OK if the learner has published the versions of the rows from `begin` on. UNAVAILABLE while the
  // announcement may still be on its way, INVALID_ARGUMENT once later grants have come without it.
  absl::Status CheckVersions(const RowView& rows, uint32_t begin, uint64_t first_row,
                             Streams::Segment* segment) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Stores all new rows of the chunk, or those of them that fit in the grant.
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
  // Some of the waiters wait to hear of a version, not for room.
  bool version_awaited_ ABSL_GUARDED_BY(mu_) = false;
  // The reason that the newest waiter was told.
  std::string told_ ABSL_GUARDED_BY(mu_);
  uint64_t accepted_rows_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t planned_rows_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t imported_rows_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t sampled_windows_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_CORE_SHARD_H_
