#ifndef POMPC_REPLAY_CORE_SHARD_H_
#define POMPC_REPLAY_CORE_SHARD_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "replay/core/activity_timer.h"
#include "replay/core/limiter.h"
#include "replay/core/opening.h"
#include "replay/core/store.h"
#include "replay/core/streams.h"
#include "replay/core/writer_queue.h"

namespace pompc::replay {

// What a shard is opened with. Run, index and sizes of rows are the same for as long as its rows
// live.
struct ShardConfig {
  // The largest value of chunk_rows that can be configured.
  static constexpr uint32_t kMaxChunkRows = 1024;

  std::string run_id;
  uint32_t shard_index = 0;
  TableOptions table;
  RowLimits limits;
  uint32_t chunk_rows = kMaxChunkRows;
  // Length of the run's list of shards.
  uint32_t shard_count = 1;
  // The start of the learner that opens the shard. It holds the shard until a start with a higher
  // incarnation opens it.
  LearnerStart learner;
  // Name of the run's task, and control steps of a decision (0: unknown), for those who look in.
  std::string task;
  uint32_t action_repeat = 0;
  // What the config was made of, for the store to keep: see Shard::Load.
  std::string encoded = "";
};

// What a shard holds at one moment.
struct ShardCounts {
  std::string run_id = "";     // empty before the shard is configured
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
  // Writers that wait, by what they wait for.
  uint32_t waiting_for_grant = 0;
  uint32_t waiting_for_version = 0;
  uint32_t waiting_for_store = 0;
  uint32_t blocked_writers() const {
    return waiting_for_grant + waiting_for_version + waiting_for_store;
  }
  // Addresses oldest .. next-1 are stored.
  uint64_t oldest_address = 0;
  uint64_t next_address = 0;
  // The share of the stored rows that were loaded; 1 once the shard can be used.
  double loaded = 1;
  StoreStats store;
  std::vector<NamedTableCounts> tables;
};

// What became of a chunk.
struct AppendOutcome {
  enum class Kind {
    kAcked,    // stored, now or before; acknowledge once the store says it is durable
    kGap,      // rows from next_row on are missing
    kRefused,  // the segment is closed, nothing more is stored: `status`
    kBlocked,  // not all of it is let in: `blocked_by`, `status`; the waiter will be called
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
  // What kBlocked waits for.
  BlockedBy blocked_by = BlockedBy::kGrant;
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

// One shard of the replay of one run: table, limiter and the state of every segment. Thread-safe.
// Everything that changes it goes through one mutex, which is held for as long as it takes to copy
// rows in. Sampling does not: windows are drawn and copied by any number of threads beside the one
// that appends (see Table). No method blocks beyond that: writers that must wait leave a
// RoomWaiter.
class Shard {
 public:
  // Makes a config of what its `encoded` was.
  using ReadConfig = std::function<absl::StatusOr<ShardConfig>(const std::string& encoded)>;

  // `incarnation` identifies the shard's rows: every shard that starts empty has a new value. If
  // the store is persistent, Load must follow.
  Shard(uint64_t incarnation, Clock* clock, std::unique_ptr<Store> store);
  // Closes.
  ~Shard();

  // Fills the shard with what its store holds, so that it goes on as if it had never been closed:
  // with its rows at their addresses, the same windows, plans and barred windows, the same answers
  // to writers, the same counts. Windows count as drawn never before, and no rows are taken before
  // the learner's next grant. Until it has returned OK, everything else is refused with UNAVAILABLE
  // and the share that was loaded. DATA_LOSS if what is stored is damaged, the error of
  // `read_config`, or CANCELLED after Close; then the shard stays refused. REQUIRES: the store is
  // persistent; called once.
  absl::Status Load(const ReadConfig& read_config);

  // Opens the shard. Idempotent. On a shard that is open already, or that was loaded, it applies
  // what differs: limits, chunk_rows, learner, and, for which the rows are put into another
  // table, horizon and capacity. FAILED_PRECONDITION naming both if it was opened for another run,
  // index, number of shards or spec; ABORTED if a start of the learner holds it that is neither
  // this one nor an earlier one; INVALID_ARGUMENT if it cannot work.
  absl::Status Configure(const ShardConfig& config);

  // What the shard was opened with. UNAVAILABLE before Configure, CANCELLED after Close.
  absl::StatusOr<std::shared_ptr<const ShardConfig>> config() const;

