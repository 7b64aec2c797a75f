#ifndef POMPC_COMMON_CONFIG_TASK_SPECS_H_
#define POMPC_COMMON_CONFIG_TASK_SPECS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/config.pb.h"

namespace pompc::config {

// What the roles without MuJoCo need to know about a task. tests/actor/env/task_specs_test.cc
// compares it with the environments themselves.
struct TaskSpec {
  std::string task;
  uint32_t observation_size = 0;
  uint32_t action_size = 0;
  // The longest episode in control steps.
  uint32_t control_steps = 0;
  bool terminates = false;
};

// Returns all tasks, in the order in which `pompc tasks` lists them.
const std::vector<TaskSpec>& TaskSpecs();

// Returns the EnvSpec of `task` with actions held for `action_repeat` control steps. Fails with
// NOT_FOUND, naming the known tasks, for an unknown one. REQUIRES: action_repeat >= 1.
absl::StatusOr<proto::EnvSpec> MakeEnvSpec(const std::string& task, uint32_t action_repeat);

// Fills config->env().spec() in from the task. Fields that are given must agree with it; for the
// external task the spec stays as it is given. Fails with NOT_FOUND as MakeEnvSpec does, and with
// INVALID_ARGUMENT naming the field that disagrees and both values. REQUIRES: `config` is valid.
absl::Status FillEnvSpec(proto::RunConfig* config);

}  // namespace pompc::config

#endif  // POMPC_COMMON_CONFIG_TASK_SPECS_H_
