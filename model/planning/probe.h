// The numbers of plans, for programs that compute the same in another way.
#ifndef POMPC_MODEL_PLANNING_PROBE_H_
#define POMPC_MODEL_PLANNING_PROBE_H_

#include "absl/status/statusor.h"
#include "model/parameters.h"
#include "model/planning/plan.h"

namespace pompc::model {

// Plans as a Planner does from observations, seeds and warm starts, and returns the plans with all
// random numbers that they were made with. Input and output arrays are those of
// docs/checkpoints.md. INVALID_ARGUMENT naming the arrays that are missing, unknown, of another
// shape or type, or not finite. Thread-safe. REQUIRES: as Planner.
absl::StatusOr<NamedTensors> ProbePlans(const WorldModel& model, const proto::RunConfig& config,
                                        const NamedTensors& inputs);

}  // namespace pompc::model

#endif  // POMPC_MODEL_PLANNING_PROBE_H_
