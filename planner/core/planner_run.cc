#include "planner/core/planner_run.h"

namespace pompc::planner {

void PlannerRun::Count(const Stats& more) {
  MutexLock lock(&mu_);
  stats_.plans += more.plans;
  stats_.shortened += more.shortened;
  stats_.iterations += more.iterations;
  stats_.batches += more.batches;
  stats_.expired += more.expired;
  stats_.cancelled += more.cancelled;
  stats_.failed += more.failed;
  stats_.refused += more.refused;
  stats_.waited += more.waited;
}

PlannerRun::Stats PlannerRun::stats() const {
  MutexLock lock(&mu_);
  return stats_;
}

void PlannerRun::Measured(size_t plans, absl::Duration compute, absl::Duration now) {
  MutexLock lock(&mu_);
  times_.Add(plans, compute, now);
}

std::optional<absl::Duration> PlannerRun::LeastBatchTime(absl::Duration now) const {
  MutexLock lock(&mu_);
  return times_.Least(now);
}

std::optional<absl::Duration> PlannerRun::MeanPlanTime() const {
  MutexLock lock(&mu_);
  return times_.PlanMean();
}

}  // namespace pompc::planner
