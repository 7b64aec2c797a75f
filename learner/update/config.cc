#include "learner/update/config.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "absl/strings/str_cat.h"

namespace pompc::update {
namespace {

// Ok if low <= value <= high; NaN is out of range.
absl::Status CheckRange(const char* field, double value, double low, double high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, " = ", value, ": must be in [", low, ", ", high, "]"));
}

}  // namespace

double UpdateConfig::Lambda() const {
  return alpha >= 1 ? std::numeric_limits<double>::infinity() : alpha / (1 - alpha);
}

absl::Status UpdateConfig::Validate() const {
  struct Bound {
    const char* field;
    double value, low, high;
  };
  const Bound bounds[] = {
      {"alpha", alpha, 0, 1},
      {"kl_threshold", kl_threshold, 0, alpha < 1 ? 1e6 : 0},
      {"entropy_coefficient", entropy_coefficient, 0, 1000},
      {"planner_std_floor", planner_std_floor, 1e-4, 10},
      {"planner_std_ceiling", planner_std_ceiling, planner_std_floor, 100},
      {"discount", discount, 0, 1},
      {"rho", rho, 0, 1},
      {"tau", tau, 0, 1},
      {"learning_rate", learning_rate, 1e-8, 1},
      {"encoder_lr_scale", encoder_lr_scale, 0, 10},
      {"max_grad_norm", max_grad_norm, 1e-6, 1e9},
      {"consistency_coefficient", consistency_coefficient, 0, 1e6},
      {"reward_coefficient", reward_coefficient, 0, 1e6},
      {"value_coefficient", value_coefficient, 0, 1e6},
      {"termination_coefficient", termination_coefficient, 0, 1e6},
  };
  for (const Bound& bound : bounds) {
    absl::Status status = CheckRange(bound.field, bound.value, bound.low, bound.high);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status UpdateConfig::Validate(model::PolicyForm form) const {
  absl::Status status = Validate();
  if (!status.ok() || form != model::PolicyForm::kTanhGaussian || alpha == 0) return status;
  if (prior == Prior::kLearned && prior_kl == PriorKl::kForward) {
    return absl::InvalidArgumentError(
        "prior_kl = FORWARD is infinite for policy_form TANH_GAUSSIAN: must be REVERSE");
  }
  if (prior == Prior::kReplay && policy_kl == PolicyKl::kMassCovering) {
    return absl::InvalidArgumentError(
        "policy_kl = MASS_COVERING is infinite for policy_form TANH_GAUSSIAN and prior REPLAY: "
        "must "
        "be MODE_SEEKING or CROSS_ENTROPY");
  }
  return absl::OkStatus();
}

double AlphaOfLambda(double lambda) { return lambda / (1 + lambda); }

double DiscountHeuristic(double episode_decisions) {
  const double fifth = episode_decisions / 5;
  return std::clamp((fifth - 1) / fifth, 0.95, 0.995);
}

}  // namespace pompc::update
