#ifndef POMPC_PLANNER_CORE_PLANNER_RUN_H_
#define POMPC_PLANNER_CORE_PLANNER_RUN_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/time/time.h"
#include "common/base/threads.h"
#include "planner/core/backend.h"
#include "planner/core/service_times.h"

namespace pompc::planner {

// One run that a planner serves: its parameters, and what came of the requests for them. Shared by
// whoever plans with it, so that a run that the planner gives up lives until its last request is
// answered. Thread-safe.
class PlannerRun {
 public:
  struct Stats {
    uint64_t plans = 0;
    // Of these, plans whose search was cut short by planner.budget_ms.
    uint64_t shortened = 0;
    // Iterations of their searches, together.
    uint64_t iterations = 0;
    uint64_t batches = 0;
    // Requests whose deadline passed while they waited.
    uint64_t expired = 0;
    // Requests their callers gave up.
    uint64_t cancelled = 0;
    // Requests whose batch failed, or that no longer fitted the parameters.
    uint64_t failed = 0;
    // Requests that were not taken: too many waited, or they would have been too late.
    uint64_t refused = 0;
    // Time that the planned requests waited, together.
    absl::Duration waited;
  };

  // `max_kept` versions are kept for evaluations beside the newest. `clock` must outlive it.
  PlannerRun(std::string id, Clock* clock, size_t max_kept)
      : id_(std::move(id)), parameters_(clock, max_kept) {}

  const std::string& id() const { return id_; }

  ParameterStore& parameters() { return parameters_; }
  const ParameterStore& parameters() const { return parameters_; }

  // Adds to the statistics.
  void Count(const Stats& more);
  Stats stats() const;

  // The calls of ServiceTimes.
  void Measured(size_t plans, absl::Duration compute, absl::Duration now);
  std::optional<absl::Duration> LeastBatchTime(absl::Duration now) const;
  std::optional<absl::Duration> MeanPlanTime() const;

 private:
  const std::string id_;
  ParameterStore parameters_;

  mutable Mutex mu_;
  Stats stats_ ABSL_GUARDED_BY(mu_);
  ServiceTimes times_ ABSL_GUARDED_BY(mu_);
};

}  // namespace pompc::planner

#endif  // POMPC_PLANNER_CORE_PLANNER_RUN_H_
