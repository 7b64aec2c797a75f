#include "replay/core/table.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"

namespace pompc::replay {
namespace {

// Blocks are as large as malloc and the page table like, and small beside any capacity.
constexpr uint64_t kBlockBytes = uint64_t{1} << 20;

// Readers hold the lock on plans for so many windows at a time, and writers for so many rows.
constexpr size_t kPlanWindows = 16, kPlanRows = 64;

// Blocks of evicted rows that a table keeps for new ones.
constexpr uint64_t kSpareBlocks = 2;

// Slots for evicted rows that readers may still copy. A writer waits for a reader only if so many
// rows arrive while that one copies its windows, which takes about a millisecond.
uint64_t SlotsForReaders(uint64_t capacity, uint64_t slot_bytes) {
  return std::min(capacity / 8, kBlockBytes / slot_bytes);
}

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

}  // namespace

absl::Status TableOptions::Validate() const {
  POMPC_RETURN_IF_ERROR(CheckNamedTables(tables));
  if (spec.observation_size == 0 || spec.action_size == 0 || horizon == 0) {
    return absl::InvalidArgumentError(absl::StrCat("observation size ", spec.observation_size,
                                                   ", action size ", spec.action_size, ", horizon ",
                                                   horizon, ": each must be at least 1"));
  }
  if (slots() > horizon) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "capacity of ", capacity_rows, " rows and ", capacity_bytes, " bytes holds ", slots(),
      " rows of ", Table::SlotBytes(spec, tables), " bytes; one window needs ", horizon + 1));
}

uint64_t TableOptions::slots() const {
  const uint64_t for_slots =
      capacity_bytes - std::min(capacity_bytes, uint64_t{SegmentRecords::kRecordBytes});
  return std::min({capacity_rows, for_slots / Table::SlotBytes(spec, tables), Table::kMaxSlots});
}

// Columns of single bytes stand last, so that they leave no gaps: a slot is a multiple of 4 bytes
// for the sake of the links of the next one. Other columns are copied, and need no alignment.
Table::Layout::Layout(const RowSpec& spec, bool on_disk) : slot_bytes(sizeof(Links)) {
  if (on_disk) {
    slot_bytes = kDiskSlotBytes;
    return;
  }
  for (const bool single : {false, true}) {
    for (size_t c = 0; c < kRowColumns; ++c) {
      if ((kColumns[c].element_bytes() == 1) != single) continue;
      offset[c] = slot_bytes;
      slot_bytes += kColumns[c].bytes(spec);
    }
  }
  slot_bytes = (slot_bytes + alignof(Links) - 1) / alignof(Links) * alignof(Links);
}

uint64_t Table::SlotBytes(const RowSpec& spec, const std::vector<NamedTableOptions>& tables) {
  return Layout(spec).slot_bytes + NamedTables::BytesPerKey(tables);
}

Table::Table(const TableOptions& options, DiskRows* disk)
    : spec_(options.spec),
      horizon_(options.horizon),
      disk_(disk),
      layout_(options.spec, disk != nullptr),
      slot_bytes_(SlotBytes(options.spec, options.tables)),
      capacity_(options.slots()),
      capacity_bytes_(options.capacity_bytes),
      ring_slots_(capacity_ + kPieceSlots + SlotsForReaders(capacity_, layout_.slot_bytes)),
      pins_(disk == nullptr ? own_pins_ : disk->pins()),
      tables_(options.tables) {
  POMPC_CHECK_OK(options.Validate());
  block_shift_ = 0;
  while (layout_.slot_bytes << (block_shift_ + 1) <= kBlockBytes) ++block_shift_;
  blocks_.resize(((ring_slots_ - 1) >> block_shift_) + 1);
}

void Table::StartAt(uint64_t address) {
  WriterLock lock(&mu_);
  POMPC_CHECK(next_ == oldest_ && blocks_[0] == nullptr, "rows were appended");
  POMPC_CHECK_NE(address, kNoAddress);
  oldest_ = next_ = address;
}

