#include "actor/env/registry.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "actor/env/tasks/domains.h"
#include "common/status_macros.h"

namespace pompc::env {
namespace {

const std::vector<TaskDefinition>& Definitions() {
  static const auto* definitions = [] {
    auto* all = new std::vector<TaskDefinition>;
    for (const auto& domain :
         {PendulumTasks(), CartpoleTasks(), AcrobotTasks(), ReacherTasks(), BallInCupTasks(),
          FingerTasks(), CheetahTasks(), WalkerTasks(), HopperTasks()}) {
      all->insert(all->end(), domain.begin(), domain.end());
    }
    return all;
  }();
  return *definitions;
}

}  // namespace

std::vector<std::string> ListTasks() {
  std::vector<std::string> names;
  for (const TaskDefinition& definition : Definitions()) names.push_back(definition.name);
  return names;
}

absl::StatusOr<std::unique_ptr<Simulation>> MakeSimulation(absl::string_view task, uint32_t seed) {
  for (const TaskDefinition& definition : Definitions()) {
    if (definition.name == task) return Simulation::Make(definition, seed);
  }
  return absl::NotFoundError(
      absl::StrCat("unknown task \"", task, "\"; tasks are: ", absl::StrJoin(ListTasks(), ", ")));
}

absl::StatusOr<std::unique_ptr<Environment>> MakeEnvironment(absl::string_view task,
                                                             uint32_t seed) {
  POMPC_ASSIGN_OR_RETURN(std::unique_ptr<Environment> simulation, MakeSimulation(task, seed));
  return std::make_unique<TimeLimit>(std::make_unique<ActionScaling>(std::move(simulation)));
}

absl::StatusOr<std::unique_ptr<FloatEnvironment>> MakeFloatEnvironment(absl::string_view task,
                                                                       uint32_t seed,
                                                                       int action_repeat) {
  if (action_repeat < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("action_repeat is ", action_repeat, ", it must be at least 1"));
  }
  POMPC_ASSIGN_OR_RETURN(std::unique_ptr<Environment> environment, MakeEnvironment(task, seed));
  return std::make_unique<FloatEnvironment>(
      std::make_unique<ActionRepeat>(std::move(environment), action_repeat));
}

}  // namespace pompc::env
