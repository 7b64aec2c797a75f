#include "replay/core/table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "replay/core/row_check.h"

namespace pompc::replay {
namespace {

// Blocks are as large as malloc and the page table like, and small beside any capacity.
constexpr uint64_t kBlockBytes = uint64_t{1} << 20;

size_t NumbersPerSlot(const RowSpec& spec) {
  return size_t{spec.observation_size} + 3 * size_t{spec.action_size} + 2;
}

uint64_t SlotsThatFit(const TableOptions& options) {
  const uint64_t by_bytes = options.capacity_bytes / Table::SlotBytes(options.spec);
  return std::min({options.capacity_rows, by_bytes, Table::kMaxSlots});
}

void Copy(const float* from, size_t n, float* to) { std::copy_n(from, n, to); }

// Checks that the columns have exactly the sizes of a batch of `b` windows.
void CheckColumns(const RowSpec& spec, size_t horizon, size_t b, const WindowColumns& out) {
  const size_t o = spec.observation_size, a = spec.action_size;
  const size_t steps = b * horizon, states = steps + b;
  POMPC_CHECK_EQ(out.observations.size(), states * o);
  POMPC_CHECK_EQ(out.actions.size(), steps * a);
  POMPC_CHECK_EQ(out.rewards.size(), steps);
  POMPC_CHECK_EQ(out.terminated.size(), steps);
  POMPC_CHECK_EQ(out.plan_mean.size(), states * a);
  POMPC_CHECK_EQ(out.plan_std.size(), states * a);
  POMPC_CHECK_EQ(out.has_plan.size(), states);
  POMPC_CHECK_EQ(out.addresses.size(), states);
  POMPC_CHECK_EQ(out.versions.size(), 2 * b);
  POMPC_CHECK_EQ(out.draws.size(), b);
}

}  // namespace

absl::Status TableOptions::Validate() const {
  if (spec.observation_size == 0 || spec.action_size == 0 || horizon == 0) {
    return absl::InvalidArgumentError(absl::StrCat("observation size ", spec.observation_size,
                                                   ", action size ", spec.action_size, ", horizon ",
                                                   horizon, ": each must be at least 1"));
  }
  const uint64_t slots = SlotsThatFit(*this);
  if (slots > horizon) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "capacity of ", capacity_rows, " rows and ", capacity_bytes, " bytes holds ", slots,
      " rows of ", Table::SlotBytes(spec), " bytes; one window needs ", horizon + 1));
}

uint64_t Table::SlotBytes(const RowSpec& spec) {
  // 8: what the uniform selector keeps for a window.
  return NumbersPerSlot(spec) * sizeof(float) + sizeof(Meta) + 8;
}

Table::Table(const TableOptions& options, std::unique_ptr<Selector> selector)
    : spec_(options.spec),
      horizon_(options.horizon),
      numbers_per_slot_(NumbersPerSlot(options.spec)),
      slot_bytes_(SlotBytes(options.spec)),
      capacity_(SlotsThatFit(options)),
      selector_(std::move(selector)) {
  POMPC_CHECK_OK(options.Validate());
  POMPC_CHECK(selector_ != nullptr);
  block_shift_ = 0;
  while (slot_bytes_ << (block_shift_ + 1) <= kBlockBytes) ++block_shift_;
}

uint64_t Table::AddressOfSlot(uint32_t slot) const {
  const uint64_t oldest_slot = Slot(oldest_);
  return oldest_ + (slot >= oldest_slot ? slot - oldest_slot : slot + capacity_ - oldest_slot);
}

float* Table::Numbers(uint64_t slot) const {
  POMPC_DCHECK_LT(slot, capacity_);
  POMPC_DCHECK_LT(slot >> block_shift_, blocks_.size());
  const uint64_t within = slot & ((uint64_t{1} << block_shift_) - 1);
  return blocks_[slot >> block_shift_].numbers.get() + within * numbers_per_slot_;
}

Table::Meta& Table::MetaOf(uint64_t slot) const {
  POMPC_DCHECK_LT(slot, capacity_);
  POMPC_DCHECK_LT(slot >> block_shift_, blocks_.size());
  const uint64_t within = slot & ((uint64_t{1} << block_shift_) - 1);
  return blocks_[slot >> block_shift_].meta[within];
}

void Table::Append(const RowsView& rows, uint32_t begin, uint64_t* tail) {
  POMPC_CHECK_OK(CheckSizes(spec_, rows));
  POMPC_CHECK_LE(begin, rows.count);
  POMPC_CHECK(*tail == kNoAddress || *tail < next_, "the segment's tail was never stored");
  for (uint32_t i = begin; i < rows.count; ++i) {
    *tail = AppendSlot(*tail);
    WriteRow(rows, i, Slot(*tail));
    OpenWindowEndingAt(*tail);
  }
  if (!rows.final_observation.empty()) {
    *tail = AppendSlot(*tail);
    WriteFinal(rows.final_observation, Slot(*tail));
    ++finals_;
    OpenWindowEndingAt(*tail);
  }
  CheckInvariants();
}

