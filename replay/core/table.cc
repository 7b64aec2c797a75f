#include "replay/core/table.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace pompc::replay {
namespace {

// Blocks are as large as malloc and the page table like, and small beside any capacity.
constexpr uint64_t kBlockBytes = uint64_t{1} << 20;

uint64_t SlotsThatFit(const TableOptions& options) {
  const uint64_t by_bytes = options.capacity_bytes / Table::SlotBytes(options.spec);
  return std::min({options.capacity_rows, by_bytes, Table::kMaxSlots});
}

// Checks that the columns have exactly the sizes of out.count windows.
void CheckColumns(const RowSpec& spec, size_t horizon, const WindowColumns& out) {
  for (size_t c = 0; c < kNumColumns; ++c) {
    const Column& column = kColumns[c];
    POMPC_CHECK_EQ(out.columns[c].size(),
                   out.count * column.per_window(horizon) * column.bytes(spec), column.name);
  }
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

// Columns of single bytes stand last, so that they leave no gaps: a slot is a multiple of 4 bytes
// for the sake of the links of the next one. Other columns are copied, and need no alignment.
Table::Layout::Layout(const RowSpec& spec) : slot_bytes(sizeof(Links)) {
  for (const bool single : {false, true}) {
    for (size_t c = 0; c < kRowColumns; ++c) {
      if ((kColumns[c].element_bytes() == 1) != single) continue;
      offset[c] = slot_bytes;
      slot_bytes += kColumns[c].bytes(spec);
    }
  }
  slot_bytes = (slot_bytes + alignof(Links) - 1) / alignof(Links) * alignof(Links);
}

uint64_t Table::SlotBytes(const RowSpec& spec) {
  // 8: what the uniform selector keeps for a window.
  return Layout(spec).slot_bytes + 8;
}

Table::Table(const TableOptions& options, std::unique_ptr<Selector> selector)
    : spec_(options.spec),
      horizon_(options.horizon),
      layout_(options.spec),
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

std::byte* Table::SlotData(uint64_t slot) const {
  POMPC_DCHECK_LT(slot, capacity_);
  POMPC_DCHECK_LT(slot >> block_shift_, blocks_.size());
  const uint64_t within = slot & ((uint64_t{1} << block_shift_) - 1);
  return blocks_[slot >> block_shift_].get() + within * layout_.slot_bytes;
}

void Table::Append(const RowView& rows, uint32_t begin, uint64_t* tail) {
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

// Takes the next slot and links it behind `tail`, unless that was evicted meanwhile: then the rest
// of the segment begins again, for no window may miss a row.
uint64_t Table::AppendSlot(uint64_t tail) {
  if (next_ - oldest_ == capacity_) EvictOldest();
  const uint64_t address = next_++;
  const uint64_t slot = Slot(address);
  if (slot >> block_shift_ >= blocks_.size()) AllocateBlock();
  Links* const links = new (SlotData(slot)) Links();
  if (tail != kNoAddress && tail >= oldest_) {
    links->to_previous = static_cast<uint32_t>(address - tail);
    LinksOf(Slot(tail)).to_next = links->to_previous;
  }
  return address;
}

// Eviction is in the order of arrival, whatever segment a row belongs to. The row's slot is written
// again at once, so that nothing needs to be cleared: links that lead here are compared with
// oldest_ before they are followed.
void Table::EvictOldest() {
  POMPC_DCHECK_LT(oldest_, next_);
  const uint64_t slot = Slot(oldest_);
  const Links& links = LinksOf(slot);
  if (links.window_start) selector_->Remove(static_cast<Selector::Key>(slot));
  finals_ -= links.is_final;
  barred_ -= links.barred;
  ++oldest_;
}

void Table::AllocateBlock() {
  const uint64_t begin = static_cast<uint64_t>(blocks_.size()) << block_shift_;
  POMPC_CHECK_LT(begin, capacity_);
  const uint64_t slots = std::min(uint64_t{1} << block_shift_, capacity_ - begin);
  // Not cleared: the kernel gives a page when it is first written, and a slot is written whole.
  blocks_.push_back(std::make_unique_for_overwrite<std::byte[]>(slots * layout_.slot_bytes));
}

void Table::WriteRow(const RowView& rows, uint32_t i, uint64_t slot) {
  std::byte* const data = SlotData(slot);
  ForEachRowColumn([&](auto c) {
    constexpr Column kColumn = kColumns[c];
    const uint64_t n = kColumn.bytes(spec_);
    std::memcpy(data + layout_.offset[c], rows.columns[c].data() + i * n, n);
  });
}

// A final observation takes the slot of a row whose other columns are fillers. That is what the
// states behind a terminal one look like (no action, no reward, terminated), so Gather reads them
// like any row.
void Table::WriteFinal(std::span<const float> observation, uint64_t slot) {
  constexpr ColumnOf<float> kObservations = "observations";
  for (size_t c = 0; c < kRowColumns; ++c) WriteFiller(kColumns[c], spec_, Cell(slot, c));
  std::memcpy(Cell(slot, kObservations.index), observation.data(), observation.size_bytes());
  LinksOf(slot).is_final = 1;
}

// The window whose last observation is at `address` becomes valid if its H rows are still here. A
// segment that terminated before it had so many gets its one window from its first row: what
// follows a terminal state is known, so Gather can make the rest up.
void Table::OpenWindowEndingAt(uint64_t address) {
  uint64_t start = address;
  for (uint32_t t = 0; t < horizon_; ++t) {
    const uint32_t distance = LinksOf(Slot(start)).to_previous;
    if (distance == 0 && EndsTerminated(address)) break;
    if (distance == 0 || start - distance < oldest_) return;
    start -= distance;
  }
  const uint64_t slot = Slot(start);
  Links& links = LinksOf(slot);
  POMPC_DCHECK(!links.window_start && !links.barred && !links.is_final);
  links.window_start = 1;
  selector_->Insert(static_cast<Selector::Key>(slot));
}

// True if a final observation is at `address` and the row before it, still here, led to a terminal
// state.
bool Table::EndsTerminated(uint64_t address) const {
  const Links& last = LinksOf(Slot(address));
  if (!last.is_final || last.to_previous == 0) return false;
  const uint64_t row = address - last.to_previous;
  return row >= oldest_ && Flag(Slot(row), "terminated");
}

void Table::Sample(uint64_t seed, const WindowColumns& out) {
  POMPC_CHECK_GT(windows(), 0u);
  CheckColumns(spec_, horizon_, out);
  std::vector<Selector::Key> keys(out.count);
  selector_->Sample(seed, keys);
  const std::span<uint64_t> draws = out.Get<uint64_t>("draws");
  for (size_t b = 0; b < keys.size(); ++b) {
    Links& first = LinksOf(keys[b]);
    POMPC_DCHECK(first.window_start);
    if (first.draws < Links::kMaxDraws) ++first.draws;
    draws[b] = first.draws;
    Gather(AddressOfSlot(keys[b]), b, out);
  }
}

// Window b of `out` from the row at `address` on. A final observation that comes before the
// window's end stands behind a terminated row and leads nowhere (to_next is 0), so the other states
// stay there.
void Table::Gather(uint64_t address, size_t b, const WindowColumns& out) const {
  // Copies, so that the compiler need not fear for them at every write to `out`.
  const RowSpec spec = spec_;
  const Layout layout = layout_;
  const uint32_t horizon = horizon_;
  std::array<std::byte*, kRowColumns> to;
  ForEachRowColumn([&](auto c) {
    constexpr Column kColumn = kColumns[c];
    to[c] = out.columns[c].data() + b * kColumn.per_window(horizon) * kColumn.bytes(spec);
  });
  uint64_t* const addresses = out.Get<uint64_t>("addresses").data() + b * (horizon + 1);
  for (uint32_t t = 0; t <= horizon; ++t) {
    std::byte* const data = SlotData(Slot(address));
    ForEachRowColumn([&](auto c) {
      constexpr Column kColumn = kColumns[c];
      if (t >= kColumn.per_window(horizon)) return;
      const uint64_t n = kColumn.bytes(spec);
      std::memcpy(to[c] + t * n, data + layout.offset[c], n);
    });
    addresses[t] = address;
    address += LinksAt(data).to_next;
  }
}

uint32_t Table::Bar(std::span<const uint64_t> addresses) {
  uint32_t count = 0;
  for (const uint64_t address : addresses) {
    if (address < oldest_ || address >= next_) continue;
    const uint64_t slot = Slot(address);
    Links& links = LinksOf(slot);
    if (!links.window_start) continue;
    selector_->Remove(static_cast<Selector::Key>(slot));
    links.window_start = 0;
    links.barred = 1;
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
    const Links& links = LinksOf(Slot(address));
    POMPC_CHECK_EQ(AddressOfSlot(static_cast<uint32_t>(Slot(address))), address);
    finals += links.is_final;
    barred += links.barred;
    starts += links.window_start;
    if (links.to_next == 0) continue;
    POMPC_CHECK_LT(address + links.to_next, next_);
    POMPC_CHECK_EQ(LinksOf(Slot(address + links.to_next)).to_previous, links.to_next);
  }
  POMPC_CHECK_EQ(finals, finals_);
  POMPC_CHECK_EQ(barred, barred_);
  POMPC_CHECK_EQ(starts, windows());
}

Table::UpdateCounts Table::UpdatePlans(std::span<const uint64_t> addresses,
                                       std::span<const float> plan_mean,
                                       std::span<const float> plan_std) {
  constexpr ColumnOf<float> kMean = "plan_mean", kStd = "plan_std";
  constexpr ColumnOf<uint8_t> kHasPlan = "has_plan";
  const size_t a = spec_.action_size;
  POMPC_CHECK_EQ(plan_mean.size(), addresses.size() * a);
  POMPC_CHECK_EQ(plan_std.size(), addresses.size() * a);
  UpdateCounts counts;
  for (size_t i = 0; i < addresses.size(); ++i) {
    if (addresses[i] < oldest_ || addresses[i] >= next_) {
      ++counts.evicted;
      continue;
    }
    const uint64_t slot = Slot(addresses[i]);
    if (LinksOf(slot).is_final) continue;
    std::memcpy(Cell(slot, kMean.index), &plan_mean[i * a], a * sizeof(float));
    std::memcpy(Cell(slot, kStd.index), &plan_std[i * a], a * sizeof(float));
    *Cell(slot, kHasPlan.index) = std::byte{1};
    ++counts.updated;
  }
  return counts;
}

}  // namespace pompc::replay
