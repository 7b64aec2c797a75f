#ifndef POMPC_ACTOR_ENV_SIMULATION_H_
#define POMPC_ACTOR_ENV_SIMULATION_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "actor/env/environment.h"
#include "actor/env/task.h"
#include "common/base/check.h"

namespace pompc::env {

// A state to put a simulation into. Empty fields keep the values that they have after a reset;
// others must have the model's sizes (3 for the target).
struct PlacedState {
  std::vector<double> qpos;
  std::vector<double> qvel;
  std::vector<double> act;
  std::vector<double> ctrl;
  std::vector<double> target;
};

// A task that runs in MuJoCo, one control step at a time: actions are in actuator units, and
// episodes have no time limit. It keeps the contracts of Environment, and owns the physics, the
// task and the random generator.
class Simulation final : public Environment {
 public:
  // `assets` is the folder of a model that is not built in, empty for DefaultAssetFolder(). Fails
  // with INVALID_ARGUMENT or NOT_FOUND if the model does not compile or lacks something that the
  // task needs, and as LoadAssetModel does.
  static absl::StatusOr<std::unique_ptr<Simulation>> Make(const TaskDefinition& definition,
                                                          uint32_t seed,
                                                          const std::string& assets = "");

  const EnvironmentSpec& spec() const override { return spec_; }
  absl::Status Reset() override;
  absl::StatusOr<StepResult> Step(std::span<const double> action) override;
  std::span<const double> observation() const override { return observation_; }
  const absl::Status& fault() const override { return fault_; }
  Physics* world() override { return physics_.get(); }

  // Starts an episode in `state`, computed with or without the actuators' forces. Fails with
  // INVALID_ARGUMENT if a field has the wrong size or is not finite, or if the task has no target.
  absl::Status Place(const PlacedState& state, Actuation actuation);

  // Returns the reward of the present state and action. REQUIRES: the last call of Reset, Place or
  // Step succeeded.
  double reward() const {
    POMPC_CHECK(succeeded_);
    return reward_;
  }
  // Returns the position of the task's movable target, x, y and z, or an empty span if it has none.
  std::span<const double> target() { return task_->Target(*physics_); }
  Physics& physics() { return *physics_; }

 private:
  Simulation(const TaskDefinition& definition, std::unique_ptr<Physics> physics, uint32_t seed);

  // Checks that the model suits the task, and measures the observation's size.
  absl::Status TryOut(const TaskDefinition& definition);
  // Reads observation and reward. Fails with ABORTED, and leaves both unchanged, if a number is not
  // finite or too large.
  absl::Status Read();
  // Computes and reads the state that the physics was put into; the episode starts there.
  absl::Status Begin(Actuation actuation);
  absl::Status CheckAction(std::span<const double> action) const;

  const std::unique_ptr<Physics> physics_;
  const std::unique_ptr<Task> task_;
  RandomState random_;
  EnvironmentSpec spec_;
  // Physics steps in one control step.
  const int physics_steps_;
  bool running_ = false;
  // True if the last call of Reset, Place or Step succeeded.
  bool succeeded_ = false;
  std::vector<double> observation_;
  std::vector<double> next_observation_;
  double reward_ = 0;
  absl::Status fault_;
};

}  // namespace pompc::env

#endif  // POMPC_ACTOR_ENV_SIMULATION_H_
