#ifndef POMPC_LEARNER_BROADCAST_MODEL_CONFIG_H_
#define POMPC_LEARNER_BROADCAST_MODEL_CONFIG_H_

#include "absl/status/statusor.h"
#include "model/config.h"
#include "proto/config.pb.h"

namespace pompc::learner {

// The plain structs of model/ from a resolved run config: the one place that knows both. Planner
// and learner build the same model from the same sections.

// From env.spec and model. INVALID_ARGUMENT naming the field when a section is missing or a value
// is out of range.
absl::StatusOr<model::ModelConfig> ModelConfigFrom(const proto::RunConfig& config);

// From planner, env.spec and learner.discount. INVALID_ARGUMENT likewise.
absl::StatusOr<model::MppiConfig> MppiConfigFrom(const proto::RunConfig& config);

// The sections that planning needs: env, model, planner, and of learner the discount alone. What a
// ParametersDescription carries.
proto::RunConfig PlanningSections(const proto::RunConfig& config);

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_BROADCAST_MODEL_CONFIG_H_