// The rows are published as if they had just arrived, so that the same code evicts what does not
// fit and opens windows.
Table::Table(const TableOptions& options, const Table& from) : Table(options, from.disk_) {
  POMPC_CHECK(spec_ == from.spec_);
  ReaderLock from_lock(&from.mu_);
  WriterLock lock(&mu_);
  oldest_ = next_ = from.oldest_;
  std::vector<uint64_t> barred;
  for (uint64_t address = from.oldest_; address < from.next_; ++address) {
    CopyRow(from, address);
    if (from.LinksOf(from.Slot(address)).Is(Links::kBarred)) barred.push_back(address);
  }
  for (const uint64_t address : barred) BarOne(address);
  CheckInvariants();
}

void Table::CopyRow(const Table& from, uint64_t address) {
  std::byte* const data = WritableSlot(Slot(address));
  std::byte* const from_data = from.SlotData(from.Slot(address));
  Links& of_from = LinksAt(from_data);
  Links* const links = new (data) Links();
  // Readers of `from` still count draws, so that the links are read one by one.
  links->state =
      of_from.State().load(std::memory_order_relaxed) & ~(Links::kWindowStart | Links::kBarred);
  std::memcpy(data + sizeof(Links), from_data + sizeof(Links), layout_.slot_bytes - sizeof(Links));
  uint64_t tail = of_from.to_previous == 0 ? kNoAddress : address - of_from.to_previous;
  Publish(from.segments_[of_from.segment].id, from.RowNumber(of_from), &tail);
}

bool Table::Fits(const WindowColumns& out) const {
  for (size_t c = 0; c < kNumColumns; ++c) {
    const uint64_t numbers = out.count * kColumns[c].per_window(horizon_);
    if (out.columns[c].size() != numbers * kColumns[c].bytes(spec_)) return false;
  }
  return true;
}

std::byte* Table::SlotData(uint64_t slot) const {
  POMPC_DCHECK_LT(slot, ring_slots_);
  POMPC_DCHECK(blocks_[slot >> block_shift_] != nullptr);
  const uint64_t within = slot & ((uint64_t{1} << block_shift_) - 1);
  return blocks_[slot >> block_shift_].get() + within * layout_.slot_bytes;
}

// The numbers of the new rows are written where no address leads yet, before anything is evicted
// for them. So readers wait only while rows are linked.
void Table::Append(const StoredChunk& chunk, uint64_t* tail) {
  const RowView& rows = chunk.rows;
  CheckRowSizes(spec_, rows);
  POMPC_CHECK_LE(chunk.begin, rows.count);
  // The final observation counts as one row more.
  const uint32_t end = rows.count + (rows.final_observation.empty() ? 0 : 1);
  if (disk_ != nullptr && !chunk.stored_slot.has_value()) disk_->Write(next(), spec_, chunk);
  for (uint32_t begin = chunk.begin; begin < end;) {
    const uint32_t count = std::min<uint32_t>(end - begin, kPieceSlots);
    disk_ == nullptr ? WriteSlots(rows, begin, count) : WriteDiskSlots(chunk, begin, count);
    WriterLock lock(&mu_);
    for (uint32_t i = begin; i < begin + count; ++i) {
      Publish(chunk.segment, chunk.first_row + i, tail);
    }
    CheckInvariants();
    begin += count;
  }
}

// Writes rows begin .. begin+count-1 of `rows`, the last of which may be the final observation, to
// the slots that are next. The rows that were there are evicted, but readers may still copy them.
void Table::WriteSlots(const RowView& rows, uint32_t begin, uint32_t count) {
  if (next_ + count > ring_slots_) pins_.WaitUntilFree(next_ + count - ring_slots_);
  uint64_t slot = Slot(next_);
  for (uint32_t i = begin; i < begin + count; ++i, slot = SlotAfter(slot, 1)) {
    Links* const links = new (WritableSlot(slot)) Links();
    if (i < rows.count) {
      WriteRow(rows, i, slot);
    } else {
      links->state = Links::kFinal;
      WriteFinal(rows.final_observation, slot);
    }
  }
}

