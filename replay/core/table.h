#ifndef POMPC_REPLAY_CORE_TABLE_H_
#define POMPC_REPLAY_CORE_TABLE_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <new>
#include <span>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/base/shared_mutex.h"
#include "replay/core/disk_rows.h"
#include "replay/core/named_tables.h"
#include "replay/core/read_pins.h"
#include "replay/core/row.h"
#include "replay/core/segment_records.h"

namespace pompc::replay {

struct TableOptions {
  RowSpec spec;
  // Rows of a window: H.
  uint32_t horizon = 0;
  // Both bounds apply; the one that is reached first limits the table. Bytes are those of slots
  // (Table::SlotBytes) and of the records of segments that have rows in the table
  // (SegmentRecords::kRecordBytes each).
  uint64_t capacity_rows = 0;
  uint64_t capacity_bytes = 0;
  // The ways in which windows are drawn.
  std::vector<NamedTableOptions> tables = {NamedTableOptions()};

  bool operator==(const TableOptions&) const = default;

  // INVALID_ARGUMENT for sizes of 0, a capacity that holds no window, or as CheckNamedTables.
  absl::Status Validate() const;
  // Slots that a table has at most: if all rows were of one segment.
  uint64_t slots() const;
};

// One row or final observation as the table holds it.
struct StoredRow {
  uint64_t address = 0;
  SegmentId segment;
  // Its number in the segment. That of a final observation follows the last row's.
  uint64_t row = 0;
  // The number of times that the window that starts here was drawn.
  uint64_t draws = 0;
  // The window that starts here was barred.
  bool barred = false;
  // A chunk of this row alone, or of a final observation without rows, as Append takes it. Borrowed
  // from the table for the time of one call of the visitor.
  RowView rows;

  bool is_final() const { return rows.count == 0; }
};

// The rows of one shard: a ring of fixed-size slots in the order of arrival, in which each row is
// linked to its neighbours in the same segment. A window of H rows is valid as soon as the
// observation after its last row is here, and until its first row is evicted: rows of a segment
// arrive in order and the oldest row goes first, so a window loses its first row first. A segment
// that terminated with fewer than H rows makes one window, from its first row: its final
// observation stands for all states that follow (absorbing: action and reward 0, terminated, no
// plan). If that first row was evicted before the end came, the segment makes no such window.
//
// Any number of threads may sample, set priorities, read and ask for counts beside one writer:
// Append, UpdatePlans and Bar are called by one thread at a time. The writer writes the numbers of
// new rows without a lock, for nothing leads to them yet, and holds one to evict old rows and to
// link new ones. Readers hold it to draw windows, not to copy them: what they copy does not change,
// except for plans, and stays until they are done, even if it is evicted meanwhile. From a named
// table with a limit of draws one reader draws at a time, for each draw changes what is left.
//
// A final observation takes a slot of its own (it counts for capacity and bytes, not as a row).
// Memory is allocated in blocks as the ring first reaches them; after that nothing is allocated for
// a row, except that the selectors' arrays grow with the number of windows, and the records with
// the number of segments. Beside its capacity the table has slots for one piece of new rows and for
// evicted rows that readers may still copy: an eighth of the capacity, 1 MiB at most.
//
// If rows are on disk (DiskRows), the table holds their links alone, kDiskSlotBytes a row; for the
// capacity they count as much as rows in memory do. Whoever samples reads them without any lock.
class Table {
 public:
  // Address of no row. Addresses count everything ever stored: 0, 1, 2, ...
  static constexpr uint64_t kNoAddress = std::numeric_limits<uint64_t>::max();
  // The writer does its work in pieces of so many rows, between which readers get their turn.
  static constexpr uint64_t kPieceSlots = 64;
  // Slots are numbered with 32 bits; a larger capacity is cut to this.
  static constexpr uint64_t kMaxSlots = uint64_t{15} << 28;
  // Memory that a row on disk takes, beside what the selectors keep for a window.
  static constexpr uint64_t kDiskSlotBytes = 24;

  struct UpdateCounts {
    uint32_t updated = 0;
    uint32_t evicted = 0;
  };
  struct PriorityCounts {
    uint32_t updated = 0;
    // Windows that are no longer there: evicted, barred, or drawn as often as they may be.
    uint32_t gone = 0;
  };

  // Rows are in memory, or in `disk`, which must outlive the table. REQUIRES: options.Validate() is
  // OK.
  explicit Table(const TableOptions& options, DiskRows* disk = nullptr);

