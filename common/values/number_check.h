#ifndef POMPC_COMMON_VALUES_NUMBER_CHECK_H_
#define POMPC_COMMON_VALUES_NUMBER_CHECK_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

// What numbers may be where they enter from another process or from an environment. Every boundary
// checks with these, so that what one takes no other refuses and training meets nothing it cannot
// bear. NaN and infinity pass none of the checks.

namespace pompc {

// Largest magnitude of an observation, a reward or a value: float32 (up to 3.4e38) bears sums of
// their squares.
inline constexpr float kMaxMagnitude = 1e18f;

// Largest magnitude of a return: the rewards of the longest episode there can be, 1,000,000
// decisions.
inline constexpr double kMaxReturn = 1e24;

// How far an action, or the mean of a plan, may lie outside [-1, 1]: rounding of who computed it.
inline constexpr float kActionTolerance = 1e-5f;

// Range of the standard deviations of plans, inclusive; the default is for those whose planner is
// not known. A number may lie outside by kStdTolerance of the bound: rounding of who computed it.
struct StdRange {
  float min = 1 / kMaxMagnitude;
  float max = kMaxMagnitude;

  bool operator==(const StdRange&) const = default;
};
inline constexpr float kStdTolerance = 1e-4f;

// Whether `value` is at most kMaxMagnitude in magnitude.
inline bool IsMagnitude(double value) { return value <= kMaxMagnitude && value >= -kMaxMagnitude; }

// Whether `value` can be a return.
inline bool IsReturn(double value) { return value <= kMaxReturn && value >= -kMaxReturn; }

// Each is INVALID_ARGUMENT naming `name`, the first number that does not pass, its position and
// what is allowed.

// At most kMaxMagnitude in magnitude.
absl::Status CheckMagnitudes(absl::string_view name, absl::Span<const float> values);
// In [-1, 1]: actions and means of plans.
absl::Status CheckActions(absl::string_view name, absl::Span<const float> values);
// Standard deviations in `range`.
absl::Status CheckStds(absl::string_view name, const StdRange& range,
                       absl::Span<const float> values);

}  // namespace pompc

#endif  // POMPC_COMMON_VALUES_NUMBER_CHECK_H_
