#include "planner/options.h"

#include "absl/strings/str_cat.h"

namespace pompc::planner {

absl::Status AppOptions::Validate() const {
  if (learners.empty() && !accept_runs) {
    return absl::InvalidArgumentError(
        "--learner: the learner's address must be given, host:port, or --accept-runs");
  }
  if (max_runs < 1 || max_runs > kMostRuns) {
    return absl::InvalidArgumentError(
        absl::StrCat("--max-runs: ", max_runs, "; allowed: 1 to ", kMostRuns));
  }
  if (learners.size() > static_cast<size_t>(max_runs)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--learner: ", learners.size(), " addresses; --max-runs allows ", max_runs));
  }
  if (engine == nullptr) return absl::InvalidArgumentError("engine: must be given");
  if (metrics == nullptr) return absl::InvalidArgumentError("metrics: must be given");
  if (max_queue_wait <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError("max_queue_wait: must be positive");
  }
  if (drain_timeout < absl::ZeroDuration() || drain_timeout == absl::InfiniteDuration()) {
    return absl::InvalidArgumentError("drain_timeout: must be 0 or more, and finite");
  }
  return absl::OkStatus();
}

}  // namespace pompc::planner
