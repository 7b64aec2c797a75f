#ifndef POMPC_PLANNER_CORE_PLAN_QUEUE_H_
#define POMPC_PLANNER_CORE_PLAN_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
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
  // Time from Submit to the start of its batch.
  absl::Duration queue_wait;
  // Time that its batch took to compute.
  absl::Duration compute;
  int batch_size = 0;
};

// One request that waits for a plan.
struct PlanCall {
  PlanItem item;
  // The parameters to plan with; null: the newest ones when the batch starts.
  std::shared_ptr<const PlannerModel> pinned;
  // Whose call it is: calls of different clients share the planner evenly.
  uint64_t client = 0;
  // A time of the batcher's clock.
  absl::Duration deadline = absl::InfiniteDuration();
  // Called exactly once, on a thread of the batcher, or in Cancel() or Close(); must not block.
  std::function<void(absl::StatusOr<PlanResult>)> done;

  // Filled in by the queue.
  uint64_t id = 0;
  absl::Duration submitted;
};

// The calls that wait, and the decision what to plan next. Clients share the planner evenly, plan
// by plan, however many calls each has waiting: a client that asks for a few plans at a time gets
// them within about as many turns, beside others that always have hundreds waiting (start-time fair
// queueing; calls pinned to different parameters count as different clients). A client's own calls
// are planned in their order. No threads, no locks, no clock: the batcher's lock guards it, and
// tests step it.
class PlanQueue {
 public:
  // What the caller has to do now.
  struct Step {
    // Calls to answer without planning: DEADLINE_EXCEEDED for those that waited too long,
    // INVALID_ARGUMENT for those that no longer fit (the run was resumed with another horizon).
    std::vector<std::pair<PlanCall, absl::Status>> refused;
    // Calls to plan together, with `model`; empty if nothing waits.
    std::vector<PlanCall> batch;
    std::shared_ptr<const PlannerModel> model;
  };

  // `slice` bounds the time that a batch is expected to take, judged by recent plans. It is for
  // backends that make the plans of a batch one after the other, so that no answer waits long for
  // the plans of others.
  explicit PlanQueue(absl::Duration slice = absl::InfiniteDuration()) : slice_(slice) {}

  // Appends calls at time `now` and returns the id of the first; the others count up from it.
  // RESOURCE_EXHAUSTED when `max_queue` calls wait already; until then all are taken.
  absl::StatusOr<uint64_t> Push(std::vector<PlanCall> calls, size_t max_queue, absl::Duration now);

  // Takes out the refused calls, and the next batch for one of `threads` that plan: the client that
  // was served least decides the parameters, and calls that wait for the same parameters join,
  // those of the client served least first, up to their spec's max_batch, the slice, and the
  // thread's even share of all that wait. REQUIRES: `newest` is not null if a call without pinned
  // parameters waits, threads >= 1.
  Step Poll(absl::Duration now, const std::shared_ptr<const PlannerModel>& newest, int threads = 1);

  // `plans` plans of a batch took `compute` together. REQUIRES: plans > 0.
  void Planned(size_t plans, absl::Duration compute);

  // Takes out one call, if it still waits.
  std::optional<PlanCall> Remove(uint64_t id);
  // Takes out all, in the order of their ids.
  std::vector<PlanCall> TakeAll();

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

 private:
  // A client and the parameters that it pins, null for none. There is a lane while it has calls.
  using LaneKey = std::pair<uint64_t, const PlannerModel*>;
  struct Lane {
    std::deque<PlanCall> calls;  // by id
    // Plans it has had, plus the turn at which its calls began to wait.
    uint64_t served = 0;
  };
  using Lanes = std::map<LaneKey, Lane>;

  // The lane whose turn it is, of those whose calls `model` plans; null: of all. lanes_.end() if
  // there is none.
  Lanes::iterator NextLane(const PlannerModel* model, const PlannerModel* newest);
  // Takes out the first call of the lane, and the lane with its last.
  PlanCall TakeFirst(Lanes::iterator lane);
  void RefuseExpired(absl::Duration now, Step* step);
  size_t MostInSlice() const;
  // What must hold between the fields after each change.
  void CheckInvariants() const;
  // Part of it: walks through all calls.
  void CheckLanes() const;

  const absl::Duration slice_;
  Lanes lanes_;
  size_t size_ = 0;
  uint64_t next_id_ = 1;
  // Plans that the lane that led the last batch had had before it; a new lane begins there.
  uint64_t turn_ = 0;
  // No deadline is earlier.
  absl::Duration next_deadline_ = absl::InfiniteDuration();
  // What a plan takes, a moving average; nothing before the first.
  std::optional<absl::Duration> plan_time_;
};

}  // namespace pompc::planner

#endif  // POMPC_PLANNER_CORE_PLAN_QUEUE_H_
