#ifndef POMPC_PLANNER_TORCH_ENGINE_H_
#define POMPC_PLANNER_TORCH_ENGINE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "planner/engine.h"

namespace pompc::planner {

struct TorchEngineOptions {
  // cpu, cuda or cuda:N.
  std::string device = "cpu";
  // On the CPU: threads that plan, each for some of the requests that wait. 0: as many as this
  // process may run at once. A GPU is fed by one.
  int threads = 0;
  // Whether the number of the BLAS's threads, which are the process's, is somebody else's to set.
  // Else it is 1.
  bool shares_blas = false;
  // Whether the sampling policy acts alone, without planning.
  bool policy_alone = false;
};

// The engine that plans with LibTorch (model/mppi.h). Says in the log what it computes with, and
// warns of a slow BLAS. INVALID_ARGUMENT for a device or a number of threads that is none,
// FAILED_PRECONDITION for a device that is not there.
absl::StatusOr<std::shared_ptr<PlanEngine>> MakeTorchEngine(const TorchEngineOptions& options);

}  // namespace pompc::planner

#endif  // POMPC_PLANNER_TORCH_ENGINE_H_