  // Takes the rows of another table, and where they are, at their addresses, with their plans,
  // draws and bars; the newest ones if not all fit. Windows are those of this table's horizon; its
  // named tables begin without priorities, and without draws that count for a limit. Both tables
  // need their memory meanwhile. REQUIRES: options.Validate() is OK, the specs are the same, nobody
  // writes to `from`.
  Table(const TableOptions& options, const Table& from);

  // The next row gets this address. REQUIRES: nothing was appended.
  void StartAt(uint64_t address);

  // Appends the new rows of the chunk and, where there is one, the final observation, and moves
  // *tail to the newest. *tail is the address of the segment's row before them, stored or evicted;
  // kNoAddress if there is none, or if it was evicted and its address is not known. Evicts the
  // oldest rows as needed. REQUIRES: CheckSizes(spec, chunk.rows) is OK.
  void Append(const StoredChunk& chunk, uint64_t* tail);

  // Draws out.count windows from the named table `name`, the first one for "". INVALID_ARGUMENT
  // listing the tables if there is none of that name; FAILED_PRECONDITION if it holds no window, or
  // fewer draws (NamedTables::CheckDraws); the error of DiskRows::Read, after which the draws count
  // all the same. REQUIRES: Fits(out).
  absl::Status Sample(uint64_t seed, const WindowColumns& out, absl::string_view name = "");
  // True if the columns have the sizes of out.count windows of this table.
  bool Fits(const WindowColumns& out) const;

  // Visits up to `max_rows` rows and final observations in the order of their addresses, from the
  // first stored one that is not before `address`. Returns the address after the last one visited,
  // where another call continues; it is next() when all have been visited. Rows that are evicted
  // meanwhile may be left out. No lock is held while `visit` runs. The error of DiskRows::Read.
  absl::StatusOr<uint64_t> Read(uint64_t address, uint64_t max_rows,
                                const std::function<void(const StoredRow&)>& visit) const;

  // Replaces the plan statistics (plan_mean, plan_std [n, A]) of the rows at `addresses` [n], which
  // have a plan from then on. Evicted rows are skipped and counted; final observations are skipped.
  UpdateCounts UpdatePlans(std::span<const uint64_t> addresses, std::span<const float> plan_mean,
                           std::span<const float> plan_std);

  // Sets the priorities [n] of the windows whose first rows are at `addresses` [n] in the named
  // table `name`. INVALID_ARGUMENT if there is none of that name; FAILED_PRECONDITION if it draws
  // without priorities. REQUIRES: they are finite and not negative.
  absl::StatusOr<PriorityCounts> SetPriorities(absl::string_view name,
                                               std::span<const uint64_t> addresses,
                                               std::span<const float> priorities);

  // Takes the windows whose first rows are at `addresses` out of those that are drawn, until they
  // are evicted. Returns how many could be drawn before.
  uint32_t Bar(std::span<const uint64_t> addresses);

  // Rows at the addresses oldest() .. next() - 1 are stored.
  uint64_t oldest() const {
    ReaderLock lock(&mu_);
    return oldest_;
  }
  uint64_t next() const {
    ReaderLock lock(&mu_);
    return next_;
  }
  // Slots that it holds at most; fewer where the records of many segments need the bytes.
  uint64_t capacity() const { return capacity_; }
  // Valid windows that were not barred.
  uint64_t windows() const {
    ReaderLock lock(&mu_);
    return tables_.windows();
  }
  // What the named tables hold, in their order.
  std::vector<NamedTableCounts> tables() const {
    ReaderLock lock(&mu_);
    return tables_.counts();
  }
  // Windows stored now that Bar took out.
  uint64_t barred_windows() const {
    ReaderLock lock(&mu_);
    return barred_;
  }
  // Rows stored now, without final observations.
  uint64_t stored_rows() const {
    ReaderLock lock(&mu_);
    return next_ - oldest_ - finals_;
  }
  // Segments of which rows or final observations are stored now.
  uint64_t stored_segments() const {
    ReaderLock lock(&mu_);
    return segments_.size();
  }
  // Bytes of all used slots and of the segments' records: at most the capacity.
  uint64_t stored_bytes() const {
    ReaderLock lock(&mu_);
    return UsedBytes();
  }
  // What one row (or final observation) needs, except for the record of its segment.
  uint64_t slot_bytes() const { return slot_bytes_; }
  const RowSpec& spec() const { return spec_; }
  uint32_t horizon() const { return horizon_; }

  // Bytes of one slot of a table with these options: the row, the links, and what the selectors
  // keep for a window.
  static uint64_t SlotBytes(const RowSpec& spec,
                            const std::vector<NamedTableOptions>& tables = {NamedTableOptions()});

