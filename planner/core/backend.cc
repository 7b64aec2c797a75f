#include "planner/core/backend.h"

#include <cstddef>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/values/number_check.h"

namespace pompc::planner {

absl::Status CheckItem(const PlanItem& item, const PlanSpec& spec) {
  if (item.observation.size() != static_cast<size_t>(spec.observation_size)) {
    return absl::InvalidArgumentError(absl::StrCat("observation has ", item.observation.size(),
                                                   " numbers, the run's observations have ",
                                                   spec.observation_size));
  }
  const size_t plan_size = static_cast<size_t>(spec.horizon) * spec.action_size;
  if (!item.warm_start.empty() && item.warm_start.size() != plan_size) {
    return absl::InvalidArgumentError(
        absl::StrCat("warm_start has ", item.warm_start.size(), " numbers, must be empty or have ",
                     plan_size, " (horizon ", spec.horizon, " x ", spec.action_size, ")"));
  }
  POMPC_RETURN_IF_ERROR(CheckMagnitudes("observation", item.observation));
  return CheckActions("warm_start", item.warm_start);
}

}  // namespace pompc::planner
