#ifndef POMPC_RUN_ROWS_ENVIRONMENT_DEMAND_H_
#define POMPC_RUN_ROWS_ENVIRONMENT_DEMAND_H_

#include "absl/time/time.h"

namespace pompc::run {

// Estimates how many environments a run has use for. Those n that act now, while the learner waits
// for rows for a share L of the time and shards hold back a share B of the writers, make rows at (1
// - L) of the rate that the learner could use, or at 1 / (1 - B) times that rate. As rows come in
// proportion to environments, n (1 - B) / (1 - L) of them would keep the learner busy and hold back
// none. All three are averages in which what is older than `memory` counts a third and less. Not
// thread-safe.
class EnvironmentDemand {
 public:
  // One measurement says at most that so many times as many environments are wanted as there are,
  // or that so many times fewer are: what is beyond is known once there are more, or fewer.
  static constexpr double kMostChange = 4;

  // `first` is what is wanted while no environment acts. REQUIRES: first > 0, memory > 0.
  explicit EnvironmentDemand(double first, absl::Duration memory = absl::Seconds(10));

  // Tells what was so for the time since the last call: the environments that acted, and the shares
  // of L and B. REQUIRES: environments >= 0; shares from 0 to 1; elapsed >= 0.
  void Observe(absl::Duration elapsed, double environments, double learner_waits,
               double writers_wait);

  // The environments that act, on average.
  double environments() const { return environments_; }
  // The environments that the run has use for; above 0.
  double wanted() const;

 private:
  const double first_;
  const absl::Duration memory_;
  double environments_ = 0;
  double learner_waits_ = 0;
  double writers_wait_ = 0;
};

}  // namespace pompc::run

#endif  // POMPC_RUN_ROWS_ENVIRONMENT_DEMAND_H_
