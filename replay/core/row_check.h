#ifndef POMPC_REPLAY_CORE_ROW_CHECK_H_
#define POMPC_REPLAY_CORE_ROW_CHECK_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "common/values/number_check.h"
#include "replay/core/row.h"

namespace pompc::replay {

// What a run lets rows hold, beside their sizes.
struct RowLimits {
  // Whether a row may be terminated: env.spec.terminates.
  bool terminates = true;
  // Range of the plans' standard deviations.
  StdRange plan_std;
};

// Whether the columns have the sizes that `rows.count` and `spec` ask for. INVALID_ARGUMENT naming
// the column and both sizes. Then every index below is in range.
absl::Status CheckSizes(const RowSpec& spec, const RowsView& rows);

// Whether the numbers of rows `begin` .. count-1 and of the final observation are what a row may
// hold: at most kMaxMagnitude in magnitude, actions and means of plans in [-1, 1], standard
// deviations and terminated rows as `limits` say, flags 0 or 1; and whether at most the last row is
// terminated, for nothing follows a terminal state. INVALID_ARGUMENT naming the row (as `first_row`
// + position), the number and its value. REQUIRES: CheckSizes is OK.
absl::Status CheckValues(const RowSpec& spec, const RowLimits& limits, const RowsView& rows,
                         uint32_t begin, uint64_t first_row);

// Both checks of a single row, for its writer, which leaves the limits to the shard.
absl::Status CheckRow(const RowSpec& spec, const RowView& row);

// Sizes and numbers of the plans of `count` rows, plan_mean and plan_std [count, A].
absl::Status CheckPlans(const RowSpec& spec, const RowLimits& limits, size_t count,
                        std::span<const float> plan_mean, std::span<const float> plan_std);

// Size and numbers of an observation; `what` names it in the message.
absl::Status CheckObservation(const RowSpec& spec, std::span<const float> observation,
                              const char* what);

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_CORE_ROW_CHECK_H_
