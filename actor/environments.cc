#include "actor/environments.h"

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "actor/env/registry.h"
#include "common/base/check.h"
#include "common/config/run_config.h"

namespace pompc::actor {
namespace {

std::string ToString(const proto::EnvSpec& spec) {
  return absl::StrCat("observation_size ", spec.observation_size(), ", action_size ",
                      spec.action_size(), ", episode_decisions ", spec.episode_decisions(),
                      ", terminates ", spec.terminates() ? "true" : "false");
}

// Returns the sizes of the task, which are found by making one of its environments.
absl::StatusOr<proto::EnvSpec> SpecOfTask(const proto::EnvConfig& config,
                                          const std::string& assets) {
  if (config.task() == config::kExternalTask) {
    return absl::InvalidArgumentError(
        "env.task is \"external\": an actor of your own must step its environment");
  }
  POMPC_ASSIGN_OR_RETURN(const auto environment,
                         env::MakeFloatEnvironment(
                             config.task(), 0, static_cast<int>(config.action_repeat()), assets));
  const env::EnvironmentSpec& found = environment->spec();
  proto::EnvSpec spec;
  spec.set_observation_size(found.observation_size);
  spec.set_action_size(found.action_size);
  spec.set_episode_decisions(found.episode_steps);
  spec.set_terminates(found.terminates);
  return spec;
}

}  // namespace

// An actor of another version may know the task with other sizes. It is better refused here than
// when the shards refuse its rows.
absl::StatusOr<EnvironmentFactory> FactoryForTask(const proto::EnvConfig& config,
                                                  const std::string& assets) {
  POMPC_ASSIGN_OR_RETURN(const proto::EnvSpec found, SpecOfTask(config, assets));
  const std::string expected = ToString(config.spec());
  if (ToString(found) != expected) {
    return absl::FailedPreconditionError(absl::StrCat("the run expects ", config.task(), " with ",
                                                      expected, "; this program's has ",
                                                      ToString(found)));
  }
  return [task = config.task(), repeat = static_cast<int>(config.action_repeat()),
          assets](uint32_t seed) { return env::MakeFloatEnvironment(task, seed, repeat, assets); };
}

}  // namespace pompc::actor
