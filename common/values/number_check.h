#ifndef POMPC_COMMON_VALUES_NUMBER_CHECK_H_
#define POMPC_COMMON_VALUES_NUMBER_CHECK_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

// The ranges of numbers that come from another process or from an environment. Every boundary uses
// these checks, so that a number which one boundary accepts is not refused by another, and training
// meets no number that it cannot handle. NaN and infinity pass none of the checks.

namespace pompc {

// The largest magnitude of an observation, a reward or a value. Sums of their squares stay within
// float32, which reaches 3.4e38.
inline constexpr float kMaxMagnitude = 1e18f;

// The largest magnitude of a return: the sum of the rewards of the longest possible episode,
// 1,000,000 decisions.
inline constexpr double kMaxReturn = 1e24;

// The distance by which an action or the mean of a plan may lie outside [-1, 1], because of
// rounding.
inline constexpr float kActionTolerance = 1e-5f;

// The range of the standard deviations of plans, inclusive. The default suits every planner.
// Because of rounding, a number may lie outside a bound by kStdTolerance of it.
struct StdRange {
  float min = 1 / kMaxMagnitude;
  float max = kMaxMagnitude;

  bool operator==(const StdRange&) const = default;
};
inline constexpr float kStdTolerance = 1e-4f;

// Returns whether `value` is at most kMaxMagnitude in magnitude.
inline bool IsMagnitude(double value) { return value <= kMaxMagnitude && value >= -kMaxMagnitude; }

// Returns whether `value` can be a return.
inline bool IsReturn(double value) { return value <= kMaxReturn && value >= -kMaxReturn; }

// Each of these returns INVALID_ARGUMENT naming `name`, the first number that does not pass, its
// position and what is allowed.

// Numbers must be at most kMaxMagnitude in magnitude.
absl::Status CheckMagnitudes(absl::string_view name, absl::Span<const float> values);
// Actions and means of plans must lie in [-1, 1].
absl::Status CheckActions(absl::string_view name, absl::Span<const float> values);
// Standard deviations must lie in `range`.
absl::Status CheckStds(absl::string_view name, const StdRange& range,
                       absl::Span<const float> values);

}  // namespace pompc

#endif  // POMPC_COMMON_VALUES_NUMBER_CHECK_H_
