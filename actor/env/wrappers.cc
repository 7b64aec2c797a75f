#include "actor/env/wrappers.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"

namespace pompc::env {
namespace {

absl::Status CheckSize(size_t size, const EnvironmentSpec& spec) {
  if (static_cast<int>(size) == spec.action_size) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("action has ", size, " numbers, ", spec.task, " needs ", spec.action_size));
}

}  // namespace

// Agents act in [-1, 1] whatever the actuators' ranges: policies and planners then need not know
// them.
ActionScaling::ActionScaling(std::unique_ptr<Environment> inner)
    : Wrapper(std::move(inner)), scaled_(spec_.action_size) {
  std::fill(spec_.action_low.begin(), spec_.action_low.end(), -1.0);
  std::fill(spec_.action_high.begin(), spec_.action_high.end(), 1.0);
}

absl::StatusOr<StepResult> ActionScaling::Step(std::span<const double> action) {
  POMPC_RETURN_IF_ERROR(CheckSize(action.size(), spec_));
  const EnvironmentSpec& inner = inner_->spec();
  POMPC_DCHECK_EQ(scaled_.size(), action.size());
  for (size_t i = 0; i < action.size(); ++i) {
    const double low = inner.action_low[i];
    scaled_[i] = low + (action[i] + 1) * (inner.action_high[i] - low) / 2;
  }
  return inner_->Step(scaled_);
}

TimeLimit::TimeLimit(std::unique_ptr<Environment> inner) : Wrapper(std::move(inner)) {}

absl::Status TimeLimit::Reset() {
  steps_left_ = 0;
  POMPC_RETURN_IF_ERROR(inner_->Reset());
  steps_left_ = spec_.episode_steps;
  return absl::OkStatus();
}

absl::StatusOr<StepResult> TimeLimit::Step(std::span<const double> action) {
  if (steps_left_ == 0) return absl::FailedPreconditionError("no episode is running: Reset first");
  POMPC_ASSIGN_OR_RETURN(StepResult result, inner_->Step(action));
  --steps_left_;
  POMPC_DCHECK_GE(steps_left_, 0);
  // An episode that terminates in its last step is terminal, not cut: its value is known.
  if (steps_left_ == 0 && !result.terminated) result.truncated = true;
  return result;
}

ActionRepeat::ActionRepeat(std::unique_ptr<Environment> inner, int repeat)
    : Wrapper(std::move(inner)), repeat_(repeat) {
  POMPC_CHECK_GE(repeat, 1);
  // The last decision of an episode may be held for fewer control steps than the others.
  spec_.episode_steps = (spec_.episode_steps + repeat - 1) / repeat;
  spec_.step_seconds *= repeat;
}

// The result is that of the last control step, with the sum of all rewards.
absl::StatusOr<StepResult> ActionRepeat::Step(std::span<const double> action) {
  StepResult result;
  double reward = 0;
  for (int i = 0; i < repeat_ && !result.done(); ++i) {
    POMPC_ASSIGN_OR_RETURN(result, inner_->Step(action));
    reward += result.reward;
  }
  result.reward = reward;
  return result;
}

FloatEnvironment::FloatEnvironment(std::unique_ptr<Environment> inner)
    : inner_(std::move(inner)),
      action_(inner_->spec().action_size),
      observation_(inner_->spec().observation_size) {}

absl::Status FloatEnvironment::Reset() {
  POMPC_RETURN_IF_ERROR(inner_->Reset());
  return CastObservation();
}

absl::StatusOr<StepResult> FloatEnvironment::Step(std::span<const float> action) {
  POMPC_RETURN_IF_ERROR(CheckSize(action.size(), spec()));
  std::copy(action.begin(), action.end(), action_.begin());
  POMPC_ASSIGN_OR_RETURN(const StepResult result, inner_->Step(action_));
  POMPC_RETURN_IF_ERROR(CastObservation());
  return result;
}

// An environment that keeps its promises never shows another size; those of users may.
absl::Status FloatEnvironment::CastObservation() {
  const std::span<const double> shown = inner_->observation();
  if (shown.size() != observation_.size()) {
    return absl::InternalError(absl::StrCat(spec().task, " returned an observation of ",
                                            shown.size(), " numbers, its spec says ",
                                            observation_.size()));
  }
  std::transform(shown.begin(), shown.end(), observation_.begin(),
                 [](double x) { return static_cast<float>(x); });
  return absl::OkStatus();
}

}  // namespace pompc::env
