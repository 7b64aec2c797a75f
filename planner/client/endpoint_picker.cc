#include "planner/client/endpoint_picker.h"

namespace pompc::planner {

std::optional<size_t> EndpointPicker::Pick(const std::vector<bool>& tried, absl::Duration now) {
  const size_t count = avoid_until_.size();
  std::optional<size_t> avoided;
  for (size_t i = 0; i < count; ++i) {
    const size_t endpoint = (first_ + i) % count;
    if (tried[endpoint]) continue;
    if (avoid_until_[endpoint] <= now) {
      if (!sticky_) first_ = (endpoint + 1) % count;
      return endpoint;
    }
    if (!avoided.has_value()) avoided = endpoint;
  }
  return avoided;
}

void EndpointPicker::Succeeded(size_t endpoint) {
  avoid_until_[endpoint] = absl::ZeroDuration();
  if (sticky_) first_ = endpoint;
}

void EndpointPicker::Failed(size_t endpoint, absl::Duration now) {
  avoid_until_[endpoint] = now + avoid_after_failure_;
}

}  // namespace pompc::planner
