#ifndef POMPC_PLANNER_CORE_PLAN_QUEUE_H_
#define POMPC_PLANNER_CORE_PLAN_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "planner/core/backend.h"

namespace pompc::planner {

// A plan and how it came about.
struct PlanResult {
  Plan plan;
  ParameterVersion version;
  // From Submit to the start of its batch.
  absl::Duration queue_wait;
  // Of its batch.
  absl::Duration compute;
  int batch_size = 0;
};

// One request that waits for a plan.
struct PlanCall {
  PlanItem item;
  // Plan with exactly these parameters; null: with the newest when the batch starts.
  std::shared_ptr<const PlannerModel> pinned;
  // On the batcher's clock.
  absl::Duration deadline = absl::InfiniteDuration();
  // Called exactly once, on a thread of the batcher, or in Cancel() or Close(); must not block.
  std::function<void(absl::StatusOr<PlanResult>)> done;

  // Filled in by the queue.
  uint64_t id = 0;
  absl::Duration submitted;
};

// The calls that wait, and the decision what to plan next. No threads, no locks, no clock: the
// batcher's lock guards it, and tests step it.
class PlanQueue {
 public:
  // What is to be done now.
  struct Step {
    // To be answered without planning: DEADLINE_EXCEEDED for calls that waited too long,
    // INVALID_ARGUMENT for those that no longer fit (the run was resumed with another horizon).
    std::vector<std::pair<PlanCall, absl::Status>> refused;
    // To be planned together with `model`; empty if nothing waits.
    std::vector<PlanCall> batch;
    std::shared_ptr<const PlannerModel> model;
  };

  // Appends calls at time `now` and returns the id of the first; the others count up from it.
  // RESOURCE_EXHAUSTED when `max_queue` calls wait already; until then all are taken.
  absl::StatusOr<uint64_t> Push(std::vector<PlanCall> calls, size_t max_queue, absl::Duration now);

  // Takes out the refused calls, and the next batch for one of `threads` that plan: the oldest call
  // decides the parameters, and those that wait for the same parameters join it, oldest first, up
  // to their spec's max_batch and to the thread's even share of all that wait.
  // REQUIRES: `newest` is not null if a call without pinned parameters waits.
  Step Poll(absl::Duration now, const std::shared_ptr<const PlannerModel>& newest, int threads = 1);

  // Takes out one call, if it still waits.
  std::optional<PlanCall> Remove(uint64_t id);
  std::vector<PlanCall> TakeAll();

  size_t size() const { return calls_.size(); }
  bool empty() const { return calls_.empty(); }

 private:
  // By id.
  std::deque<PlanCall> calls_;
  uint64_t next_id_ = 1;
};

}  // namespace pompc::planner

#endif  // POMPC_PLANNER_CORE_PLAN_QUEUE_H_
