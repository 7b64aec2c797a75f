// Planning on a CPU in float32 or bfloat16, by the kernels alone: no LibTorch operation, and no
// allocation after a thread's first plan. What it computes is defined by pass.h, search.h and
// trajectories.h, whose tensor operations serve other devices and dtypes; tests compare both.
#ifndef POMPC_MODEL_PLANNING_CPU_PLANNER_H_
#define POMPC_MODEL_PLANNING_CPU_PLANNER_H_

#include <cstdint>
#include <memory>

#include "absl/time/time.h"
#include "common/base/threads.h"
#include "model/world_model.h"

namespace pompc::model {

// One state to plan from. Sizes as in PlanInputs, of which it is one row.
struct CpuPlanRequest {
  const float* observation = nullptr;
  const float* warm_start = nullptr;  // as it came back, or nullptr
  uint64_t seed = 0;
  bool evaluate = false;
  absl::Duration finish_by = absl::InfiniteDuration();
  const Clock* clock = Clock::Real();
};

// The plan goes here, the row of each tensor of Plans, and which sequences it was made of.
struct CpuPlan {
  float* action = nullptr;
  float* mean = nullptr;
  float* std = nullptr;
  float* value = nullptr;
  float* warm_start = nullptr;
  int* iterations = nullptr;
  // Numbers of the last iteration's elites among its candidates, of which the policy's come first;
  // the best elite first, [E]. Or nullptr, if nobody wants to know.
  int32_t* elites = nullptr;
};

// Holds a packed copy of a model's parameters. Immutable, thread-safe. A thread that plans keeps a
// workspace, as large as the largest plan it made needs, until it ends.
class CpuPlanner {
 public:
  virtual ~CpuPlanner() = default;

  // nullptr where the kernels cannot compute this model: on other devices, in other dtypes, and
  // with layers that are no multiple of 8 wide. REQUIRES: as Planner.
  static std::unique_ptr<const CpuPlanner> Create(const WorldModel& model,
                                                  const proto::RunConfig& config);

  virtual void Plan(const CpuPlanRequest& request, const CpuPlan& plan) const = 0;
};

}  // namespace pompc::model

#endif  // POMPC_MODEL_PLANNING_CPU_PLANNER_H_
