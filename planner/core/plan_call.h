#ifndef POMPC_PLANNER_CORE_PLAN_CALL_H_
#define POMPC_PLANNER_CORE_PLAN_CALL_H_

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "planner/core/backend.h"

namespace pompc::planner {

// A plan and how it came about.
struct PlanResult {
  Plan plan;
  ParameterVersion version;
  // Time from Submit to the start of its batch.
  absl::Duration queue_wait;
  // Time that its batch took to compute.
  absl::Duration compute;
  int batch_size = 0;
};

// One request that waits for a plan.
struct PlanCall {
  PlanItem item;
  // The parameters to plan with; null: the newest ones of the run when the batch starts.
  std::shared_ptr<const PlannerModel> pinned;
  // Whose call it is: calls of different clients share the run's plans evenly.
  uint64_t client = 0;
  // A time of the batcher's clock.
  absl::Duration deadline = absl::InfiniteDuration();
  // Called exactly once, on a thread of the batcher, or in Cancel() or Close(); must not block.
  std::function<void(absl::StatusOr<PlanResult>)> done;

  // Filled in by the queue.
  uint64_t id = 0;
  absl::Duration submitted;
};

}  // namespace pompc::planner

#endif  // POMPC_PLANNER_CORE_PLAN_CALL_H_
