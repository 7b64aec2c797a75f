#ifndef POMPC_REPLAY_CORE_SEGMENT_RECORDS_H_
#define POMPC_REPLAY_CORE_SEGMENT_RECORDS_H_

#include <cstdint>
#include <deque>
#include <limits>

#include "common/base/check.h"
#include "replay/core/segment.h"

namespace pompc::replay {

// The segments that a table's slots belong to, so that a slot names its segment with 32 bits. A
// record lives as long as slots belong to it; its number is used again afterwards. Not thread-safe.
class SegmentRecords {
 public:
  struct Record {
    SegmentId id;
    // Rows of slots count from here, so that 32 bits hold them; of a free record, the number of the
    // next free one.
    uint64_t first_row = 0;
    uint64_t slots = 0;
  };
  // Bytes that one record needs, with its share of what the deque keeps for its own use.
  static constexpr uint64_t kRecordBytes = sizeof(Record) + 8;

  // Makes a record to which no slot belongs yet, and returns its number.
  uint32_t Add(const SegmentId& id, uint64_t first_row) {
    uint32_t number = static_cast<uint32_t>(free_);
    if (free_ == kNone) {
      number = static_cast<uint32_t>(records_.size());
      records_.emplace_back();
    } else {
      free_ = records_[number].first_row;
    }
    records_[number] = {id, first_row, 0};
    ++live_;
    return number;
  }

  void AddSlot(uint32_t number) { ++records_[number].slots; }

  // Frees the record with its last slot.
  void RemoveSlot(uint32_t number) {
    Record& record = records_[number];
    POMPC_DCHECK_GT(record.slots, 0u);
    if (--record.slots > 0) return;
    record.first_row = free_;
    free_ = number;
    --live_;
  }

  const Record& operator[](uint32_t number) const { return records_[number]; }
  // Numbers given so far: all are below this.
  size_t numbers() const { return records_.size(); }
  // Records to which slots belong.
  uint64_t size() const { return live_; }
  uint64_t bytes() const { return live_ * kRecordBytes; }

 private:
  static constexpr uint64_t kNone = std::numeric_limits<uint64_t>::max();

  // A deque grows without copying, for readers wait meanwhile.
  std::deque<Record> records_;
  uint64_t free_ = kNone;
  uint64_t live_ = 0;
};

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_CORE_SEGMENT_RECORDS_H_
