#include "common/config/task_specs.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/check.h"
#include "common/config/run_config.h"

namespace pompc::config {
namespace {

std::string TaskNames() {
  return absl::StrJoin(TaskSpecs(), ", ", [](std::string* out, const TaskSpec& spec) {
    absl::StrAppend(out, spec.task);
  });
}

// A spec that is given beside a task comes from a resolved config, or from a user who wants to be
// sure: a difference means that the task is not the one that they think of.
template <typename T>
absl::Status CheckSame(const char* field, bool given, T value, T expected,
                       const proto::EnvConfig& env) {
  if (!given || value == expected) return absl::OkStatus();
  // Both values are named, and the way out.
  return absl::InvalidArgumentError(
      absl::StrCat("env.spec.", field, ": ", value, "; env.task \"", env.task(),
                   "\" with env.action_repeat ", env.action_repeat(), " has ", expected,
                   " (leave env.spec out to have it filled in)"));
}

}  // namespace

// A table, and not what the environments say: the learner fills the config in and has no MuJoCo.
const std::vector<TaskSpec>& TaskSpecs() {
  static const auto* specs = new std::vector<TaskSpec>{
      {"pendulum-swingup", 3, 1, 1000, false},
      {"pendulum-spin", 3, 1, 1000, false},
      {"cartpole-balance", 5, 1, 1000, false},
      {"cartpole-balance-sparse", 5, 1, 1000, false},
      {"cartpole-swingup", 5, 1, 1000, false},
      {"cartpole-swingup-sparse", 5, 1, 1000, false},
      {"acrobot-swingup", 6, 1, 1000, false},
      {"reacher-easy", 6, 2, 1000, false},
      {"reacher-hard", 6, 2, 1000, false},
      {"reacher-three-easy", 8, 3, 1000, false},
      {"reacher-three-hard", 8, 3, 1000, false},
      {"cup-catch", 8, 2, 1000, false},
      {"cup-spin", 8, 2, 1000, false},
      {"finger-spin", 9, 2, 1000, false},
      {"finger-turn-easy", 12, 2, 1000, false},
      {"finger-turn-hard", 12, 2, 1000, false},
      {"cheetah-run", 17, 6, 1000, false},
      {"cheetah-run-backwards", 17, 6, 1000, false},
      {"cheetah-run-front", 17, 6, 1000, false},
      {"cheetah-run-back", 17, 6, 1000, false},
      {"cheetah-jump", 17, 6, 1000, false},
      {"walker-stand", 24, 6, 1000, false},
      {"walker-walk", 24, 6, 1000, false},
      {"walker-run", 24, 6, 1000, false},
      {"walker-walk-backwards", 24, 6, 1000, false},
      {"walker-run-backwards", 24, 6, 1000, false},
      {"hopper-stand", 15, 4, 1000, false},
      {"hopper-hop", 15, 4, 1000, false},
      {"hopper-hop-backwards", 15, 4, 1000, false},
      {"fish-swim", 24, 5, 1000, false},
      {"humanoid-stand", 67, 21, 1000, false},
      {"humanoid-walk", 67, 21, 1000, false},
      {"humanoid-run", 67, 21, 1000, false},
      {"quadruped-walk", 78, 12, 1000, false},
      {"quadruped-run", 78, 12, 1000, false},
      {"dog-stand", 223, 38, 1000, false},
      {"dog-walk", 223, 38, 1000, false},
      {"dog-trot", 223, 38, 1000, false},
      {"dog-run", 223, 38, 1000, false},
      {"inverted-pendulum-balance", 4, 1, 1000, true},
  };
  return *specs;
}

absl::StatusOr<proto::EnvSpec> MakeEnvSpec(const std::string& task, uint32_t action_repeat) {
  POMPC_CHECK_GE(action_repeat, 1u);
  const auto& specs = TaskSpecs();
  const auto found = std::find_if(specs.begin(), specs.end(),
                                  [&](const TaskSpec& spec) { return spec.task == task; });
  if (found == specs.end()) {
    return absl::NotFoundError(absl::StrCat(
        "env.task: \"", task, "\" is not a task; allowed: ", TaskNames(), ", or ", kExternalTask));
  }
  proto::EnvSpec spec;
  spec.set_observation_size(found->observation_size);
  spec.set_action_size(found->action_size);
  // The last decision of an episode may be held for fewer control steps than the others.
  spec.set_episode_decisions((found->control_steps + action_repeat - 1) / action_repeat);
  spec.set_terminates(found->terminates);
  return spec;
}

// The spec of an external task is checked by Validate, which requires its sizes.
absl::Status FillEnvSpec(proto::RunConfig* config) {
  const proto::EnvConfig& env = config->env();
  if (env.task() == kExternalTask) return absl::OkStatus();
  POMPC_ASSIGN_OR_RETURN(const proto::EnvSpec spec, MakeEnvSpec(env.task(), env.action_repeat()));
  const proto::EnvSpec& given = env.spec();
  POMPC_RETURN_IF_ERROR(CheckSame("observation_size", given.has_observation_size(),
                                  given.observation_size(), spec.observation_size(), env));
  POMPC_RETURN_IF_ERROR(CheckSame("action_size", given.has_action_size(), given.action_size(),
                                  spec.action_size(), env));
  POMPC_RETURN_IF_ERROR(CheckSame("episode_decisions", given.has_episode_decisions(),
                                  given.episode_decisions(), spec.episode_decisions(), env));
  POMPC_RETURN_IF_ERROR(
      CheckSame("terminates", given.has_terminates(), given.terminates(), spec.terminates(), env));
  POMPC_CHECK(spec.observation_size() > 0 && spec.action_size() > 0);
  *config->mutable_env()->mutable_spec() = spec;
  return absl::OkStatus();
}

}  // namespace pompc::config
