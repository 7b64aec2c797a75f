#ifndef POMPC_PLANNER_CORE_BATCHER_H_
#define POMPC_PLANNER_CORE_BATCHER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
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
  // About how long a batch may take where its plans are made one after the other.
  absl::Duration slice = absl::Milliseconds(20);
  // Called on the batcher's threads after each batch that succeeded; may be empty.
  std::function<void(const BatchReport&)> on_batch;
};

// Plans the requests of many callers in batches. A thread that is free takes the requests that wait
// for the same parameters, up to max_batch of these, and does not wait for more to come. With
// several threads each takes its share, and clients take turns (PlanQueue). Where the plans of a
// batch are made one after the other, the batch is limited to a slice of time, so that a client
// that wants one plan does not wait for the many plans of another. Parameters are looked up once
// for each batch. No more calls are taken while max_queue of the newest parameters are waiting.
// Thread-safe; owns as many threads as the backend allows, which plan and hand out the answers.
class Batcher {
 public:
  struct Stats {
    uint64_t plans = 0;
    uint64_t batches = 0;
    // Requests whose deadline passed while they waited.
    uint64_t expired = 0;
    // Requests their callers gave up.
    uint64_t cancelled = 0;
    // Requests whose batch failed.
    uint64_t failed = 0;
    size_t queued = 0;
  };

  // `backend` and `store` must outlive it.
  Batcher(PlanBackend* backend, const ParameterStore* store, const BatcherOptions& options);
  // Closes.
  ~Batcher();

  // Queues calls, all or none; each `done` gets a plan, or DEADLINE_EXCEEDED, CANCELLED (by Cancel
  // or Close), INTERNAL (the plan is not finite: the parameters have diverged) or the backend's
  // error. Returns the id of the first (the others count up from it), or, without having called
  // done: UNAVAILABLE before the first parameters, INVALID_ARGUMENT as CheckItem, naming the call
  // as queries[i], RESOURCE_EXHAUSTED when the queue is full, CANCELLED after Close.
  absl::StatusOr<uint64_t> Submit(std::vector<PlanCall> calls);

  // Answers the calls `first` .. `first + count - 1` with CANCELLED where they still wait; those in
  // a running batch get their plans.
  void Cancel(uint64_t first, size_t count);

  Stats stats() const;

  int threads() const { return static_cast<int>(timers_.size()); }
  // What one of the threads spends its time on. REQUIRES: 0 <= thread < threads().
  const StateTimer<BatcherState, kNumBatcherStates>& timer(int thread) const {
    POMPC_CHECK_GE(thread, 0);
    POMPC_CHECK_LT(thread, threads());
    return *timers_[thread];
  }

  // Answers all that wait with CANCELLED, and waits for the running batches. Idempotent.
  void Close();

 private:
  using Timer = StateTimer<BatcherState, kNumBatcherStates>;

  void Run(Timer& timer);
  // Waits for calls. False once closed.
  bool NextStep(PlanQueue::Step* step);
  void PlanAndReply(PlanQueue::Step& step, Timer& timer);
  // Adds one batch to the statistics, and tells the queue how long it took.
  void Count(uint64_t planned, uint64_t failed, absl::Duration compute);

  PlanBackend* const backend_;
  const ParameterStore* const store_;
  const BatcherOptions options_;

  // What each thread spends its time on.
  std::vector<std::unique_ptr<Timer>> timers_;

  mutable Mutex mu_;
  CondVar changed_;
  PlanQueue queue_ ABSL_GUARDED_BY(mu_);
  // stats() fills `queued` in.
  Stats stats_ ABSL_GUARDED_BY(mu_);
  bool closed_ ABSL_GUARDED_BY(mu_) = false;

  Mutex join_mu_;
  // Last: it uses all of the above.
  std::vector<Thread> threads_ ABSL_GUARDED_BY(join_mu_);
};

}  // namespace pompc::planner

#endif  // POMPC_PLANNER_CORE_BATCHER_H_
