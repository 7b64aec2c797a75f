#ifndef POMPC_REPLAY_CORE_SEGMENT_RECORDS_H_
#define POMPC_REPLAY_CORE_SEGMENT_RECORDS_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "common/base/check.h"
#include "replay/core/segment.h"

namespace pompc::replay {

// The segments that a table's slots belong to, so that a slot names its segment and its row with 32
// bits each. A record lives as long as slots belong to it; its number is used again afterwards. Not
// thread-safe.
class SegmentRecords {
 public:
  struct Record {
    SegmentId id;
    // Number of the segment's newest row; of a free record, the place of the next free one.
    uint64_t newest_row = 0;
  };
  // Bytes that one record needs.
  static constexpr uint64_t kRecordBytes = sizeof(Record);

  // Returns the number of a new record.
  uint32_t Add(const SegmentId& id) {
    // The lowest group that has room, so that groups further up become empty and are freed.
    while (roomy_ < groups_.size() && groups_[roomy_] != nullptr && groups_[roomy_]->IsFull()) {
      ++roomy_;
    }
    if (roomy_ == groups_.size()) groups_.emplace_back();
    if (groups_[roomy_] == nullptr) groups_[roomy_] = std::make_unique<Group>();
    Group& group = *groups_[roomy_];
    const uint32_t place = group.free;
    group.free = static_cast<uint32_t>(group.records[place].newest_row);
    group.records[place].id = id;
    ++group.live;
    ++live_;
    return static_cast<uint32_t>(roomy_ << kGroupShift) + place;
  }

  void Remove(uint32_t number) {
    const size_t index = number >> kGroupShift;
    Group& group = *groups_[index];
    POMPC_CHECK_GT(group.live, 0u);
    --live_;
    roomy_ = std::min(roomy_, index);
    if (--group.live == 0) {
      groups_[index] = nullptr;
      return;
    }
    At(number).newest_row = group.free;
    group.free = number & (kGroupRecords - 1);
  }

  void SetNewestRow(uint32_t number, uint64_t row) { At(number).newest_row = row; }
  // The number of a row of which `low` is the low 32 bits. More rows than these can number are
  // never stored at once, so that the newest row tells the rest.
  uint64_t RowNumber(uint32_t number, uint32_t low) const {
    const uint64_t newest = (*this)[number].newest_row;
    return newest - static_cast<uint32_t>(newest - low);
  }

  const Record& operator[](uint32_t number) const {
    return groups_[number >> kGroupShift]->records[number & (kGroupRecords - 1)];
  }
  // Records in use.
  uint64_t size() const { return live_; }
  uint64_t bytes() const { return live_ * kRecordBytes; }

 private:
  static constexpr uint32_t kGroupShift = 8;
  static constexpr uint32_t kGroupRecords = uint32_t{1} << kGroupShift;

  // Records are allocated in groups: they do not move when more are needed, and their memory is
  // given back when they are gone.
  struct Group {
    Group() {
      for (uint32_t i = 0; i < kGroupRecords; ++i) records[i].newest_row = i + 1;
    }
    bool IsFull() const { return live == kGroupRecords; }

    std::array<Record, kGroupRecords> records;
    uint32_t free = 0;  // the first free record; meaningless when all are in use
    uint32_t live = 0;
  };

  Record& At(uint32_t number) {
    return groups_[number >> kGroupShift]->records[number & (kGroupRecords - 1)];
  }

  std::vector<std::unique_ptr<Group>> groups_;
  size_t roomy_ = 0;  // groups before this one are full
  uint64_t live_ = 0;
};

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_CORE_SEGMENT_RECORDS_H_
