#ifndef POMPC_LEARNER_ENGINE_PLAN_AGES_H_
#define POMPC_LEARNER_ENGINE_PLAN_AGES_H_

#include <cstdint>
#include <map>
#include <vector>

#include "common/base/threads.h"
#include "common/values/parameter_version.h"

namespace pompc::learner {

// Tells how old plans are, in published versions, by the versions that rows bring with them. The
// newest version seen of each incarnation stands for the newest published one: rows of a version
// come into batches soon after it, and nothing more needs to be stored. After a restart the ages of
// rows from before are those within their incarnation until rows of the new one come. Thread-safe.
class PlanAges {
 public:
  // The number of versions that each of them is behind the newest one seen, these included; 0 for
  // rows without a plan, (0, 0).
  std::vector<float> Of(const std::vector<ParameterVersion>& versions);

 private:
  Mutex mu_;
  // The largest number seen of each incarnation: one entry for each start of the learner.
  std::map<uint64_t, uint64_t> newest_ ABSL_GUARDED_BY(mu_);
};

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_ENGINE_PLAN_AGES_H_