// Takes the next slot and links it behind `tail`, unless that was evicted meanwhile.
uint64_t Table::AppendSlot(uint64_t tail) {
  if (next_ - oldest_ == capacity_) EvictOldest();
  const uint64_t address = next_++;
  const uint64_t slot = Slot(address);
  if (slot >> block_shift_ >= blocks_.size()) AllocateBlock();
  Meta& meta = MetaOf(slot);
  meta = Meta();
  if (tail != kNoAddress && tail >= oldest_) {
    meta.to_previous = static_cast<uint32_t>(address - tail);
    MetaOf(Slot(tail)).to_next = meta.to_previous;
  }
  return address;
}

void Table::EvictOldest() {
  POMPC_DCHECK_LT(oldest_, next_);
  const uint64_t slot = Slot(oldest_);
  const uint8_t flags = MetaOf(slot).flags;
  if (flags & kWindowStart) selector_->Remove(static_cast<Selector::Key>(slot));
  if (flags & kFinal) --finals_;
  if (flags & kBarred) --barred_;
  ++oldest_;
}

void Table::AllocateBlock() {
  const uint64_t begin = static_cast<uint64_t>(blocks_.size()) << block_shift_;
  POMPC_CHECK_LT(begin, capacity_);
  const uint64_t slots = std::min(uint64_t{1} << block_shift_, capacity_ - begin);
  blocks_.push_back({std::make_unique_for_overwrite<float[]>(slots * numbers_per_slot_),
                     std::make_unique_for_overwrite<Meta[]>(slots)});
}

void Table::WriteRow(const RowsView& rows, uint32_t i, uint64_t slot) {
  const size_t o = spec_.observation_size, a = spec_.action_size;
  float* numbers = Numbers(slot);
  Copy(&rows.observations[i * o], o, numbers);
  Copy(&rows.actions[i * a], a, numbers + o);
  Copy(&rows.plan_mean[i * a], a, numbers + o + a);
  Copy(&rows.plan_std[i * a], a, numbers + o + 2 * a);
  numbers[o + 3 * a] = rows.rewards[i];
  numbers[o + 3 * a + 1] = rows.plan_value[i];
  Meta& meta = MetaOf(slot);
  meta.flags = (rows.terminated[i] ? kTerminated : 0) | (rows.has_plan[i] ? kHasPlan : 0);
  meta.version = rows.versions[i];
}

void Table::WriteFinal(std::span<const float> observation, uint64_t slot) {
  const size_t o = spec_.observation_size, a = spec_.action_size;
  float* numbers = Numbers(slot);
  Copy(observation.data(), o, numbers);
  std::fill_n(numbers + o, 2 * a, 0.0f);      // action and plan mean
  std::fill_n(numbers + o + 2 * a, a, 1.0f);  // plan std
  std::fill_n(numbers + o + 3 * a, 2, 0.0f);
  MetaOf(slot).flags = kFinal;
}

// The window whose last observation is at `address` becomes valid if its H rows are still here. A
// segment that terminated before it had so many gets its one window from its first row: what
// follows a terminal state is known, so Gather can make the rest up.
void Table::OpenWindowEndingAt(uint64_t address) {
  uint64_t start = address;
  for (uint32_t t = 0; t < horizon_; ++t) {
    const uint32_t distance = MetaOf(Slot(start)).to_previous;
    if (distance == 0 && EndsTerminated(address)) break;
    if (distance == 0 || start - distance < oldest_) return;
    start -= distance;
  }
  const uint64_t slot = Slot(start);
  POMPC_DCHECK_EQ(MetaOf(slot).flags & (kWindowStart | kBarred | kFinal), 0);
  MetaOf(slot).flags |= kWindowStart;
  selector_->Insert(static_cast<Selector::Key>(slot));
}

// Whether a final observation is at `address` and the row before it, still here, led to a terminal
// state.
bool Table::EndsTerminated(uint64_t address) const {
  const Meta& last = MetaOf(Slot(address));
  if ((last.flags & kFinal) == 0 || last.to_previous == 0) return false;
  const uint64_t row = address - last.to_previous;
  return row >= oldest_ && (MetaOf(Slot(row)).flags & kTerminated) != 0;
}

void Table::Sample(uint64_t seed, const WindowColumns& out) {
  POMPC_CHECK_GT(windows(), 0u);
  std::vector<Selector::Key> keys(out.rewards.size() / horizon_);
  CheckColumns(spec_, horizon_, keys.size(), out);
  selector_->Sample(seed, keys);
  for (size_t b = 0; b < keys.size(); ++b) {
    Meta& first = MetaOf(keys[b]);
    POMPC_DCHECK(first.flags & kWindowStart);
    out.draws[b] = ++first.draws;
    out.versions[2 * b] = first.version.incarnation;
    out.versions[2 * b + 1] = first.version.number;
    Gather(AddressOfSlot(keys[b]), b, out);
  }
}

