#ifndef POMPC_PLANNER_CORE_SERVICE_TIMES_H_
#define POMPC_PLANNER_CORE_SERVICE_TIMES_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/time/time.h"

namespace pompc::planner {

// The times of recent batches, as two figures for two purposes. Not thread-safe.
class ServiceTimes {
 public:
  // The batches that Least() looks back on.
  static constexpr size_t kMeasures = 8;
  // Least() says nothing when the newest batch is older.
  static constexpr absl::Duration kFresh = absl::Seconds(10);

  // A batch of `plans` took `compute` and ended at `now`. REQUIRES: plans > 0.
  void Add(size_t plans, absl::Duration compute, absl::Duration now);

  // What a batch takes at least: the shortest of the latest kMeasures, a figure that neither a
  // hiccup of the machine nor the first plans with other parameters can raise. Nothing while fewer
  // are measured, or none lately: whoever refuses work because of this figure must take some again
  // after a while, or it would never be measured anew.
  std::optional<absl::Duration> Least(absl::Duration now) const;

  // What a plan takes on average, over about the latest four batches; nothing before the first.
  std::optional<absl::Duration> PlanMean() const { return plan_mean_; }

 private:
  std::array<absl::Duration, kMeasures> latest_;
  uint64_t measured_ = 0;
  absl::Duration measured_at_;
  std::optional<absl::Duration> plan_mean_;
};

}  // namespace pompc::planner

#endif  // POMPC_PLANNER_CORE_SERVICE_TIMES_H_