 private:
  // What the table keeps of a slot beside its row. It stands at the beginning of the slot; the
  // columns of the row follow, so that reading a random row touches one contiguous run of cache
  // lines.
  struct Links {
    // Distances in addresses to the rows before and behind it in its segment; 0: none is here. A
    // row that is evicted stays the one before (compare with oldest_), unless it was gone already
    // when this one came.
    uint32_t to_previous = 0;
    uint32_t to_next = 0;
    // Number of the segment's record, and the low bits of the row's number in the segment.
    uint32_t segment = 0;
    uint32_t row = 0;
    // Flags, and above them the number of times that the window that starts here was drawn; the
    // count stops at kMaxDraws. Readers count draws while the writer sets flags of other rows, and
    // bars: hence atomic.
    uint32_t state = 0;

    static constexpr uint32_t kFinal = 1;        // a final observation, not a row
    static constexpr uint32_t kWindowStart = 2;  // of a valid window that was not barred
    static constexpr uint32_t kBarred = 4;       // the start of one that was barred
    static constexpr uint32_t kReplanned = 8;    // the plan was replaced; of a row on disk
    static constexpr uint32_t kDraw = 16;
    // Leaves room for what several readers count at once.
    static constexpr uint32_t kMaxDraws = (uint32_t{1} << 28) - (uint32_t{1} << 16);

    std::atomic_ref<uint32_t> State() { return std::atomic_ref<uint32_t>(state); }
    bool Is(uint32_t flag) { return (State().load(std::memory_order_relaxed) & flag) != 0; }
    uint32_t draws() { return State().load(std::memory_order_relaxed) / kDraw; }
    // Returns the number of the draw.
    uint32_t CountDraw() {
      if (draws() >= kMaxDraws) return kMaxDraws;
      return State().fetch_add(kDraw, std::memory_order_relaxed) / kDraw + 1;
    }
  };
  // What stands behind the links of a row on disk, in place of its columns.
  struct OnDisk {
    uint32_t slot : 31;  // DiskRows::Place::slot, or StoredChunk::kNoRecord
    uint32_t terminated : 1;
  };
  static_assert(sizeof(Links) + sizeof(OnDisk) == kDiskSlotBytes);
  // The layout of a row in a slot: the offset of each column.
  struct Layout {
    explicit Layout(const RowSpec& spec, bool on_disk = false);
    // The sizes come from a message: they must not overflow before Validate has refused them.
    std::array<uint64_t, kRowColumns> offset;
    uint64_t slot_bytes;
  };

  // What Sample drew, and which address each slot had then.
  struct Drawn {
    std::vector<Draw> draws;
    uint64_t oldest = 0;
    uint64_t oldest_slot = 0;
  };

  // The slot of an address from the oldest one to one ring behind it.
  uint64_t Slot(uint64_t address) const ABSL_SHARED_LOCKS_REQUIRED(mu_) {
    return SlotAfter(oldest_slot_, address - oldest_);
  }
  // The slot `distance` addresses behind or before another. REQUIRES: distance < ring_slots_.
  uint64_t SlotAfter(uint64_t slot, uint64_t distance) const {
    return slot + distance < ring_slots_ ? slot + distance : slot + distance - ring_slots_;
  }
  uint64_t SlotBefore(uint64_t slot, uint64_t distance) const {
    return slot >= distance ? slot - distance : slot + ring_slots_ - distance;
  }
  std::byte* SlotData(uint64_t slot) const;
  static Links& LinksAt(std::byte* slot_data) {
    return *std::launder(reinterpret_cast<Links*>(slot_data));
  }
  Links& LinksOf(uint64_t slot) const { return LinksAt(SlotData(slot)); }
  // The bytes of a column in a slot.
  std::byte* Cell(uint64_t slot, size_t column) const {
    return SlotData(slot) + layout_.offset[column];
  }
  bool Flag(uint64_t slot, ColumnOf<uint8_t> column) const {
    return *Cell(slot, column.index) != std::byte{0};
  }
  bool IsStored(uint64_t address) const ABSL_SHARED_LOCKS_REQUIRED(mu_) {
    return address >= oldest_ && address < next_;
  }
  uint64_t RowNumber(const Links& links) const ABSL_SHARED_LOCKS_REQUIRED(mu_) {
    return segments_.RowNumber(links.segment, links.row);
  }
  uint64_t UsedBytes() const ABSL_SHARED_LOCKS_REQUIRED(mu_) {
    return (next_ - oldest_) * slot_bytes_ + segments_.bytes();
  }

