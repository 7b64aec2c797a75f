#include "actor/env/simulation.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/values/number_check.h"

namespace pompc::env {
namespace {

// Copies `from` over the `size` numbers at `to`. An empty `from` leaves them as they are.
absl::Status Assign(absl::string_view name, std::span<const double> from, double* to, int size) {
  if (from.empty()) return absl::OkStatus();
  if (static_cast<int>(from.size()) != size) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, " has ", from.size(), " numbers, the task needs ", size));
  }
  if (!std::all_of(from.begin(), from.end(), IsMagnitude)) {
    return absl::InvalidArgumentError(absl::StrCat(name, " is not finite, or too large"));
  }
  std::copy(from.begin(), from.end(), to);
  return absl::OkStatus();
}

std::string ToString(const AssetModel::Sizes& sizes) {
  return absl::StrCat(sizes.positions, " positions, ", sizes.actuators, " actuators and ",
                      sizes.sensor_numbers, " sensor numbers");
}

// The file may be of another version of the suite. Its sizes tell most of these apart before a task
// reads beyond what the model has.
absl::Status CheckSizes(const mjModel& model, const AssetModel::Sizes& expected) {
  // Newer versions of MuJoCo count in 64 bits.
  const AssetModel::Sizes found = {static_cast<int>(model.nq), static_cast<int>(model.nu),
                                   static_cast<int>(model.nsensordata)};
  if (found == expected) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("has ", ToString(found), "; the suite's model has ", ToString(expected)));
}

absl::StatusOr<std::unique_ptr<Physics>> MakePhysics(const TaskDefinition& definition,
                                                     const std::string& assets) {
  if (definition.built_in()) return Physics::FromXml(definition.mjcf);
  POMPC_ASSIGN_OR_RETURN(const std::string mjcf, LoadAssetModel(definition.asset, assets));
  auto physics = Physics::FromXml(mjcf);
  const absl::Status status =
      physics.ok() ? CheckSizes((*physics)->model(), definition.asset.sizes) : physics.status();
  if (!status.ok()) return ExplainAssetError(status, definition.asset, assets);
  return physics;
}

