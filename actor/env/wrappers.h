#ifndef POMPC_ACTOR_ENV_WRAPPERS_H_
#define POMPC_ACTOR_ENV_WRAPPERS_H_

#include <memory>
#include <span>
#include <vector>

#include "actor/env/environment.h"

namespace pompc::env {

// Base of environments that change one aspect of another, which they own.
class Wrapper : public Environment {
 public:
  const EnvironmentSpec& spec() const override { return spec_; }
  absl::Status Reset() override { return inner_->Reset(); }
  absl::StatusOr<StepResult> Step(std::span<const double> action) override {
    return inner_->Step(action);
  }
  std::span<const double> observation() const override { return inner_->observation(); }
  const absl::Status& fault() const override { return inner_->fault(); }
  Physics* world() override { return inner_->world(); }

 protected:
  explicit Wrapper(std::unique_ptr<Environment> inner)
      : inner_(std::move(inner)), spec_(inner_->spec()) {}

  const std::unique_ptr<Environment> inner_;
  EnvironmentSpec spec_;
};

// Maps actions in [-1, 1] affinely onto the wrapped environment's bounds.
class ActionScaling final : public Wrapper {
 public:
  explicit ActionScaling(std::unique_ptr<Environment> inner);
  absl::StatusOr<StepResult> Step(std::span<const double> action) override;

 private:
  std::vector<double> scaled_;
};

// Truncates an episode after the wrapped environment's spec().episode_steps steps.
class TimeLimit final : public Wrapper {
 public:
  explicit TimeLimit(std::unique_ptr<Environment> inner);
  absl::Status Reset() override;
  absl::StatusOr<StepResult> Step(std::span<const double> action) override;

 private:
  int steps_left_ = 0;
};

// Holds each action for `repeat` steps and sums their rewards; stops early when the episode is
// done. REQUIRES: repeat >= 1.
class ActionRepeat final : public Wrapper {
 public:
  ActionRepeat(std::unique_ptr<Environment> inner, int repeat);
  absl::StatusOr<StepResult> Step(std::span<const double> action) override;

 private:
  const int repeat_;
};

// The outermost layer, what an actor holds: actions and observations in float32, as they are sent
// and learnt from. Same contracts as Environment; owns what it adapts. Observations are copies:
// what the environment does with its own buffer does not matter.
class FloatEnvironment {
 public:
  explicit FloatEnvironment(std::unique_ptr<Environment> inner);

  const EnvironmentSpec& spec() const { return inner_->spec(); }
  absl::Status Reset();
  absl::StatusOr<StepResult> Step(std::span<const float> action);
  std::span<const float> observation() const { return observation_; }
  const absl::Status& fault() const { return inner_->fault(); }
  Physics* world() { return inner_->world(); }

 private:
  // INTERNAL if the environment shows another number of numbers than its spec says.
  absl::Status CastObservation();

  const std::unique_ptr<Environment> inner_;
  std::vector<double> action_;
  std::vector<float> observation_;
};

}  // namespace pompc::env

#endif  // POMPC_ACTOR_ENV_WRAPPERS_H_
