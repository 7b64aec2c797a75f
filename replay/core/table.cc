#include "replay/core/table.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace pompc::replay {
namespace {

// Blocks are as large as malloc and the page table like, and small beside any capacity.
constexpr uint64_t kBlockBytes = uint64_t{1} << 20;

// Checks that the columns have the sizes of rows.count rows, without the words of CheckSizes: the
// shard has made that check, and it takes a tenth of the time of appending one row.
void CheckRowSizes(const RowSpec& spec, const RowView& rows) {
  ForEachRowColumn([&](auto c) {
    constexpr Column kColumn = kColumns[c];
    POMPC_CHECK_EQ(rows.columns[c].size(), rows.count * kColumn.bytes(spec), kColumn.name);
  });
  POMPC_CHECK(rows.final_observation.empty() ||
              rows.final_observation.size() == spec.observation_size);
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
  if (slots() > horizon) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "capacity of ", capacity_rows, " rows and ", capacity_bytes, " bytes holds ", slots(),
      " rows of ", Table::SlotBytes(spec), " bytes; one window needs ", horizon + 1));
}

uint64_t TableOptions::slots() const {
  const uint64_t for_slots =
      capacity_bytes - std::min(capacity_bytes, uint64_t{SegmentRecords::kRecordBytes});
  return std::min({capacity_rows, for_slots / Table::SlotBytes(spec), Table::kMaxSlots});
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
      capacity_(options.slots()),
      capacity_bytes_(options.capacity_bytes),
      ring_slots_(capacity_ + kPieceSlots),
      selector_(std::move(selector)) {
  POMPC_CHECK_OK(options.Validate());
  POMPC_CHECK(selector_ != nullptr);
  block_shift_ = 0;
  while (slot_bytes_ << (block_shift_ + 1) <= kBlockBytes) ++block_shift_;
}

void Table::StartAt(uint64_t address) {
  POMPC_CHECK(next_ == oldest_ && blocks_.empty(), "rows were appended");
  POMPC_CHECK_NE(address, kNoAddress);
  base_ = oldest_ = next_ = address;
}

std::byte* Table::SlotData(uint64_t slot) const {
  POMPC_DCHECK_LT(slot, ring_slots_);
  POMPC_DCHECK_LT(slot >> block_shift_, blocks_.size());
  const uint64_t within = slot & ((uint64_t{1} << block_shift_) - 1);
  return blocks_[slot >> block_shift_].get() + within * layout_.slot_bytes;
}

// The table has slots for one piece beyond its capacity. So the numbers of the new rows can be
// written where no address leads yet, before anything is evicted for them.
void Table::Append(const StoredChunk& chunk, uint64_t* tail) {
  const RowView& rows = chunk.rows;
  CheckRowSizes(spec_, rows);
  POMPC_CHECK_LE(chunk.begin, rows.count);
  POMPC_CHECK(*tail == kNoAddress || *tail < next_, "the segment's tail was never stored");
  // The final observation counts as one row more.
  const uint32_t end = rows.count + (rows.final_observation.empty() ? 0 : 1);
  for (uint32_t begin = chunk.begin; begin < end;) {
    const uint32_t count = std::min<uint32_t>(end - begin, kPieceSlots);
    WriteSlots(rows, begin, count);
    for (uint32_t i = begin; i < begin + count; ++i) {
      Publish(chunk.segment, chunk.first_row + i, tail);
    }
    begin += count;
  }
  CheckInvariants();
}

// Writes rows begin .. begin+count-1 of `rows`, the last of which may be the final observation, to
// the slots that are next.
void Table::WriteSlots(const RowView& rows, uint32_t begin, uint32_t count) {
  POMPC_DCHECK_LE(next_ - oldest_ + count, ring_slots_);
  for (uint32_t i = 0; i < count; ++i) {
    const uint64_t slot = Slot(next_ + i);
    if (slot >> block_shift_ >= blocks_.size()) AllocateBlock();
    Links* const links = new (SlotData(slot)) Links();
    if (begin + i < rows.count) {
      WriteRow(rows, begin + i, slot);
    } else {
      links->is_final = 1;
      WriteFinal(rows.final_observation, slot);
    }
  }
}

// Makes the next slot, which is written, the newest row behind *tail. Room is made first, which may
// evict the tail itself.
void Table::Publish(const SegmentId& segment, uint64_t row, uint64_t* tail) {
  std::optional<uint32_t> record = RecordOf(*tail, row);
  while (!FitsOneMore(/*new_record=*/!record.has_value())) {
    EvictOldest();
    record = RecordOf(*tail, row);
  }
  const uint64_t address = next_++;
  const uint64_t slot = Slot(address);
  Links& links = LinksOf(slot);
  if (IsStored(*tail)) {
    Links& previous = LinksOf(Slot(*tail));
    links.to_previous = previous.to_next = static_cast<uint32_t>(address - *tail);
    POMPC_DCHECK(segments_[previous.segment].id == segment);
    POMPC_DCHECK_EQ(RowNumber(previous) + 1, row);
  }
  links.segment = record.has_value() ? *record : segments_.Add(segment, row);
  links.row = static_cast<uint32_t>(row - segments_[links.segment].first_row);
  segments_.AddSlot(links.segment);
  finals_ += links.is_final;
  *tail = address;
  OpenWindowEndingAt(address);
}

// The record that row number `row`, behind the one at `tail`, shares with that one. A segment whose
// rows do not stop coming gets another record when the distance from the first needs more than 32
// bits.
std::optional<uint32_t> Table::RecordOf(uint64_t tail, uint64_t row) const {
  if (!IsStored(tail)) return std::nullopt;
  const uint32_t record = LinksOf(Slot(tail)).segment;
  if (row - segments_[record].first_row > std::numeric_limits<uint32_t>::max()) return std::nullopt;
  return record;
}

bool Table::FitsOneMore(bool new_record) const {
  const uint64_t bytes =
      stored_bytes() + slot_bytes_ + (new_record ? SegmentRecords::kRecordBytes : 0);
  return next_ - oldest_ < capacity_ && bytes <= capacity_bytes_;
}

// Eviction is in the order of arrival, whatever segment a row belongs to. The row's slot is written
// again soon, so that nothing needs to be cleared: links that lead here are compared with oldest_
// before they are followed.
void Table::EvictOldest() {
  POMPC_CHECK_LT(oldest_, next_, "one row does not fit into the table");
  const uint64_t slot = Slot(oldest_);
  const Links& links = LinksOf(slot);
  if (links.window_start) selector_->Remove(static_cast<Selector::Key>(slot));
  segments_.RemoveSlot(links.segment);
  finals_ -= links.is_final;
  barred_ -= links.barred;
  ++oldest_;
}

void Table::AllocateBlock() {
  const uint64_t begin = static_cast<uint64_t>(blocks_.size()) << block_shift_;
  POMPC_CHECK_LT(begin, ring_slots_);
  const uint64_t slots = std::min(uint64_t{1} << block_shift_, ring_slots_ - begin);
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
}

// The window whose last observation is at `address` becomes valid if its H rows are still here. A
// segment that terminated before it had so many gets its one window from its first row: what
// follows a terminal state is known, so Gather can make the rest up. Where rows before were
// evicted, the row that is the first now has a number above 0, also in a table that was filled
// again from a store: which windows there are does not depend on when the rows were evicted.
void Table::OpenWindowEndingAt(uint64_t address) {
  uint64_t start = address;
  uint64_t slot = Slot(address);
  for (uint32_t t = 0; t < horizon_; ++t) {
    const Links& links = LinksOf(slot);
    const uint32_t distance = links.to_previous;
    if (distance == 0 && RowNumber(links) == 0 && EndsTerminated(Slot(address))) break;
    if (distance == 0 || start - distance < oldest_) return;
    start -= distance;
    slot = SlotBefore(slot, distance);
  }
  Links& first = LinksOf(slot);
  POMPC_DCHECK(!first.window_start && !first.barred && !first.is_final);
  first.window_start = 1;
  selector_->Insert(static_cast<Selector::Key>(slot));
}

// True if a final observation is in `slot` and the row before it led to a terminal state. REQUIRES:
// the row before it, if it had one when it came, is still here.
bool Table::EndsTerminated(uint64_t slot) const {
  const Links& last = LinksOf(slot);
  return last.is_final && last.to_previous != 0 &&
         Flag(SlotBefore(slot, last.to_previous), "terminated");
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
    Gather(keys[b], b, out);
  }
}

