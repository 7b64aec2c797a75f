#ifndef POMPC_REPLAY_CORE_TABLE_H_
#define POMPC_REPLAY_CORE_TABLE_H_

#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "replay/core/row.h"
#include "replay/core/selectors/selector.h"

namespace pompc::replay {

struct TableOptions {
  RowSpec spec;
  // Rows of a window: H.
  uint32_t horizon = 0;
  // Whichever bound is met first holds.
  uint64_t capacity_rows = 0;
  uint64_t capacity_bytes = 0;

  // INVALID_ARGUMENT for sizes of 0, or a capacity that holds no window.
  absl::Status Validate() const;
};

// The rows of one shard: a ring of fixed-size slots in the order of arrival, the rows of one
// segment linked. A window of H rows is valid as soon as the observation after its last row is
// here, and until its first row is evicted: rows of a segment arrive in order and the oldest row
// goes first, so a window loses its first row first. A segment that terminated with fewer than H
// rows makes one window, from its first row: its final observation stands for all states that
// follow (absorbing: action and reward 0, terminated, no plan). Not thread-safe.
//
// A final observation takes a slot of its own (it counts for capacity and bytes, not as a row).
// Memory is allocated in blocks as the ring first reaches them; after that nothing is allocated for
// a row, except that the selector's arrays grow with the number of windows.
class Table {
 public:
  // Address of no row. Addresses count everything ever stored: 0, 1, 2, ...
  static constexpr uint64_t kNoAddress = std::numeric_limits<uint64_t>::max();
  // Slots are numbered with 32 bits; a larger capacity is cut to this.
  static constexpr uint64_t kMaxSlots = std::numeric_limits<uint32_t>::max();

  struct UpdateCounts {
    uint32_t updated = 0;
    uint32_t evicted = 0;
  };

  // REQUIRES: options.Validate() is OK.
  Table(const TableOptions& options, std::unique_ptr<Selector> selector);

  // Appends rows `begin` .. count-1 and, where there is one, the final observation to the segment
  // whose newest row is at *tail (kNoAddress begins a segment), and moves *tail. Evicts the oldest
  // rows as needed. REQUIRES: CheckSizes(spec, rows) is OK.
  void Append(const RowsView& rows, uint32_t begin, uint64_t* tail);

  // Draws as many windows as `out` has rewards for, divided by H. REQUIRES: windows() > 0; all
  // columns have the sizes of one batch.
  void Sample(uint64_t seed, const WindowColumns& out);

  // Replaces the plan statistics (plan_mean, plan_std [n, A]) of the rows at `addresses` [n], which
  // have a plan from then on. Evicted rows are skipped and counted; final observations are skipped.
  UpdateCounts UpdatePlans(std::span<const uint64_t> addresses, std::span<const float> plan_mean,
                           std::span<const float> plan_std);

  // Takes the windows whose first rows are at `addresses` out of those that are drawn, until they
  // are evicted. Returns how many could be drawn before.
  uint32_t Bar(std::span<const uint64_t> addresses);

  // Slots: the capacity that both bounds leave.
  uint64_t capacity() const { return capacity_; }
  uint64_t windows() const { return selector_->size(); }
  // Windows stored now that Bar took out.
  uint64_t barred_windows() const { return barred_; }
  // Rows stored now, without final observations.
  uint64_t stored_rows() const { return next_ - oldest_ - finals_; }
  // Of all used slots.
  uint64_t stored_bytes() const { return (next_ - oldest_) * slot_bytes_; }
  // What one row (or final observation) needs, everything included.
  uint64_t slot_bytes() const { return slot_bytes_; }
  const RowSpec& spec() const { return spec_; }
  uint32_t horizon() const { return horizon_; }

  // Bytes of one slot of a table with these options.
  static uint64_t SlotBytes(const RowSpec& spec);

 private:
  enum Flag : uint8_t {
    kTerminated = 1,
    kHasPlan = 2,
    kFinal = 4,
    kWindowStart = 8,  // of a window that can be drawn
    kBarred = 16,      // of one that was barred
  };
  // What a slot holds besides numbers. Links are distances in addresses; 0: none.
  struct Meta {
    uint32_t to_previous = 0;
    uint32_t to_next = 0;
    uint8_t flags = 0;
    // How often the window that starts here was drawn.
    uint32_t draws = 0;
    ParameterVersion version;
  };
  // One slot's numbers stand together, so that a random row costs one run of cache lines:
  // observation [O], action [A], plan mean [A], plan std [A], reward, plan value.
  struct Block {
    std::unique_ptr<float[]> numbers;
    std::unique_ptr<Meta[]> meta;
  };

  uint64_t Slot(uint64_t address) const { return address % capacity_; }
  uint64_t AddressOfSlot(uint32_t slot) const;
  float* Numbers(uint64_t slot) const;
  Meta& MetaOf(uint64_t slot) const;

  uint64_t AppendSlot(uint64_t tail);
  void EvictOldest();
  void AllocateBlock();
  void WriteRow(const RowsView& rows, uint32_t i, uint64_t slot);
  void WriteFinal(std::span<const float> observation, uint64_t slot);
  void OpenWindowEndingAt(uint64_t address);
  bool EndsTerminated(uint64_t address) const;
  void Gather(uint64_t address, size_t b, const WindowColumns& out) const;
  // What must hold between the fields after each change.
  void CheckInvariants() const;
  // Part of it: the counts, taken anew from all slots.
  void CheckCounts() const;

  const RowSpec spec_;
  const uint32_t horizon_;
  const size_t numbers_per_slot_;
  const uint64_t slot_bytes_;
  const uint64_t capacity_;
  uint32_t block_shift_;  // slots of a block: 1 << block_shift_
  const std::unique_ptr<Selector> selector_;
  std::vector<Block> blocks_;
  uint64_t oldest_ = 0;  // addresses oldest_ .. next_-1 are stored
  uint64_t next_ = 0;
  uint64_t finals_ = 0;
  uint64_t barred_ = 0;
};

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_CORE_TABLE_H_
