#ifndef POMPC_REPLAY_CORE_STORE_RECORD_H_
#define POMPC_REPLAY_CORE_STORE_RECORD_H_

#include <cstdint>
#include <optional>
#include <span>
#include <variant>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/values/parameter_version.h"
#include "replay/core/row.h"
#include "replay/core/segment.h"
#include "replay/core/table.h"

namespace pompc::replay {

// The records that make up the content of a shard: what it hands to its store while it serves, and
// what it gets back when it is opened again. Records borrow what they point to.

// The settings that the shard was opened with last, as text that only its owner reads.
struct ConfigRecord {
  absl::string_view config;
};

// Rows `begin` .. count-1 of `rows`, and the final observation where there is one, entered the
// table. Row i of `rows` is row first_row + i of the segment. A chunk that comes back from the
// store has begin == 0.
struct ChunkRecord {
  SegmentId segment;
  RowSpec spec;
  uint64_t first_row = 0;
  RowView rows;
  uint32_t begin = 0;
  // Address of the first slot that it takes; the others follow.
  uint64_t address = 0;
  // Address of the row before it in its segment; kNoAddress where a segment begins.
  uint64_t previous = Table::kNoAddress;
  // The shard once it holds the chunk: its oldest address, and its counts of rows.
  uint64_t oldest = 0;
  uint64_t accepted_rows = 0;
  uint64_t planned_rows = 0;
  uint64_t imported_rows = 0;

  // Slots that it takes.
  uint64_t slots() const { return rows.count - begin + (rows.final_observation.empty() ? 0 : 1); }
};

// The state of a segment from now on.
struct SegmentRecord {
  SegmentId id;
  uint64_t next_row = 0;
  bool ended = false;
  bool terminated = false;
  // Not OK: nothing more is taken.
  absl::Status refused;
  uint64_t tail = Table::kNoAddress;
  // The address that the next row of the shard gets: orders segments by when they last changed.
  uint64_t changed_at = 0;
};

// An incarnation of an actor wrote: earlier ones are refused, and all that was recorded of their
// segments is void.
struct ActorRecord {
  uint32_t actor_index = 0;
  uint64_t incarnation = 0;
};

// The state of `segment` was forgotten. Of its environment, all segments up to `mark` without a
// SegmentRecord are refused.
struct ForgottenRecord {
  SegmentId segment;
  SegmentId mark;
};

// The plans of these rows were replaced: plan_mean and plan_std [n, A].
struct PlansRecord {
  std::span<const uint64_t> addresses;
  std::span<const float> plan_mean;
  std::span<const float> plan_std;
};

// The windows that begin at these rows are never drawn again.
struct BarredRecord {
  std::span<const uint64_t> addresses;
};

// What the learner has told besides the number of rows, which a shard that was opened again does
// not use: a bound that the learner had lowered must not come back.
struct GrantRecord {
  bool seed_phase_over = false;
  std::optional<ParameterVersion> newest_version;
};

// Rows before this address were evicted.
struct EvictedRecord {
  uint64_t oldest = 0;
};

using StoreRecord =
    std::variant<ConfigRecord, ChunkRecord, SegmentRecord, ActorRecord, ForgottenRecord,
                 PlansRecord, BarredRecord, GrantRecord, EvictedRecord>;

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_CORE_STORE_RECORD_H_
