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

// Returns all tasks, in the order in which `pompc tasks` lists them.
const std::vector<TaskDefinition>& Tasks();
// Returns their names.
std::vector<std::string> ListTasks();

// Makes the task itself, with actions in actuator units and without a time limit. `seed` determines
// everything random about the environment; `assets` is the folder of the models that are not built
// in, empty for DefaultAssetFolder(). Fails with NOT_FOUND, naming the known tasks, for an unknown
// one, and as LoadAssetModel does for a task whose model is missing or damaged.
absl::StatusOr<std::unique_ptr<Simulation>> MakeSimulation(absl::string_view task, uint32_t seed,
                                                           const std::string& assets = "");

// Makes the task as agents see it: actions in [-1, 1], and episodes that end at the time limit.
// Each step is one control step. Fails as MakeSimulation does.
absl::StatusOr<std::unique_ptr<Environment>> MakeEnvironment(absl::string_view task, uint32_t seed,
                                                             const std::string& assets = "");

// Does the same with every action held for `action_repeat` control steps and numbers in float32.
// Fails with INVALID_ARGUMENT if action_repeat < 1, too.
absl::StatusOr<std::unique_ptr<FloatEnvironment>> MakeFloatEnvironment(
    absl::string_view task, uint32_t seed, int action_repeat, const std::string& assets = "");

}  // namespace pompc::env

#endif  // POMPC_ACTOR_ENV_REGISTRY_H_