// Makes the next slot, which is written, the newest row behind *tail. Room is made first, which may
// evict the tail itself.
void Table::Publish(const SegmentId& segment, uint64_t row, uint64_t* tail) {
  POMPC_CHECK(*tail == kNoAddress || *tail < next_, "the segment's tail was never stored");
  while (!FitsOneMore(/*new_record=*/!IsStored(*tail))) EvictOldest();
  const uint64_t address = next_++;
  Links& links = LinksOf(Slot(address));
  if (IsStored(*tail)) {
    Links& previous = LinksOf(Slot(*tail));
    links.to_previous = previous.to_next = static_cast<uint32_t>(address - *tail);
    links.segment = previous.segment;
    POMPC_DCHECK(segments_[links.segment].id == segment);
    POMPC_DCHECK_EQ(segments_[links.segment].newest_row + 1, row);
  } else {
    links.segment = segments_.Add(segment);
  }
  links.row = static_cast<uint32_t>(row);
  segments_.SetNewestRow(links.segment, row);
  if (links.Is(Links::kFinal)) ++finals_;
  *tail = address;
  OpenWindowEndingAt(address);
}

bool Table::FitsOneMore(bool new_record) const {
  const uint64_t bytes =
      UsedBytes() + slot_bytes_ + (new_record ? SegmentRecords::kRecordBytes : 0);
  return next_ - oldest_ < capacity_ && bytes <= capacity_bytes_;
}

// Eviction is in the order of arrival, whatever segment a row belongs to. The row's slot is written
// again later, so that nothing needs to be cleared: links that lead here are compared with oldest_
// before they are followed.
void Table::EvictOldest() {
  POMPC_CHECK_LT(oldest_, next_, "one row does not fit into the table");
  Links& links = LinksOf(oldest_slot_);
  if (links.Is(Links::kWindowStart)) tables_.Remove(static_cast<NamedTables::Key>(oldest_slot_));
  // The last row of its segment that is stored goes last, for rows of a segment come in order.
  if (links.to_next == 0) segments_.Remove(links.segment);
  if (links.Is(Links::kFinal)) --finals_;
  if (links.Is(Links::kBarred)) --barred_;
  ++oldest_;
  const uint64_t block = oldest_slot_ >> block_shift_;
  oldest_slot_ = SlotAfter(oldest_slot_, 1);
  if (oldest_slot_ >> block_shift_ != block && block != written_block_) ++evicted_blocks_;
}

// A slot that the ring reaches, with memory.
std::byte* Table::WritableSlot(uint64_t slot) {
  const uint64_t block = slot >> block_shift_;
  if (block != written_block_) EnterBlock(block);
  return SlotData(slot);
}

// The writer comes to the next block. If that has no memory yet, it takes that of the block whose
// rows were evicted first. Where records of many segments take a part of the capacity in bytes,
// fewer slots are in use at a time than the ring has: without this it would come to hold memory for
// all.
void Table::EnterBlock(uint64_t block) {
  written_block_ = block;
  if (blocks_[block] != nullptr) {
    if (evicted_blocks_ > 0) --evicted_blocks_;
  } else if (evicted_blocks_ > 0 && IsFirstEvictedBlockUnread()) {
    blocks_[block] = TakeFirstEvictedBlock();
  } else {
    // Not cleared: the kernel gives a page when it is first written, and a slot is written whole.
    const uint64_t slots = std::min(uint64_t{1} << block_shift_, ring_slots_);
    blocks_[block] = std::make_unique_for_overwrite<std::byte[]>(slots * layout_.slot_bytes);
  }
  while (evicted_blocks_ > kSpareBlocks && IsFirstEvictedBlockUnread()) TakeFirstEvictedBlock();
}

// The blocks whose rows are all evicted stand before the one with the oldest row.
uint64_t Table::FirstEvictedBlock() const {
  const uint64_t oldest = oldest_slot_ >> block_shift_;
  return oldest >= evicted_blocks_ ? oldest - evicted_blocks_
                                   : oldest + blocks_.size() - evicted_blocks_;
}

// True if no reader copies rows of that block any more.
bool Table::IsFirstEvictedBlockUnread() const {
  const uint64_t end = std::min((FirstEvictedBlock() + 1) << block_shift_, ring_slots_);
  // The newest row in it had the address before this one.
  return pins_.IsFree(oldest_ - SlotBefore(oldest_slot_, end - 1) + 1);
}