  // Takes `rows`, which begin with row `first_row` of their segment; rows that are here already are
  // skipped. If not all new rows fit in the grant, or in the writer's share of it (WriterQueue),
  // the shard stores those that fit and answers kBlocked for the rest. It also answers kBlocked for
  // a chunk that was planned by a version the learner has not announced yet, and for the first
  // chunk of a lease that it has not announced yet. In these cases it enrols `waiter`, and the
  // caller gives the same chunk again later; so it does for every chunk while the store does not
  // admit rows. The waiter may be called before this returns. A chunk is refused whole. kFailed is
  // UNAVAILABLE before Configure and while loading, CANCELLED after Close.
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
  // Append, and kFailed while the store does not admit rows.
  AppendOutcome Refuse(const SegmentId& segment, absl::Status why);

  // Store::WhenDurable for everything appended so far.
  void WhenDurable(std::function<void(absl::Status)> done);

  // Store::Snapshot. All rows that were acknowledged before the call are in it.
  absl::StatusOr<std::string> Snapshot(const std::string& name) { return store_->Snapshot(name); }

  // Withdraws a waiter. A call of its OnRoom() may still be running when this returns.
  void StopWaiting(const RoomWaiter* waiter);

  // Wakes the waiters whose reason for waiting has changed since they were told it. They try again
  // and are told the present reason: the learner's newest one, or for how long the learner has been
  // silent. To be called every few seconds.
  void RenewReasons();

  // Sets the limiter and wakes the writers that may be able to continue. It wakes all of them if
  // they have been told that the learner is silent. ABORTED, with nothing changed, if `from` is not
  // the start that holds the shard; INVALID_ARGUMENT, likewise, as Limiter::Check.
  absl::Status Grant(RowGrant grant, const LearnerStart& from = {});

  // OK if `from` may change what the shard holds: it is the start of the learner that holds the
  // shard. A learner of release 0.1.0, which announces no leases, does not say which start it is
  // (nullopt). ABORTED otherwise; UNAVAILABLE before Configure, CANCELLED after Close.
  absl::Status CheckMayChange(const std::optional<LearnerStart>& from) const;

  // Draws out.count windows from the table called `table`, as Table::Sample. UNAVAILABLE if the
  // columns do not have the sizes of so many windows, since Configure has changed the horizon after
  // config() was read.
  absl::Status Sample(uint64_t seed, const WindowColumns& out, absl::string_view table = "");

  // Visits stored rows as Table::Read does, holding nobody back meanwhile. Returns the address
  // after the last one visited, and with it the address that the next row will get.
  absl::StatusOr<std::pair<uint64_t, uint64_t>> ReadRows(
      uint64_t address, uint64_t max_rows,
      const std::function<void(const StoredRow&)>& visit) const;

  // Replaces plan statistics, plan_mean and plan_std [n, A], of the rows at `addresses` [n], which
  // were sampled in `opening`. In another opening than this one, all of them count as evicted.
  // INVALID_ARGUMENT, with nothing replaced, for wrong sizes or numbers; RESOURCE_EXHAUSTED while
  // the store admits nothing.
  absl::StatusOr<Table::UpdateCounts> UpdatePlans(const Opening& opening,
                                                  std::span<const uint64_t> addresses,
                                                  std::span<const float> plan_mean,
                                                  std::span<const float> plan_std);

  // Sets the priorities [n], in the table called `table`, of the windows whose first rows are at
  // `addresses` [n], which were sampled in `opening`. If that is another one than this, all of
  // them count as gone. INVALID_ARGUMENT, with nothing set, for wrong sizes,
  // more than 65536 windows, priorities that are negative or not finite, or an unknown table;
  // FAILED_PRECONDITION if the table draws without priorities.
  absl::StatusOr<Table::PriorityCounts> UpdatePriorities(const Opening& opening,
                                                         absl::string_view table,
                                                         std::span<const uint64_t> addresses,
                                                         std::span<const float> priorities);

  // Bars windows that were drawn in `opening` (Table::Bar), or none if that is another one than
  // this. INVALID_ARGUMENT for more than 65536.
  absl::StatusOr<uint32_t> BarWindows(const Opening& opening, std::span<const uint64_t> addresses);

  uint64_t incarnation() const { return incarnation_; }
  Opening opening() const { return Opening(incarnation_, store_->opening()); }
  ShardCounts counts() const;
  // Time in each Activity.
  const ActivityTimer& activity() const { return activity_; }

