#ifndef POMPC_PLANNER_CORE_BATCHER_H_
#define POMPC_PLANNER_CORE_BATCHER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/base/check.h"
#include "common/base/state_timer.h"
#include "common/base/threads.h"
#include "planner/core/backend.h"
#include "planner/core/plan_queue.h"

namespace pompc::planner {

// What a thread of the batcher is doing.
enum class BatcherState {
  kIdle,       // nothing waits
  kComputing,  // in the backend
  kReplying,   // handing out the answers of a batch
};
inline constexpr size_t kNumBatcherStates = 3;

// One finished batch, for metrics.
struct BatchReport {
  absl::Duration compute;
  // Time that each request waited, [batch size].
  absl::Span<const absl::Duration> queue_waits;
};

struct BatcherOptions {
  Clock* clock = Clock::Real();
  // Called on the batcher's threads after each batch that succeeded; may be empty.
  std::function<void(const BatchReport&)> on_batch;
};

// Plans the requests of many callers and runs in batches. A thread that is free takes requests that
// wait for the same parameters, up to max_batch of these, and does not wait for more to come; where
// the plans of a batch are made one after the other, it takes one, so that each request is answered
// when it is planned. Runs and clients take turns (PlanQueue). Parameters are looked up once for
// each batch. Thread-safe; owns as many threads as the backend allows, which plan and hand out the
// answers.
class Batcher {
 public:
  // `backend` must outlive it.
  Batcher(PlanBackend* backend, const BatcherOptions& options);
  // Closes.
  ~Batcher();

  // Queues calls of `run`, all or none; each `done` gets a plan, or DEADLINE_EXCEEDED, CANCELLED
  // (by Cancel or Close), INTERNAL (the plan is not finite: the parameters have diverged) or the
  // backend's error. Returns the id of the first (the others count up from it), or, without having
  // called done: UNAVAILABLE before the run's first parameters, INVALID_ARGUMENT as CheckItem,
  // naming the call as queries[i], RESOURCE_EXHAUSTED as PlanQueue::Push, CANCELLED after Drain or
  // Close. REQUIRES: as PlanQueue::Push.
  absl::StatusOr<uint64_t> Submit(const std::shared_ptr<PlannerRun>& run,
                                  std::vector<PlanCall> calls);

  // Answers the calls `first` .. `first + count - 1` with CANCELLED where they still wait; those in
  // a running batch get their plans.
  void Cancel(uint64_t first, size_t count);

  // Calls that wait: all, and those of one run.
  size_t queued() const;
  size_t queued(const std::string& run_id) const;

  int threads() const { return static_cast<int>(timers_.size()); }
  // What one of the threads spends its time on. REQUIRES: 0 <= thread < threads().
  const StateTimer<BatcherState, kNumBatcherStates>& timer(int thread) const {
    POMPC_CHECK_GE(thread, 0);
    POMPC_CHECK_LT(thread, threads());
    return *timers_[thread];
  }

  // Takes no more calls, and blocks until those that it has are planned, `timeout` has passed, or
  // Close is called. True if none are left.
  bool Drain(absl::Duration timeout);

  // Answers all that wait with CANCELLED, and waits for the running batches. Idempotent.
  void Close();

 private:
  using Timer = StateTimer<BatcherState, kNumBatcherStates>;

  void Run(Timer& timer);
  // Waits for calls. False once closed.
  bool NextStep(PlanQueue::Step* step);
  void PlanAndReply(PlanQueue::Step& step, Timer& timer);
  // Adds one batch to the run's statistics, and tells the queue how long it took.
  void Count(PlannerRun& run, const PlannerRun::Stats& batch, absl::Duration compute);

  PlanBackend* const backend_;
  const BatcherOptions options_;

  // What each thread spends its time on.
  std::vector<std::unique_ptr<Timer>> timers_;

  mutable Mutex mu_;
  CondVar changed_;
  // For Drain.
  CondVar idle_;
  PlanQueue queue_ ABSL_GUARDED_BY(mu_);
  // No more calls are taken.
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;

  Mutex join_mu_;
  // Last: it uses all of the above.
  std::vector<Thread> threads_ ABSL_GUARDED_BY(join_mu_);
};

}  // namespace pompc::planner

#endif  // POMPC_PLANNER_CORE_BATCHER_H_
