#include "planner/core/backend.h"

#include <cmath>
#include <cstddef>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace pompc::planner {
namespace {

absl::Status CheckFinite(absl::string_view field, const std::vector<float>& values) {
  for (size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) {
      return absl::InvalidArgumentError(
          absl::StrCat(field, "[", i, "] is ", values[i], ", must be finite"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

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
  absl::Status status = CheckFinite("observation", item.observation);
  if (status.ok()) status = CheckFinite("warm_start", item.warm_start);
  return status;
}

}  // namespace pompc::planner
