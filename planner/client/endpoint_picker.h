#ifndef POMPC_PLANNER_CLIENT_ENDPOINT_PICKER_H_
#define POMPC_PLANNER_CLIENT_ENDPOINT_PICKER_H_

#include <cstddef>
#include <optional>
#include <vector>

#include "absl/time/time.h"

namespace pompc::planner {

// Decides which planner a call asks next. Not thread-safe, no clock.
class EndpointPicker {
 public:
  // `sticky`: begin with the one that succeeded last instead of taking turns. One that failed comes
  // last for `avoid_after_failure`.
  EndpointPicker(size_t count, bool sticky, absl::Duration avoid_after_failure)
      : sticky_(sticky), avoid_after_failure_(avoid_after_failure), avoid_until_(count) {}

  // One that is not yet marked in `tried` [count], preferably one that has not failed lately.
  // Nothing when all are marked.
  std::optional<size_t> Pick(const std::vector<bool>& tried, absl::Duration now);

  void Succeeded(size_t endpoint);
  void Failed(size_t endpoint, absl::Duration now);

 private:
  const bool sticky_;
  const absl::Duration avoid_after_failure_;
  // Where the next call begins.
  size_t first_ = 0;
  // By endpoint.
  std::vector<absl::Duration> avoid_until_;
};

}  // namespace pompc::planner

#endif  // POMPC_PLANNER_CLIENT_ENDPOINT_PICKER_H_
