#ifndef POMPC_PARAMETERS_MODEL_CONFIG_H_
#define POMPC_PARAMETERS_MODEL_CONFIG_H_

#include "absl/status/statusor.h"
#include "model/config.h"
#include "proto/config.pb.h"

namespace pompc::parameters {

// The plain structs of model/ from a run config: the one place that knows both. Learner and
// planners build the same model from the same sections.

// From env.spec and model; zeros are filled in from model.size. INVALID_ARGUMENT naming the field
// when the spec is missing or a value is out of range.
absl::StatusOr<model::ModelConfig> ModelConfigFrom(const proto::RunConfig& config);

// From planner, env.spec and learner.discount, which must be given (its default, 0, stands for a
// rule of the learner's). INVALID_ARGUMENT naming the field when the spec or the discount is
// missing or a value is out of range.
absl::StatusOr<model::MppiConfig> MppiConfigFrom(const proto::RunConfig& config);

// What a ParametersDescription carries of the run's config: the sections that planning needs (env,
// model, planner), and `discount` as learner.discount.
proto::RunConfig PlanningSections(const proto::RunConfig& config, double discount);

}  // namespace pompc::parameters

#endif  // POMPC_PARAMETERS_MODEL_CONFIG_H_
