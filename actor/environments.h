#ifndef POMPC_ACTOR_ENVIRONMENTS_H_
#define POMPC_ACTOR_ENVIRONMENTS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "actor/core/environment_slot.h"
#include "proto/config.pb.h"

namespace pompc::actor {

// Returns a factory of the run's environments, after checking that they are what the other roles
// expect: it fails with FAILED_PRECONDITION, naming both sizes, if config.spec differs from the
// task. It fails with NOT_FOUND, naming the known tasks, for an unknown one, and with
// INVALID_ARGUMENT for the external task, whose environments this program does not have. `assets`
// is the folder of the models that are not built in, empty for env::DefaultAssetFolder(); failures
// to load one are those of env::LoadAssetModel.
absl::StatusOr<EnvironmentFactory> FactoryForTask(const proto::EnvConfig& config,
                                                  const std::string& assets = "");

}  // namespace pompc::actor

#endif  // POMPC_ACTOR_ENVIRONMENTS_H_
