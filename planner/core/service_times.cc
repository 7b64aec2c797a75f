#include "planner/core/service_times.h"

#include <algorithm>

#include "common/base/check.h"

namespace pompc::planner {

void ServiceTimes::Add(size_t plans, absl::Duration compute, absl::Duration now) {
  POMPC_CHECK_GT(plans, 0u);
  latest_[measured_++ % kMeasures] = compute;
  measured_at_ = now;
  // The newest batch counts a quarter, so that a hiccup does not matter for long.
  const absl::Duration each = compute / static_cast<int64_t>(plans);
  plan_mean_ = plan_mean_.has_value() ? *plan_mean_ * 0.75 + each * 0.25 : each;
}

std::optional<absl::Duration> ServiceTimes::Least(absl::Duration now) const {
  if (measured_ < kMeasures || now - measured_at_ > kFresh) return std::nullopt;
  return *std::min_element(latest_.begin(), latest_.end());
}

}  // namespace pompc::planner
