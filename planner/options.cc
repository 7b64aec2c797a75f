#include "planner/options.h"

namespace pompc::planner {

absl::Status AppOptions::Validate() const {
  if (learner.empty()) {
    return absl::InvalidArgumentError("--learner: the learner's address must be given, host:port");
  }
  if (engine == nullptr) return absl::InvalidArgumentError("engine: must be given");
  if (metrics == nullptr) return absl::InvalidArgumentError("metrics: must be given");
  if (max_queue_wait <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError("max_queue_wait: must be positive");
  }
  return absl::OkStatus();
}

}  // namespace pompc::planner
