#ifndef POMPC_PLANNER_CORE_PARAMETER_STORE_H_
#define POMPC_PLANNER_CORE_PARAMETER_STORE_H_

#include <cstddef>
#include <memory>
#include <vector>

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "planner/core/backend.h"

namespace pompc::planner {

// The parameters a planner holds: the newest, and those kept for evaluations while their time
// lasts. Thread-safe, never blocks. A model stays alive as long as a batch uses it.
class ParameterStore {
 public:
  // At most `max_kept` kept versions beside the newest; then the oldest goes, whatever time it has.
  ParameterStore(Clock* clock, size_t max_kept) : clock_(clock), max_kept_(max_kept) {}

  // Adds a version, not null, in any order of versions. It becomes the newest if it is; with keep >
  // 0 it can be found for that long. Given again, it is kept for the longer of the two times.
  void Put(std::shared_ptr<const PlannerModel> model, absl::Duration keep);

  // Returns null before the first version.
  std::shared_ptr<const PlannerModel> Newest() const;

  // The newest or a kept version, else null.
  std::shared_ptr<const PlannerModel> Find(ParameterVersion version) const;

  // The versions that can be found as kept ones, oldest first.
  std::vector<ParameterVersion> KeptVersions() const;

 private:
  // What must hold between the fields after each change.
  void CheckInvariants() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  struct Kept {
    std::shared_ptr<const PlannerModel> model;
    absl::Duration until;
  };

  Clock* const clock_;
  const size_t max_kept_;

  mutable Mutex mu_;
  std::shared_ptr<const PlannerModel> newest_ ABSL_GUARDED_BY(mu_);
  // Sorted by version, oldest first; may contain the newest.
  std::vector<Kept> kept_ ABSL_GUARDED_BY(mu_);
};

}  // namespace pompc::planner

#endif  // POMPC_PLANNER_CORE_PARAMETER_STORE_H_