std::unique_ptr<std::byte[]> Table::TakeFirstEvictedBlock() {
  POMPC_DCHECK_GT(evicted_blocks_, 0u);
  const uint64_t block = FirstEvictedBlock();
  --evicted_blocks_;
  return std::move(blocks_[block]);
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
  POMPC_DCHECK(!first.Is(Links::kWindowStart | Links::kBarred | Links::kFinal));
  // Nobody counts draws of what was not a window before.
  first.state |= Links::kWindowStart;
  tables_.Insert(static_cast<NamedTables::Key>(slot));
}

// True if a final observation is in `slot` and the row before it led to a terminal state. REQUIRES:
// the row before it, if it had one when it came, is still here.
bool Table::EndsTerminated(uint64_t slot) const {
  Links& last = LinksOf(slot);
  if (!last.Is(Links::kFinal) || last.to_previous == 0) return false;
  const uint64_t before = SlotBefore(slot, last.to_previous);
  return disk_ == nullptr ? Flag(before, "terminated") : OnDiskAt(before).terminated != 0;
}

// Windows are drawn under the lock, and copied without it: the rows of a window that was drawn
// stay, for they are pinned, and their links lead to rows that are pinned too. The pin is set
// before the lock is given up, and so before the writer evicts the next row.
absl::Status Table::Sample(uint64_t seed, const WindowColumns& out, absl::string_view name) {
  POMPC_CHECK(Fits(out), "the columns have other sizes");
  Drawn drawn{.draws = std::vector<Draw>(out.count)};
  POMPC_RETURN_IF_ERROR(DrawFrom(name, seed, &drawn));
  absl::Status status;
  if (disk_ == nullptr) {
    GatherAll(drawn, out);
  } else {
    status = GatherFromDisk(drawn, out);
  }
  pins_.Unpin(drawn.oldest);
  return status;
}

void Table::GatherAll(const Drawn& drawn, const WindowColumns& out) const {
  const std::span<float> probabilities = out.Get<float>("probabilities");
  const std::span<uint64_t> draws = out.Get<uint64_t>("draws");
  for (size_t begin = 0; begin < out.count; begin += kPlanWindows) {
    ReaderLock lock(&plans_mu_);
    for (size_t b = begin; b < std::min<size_t>(begin + kPlanWindows, out.count); ++b) {
      const uint64_t slot = drawn.draws[b].key;
      probabilities[b] = drawn.draws[b].probability;
      draws[b] = LinksOf(slot).CountDraw();
      Gather(slot, drawn.oldest + SlotBefore(slot, drawn.oldest_slot), b, out);
    }
  }
}

// The names of the tables, and whether their draws are limited, never change.
absl::Status Table::DrawFrom(absl::string_view name, uint64_t seed, Drawn* drawn) {
  size_t table = 0;
  {
    ReaderLock lock(&mu_);
    POMPC_ASSIGN_OR_RETURN(table, tables_.Find(name));
    if (!tables_.is_limited(table)) return DrawWindows(table, seed, drawn);
  }
  WriterLock lock(&mu_);
  return DrawWindows(table, seed, drawn);
}

absl::Status Table::DrawWindows(size_t table, uint64_t seed, Drawn* drawn) {
  if (tables_.windows() == 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        "no window of ", horizon_, " rows yet: ", next_ - oldest_ - finals_, " rows are stored"));
  }
  POMPC_RETURN_IF_ERROR(tables_.CheckDraws(table, drawn->draws.size()));
  tables_.Sample(table, seed, drawn->draws);
  drawn->oldest = oldest_;
  drawn->oldest_slot = oldest_slot_;
  pins_.Pin(oldest_);
  return absl::OkStatus();
}

// Window b of `out` from the row in `slot` on, which is at `address`. A final observation that
// comes before the window's end stands behind a terminated row and leads nowhere (to_next is 0), so
// the other states stay there. The link of the window's last state is not read: the writer may set
// it.
void Table::Gather(uint64_t slot, uint64_t address, size_t b, const WindowColumns& out) const {
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
  for (uint32_t t = 0;; ++t) {
    std::byte* const data = SlotData(slot);
    ForEachRowColumn([&](auto c) {
      constexpr Column kColumn = kColumns[c];
      if (t >= kColumn.per_window(horizon)) return;
      const uint64_t n = kColumn.bytes(spec);
      std::memcpy(to[c] + t * n, data + layout.offset[c], n);
    });
    addresses[t] = address;
    if (t == horizon) return;
    const uint32_t distance = LinksAt(data).to_next;
    address += distance;
    slot = SlotAfter(slot, distance);
  }
}

