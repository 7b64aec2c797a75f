#ifndef POMPC_REPLAY_CORE_TABLE_H_
#define POMPC_REPLAY_CORE_TABLE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "replay/core/row.h"
#include "replay/core/segment_records.h"
#include "replay/core/selectors/selector.h"

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

  // INVALID_ARGUMENT for sizes of 0, or a capacity that holds no window.
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
// plan). If that first row was evicted before the end came, the segment makes no such window. Not
// thread-safe.
//
// A final observation takes a slot of its own (it counts for capacity and bytes, not as a row).
// Memory is allocated in blocks as the ring first reaches them; after that nothing is allocated for
// a row, except that the selector's arrays grow with the number of windows, and the records with
// the number of segments.
class Table {
 public:
  // Address of no row. Addresses count everything ever stored: 0, 1, 2, ...
  static constexpr uint64_t kNoAddress = std::numeric_limits<uint64_t>::max();
  // Rows are written in pieces of so many, into slots that the table has beyond its capacity.
  static constexpr uint64_t kPieceSlots = 64;
  // Slots are numbered with 32 bits; a larger capacity is cut to this.
  static constexpr uint64_t kMaxSlots = std::numeric_limits<uint32_t>::max() - kPieceSlots;

  struct UpdateCounts {
    uint32_t updated = 0;
    uint32_t evicted = 0;
  };

  // REQUIRES: options.Validate() is OK.
  Table(const TableOptions& options, std::unique_ptr<Selector> selector);

  // The next row gets this address. REQUIRES: nothing was appended.
  void StartAt(uint64_t address);

  // Appends the new rows of the chunk and, where there is one, the final observation, and moves
  // *tail to the newest. *tail is the address of the segment's row before them, stored or evicted;
  // kNoAddress if there is none, or if it was evicted and its address is not known. Evicts the
  // oldest rows as needed. REQUIRES: CheckSizes(spec, chunk.rows) is OK.
  void Append(const StoredChunk& chunk, uint64_t* tail);

  // Draws out.count windows. REQUIRES: windows() > 0; all columns have the sizes of out.count
  // windows.
  void Sample(uint64_t seed, const WindowColumns& out);

  // Visits up to `max_rows` rows and final observations in the order of their addresses, from the
  // first stored one that is not before `address`. Returns the address after the last one visited,
  // where another call continues; it is next() when all have been visited.
  uint64_t Read(uint64_t address, uint64_t max_rows,
                const std::function<void(const StoredRow&)>& visit) const;

  // Replaces the plan statistics (plan_mean, plan_std [n, A]) of the rows at `addresses` [n], which
  // have a plan from then on. Evicted rows are skipped and counted; final observations are skipped.
  UpdateCounts UpdatePlans(std::span<const uint64_t> addresses, std::span<const float> plan_mean,
                           std::span<const float> plan_std);

  // Takes the windows whose first rows are at `addresses` out of those that are drawn, until they
  // are evicted. Returns how many could be drawn before.
  uint32_t Bar(std::span<const uint64_t> addresses);

  // Rows at the addresses oldest() .. next() - 1 are stored.
  uint64_t oldest() const { return oldest_; }
  uint64_t next() const { return next_; }
  // Slots that it holds at most; fewer where the records of many segments need the bytes.
  uint64_t capacity() const { return capacity_; }
  uint64_t windows() const { return selector_->size(); }
  // Windows stored now that Bar took out.
  uint64_t barred_windows() const { return barred_; }
  // Rows stored now, without final observations.
  uint64_t stored_rows() const { return next_ - oldest_ - finals_; }
  // Segments of which rows or final observations are stored now.
  uint64_t stored_segments() const { return segments_.size(); }
  // Bytes of all used slots and of the segments' records: at most the capacity.
  uint64_t stored_bytes() const { return (next_ - oldest_) * slot_bytes_ + segments_.bytes(); }
  // What one row (or final observation) needs, except for the record of its segment.
  uint64_t slot_bytes() const { return slot_bytes_; }
  const RowSpec& spec() const { return spec_; }
  uint32_t horizon() const { return horizon_; }

  // Bytes of one slot of a table with these options.
  static uint64_t SlotBytes(const RowSpec& spec);

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
    // Number of the segment's record, and of the row, counted from that record's first_row.
    uint32_t segment = 0;
    uint32_t row = 0;
    // The number of times that the window that starts here was drawn; the count stops at kMaxDraws.
    static constexpr uint32_t kMaxDraws = (uint32_t{1} << 29) - 1;
    uint32_t draws : 29 = 0;
    uint32_t is_final : 1 = 0;      // a final observation, not a row
    uint32_t window_start : 1 = 0;  // of a window that can be drawn
    uint32_t barred : 1 = 0;        // the start of one that was barred
  };
  // The layout of a row in a slot: the offset of each column.
  struct Layout {
    explicit Layout(const RowSpec& spec);
    // The sizes come from a message: they must not overflow before Validate has refused them.
    std::array<uint64_t, kRowColumns> offset;
    uint64_t slot_bytes;
  };

  uint64_t Slot(uint64_t address) const { return (address - base_) % ring_slots_; }
  // The slot `distance` addresses behind or before another. REQUIRES: distance < ring_slots_.
  uint64_t SlotAfter(uint64_t slot, uint64_t distance) const {
    return slot + distance < ring_slots_ ? slot + distance : slot + distance - ring_slots_;
  }
  uint64_t SlotBefore(uint64_t slot, uint64_t distance) const {
    return slot >= distance ? slot - distance : slot + ring_slots_ - distance;
  }
  uint64_t AddressOfSlot(uint64_t slot) const { return oldest_ + SlotBefore(slot, Slot(oldest_)); }
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
  bool IsStored(uint64_t address) const { return address >= oldest_ && address < next_; }
  uint64_t RowNumber(const Links& links) const {
    return segments_[links.segment].first_row + links.row;
  }

  void WriteSlots(const RowView& rows, uint32_t begin, uint32_t count);
  void Publish(const SegmentId& segment, uint64_t row, uint64_t* tail);
  std::optional<uint32_t> RecordOf(uint64_t tail, uint64_t row) const;
  bool FitsOneMore(bool new_record) const;
  void EvictOldest();
  void AllocateBlock();
  void WriteRow(const RowView& rows, uint32_t i, uint64_t slot);
  void WriteFinal(std::span<const float> observation, uint64_t slot);
  void OpenWindowEndingAt(uint64_t address);
  bool EndsTerminated(uint64_t slot) const;
  void Gather(uint64_t slot, size_t b, const WindowColumns& out) const;
  // Checks what must hold between the fields after each change.
  void CheckInvariants() const;
  // The part of CheckInvariants that counts all slots again.
  void CheckCounts() const;

  const RowSpec spec_;
  const uint32_t horizon_;
  const Layout layout_;
  const uint64_t slot_bytes_;
  const uint64_t capacity_;
  const uint64_t capacity_bytes_;
  const uint64_t ring_slots_;  // capacity_, and those of one piece
  uint32_t block_shift_;       // slots of a block: 1 << block_shift_
  const std::unique_ptr<Selector> selector_;
  std::vector<std::unique_ptr<std::byte[]>> blocks_;
  SegmentRecords segments_;
  uint64_t base_ = 0;    // address of the first row in slot 0
  uint64_t oldest_ = 0;  // addresses oldest_ .. next_-1 are stored
  uint64_t next_ = 0;
  uint64_t finals_ = 0;
  uint64_t barred_ = 0;
};

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_CORE_TABLE_H_
