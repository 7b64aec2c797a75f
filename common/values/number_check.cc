#include "common/values/number_check.h"

#include <cmath>
#include <cstddef>
#include <string>

#include "absl/strings/str_cat.h"

namespace pompc {
namespace {

absl::Status BadNumber(absl::string_view name, size_t position, float value,
                       const std::string& allowed) {
  return absl::InvalidArgumentError(
      absl::StrCat(name, " number ", position, " is ", value, ", must be ", allowed));
}

// Returns the position of the first number outside [low, high], or their count if there is none.
// The comparison is written so that NaN is outside.
size_t FirstOutside(float low, float high, absl::Span<const float> values) {
  for (size_t i = 0; i < values.size(); ++i) {
    if (!(values[i] >= low && values[i] <= high)) return i;
  }
  return values.size();
}

}  // namespace

absl::Status CheckMagnitudes(absl::string_view name, absl::Span<const float> values) {
  const size_t i = FirstOutside(-kMaxMagnitude, kMaxMagnitude, values);
  if (i == values.size()) return absl::OkStatus();
  return BadNumber(name, i, values[i],
                   std::isfinite(values[i])
                       ? absl::StrCat("at most ", kMaxMagnitude, " in magnitude")
                       : "finite");
}

absl::Status CheckActions(absl::string_view name, absl::Span<const float> values) {
  const size_t i = FirstOutside(-1 - kActionTolerance, 1 + kActionTolerance, values);
  if (i == values.size()) return absl::OkStatus();
  return BadNumber(name, i, values[i], "in [-1, 1]");
}

absl::Status CheckStds(absl::string_view name, const StdRange& range,
                       absl::Span<const float> values) {
  const size_t i =
      FirstOutside(range.min * (1 - kStdTolerance), range.max * (1 + kStdTolerance), values);
  if (i == values.size()) return absl::OkStatus();
  return BadNumber(name, i, values[i], absl::StrCat("in [", range.min, ", ", range.max, "]"));
}

}  // namespace pompc