absl::StatusOr<uint64_t> Table::Read(uint64_t address, uint64_t max_rows,
                                     const std::function<void(const StoredRow&)>& visit) const {
  if (disk_ != nullptr) return ReadFromDisk(address, max_rows, visit);
  RowNumbers numbers = MakeRowNumbers();
  for (uint64_t i = 0; i < max_rows; ++i) {
    StoredRow row;
    {
      ReaderLock lock(&mu_);
      address = std::max(address, oldest_);
      if (address >= next_) return next_;
      ReadRow(address++, &row, &numbers);
    }
    visit(row);
  }
  return address;
}

Table::RowNumbers Table::MakeRowNumbers() const {
  RowNumbers numbers;
  for (size_t c = 0; c < kRowColumns; ++c) {
    numbers[c].resize((kColumns[c].bytes(spec_) + sizeof(uint64_t) - 1) / sizeof(uint64_t));
  }
  return numbers;
}

bool Table::Describe(uint64_t address, StoredRow* row) const {
  Links& links = LinksOf(Slot(address));
  row->address = address;
  row->segment = segments_[links.segment].id;
  row->row = RowNumber(links);
  row->draws = links.draws();
  row->barred = links.Is(Links::kBarred);
  return links.Is(Links::kFinal);
}

// Columns are copied to where each is aligned.
void Table::ReadRow(uint64_t address, StoredRow* row, RowNumbers* numbers) const {
  const uint64_t slot = Slot(address);
  const bool is_final = Describe(address, row);
  ReaderLock lock(&plans_mu_);
  for (size_t c = 0; c < kRowColumns; ++c) {
    std::memcpy((*numbers)[c].data(), Cell(slot, c), kColumns[c].bytes(spec_));
  }
  PointTo(*numbers, is_final, row);
}

void Table::PointTo(const RowNumbers& numbers, bool is_final, StoredRow* row) const {
  constexpr ColumnOf<float> kObservations = "observations";
  for (size_t c = 0; c < kRowColumns; ++c) {
    row->rows.columns[c] = std::as_bytes(std::span(numbers[c])).first(kColumns[c].bytes(spec_));
  }
  if (!is_final) return;
  row->rows.final_observation = row->rows.Get<float>(kObservations);
  row->rows.columns = {};
  row->rows.count = 0;
}

absl::StatusOr<Table::PriorityCounts> Table::SetPriorities(absl::string_view name,
                                                           std::span<const uint64_t> addresses,
                                                           std::span<const float> priorities) {
  POMPC_CHECK_EQ(addresses.size(), priorities.size());
  PriorityCounts counts;
  for (size_t begin = 0; begin < addresses.size() || begin == 0; begin += kPieceSlots) {
    WriterLock lock(&mu_);
    POMPC_ASSIGN_OR_RETURN(const size_t table, tables_.FindPrioritized(name));
    for (size_t i = begin; i < std::min(begin + kPieceSlots, addresses.size()); ++i) {
      if (!IsStored(addresses[i])) continue;
      const uint64_t slot = Slot(addresses[i]);
      if (!LinksOf(slot).Is(Links::kWindowStart)) continue;
      const auto key = static_cast<NamedTables::Key>(slot);
      if (tables_.SetPriority(table, key, priorities[i])) ++counts.updated;
    }
  }
  counts.gone = static_cast<uint32_t>(addresses.size()) - counts.updated;
  return counts;
}

uint32_t Table::Bar(std::span<const uint64_t> addresses) {
  uint32_t count = 0;
  for (size_t begin = 0; begin < addresses.size(); begin += kPieceSlots) {
    WriterLock lock(&mu_);
    for (size_t i = begin; i < std::min(begin + kPieceSlots, addresses.size()); ++i) {
      if (BarOne(addresses[i])) ++count;
    }
    CheckInvariants();
  }
  return count;
}

