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
  // Threads that plan on a CPU, each for some of the requests that wait; 0: as many as this process
  // may run at once. One thread feeds a GPU.
  int threads = 0;
  // Leaves the number of the BLAS's threads, which belong to the process, to another part of it.
  // Otherwise the engine sets it to 1.
  bool shares_blas = false;
  // Acts by the sampling policy alone, without planning.
  bool policy_alone = false;
};

// What the engine computes with, as PlanEngine::arithmetic says it: the version of this program,
// the device, LibTorch and the BLAS. Fails as MakeTorchEngine for a name that is no device's.
absl::StatusOr<std::string> TorchArithmetic(const std::string& device);

// The engine that plans with LibTorch (model/planning/plan.h). Says in the log what it computes
// with, and warns of a slow BLAS. INVALID_ARGUMENT for a name that is no device's or a number of
// threads out of range, FAILED_PRECONDITION for a device that this machine lacks.
absl::StatusOr<std::shared_ptr<PlanEngine>> MakeTorchEngine(const TorchEngineOptions& options);

}  // namespace pompc::planner

#endif  // POMPC_PLANNER_TORCH_ENGINE_H_
