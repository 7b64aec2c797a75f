#ifndef POMPC_COMMON_CONFIG_TASK_SPECS_H_
#define POMPC_COMMON_CONFIG_TASK_SPECS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/config.pb.h"

namespace pompc::config {

// What the roles without MuJoCo need to know of a task. The environments themselves say the same
// (tests/actor/env/task_specs_test.cc compares).
struct TaskSpec {
  std::string task;
  uint32_t observation_size = 0;
  uint32_t action_size = 0;
  // Longest episode in control steps.
  uint32_t control_steps = 0;
  bool terminates = false;
};

// All tasks, in the order `pompc tasks` lists them.
const std::vector<TaskSpec>& TaskSpecs();

// The EnvSpec of `task` with actions held for `action_repeat` control steps. NOT_FOUND naming the
// known tasks. REQUIRES: action_repeat >= 1.
absl::StatusOr<proto::EnvSpec> MakeEnvSpec(const std::string& task, uint32_t action_repeat);

// Fills config->env().spec() in from the task; what is given must agree. For the external task it
// stays as given. NOT_FOUND as MakeEnvSpec, INVALID_ARGUMENT naming the field that disagrees and
// both values.
absl::Status FillEnvSpec(proto::RunConfig* config);

}  // namespace pompc::config

#endif  // POMPC_COMMON_CONFIG_TASK_SPECS_H_
