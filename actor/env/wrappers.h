#ifndef POMPC_ACTOR_ENV_WRAPPERS_H_
#define POMPC_ACTOR_ENV_WRAPPERS_H_

#include <memory>
#include <span>
#include <vector>

#include "actor/env/environment.h"

namespace pompc::env {

// The base of environments that change one aspect of another environment, which they own.
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

// Truncates an episode after spec().episode_steps steps of the wrapped environment.
class TimeLimit final : public Wrapper {
 public:
  explicit TimeLimit(std::unique_ptr<Environment> inner);
  absl::Status Reset() override;
  absl::StatusOr<StepResult> Step(std::span<const double> action) override;

 private:
  int steps_left_ = 0;
};

// Holds each action for `repeat` steps and sums their rewards. It stops early when the episode
// ends. REQUIRES: repeat >= 1.
class ActionRepeat final : public Wrapper {
 public:
  ActionRepeat(std::unique_ptr<Environment> inner, int repeat);
  absl::StatusOr<StepResult> Step(std::span<const double> action) override;

 private:
  const int repeat_;
};

// The outermost layer, which an actor holds: actions and observations are float32, as they are sent
// and learned from. It keeps the contracts of Environment and owns the environment that it adapts.
// Observations are copies, so they do not change when the environment reuses its own buffer.
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
  // Fails with INTERNAL if the environment's observation has another size than its spec says.
  absl::Status CastObservation();

  const std::unique_ptr<Environment> inner_;
  std::vector<double> action_;
  std::vector<float> observation_;
};

}  // namespace pompc::env

#endif  // POMPC_ACTOR_ENV_WRAPPERS_H_