bool Table::BarOne(uint64_t address) {
  if (!IsStored(address)) return false;
  const uint64_t slot = Slot(address);
  Links& links = LinksOf(slot);
  if (!links.Is(Links::kWindowStart)) return false;
  tables_.Remove(static_cast<NamedTables::Key>(slot));
  // Both change at once; a reader that drew the window before may count its draw meanwhile.
  links.State().fetch_xor(Links::kWindowStart | Links::kBarred, std::memory_order_relaxed);
  ++barred_;
  return true;
}

Table::UpdateCounts Table::UpdatePlans(std::span<const uint64_t> addresses,
                                       std::span<const float> plan_mean,
                                       std::span<const float> plan_std) {
  const size_t a = spec_.action_size;
  POMPC_CHECK_EQ(plan_mean.size(), addresses.size() * a);
  POMPC_CHECK_EQ(plan_std.size(), addresses.size() * a);
  UpdateCounts counts;
  for (size_t begin = 0; begin < addresses.size(); begin += kPlanRows) {
    ReaderLock lock(&mu_);
    WriterLock plans_lock(&plans_mu_);
    for (size_t i = begin; i < std::min(begin + kPlanRows, addresses.size()); ++i) {
      if (!IsStored(addresses[i])) {
        ++counts.evicted;
        continue;
      }
      const uint64_t slot = Slot(addresses[i]);
      if (LinksOf(slot).Is(Links::kFinal)) continue;
      if (disk_ != nullptr) {
        LinksOf(slot).State().fetch_or(Links::kReplanned, std::memory_order_relaxed);
      } else {
        UpdatePlan(slot, plan_mean.subspan(i * a, a), plan_std.subspan(i * a, a));
      }
      ++counts.updated;
    }
  }
  return counts;
}

void Table::UpdatePlan(uint64_t slot, std::span<const float> plan_mean,
                       std::span<const float> plan_std) {
  constexpr ColumnOf<float> kMean = "plan_mean", kStd = "plan_std";
  constexpr ColumnOf<uint8_t> kHasPlan = "has_plan";
  std::memcpy(Cell(slot, kMean.index), plan_mean.data(), plan_mean.size_bytes());
  std::memcpy(Cell(slot, kStd.index), plan_std.data(), plan_std.size_bytes());
  *Cell(slot, kHasPlan.index) = std::byte{1};
}

void Table::CheckInvariants() const {
  const uint64_t used = next_ - oldest_;
  POMPC_CHECK_LE(oldest_, next_);
  POMPC_CHECK_LE(used, capacity_);
  POMPC_CHECK_LE(UsedBytes(), capacity_bytes_);
  POMPC_CHECK_LE(segments_.size(), used);
  POMPC_CHECK_LE(finals_, used);
  // A window begins at a row, and no two of them at the same.
  POMPC_CHECK_LE(tables_.windows() + barred_, used - finals_);
#ifndef NDEBUG
  // Large tables would take too long to walk through at every chunk.
  if (used <= 1024) CheckCounts();
#endif
}

void Table::CheckCounts() const {
  uint64_t finals = 0, barred = 0, starts = 0, segments = 0;
  for (uint64_t address = oldest_; address < next_; ++address) {
    Links& links = LinksOf(Slot(address));
    finals += links.Is(Links::kFinal);
    barred += links.Is(Links::kBarred);
    starts += links.Is(Links::kWindowStart);
    if (links.to_next == 0) {
      ++segments;
      POMPC_CHECK_EQ(segments_[links.segment].newest_row, RowNumber(links));
      continue;
    }
    POMPC_CHECK_LT(address + links.to_next, next_);
    const Links& next = LinksOf(Slot(address + links.to_next));
    POMPC_CHECK_EQ(next.to_previous, links.to_next);
    POMPC_CHECK_EQ(next.segment, links.segment);
    POMPC_CHECK_EQ(RowNumber(next), RowNumber(links) + 1);
  }
  POMPC_CHECK_EQ(finals, finals_);
  POMPC_CHECK_EQ(barred, barred_);
  POMPC_CHECK_EQ(starts, tables_.windows());
  POMPC_CHECK_EQ(segments, segments_.size());
}

}  // namespace pompc::replay