// Window b of `out` from the row in `slot` on. A final observation that comes before the
// window's end stands behind a terminated row and leads nowhere (to_next is 0), so the other states
// stay there.
void Table::Gather(uint64_t slot, size_t b, const WindowColumns& out) const {
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
  uint64_t address = AddressOfSlot(slot);
  for (uint32_t t = 0; t <= horizon; ++t) {
    std::byte* const data = SlotData(slot);
    ForEachRowColumn([&](auto c) {
      constexpr Column kColumn = kColumns[c];
      if (t >= kColumn.per_window(horizon)) return;
      const uint64_t n = kColumn.bytes(spec);
      std::memcpy(to[c] + t * n, data + layout.offset[c], n);
    });
    addresses[t] = address;
    const uint32_t distance = LinksAt(data).to_next;
    address += distance;
    slot = SlotAfter(slot, distance);
  }
}

uint64_t Table::Read(uint64_t address, uint64_t max_rows,
                     const std::function<void(const StoredRow&)>& visit) const {
  constexpr ColumnOf<float> kObservations = "observations";
  // Columns are copied to where each is aligned.
  std::array<std::vector<uint64_t>, kRowColumns> numbers;
  StoredRow row;
  for (size_t c = 0; c < kRowColumns; ++c) {
    const uint64_t n = kColumns[c].bytes(spec_);
    numbers[c].resize((n + sizeof(uint64_t) - 1) / sizeof(uint64_t));
    row.rows.columns[c] = std::as_bytes(std::span(numbers[c])).first(n);
  }
  const std::array<std::span<const std::byte>, kNumColumns> all = row.rows.columns;
  address = std::clamp(address, oldest_, next_);
  const uint64_t end = address + std::min(max_rows, next_ - address);
  for (; address < end; ++address) {
    const uint64_t slot = Slot(address);
    const Links& links = LinksOf(slot);
    row.address = address;
    row.segment = segments_[links.segment].id;
    row.row = RowNumber(links);
    row.draws = links.draws;
    row.barred = links.barred;
    for (size_t c = 0; c < kRowColumns; ++c) {
      std::memcpy(numbers[c].data(), Cell(slot, c), all[c].size());
    }
    row.rows.columns = all;
    row.rows.count = 1;
    row.rows.final_observation = {};
    if (links.is_final) {
      row.rows.final_observation = row.rows.Get<float>(kObservations);
      row.rows.columns = {};
      row.rows.count = 0;
    }
    visit(row);
  }
  return address;
}

