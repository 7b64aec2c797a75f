#ifndef POMPC_REPLAY_CORE_SEGMENT_H_
#define POMPC_REPLAY_CORE_SEGMENT_H_

#include <cstdint>
#include <limits>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "replay/core/row.h"

namespace pompc::replay {

// One segment of one episode as one writer sees it. As `StreamId` of proto/trajectory.proto.
struct SegmentId {
  // The actor index of segments that are episodes of data sets; no lease has it.
  static constexpr uint32_t kImportActor = std::numeric_limits<uint32_t>::max();

  uint32_t actor_index = 0;
  uint64_t incarnation = 0;
  uint32_t environment = 0;
  uint64_t episode = 0;
  uint32_t segment = 0;

  bool operator==(const SegmentId&) const = default;
  // True if its rows come from a data set, whose number is `environment`.
  bool imported() const { return actor_index == kImportActor; }
  // "actor 3.17 environment 0 episode 12 segment 0": actor index and incarnation, then the rest.
  std::string ToString() const {
    return absl::StrCat("actor ", actor_index, ".", incarnation, " environment ", environment,
                        " episode ", episode, " segment ", segment);
  }
};

// Rows on their way into the shard: `rows` from `begin` on are new; row i of them is row
// first_row + i of the segment. The final observation, where there is one, is new too; it has the
// number that the next row would have.
struct StoredChunk {
  SegmentId segment;
  uint64_t first_row = 0;
  const RowView& rows;
  uint32_t begin = 0;
  // The place of the first new row among the slots of its chunk's record in the store, or
  // kNoRecord; for rows that come from there.
  std::optional<uint32_t> stored_slot = {};

  static constexpr uint32_t kNoRecord = (uint32_t{1} << 31) - 1;
};

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_CORE_SEGMENT_H_
