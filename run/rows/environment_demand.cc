#include "run/rows/environment_demand.h"

#include <algorithm>
#include <cmath>

#include "common/base/check.h"

namespace pompc::run {

EnvironmentDemand::EnvironmentDemand(double first, absl::Duration memory)
    : first_(first), memory_(memory) {
  POMPC_CHECK_GT(first, 0);
  POMPC_CHECK_GT(memory, absl::ZeroDuration());
}

void EnvironmentDemand::Observe(absl::Duration elapsed, double environments, double learner_waits,
                                double writers_wait) {
  POMPC_CHECK_GE(elapsed, absl::ZeroDuration());
  POMPC_CHECK_GE(environments, 0);
  POMPC_CHECK(learner_waits >= 0 && learner_waits <= 1);
  POMPC_CHECK(writers_wait >= 0 && writers_wait <= 1);
  const double weight = -std::expm1(-absl::FDivDuration(elapsed, memory_));
  environments_ += weight * (environments - environments_);
  // Waits say nothing about environments that do not exist: without any, the learner always waits.
  if (environments == 0) return;
  learner_waits_ += weight * (learner_waits - learner_waits_);
  writers_wait_ += weight * (writers_wait - writers_wait_);
}

double EnvironmentDemand::wanted() const {
  // Less than half an environment is what is left of those that have gone.
  if (environments_ < 0.5) return first_;
  const double change = (1 - writers_wait_) / std::max(1 - learner_waits_, 1 / kMostChange);
  return environments_ * std::clamp(change, 1 / kMostChange, kMostChange);
}

}  // namespace pompc::run