uint32_t Table::Bar(std::span<const uint64_t> addresses) {
  uint32_t count = 0;
  for (const uint64_t address : addresses) {
    if (!IsStored(address)) continue;
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
  POMPC_CHECK_LE(stored_bytes(), capacity_bytes_);
  POMPC_CHECK_LE(segments_.size(), used);
  POMPC_CHECK_LE(finals_, used);
  // A window begins at a row, and no two of them at the same.
  POMPC_CHECK_LE(windows() + barred_, stored_rows());
  POMPC_CHECK_GE(static_cast<uint64_t>(blocks_.size()) << block_shift_,
                 std::min(next_ - base_, ring_slots_), "slots without memory");
#ifndef NDEBUG
  // Large tables would take too long to walk through at every chunk.
  if (used <= 1024) CheckCounts();
#endif
}

void Table::CheckCounts() const {
  uint64_t finals = 0, barred = 0, starts = 0;
  std::vector<uint64_t> slots_of(segments_.numbers());
  for (uint64_t address = oldest_; address < next_; ++address) {
    const Links& links = LinksOf(Slot(address));
    POMPC_CHECK_EQ(AddressOfSlot(Slot(address)), address);
    finals += links.is_final;
    barred += links.barred;
    starts += links.window_start;
    ++slots_of[links.segment];
    if (links.to_next == 0) continue;
    POMPC_CHECK_LT(address + links.to_next, next_);
    const Links& next = LinksOf(Slot(address + links.to_next));
    POMPC_CHECK_EQ(next.to_previous, links.to_next);
    POMPC_CHECK(segments_[next.segment].id == segments_[links.segment].id);
    POMPC_CHECK_EQ(RowNumber(next), RowNumber(links) + 1);
  }
  POMPC_CHECK_EQ(finals, finals_);
  POMPC_CHECK_EQ(barred, barred_);
  POMPC_CHECK_EQ(starts, windows());
  uint64_t segments = 0;
  for (uint32_t number = 0; number < slots_of.size(); ++number) {
    if (slots_of[number] == 0) continue;
    ++segments;
    POMPC_CHECK_EQ(segments_[number].slots, slots_of[number]);
  }
  POMPC_CHECK_EQ(segments, segments_.size());
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
    if (!IsStored(addresses[i])) {
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