  // Without a lock, for the thread that writes is the only one that changes what it reads here.
  void WriteSlots(const RowView& rows, uint32_t begin,
                  uint32_t count) ABSL_NO_THREAD_SAFETY_ANALYSIS;
  void WriteRow(const RowView& rows, uint32_t i, uint64_t slot);
  void WriteFinal(std::span<const float> observation, uint64_t slot);
  void WriteDiskSlots(const StoredChunk& chunk, uint32_t begin,
                      uint32_t count) ABSL_NO_THREAD_SAFETY_ANALYSIS;
  OnDisk& OnDiskAt(uint64_t slot) const {
    return *std::launder(reinterpret_cast<OnDisk*>(SlotData(slot) + sizeof(Links)));
  }
  DiskRows::Place PlaceOf(uint64_t slot, uint64_t address) const;
  std::byte* WritableSlot(uint64_t slot) ABSL_SHARED_LOCKS_REQUIRED(mu_);
  void EnterBlock(uint64_t block) ABSL_SHARED_LOCKS_REQUIRED(mu_);
  uint64_t FirstEvictedBlock() const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  bool IsFirstEvictedBlockUnread() const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  std::unique_ptr<std::byte[]> TakeFirstEvictedBlock() ABSL_SHARED_LOCKS_REQUIRED(mu_);
  void CopyRow(const Table& from, uint64_t address) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_)
      ABSL_SHARED_LOCKS_REQUIRED(from.mu_);
  void Publish(const SegmentId& segment, uint64_t row, uint64_t* tail)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool FitsOneMore(bool new_record) const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  void EvictOldest() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void OpenWindowEndingAt(uint64_t address) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool EndsTerminated(uint64_t slot) const;
  absl::Status DrawFrom(absl::string_view name, uint64_t seed, Drawn* drawn);
  absl::Status DrawWindows(size_t table, uint64_t seed, Drawn* drawn)
      ABSL_SHARED_LOCKS_REQUIRED(mu_);
  void GatherAll(const Drawn& drawn, const WindowColumns& out) const;
  void Gather(uint64_t slot, uint64_t address, size_t b, const WindowColumns& out) const
      ABSL_SHARED_LOCKS_REQUIRED(plans_mu_);
  absl::Status GatherFromDisk(const Drawn& drawn, const WindowColumns& out) const;
  // Room for one row, each of whose columns is aligned.
  using RowNumbers = std::array<std::vector<uint64_t>, kRowColumns>;
  RowNumbers MakeRowNumbers() const;
  // Tells of a row all but its columns. Returns true for a final observation.
  bool Describe(uint64_t address, StoredRow* row) const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  void ReadRow(uint64_t address, StoredRow* row, RowNumbers* numbers) const
      ABSL_SHARED_LOCKS_REQUIRED(mu_);
  void PointTo(const RowNumbers& numbers, bool is_final, StoredRow* row) const;
  absl::StatusOr<uint64_t> ReadFromDisk(uint64_t address, uint64_t max_rows,
                                        const std::function<void(const StoredRow&)>& visit) const;
  void UpdatePlan(uint64_t slot, std::span<const float> plan_mean, std::span<const float> plan_std)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(plans_mu_);
  bool BarOne(uint64_t address) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Checks what must hold between the fields after each change.
  void CheckInvariants() const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  // The part of CheckInvariants that counts all slots again.
  void CheckCounts() const ABSL_SHARED_LOCKS_REQUIRED(mu_);

  const RowSpec spec_;
  const uint32_t horizon_;
  DiskRows* const disk_;
  const Layout layout_;
  const uint64_t slot_bytes_;
  const uint64_t capacity_;
  const uint64_t capacity_bytes_;
  const uint64_t ring_slots_;  // capacity_, and what it has beside
  uint32_t block_shift_;       // slots of a block: 1 << block_shift_
  // Blocks of slots, absent until the ring reaches them, and when the writer has taken one whose
  // rows are evicted. No reader knows of a row in a block that changes.
  std::vector<std::unique_ptr<std::byte[]>> blocks_;
  // The block that the writer came to last, and the number of blocks that have memory and whose
  // rows are all evicted. Only the writer uses these.
  uint64_t written_block_ = kNoAddress;
  uint64_t evicted_blocks_ = 0;
  mutable ReadPins own_pins_;
  ReadPins& pins_;

  mutable SharedMutex mu_;
  // Held to copy plans, which alone change in rows that are stored.
  mutable SharedMutex plans_mu_ ABSL_ACQUIRED_AFTER(mu_);
  NamedTables tables_ ABSL_GUARDED_BY(mu_);
  SegmentRecords segments_ ABSL_GUARDED_BY(mu_);
  // Addresses oldest_ .. next_-1 are stored.
  uint64_t oldest_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t next_ ABSL_GUARDED_BY(mu_) = 0;
  // Slot of the oldest address; the others follow it.
  uint64_t oldest_slot_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t finals_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t barred_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_CORE_TABLE_H_
