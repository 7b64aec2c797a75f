#include "actor/env/registry.h"

#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "actor/env/domains.h"
#include "common/base/check.h"

namespace pompc::env {

// The function of each domain is defined in the file of tasks/ that has the domain's name.
#define POMPC_DECLARE_DOMAIN(Domain) std::vector<TaskDefinition> Domain##Tasks();
POMPC_DOMAINS(POMPC_DECLARE_DOMAIN)
#undef POMPC_DECLARE_DOMAIN

const std::vector<TaskDefinition>& Tasks() {
  // Never destroyed: environments may outlive static objects.
  static const auto* definitions = [] {
    auto* all = new std::vector<TaskDefinition>;
    const auto add = [all](const std::vector<TaskDefinition>& domain) {
      all->insert(all->end(), domain.begin(), domain.end());
    };
#define POMPC_ADD_DOMAIN(Domain) add(Domain##Tasks());
    POMPC_DOMAINS(POMPC_ADD_DOMAIN)
#undef POMPC_ADD_DOMAIN
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
