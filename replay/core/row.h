#ifndef POMPC_REPLAY_CORE_ROW_H_
#define POMPC_REPLAY_CORE_ROW_H_

#include <algorithm>
#include <cstdint>
#include <span>

#include "common/base/check.h"
#include "common/values/parameter_version.h"

namespace pompc::replay {

// Sizes of the numbers in a row.
struct RowSpec {
  uint32_t observation_size = 0;  // O
  uint32_t action_size = 0;       // A

  bool operator==(const RowSpec&) const = default;
};

// One row of an episode, borrowed: observation o_t, the action executed there, what it earned, and
// the plan made at o_t. Rows of the seed phase have no plan: both plan spans are empty.
struct RowView {
  std::span<const float> observation;  // [O]
  std::span<const float> action;       // [A], each in [-1, 1]
  float reward = 0;                    // summed over action repeat
  bool terminated = false;             // a true terminal state followed; never the time limit
  std::span<const float> plan_mean;    // [A], or empty
  std::span<const float> plan_std;     // [A] > 0, or empty
  float plan_value = 0;
  ParameterVersion version;

  bool has_plan() const { return !plan_mean.empty(); }
};

// n consecutive rows of one segment in columns, borrowed. As `Rows` of proto/trajectory.proto.
struct RowsView {
  uint32_t count = 0;                          // n; 0 only together with a final observation
  std::span<const float> observations;         // [n, O]
  std::span<const float> actions;              // [n, A]
  std::span<const float> rewards;              // [n]
  std::span<const uint8_t> terminated;         // [n]
  std::span<const float> plan_mean;            // [n, A]; zeros where has_plan is 0
  std::span<const float> plan_std;             // [n, A] > 0; ones where has_plan is 0
  std::span<const float> plan_value;           // [n]
  std::span<const uint8_t> has_plan;           // [n]
  std::span<const ParameterVersion> versions;  // [n]
  std::span<const float> final_observation;  // [O] where the segment ends with these rows, or empty
};

// The first `count` of `rows`, without a final observation. REQUIRES: count <= rows.count, columns
// of the sizes that `spec` asks for.
inline RowsView FirstRows(const RowSpec& spec, const RowsView& rows, uint32_t count) {
  const size_t n = count, o = spec.observation_size, a = spec.action_size;
  POMPC_CHECK_LE(count, rows.count);
  POMPC_CHECK_EQ(rows.observations.size(), rows.count * o);
  POMPC_CHECK_EQ(rows.actions.size(), rows.count * a);
  return {.count = count,
          .observations = rows.observations.first(n * o),
          .actions = rows.actions.first(n * a),
          .rewards = rows.rewards.first(n),
          .terminated = rows.terminated.first(n),
          .plan_mean = rows.plan_mean.first(n * a),
          .plan_std = rows.plan_std.first(n * a),
          .plan_value = rows.plan_value.first(n),
          .has_plan = rows.has_plan.first(n),
          .versions = rows.versions.first(n)};
}

// B windows of H rows in columns, to be filled. As `Windows` of proto/trajectory.proto.
struct WindowColumns {
  std::span<float> observations;  // [B, H+1, O]
  std::span<float> actions;       // [B, H, A]
  std::span<float> rewards;       // [B, H]
  std::span<uint8_t> terminated;  // [B, H]
  std::span<float> plan_mean;     // [B, H+1, A]
  std::span<float> plan_std;      // [B, H+1, A]
  std::span<uint8_t> has_plan;    // [B, H+1]
  std::span<uint64_t> addresses;  // [B, H+1]
  std::span<uint64_t> versions;   // [B, 2]
  std::span<uint64_t> draws;      // [B]
};

// Bytes of one window of `horizon` rows in such columns.
inline uint64_t WindowBytes(const RowSpec& spec, uint32_t horizon) {
  const uint64_t o = spec.observation_size, a = spec.action_size, h = horizon;
  return (h + 1) * (4 * o + 8 * a + 1 + 8) + h * (4 * a + 4 + 1) + 3 * 8;
}

// Bytes of one row in a chunk on its way to a shard.
inline uint64_t ChunkRowBytes(const RowSpec& spec) {
  // Reward, value, flags, version (two varints in a message of their own).
  constexpr uint64_t kOther = 4 + 4 + 2 + 24;
  return 4 * (uint64_t{spec.observation_size} + 3 * uint64_t{spec.action_size}) + kOther;
}

// Bytes of the new plan of one row on its way to a shard, with `action_size` numbers each.
inline uint64_t PlanUpdateBytes(uint64_t action_size) { return 8 + 8 * action_size; }

// Bytes of windows that are handed out at once, at most: what fits into one message.
inline constexpr uint64_t kMaxSampleBytes = (uint64_t{64} << 20) - 4096;

// Windows that one message may draw or bar.
inline constexpr uint32_t kMaxWindows = 65536;

// Windows that may be drawn at once.
inline uint32_t MaxSampleWindows(const RowSpec& spec, uint32_t horizon) {
  return static_cast<uint32_t>(
      std::min<uint64_t>(kMaxWindows, kMaxSampleBytes / WindowBytes(spec, horizon)));
}

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_CORE_ROW_H_