  // Refuses everything from now on and wakes all waiters. Idempotent.
  void Close();

 private:
  class Loader;

  // ABORTED unless this start of the learner holds the shard. REQUIRES: the shard is configured.
  absl::Status CheckHolder(const LearnerStart& from) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Why a writer that waits for room does so.
  std::string WhyBlocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Lets all writers try again: what they wait for may have changed.
  void WakeAll();

  absl::Status ConfigureLocked(const ShardConfig& config) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Makes the table that the config asks for, with the rows of the present one, if there is one.
  absl::Status MakeTable(const ShardConfig& config) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status CheckOpen() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status CheckLoaded() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Rows that are granted and not taken.
  uint64_t Room() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return limiter_.Room(accepted_rows_); }
  // All writers that wait; they wait no longer.
  WriterQueue::Writers TakeWriters() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Wakes writers round after round while there is room for them.
  void ShareRoom();

  // What those see who do not wait for mu_.
  struct Open {
    std::shared_ptr<const ShardConfig> config;
    std::shared_ptr<Table> table;
  };
  // The status of CheckOpen if the shard is not open.
  absl::StatusOr<Open> GetOpen() const;
  // GetOpen returns what is there now.
  void UpdateOpen() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // Takes at most `room` new rows.
  AppendOutcome AppendLocked(const SegmentId& id, uint64_t first_row, const RowView& rows,
                             uint64_t room) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status CheckChunk(const SegmentId& id, const RowView& rows) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status CheckNewRows(const SegmentId& id, const RowView& rows, uint32_t begin,
                            uint64_t first_row) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // OK if the learner has given the lease of the segment's writer, or the writer is known.
  // UNAVAILABLE while the announcement may still be on its way.
  absl::Status CheckLease(const SegmentId& id) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // OK if the learner has published the versions of the rows from `begin` on. UNAVAILABLE while the
  // announcement may still be on its way, INVALID_ARGUMENT once later grants have come without it.
  absl::Status CheckVersions(const RowView& rows, uint32_t begin, uint64_t first_row,
                             Streams::Segment* segment) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  AppendOutcome RefuseSegment(const SegmentId& id, Streams::Segment* segment, absl::Status why)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Stores all new rows of the chunk, or the first `room` of them.
  AppendOutcome StoreNewRows(const StoredChunk& chunk, uint64_t room, Streams::Segment* segment)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  bool IsStored(uint64_t address) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return address >= table_->oldest() && address < table_->next();
  }
  void RecordPlans(std::span<const uint64_t> addresses, std::span<const float> plan_mean,
                   std::span<const float> plan_std) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Record(const StoreRecord& record) const {
    store_->Record(std::span<const StoreRecord>(&record, 1));
  }

  const uint64_t incarnation_;
  Clock* const clock_;
  // Goes first: it calls back.
  std::unique_ptr<Store> store_;
  ActivityTimer activity_;
  std::atomic<uint64_t> sampled_windows_{0};

  mutable Mutex mu_;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  // The store's content is in the shard; until then, the share that is.
  bool ready_ ABSL_GUARDED_BY(mu_);
  double loaded_ ABSL_GUARDED_BY(mu_) = 0;
  std::shared_ptr<const ShardConfig> config_ ABSL_GUARDED_BY(mu_);
  std::shared_ptr<Table> table_ ABSL_GUARDED_BY(mu_);
  Streams streams_ ABSL_GUARDED_BY(mu_);
  Limiter limiter_ ABSL_GUARDED_BY(mu_);
  WriterQueue writers_ ABSL_GUARDED_BY(mu_);
  // A thread is in ShareRoom.
  bool sharing_ ABSL_GUARDED_BY(mu_) = false;
  // The reason that the newest waiter was told.
  std::string told_ ABSL_GUARDED_BY(mu_);
  uint64_t accepted_rows_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t planned_rows_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t imported_rows_ ABSL_GUARDED_BY(mu_) = 0;

  // Config and table of a shard that is open, else null. Held for a moment only, so that those who
  // sample do not wait for whoever holds mu_.
  mutable Mutex open_mu_ ABSL_ACQUIRED_AFTER(mu_);
  Open open_ ABSL_GUARDED_BY(open_mu_);
};

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_CORE_SHARD_H_
