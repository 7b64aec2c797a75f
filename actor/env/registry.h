#ifndef POMPC_ACTOR_ENV_REGISTRY_H_
#define POMPC_ACTOR_ENV_REGISTRY_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "actor/env/simulation.h"
#include "actor/env/wrappers.h"

namespace pompc::env {

// All tasks, in the order of their domains.
const std::vector<TaskDefinition>& Tasks();
// Their names.
std::vector<std::string> ListTasks();

// The task alone: control steps, actions in actuator units, no time limit. NOT_FOUND for an unknown
// task, naming the known ones. `seed` fixes everything random about the environment; `assets` is
// the folder of the models that are not built in, empty for DefaultAssetFolder(). Statuses of
// LoadAssetModel for a task whose model is not there or not good.
absl::StatusOr<std::unique_ptr<Simulation>> MakeSimulation(absl::string_view task, uint32_t seed,
                                                           const std::string& assets = "");

// The task as agents see it: actions in [-1, 1] and episodes cut at the time limit, one control
// step at a time. Fails as MakeSimulation.
absl::StatusOr<std::unique_ptr<Environment>> MakeEnvironment(absl::string_view task, uint32_t seed,
                                                             const std::string& assets = "");

// As MakeEnvironment, with every action held for `action_repeat` control steps and float32 numbers.
// INVALID_ARGUMENT if action_repeat < 1.
absl::StatusOr<std::unique_ptr<FloatEnvironment>> MakeFloatEnvironment(
    absl::string_view task, uint32_t seed, int action_repeat, const std::string& assets = "");

}  // namespace pompc::env

#endif  // POMPC_ACTOR_ENV_REGISTRY_H_
