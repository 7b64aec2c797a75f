#ifndef POMPC_ACTOR_ENVIRONMENTS_H_
#define POMPC_ACTOR_ENVIRONMENTS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "actor/core/environment_slot.h"
#include "proto/config.pb.h"

namespace pompc::actor {

// Makes the environments of a run. Checks first that they are what the run's other parts expect:
// FAILED_PRECONDITION naming both sizes if config.spec differs from the task. NOT_FOUND naming the
// tasks there are for an unknown one; INVALID_ARGUMENT for the external task, whose environments
// nobody here knows. `assets` is the folder of the models that are not built in, empty for
// env::DefaultAssetFolder(); statuses of env::LoadAssetModel.
absl::StatusOr<EnvironmentFactory> FactoryForTask(const proto::EnvConfig& config,
                                                  const std::string& assets = "");

}  // namespace pompc::actor

#endif  // POMPC_ACTOR_ENVIRONMENTS_H_