void Table::Gather(uint64_t address, size_t b, const WindowColumns& out) const {
  const size_t o = spec_.observation_size, a = spec_.action_size;
  for (uint32_t t = 0; t <= horizon_; ++t) {
    const size_t state = b * (horizon_ + 1) + t;
    const uint64_t slot = Slot(address);
    const float* numbers = Numbers(slot);
    const Meta& meta = MetaOf(slot);
    Copy(numbers, o, &out.observations[state * o]);
    Copy(numbers + o + a, a, &out.plan_mean[state * a]);
    Copy(numbers + o + 2 * a, a, &out.plan_std[state * a]);
    out.has_plan[state] = (meta.flags & kHasPlan) != 0;
    out.addresses[state] = address;
    if (t == horizon_) break;
    const size_t step = b * horizon_ + t;
    Copy(numbers + o, a, &out.actions[step * a]);
    out.rewards[step] = numbers[o + 3 * a];
    // Before the window's end a final observation comes only behind a terminated row. It leads
    // nowhere (to_next is 0), so the other steps stay there: no action, no reward, terminated.
    out.terminated[step] = (meta.flags & (kTerminated | kFinal)) != 0;
    address += meta.to_next;
  }
}

uint32_t Table::Bar(std::span<const uint64_t> addresses) {
  uint32_t count = 0;
  for (const uint64_t address : addresses) {
    if (address < oldest_ || address >= next_) continue;
    const uint64_t slot = Slot(address);
    Meta& meta = MetaOf(slot);
    if (!(meta.flags & kWindowStart)) continue;
    selector_->Remove(static_cast<Selector::Key>(slot));
    meta.flags = static_cast<uint8_t>((meta.flags & ~kWindowStart) | kBarred);
    ++barred_;
    ++count;
  }
  CheckInvariants();
  return count;
}

void Table::CheckInvariants() const {
  const uint64_t used = next_ - oldest_;
  POMPC_CHECK_LE(oldest_, next_);
  POMPC_CHECK_LE(used, capacity_);
  POMPC_CHECK_LE(finals_, used);
  // A window begins at a row, and no two of them at the same.
  POMPC_CHECK_LE(windows() + barred_, stored_rows());
  POMPC_CHECK_GE(static_cast<uint64_t>(blocks_.size()) << block_shift_, std::min(next_, capacity_),
                 "slots without memory");
#ifndef NDEBUG
  // Large tables would take too long to walk through at every chunk.
  if (used <= 1024) CheckCounts();
#endif
}

void Table::CheckCounts() const {
  uint64_t finals = 0, barred = 0, starts = 0;
  for (uint64_t address = oldest_; address < next_; ++address) {
    const Meta& meta = MetaOf(Slot(address));
    POMPC_CHECK_EQ(AddressOfSlot(static_cast<uint32_t>(Slot(address))), address);
    finals += (meta.flags & kFinal) != 0;
    barred += (meta.flags & kBarred) != 0;
    starts += (meta.flags & kWindowStart) != 0;
    if (meta.to_next == 0) continue;
    POMPC_CHECK_LT(address + meta.to_next, next_);
    POMPC_CHECK_EQ(MetaOf(Slot(address + meta.to_next)).to_previous, meta.to_next);
  }
  POMPC_CHECK_EQ(finals, finals_);
  POMPC_CHECK_EQ(barred, barred_);
  POMPC_CHECK_EQ(starts, windows());
}

Table::UpdateCounts Table::UpdatePlans(std::span<const uint64_t> addresses,
                                       std::span<const float> plan_mean,
                                       std::span<const float> plan_std) {
  const size_t o = spec_.observation_size, a = spec_.action_size;
  POMPC_CHECK_EQ(plan_mean.size(), addresses.size() * a);
  POMPC_CHECK_EQ(plan_std.size(), addresses.size() * a);
  UpdateCounts counts;
  for (size_t i = 0; i < addresses.size(); ++i) {
    if (addresses[i] < oldest_ || addresses[i] >= next_) {
      ++counts.evicted;
      continue;
    }
    const uint64_t slot = Slot(addresses[i]);
    Meta& meta = MetaOf(slot);
    if (meta.flags & kFinal) continue;
    Copy(&plan_mean[i * a], a, Numbers(slot) + o + a);
    Copy(&plan_std[i * a], a, Numbers(slot) + o + 2 * a);
    meta.flags |= kHasPlan;
    ++counts.updated;
  }
  return counts;
}

}  // namespace pompc::replay
