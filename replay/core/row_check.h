#ifndef POMPC_REPLAY_CORE_ROW_CHECK_H_
#define POMPC_REPLAY_CORE_ROW_CHECK_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "replay/core/row.h"

namespace pompc::replay {

// How far an action may lie outside [-1, 1]: rounding of who computed it.
inline constexpr float kActionTolerance = 1e-5f;

// Whether the columns have the sizes that `rows.count` and `spec` ask for. INVALID_ARGUMENT naming
// the column and both sizes. Then every index below is in range.
absl::Status CheckSizes(const RowSpec& spec, const RowsView& rows);

// Whether the numbers of rows `begin` .. count-1 and of the final observation are what a row may
// hold: finite, actions in [-1, 1], standard deviations above 0, flags 0 or 1; and whether at most
// the last row is terminated, for nothing follows a terminal state. INVALID_ARGUMENT naming the row
// (as `first_row` + position), the number and its value. REQUIRES: CheckSizes is OK.
absl::Status CheckValues(const RowSpec& spec, const RowsView& rows, uint32_t begin,
                         uint64_t first_row);

// Both checks of a single row, for its writer.
absl::Status CheckRow(const RowSpec& spec, const RowView& row);

// Sizes and numbers of the plans of `count` rows, plan_mean and plan_std [count, A].
absl::Status CheckPlans(const RowSpec& spec, size_t count, std::span<const float> plan_mean,
                        std::span<const float> plan_std);

// Size and finiteness of an observation; `what` names it in the message.
absl::Status CheckObservation(const RowSpec& spec, std::span<const float> observation,
                              const char* what);

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_CORE_ROW_CHECK_H_
