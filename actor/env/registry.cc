#include "actor/env/registry.h"

#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/check.h"
#include "common/base/status_macros.h"

namespace pompc::env {

// The tasks of each domain. Each function is defined in the file of tasks/ that has the domain's
// name; this list and the one below are all that makes its tasks known.
std::vector<TaskDefinition> AcrobotTasks();
std::vector<TaskDefinition> BallInCupTasks();
std::vector<TaskDefinition> CartpoleTasks();
std::vector<TaskDefinition> CheetahTasks();
std::vector<TaskDefinition> DogTasks();
std::vector<TaskDefinition> FingerTasks();
std::vector<TaskDefinition> FishTasks();
std::vector<TaskDefinition> HopperTasks();
std::vector<TaskDefinition> HumanoidTasks();
std::vector<TaskDefinition> InvertedPendulumTasks();
std::vector<TaskDefinition> PendulumTasks();
std::vector<TaskDefinition> QuadrupedTasks();
std::vector<TaskDefinition> ReacherTasks();
std::vector<TaskDefinition> WalkerTasks();

const std::vector<TaskDefinition>& Tasks() {
  // Never destroyed: environments may outlive static objects.
  static const auto* definitions = [] {
    auto* all = new std::vector<TaskDefinition>;
    for (const auto& domain :
         {PendulumTasks(), CartpoleTasks(), AcrobotTasks(), ReacherTasks(), BallInCupTasks(),
          FingerTasks(), CheetahTasks(), WalkerTasks(), HopperTasks(), FishTasks(), HumanoidTasks(),
          QuadrupedTasks(), DogTasks(), InvertedPendulumTasks()}) {
      all->insert(all->end(), domain.begin(), domain.end());
    }
    // Two tasks of one name would hide each other.
    std::set<std::string> names;
    for (const TaskDefinition& task : *all) POMPC_CHECK(names.insert(task.name).second, task.name);
    return all;
  }();
  return *definitions;
}

std::vector<std::string> ListTasks() {
  std::vector<std::string> names;
  for (const TaskDefinition& definition : Tasks()) names.push_back(definition.name);
  return names;
}

absl::StatusOr<std::unique_ptr<Simulation>> MakeSimulation(absl::string_view task, uint32_t seed,
                                                           const std::string& assets) {
  for (const TaskDefinition& definition : Tasks()) {
    if (definition.name == task) return Simulation::Make(definition, seed, assets);
  }
  return absl::NotFoundError(
      absl::StrCat("unknown task \"", task, "\"; tasks are: ", absl::StrJoin(ListTasks(), ", ")));
}

absl::StatusOr<std::unique_ptr<Environment>> MakeEnvironment(absl::string_view task, uint32_t seed,
                                                             const std::string& assets) {
  POMPC_ASSIGN_OR_RETURN(std::unique_ptr<Environment> simulation,
                         MakeSimulation(task, seed, assets));
  return std::make_unique<TimeLimit>(std::make_unique<ActionScaling>(std::move(simulation)));
}

absl::StatusOr<std::unique_ptr<FloatEnvironment>> MakeFloatEnvironment(absl::string_view task,
                                                                       uint32_t seed,
                                                                       int action_repeat,
                                                                       const std::string& assets) {
  if (action_repeat < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("action_repeat is ", action_repeat, ", it must be at least 1"));
  }
  POMPC_ASSIGN_OR_RETURN(std::unique_ptr<Environment> environment,
                         MakeEnvironment(task, seed, assets));
  // The repeat is outside of the time limit, which counts control steps, so that an episode has the
  // same length for every action repeat.
  return std::make_unique<FloatEnvironment>(
      std::make_unique<ActionRepeat>(std::move(environment), action_repeat));
}

}  // namespace pompc::env
