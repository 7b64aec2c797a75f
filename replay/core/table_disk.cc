// This part of Table deals with rows whose numbers are on disk.
#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "replay/core/table.h"

namespace pompc::replay {
namespace {

// Rows that Read asks the disk for at a time.
constexpr uint64_t kReadRows = 256;

}  // namespace

void Table::WriteDiskSlots(const StoredChunk& chunk, uint32_t begin, uint32_t count) {
  if (next_ + count > ring_slots_) pins_.WaitUntilFree(next_ + count - ring_slots_);
  const std::span<const uint8_t> terminated = chunk.rows.Get<uint8_t>("terminated");
  const uint32_t first = chunk.stored_slot.value_or(0);
  uint64_t slot = Slot(next_);
  for (uint32_t i = begin; i < begin + count; ++i, slot = SlotAfter(slot, 1)) {
    std::byte* const data = WritableSlot(slot);
    Links* const links = new (data) Links();
    OnDisk* const on_disk = new (data + sizeof(Links)) OnDisk();
    const uint32_t at = first + (i - chunk.begin);
    on_disk->slot = first == StoredChunk::kNoRecord ? first : at;
    if (i < chunk.rows.count) {
      on_disk->terminated = terminated[i] != 0;
    } else {
      links->state = Links::kFinal;
    }
  }
}

DiskRows::Place Table::PlaceOf(uint64_t slot, uint64_t address) const {
  return {address, OnDiskAt(slot).slot, LinksOf(slot).Is(Links::kReplanned)};
}

// Follows the links as Gather does, and reads what it has found.
absl::Status Table::GatherFromDisk(const Drawn& drawn, const WindowColumns& out) const {
  const std::span<float> probabilities = out.Get<float>("probabilities");
  const std::span<uint64_t> draws = out.Get<uint64_t>("draws");
  const std::span<uint64_t> addresses = out.Get<uint64_t>("addresses");
  const size_t states = horizon_ + size_t{1};
  std::vector<DiskRows::Place> places;
  places.reserve(out.count * states);
  for (size_t b = 0; b < out.count; ++b) {
    uint64_t slot = drawn.draws[b].key;
    uint64_t address = drawn.oldest + SlotBefore(slot, drawn.oldest_slot);
    probabilities[b] = drawn.draws[b].probability;
    draws[b] = LinksOf(slot).CountDraw();
    for (uint32_t t = 0;; ++t) {
      places.push_back(PlaceOf(slot, address));
      addresses[b * states + t] = address;
      if (t == horizon_) break;
      const uint32_t distance = LinksOf(slot).to_next;
      address += distance;
      slot = SlotAfter(slot, distance);
    }
  }
  return disk_->Read(spec_, places, [&](size_t place, const DiskRows::Bytes& bytes) {
    const size_t b = place / states, t = place % states;
    ForEachRowColumn([&](auto c) {
      constexpr Column kColumn = kColumns[c];
      const uint64_t times = kColumn.per_window(horizon_);
      if (t >= times) return;
      const uint64_t n = kColumn.bytes(spec_);
      std::memcpy(out.columns[c].data() + (b * times + t) * n, bytes[c], n);
    });
  });
}

// Rows are visited in the order of their addresses, but come from the disk in any order.
absl::StatusOr<uint64_t> Table::ReadFromDisk(
    uint64_t address, uint64_t max_rows, const std::function<void(const StoredRow&)>& visit) const {
  for (uint64_t end_rows = max_rows; end_rows > 0;) {
    std::vector<StoredRow> rows;
    std::vector<bool> is_final;
    std::vector<DiskRows::Place> places;
    std::vector<size_t> row_of_place;
    uint64_t pinned = 0;
    {
      ReaderLock lock(&mu_);
      address = std::max(address, oldest_);
      const uint64_t count = std::min({end_rows, kReadRows, next_ - std::min(next_, address)});
      if (count == 0) return next_;
      end_rows -= count;
      rows.resize(count);
      for (StoredRow& row : rows) {
        is_final.push_back(Describe(address, &row));
        const DiskRows::Place place = PlaceOf(Slot(address), address);
        ++address;
        if (place.slot == StoredChunk::kNoRecord) continue;
        places.push_back(place);
        row_of_place.push_back(&row - rows.data());
      }
      pins_.Pin(pinned = oldest_);
    }
    // What was never stored, a gap, reads as zeros.
    std::vector<RowNumbers> numbers(rows.size(), MakeRowNumbers());
    const absl::Status status =
        disk_->Read(spec_, places, [&](size_t place, const DiskRows::Bytes& bytes) {
          for (size_t c = 0; c < kRowColumns; ++c) {
            std::memcpy(numbers[row_of_place[place]][c].data(), bytes[c], kColumns[c].bytes(spec_));
          }
        });
    pins_.Unpin(pinned);
    POMPC_RETURN_IF_ERROR(status);
    for (size_t i = 0; i < rows.size(); ++i) {
      PointTo(numbers[i], is_final[i], &rows[i]);
      visit(rows[i]);
    }
  }
  return address;
}

}  // namespace pompc::replay
