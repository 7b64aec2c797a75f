#ifndef POMPC_TESTS_ACTOR_ENV_AVAILABLE_H_
#define POMPC_TESTS_ACTOR_ENV_AVAILABLE_H_

#include <string>
#include <vector>

#include "actor/env/registry.h"

namespace pompc::env {

// Names of the tasks whose models are here: built in, or found in the folder of the suite's models
// ($POMPC_ASSETS, or where scripts/fetch-control-suite.sh puts them). That folder may be absent;
// LoadedTasksTest says so.
inline std::vector<std::string> AvailableTasks() {
  std::vector<std::string> names;
  for (const TaskDefinition& task : Tasks()) {
    if (task.built_in() || FindAssetModel(task.asset, "").ok()) names.push_back(task.name);
  }
  return names;
}

// Recorded numbers are of MuJoCo 2. Later versions number flags and kinds of sensors otherwise.
inline bool NewerMujoco() { return mj_version() >= 300; }

}  // namespace pompc::env

#endif  // POMPC_TESTS_ACTOR_ENV_AVAILABLE_H_