// The times are those that the physics can have: a control step is a whole number of physics steps.
EnvironmentSpec MakeSpec(const TaskDefinition& definition, const mjModel& model,
                         int physics_steps) {
  EnvironmentSpec spec;
  spec.task = definition.name;
  spec.action_size = model.nu;
  for (int i = 0; i < model.nu; ++i) {
    spec.action_low.push_back(model.actuator_ctrlrange[2 * i]);
    spec.action_high.push_back(model.actuator_ctrlrange[2 * i + 1]);
  }
  spec.step_seconds = physics_steps * model.opt.timestep;
  spec.episode_steps =
      static_cast<int>(std::lround(definition.episode_seconds / spec.step_seconds));
  spec.terminates = definition.terminates;
  return spec;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Simulation>> Simulation::Make(const TaskDefinition& definition,
                                                             uint32_t seed,
                                                             const std::string& assets) {
  auto physics = MakePhysics(definition, assets);
  if (!physics.ok()) return Annotate(physics.status(), definition.name);
  std::unique_ptr<Simulation> simulation(new Simulation(definition, *std::move(physics), seed));
  absl::Status status = simulation->TryOut(definition);
  if (status.ok()) return simulation;
  if (!definition.built_in()) status = ExplainAssetError(status, definition.asset, assets);
  return Annotate(status, definition.name);
}

// A task's constructor looks its elements up by name and cannot fail; what it missed is reported
// here. Observing once measures the observation, so that a task need not say its size.
absl::Status Simulation::TryOut(const TaskDefinition& definition) {
  const mjModel& model = physics_->model();
  if (physics_steps_ < 1) {
    return absl::InvalidArgumentError(absl::StrCat("control steps of ", definition.control_seconds,
                                                   " s are shorter than the model's time step"));
  }
  for (int i = 0; i < model.nu; ++i) {
    if (!model.actuator_ctrllimited[i]) {
      return absl::InvalidArgumentError(absl::StrCat("actuator ", i, " has no control range"));
    }
  }
  POMPC_RETURN_IF_ERROR(physics_->lookup_status());
  POMPC_RETURN_IF_ERROR(physics_->Reset());
  POMPC_RETURN_IF_ERROR(Read());
  spec_.observation_size = static_cast<int>(observation_.size());
  return absl::OkStatus();
}

Simulation::Simulation(const TaskDefinition& definition, std::unique_ptr<Physics> physics,
                       uint32_t seed)
    : physics_(std::move(physics)),
      task_(definition.make(*physics_)),
      random_(seed),
      physics_steps_(static_cast<int>(
          std::lround(definition.control_seconds / physics_->model().opt.timestep))) {
  spec_ = MakeSpec(definition, physics_->model(), physics_steps_);
}

absl::Status Simulation::Reset() {
  running_ = succeeded_ = false;
  POMPC_CHECK_GT(spec_.observation_size, 0, "TryOut() comes first");
  POMPC_RETURN_IF_ERROR(physics_->Reset());
  POMPC_RETURN_IF_ERROR(task_->Initialize(*physics_, random_));
  return Begin(Actuation::kDisabled);
}

// Everything that is not given has the value that it has after a reset, so that the same state
// always gives the same numbers.
absl::Status Simulation::Place(const PlacedState& state, Actuation actuation) {
  running_ = succeeded_ = false;
  POMPC_RETURN_IF_ERROR(physics_->Reset());
  const mjModel& model = physics_->model();
  mjData& data = physics_->data();
  const std::span<double> target = task_->Target(*physics_);
  POMPC_RETURN_IF_ERROR(Assign("qpos", state.qpos, data.qpos, model.nq));
  POMPC_RETURN_IF_ERROR(Assign("qvel", state.qvel, data.qvel, model.nv));
  POMPC_RETURN_IF_ERROR(Assign("act", state.act, data.act, model.na));
  POMPC_RETURN_IF_ERROR(Assign("ctrl", state.ctrl, data.ctrl, model.nu));
  POMPC_RETURN_IF_ERROR(Assign("target", state.target, target.data(), target.size()));
  return Begin(actuation);
}

absl::Status Simulation::Begin(Actuation actuation) {
  POMPC_RETURN_IF_ERROR(physics_->Forward(actuation));
  POMPC_RETURN_IF_ERROR(Read());
  fault_ = absl::OkStatus();
  running_ = succeeded_ = true;
  return absl::OkStatus();
}

// A failed simulation ends the episode but is not an error of the caller: the agent did what it may
// do. Reward and observation are those of the last valid state, so nothing downstream meets NaN.
absl::StatusOr<StepResult> Simulation::Step(std::span<const double> action) {
  if (!running_) return absl::FailedPreconditionError("no episode is running: Reset first");
  POMPC_RETURN_IF_ERROR(CheckAction(action));
  std::copy(action.begin(), action.end(), physics_->data().ctrl);
  fault_ = physics_->Advance(physics_steps_);
  if (fault_.ok()) fault_ = Read();
  StepResult result;
  if (!fault_.ok()) {
    running_ = succeeded_ = false;
    result.truncated = result.unstable = true;
    return result;
  }
  result.reward = reward_;
  POMPC_DCHECK(IsMagnitude(result.reward));
  result.terminated = spec_.terminates && task_->Terminated(*physics_);
  running_ = !result.terminated;
  return result;
}

// The new observation is read into a second buffer and swapped in once it is known to be valid.
// After the first episode neither allocates.
absl::Status Simulation::Read() {
  const double reward = task_->Reward(*physics_);
  next_observation_.clear();
  task_->Observe(*physics_, next_observation_);
  if (!IsMagnitude(reward) ||
      !std::all_of(next_observation_.begin(), next_observation_.end(), IsMagnitude)) {
    return absl::AbortedError(
        "unstable simulation: an observation or reward is not finite, or too large");
  }
  // A task that shows another number of numbers is a bug: everything behind relies on the size.
  POMPC_CHECK(spec_.observation_size == 0 ||
              static_cast<int>(next_observation_.size()) == spec_.observation_size);
  reward_ = reward;
  observation_.swap(next_observation_);
  return absl::OkStatus();
}

absl::Status Simulation::CheckAction(std::span<const double> action) const {
  if (static_cast<int>(action.size()) != spec_.action_size) {
    return absl::InvalidArgumentError(absl::StrCat("action has ", action.size(), " numbers, ",
                                                   spec_.task, " needs ", spec_.action_size));
  }
  for (size_t i = 0; i < action.size(); ++i) {
    if (!std::isfinite(action[i])) {
      return absl::InvalidArgumentError(absl::StrCat("action[", i, "] is ", action[i]));
    }
  }
  return absl::OkStatus();
}

}  // namespace pompc::env
