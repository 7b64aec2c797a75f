#include "learner/engine/plan_ages.h"

#include <algorithm>

namespace pompc::learner {

std::vector<float> PlanAges::Of(const std::vector<ParameterVersion>& versions) {
  const MutexLock lock(&mu_);
  for (const ParameterVersion& version : versions) {
    if (!version.valid()) continue;
    uint64_t& newest = newest_[version.incarnation];
    newest = std::max(newest, version.number);
  }
  std::vector<float> ages;
  for (const ParameterVersion& version : versions) {
    // Numbers begin anew with each incarnation: what later ones have published comes on top.
    uint64_t age = 0;
    for (auto it = newest_.lower_bound(version.incarnation); version.valid() && it != newest_.end();
         ++it) {
      age += it->second - (it->first == version.incarnation ? version.number : 0);
    }
    ages.push_back(static_cast<float>(age));
  }
  return ages;
}

}  // namespace pompc::learner
