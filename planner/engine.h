#ifndef POMPC_PLANNER_ENGINE_H_
#define POMPC_PLANNER_ENGINE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "parameters/parameter_snapshot.h"
#include "planner/core/backend.h"

namespace pompc::planner {

// A backend that can also make its models from published parameters. Load() may run at the same
// time as PlanBatch(), on a thread of its own.
class PlanEngine : public PlanBackend {
 public:
  // A model of the snapshot's parameters and config, blocking while it builds it and moves it to
  // the device. INVALID_ARGUMENT naming what does not fit: a config section, a tensor's name or
  // shape.
  virtual absl::StatusOr<std::shared_ptr<const PlannerModel>> Load(
      const parameters::ParameterSnapshot& snapshot) = 0;
  // What plans are computed with, in words: engines of which this is the same make the same plans,
  // number by number.
  virtual std::string arithmetic() const = 0;
};

}  // namespace pompc::planner

#endif  // POMPC_PLANNER_ENGINE_H_
