#include "replay/core/row_check.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/status_macros.h"

namespace pompc::replay {
namespace {

absl::Status CheckSize(const char* what, size_t have, size_t want) {
  if (have == want) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(what, " has ", have, " numbers, expected ", want));
}

absl::Status CheckFlag(const char* what, uint8_t value) {
  if (value <= 1) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(what, " is ", int{value}, ", must be 0 or 1"));
}

absl::Status CheckTerminated(const RowLimits& limits, uint8_t value) {
  POMPC_RETURN_IF_ERROR(CheckFlag("terminated", value));
  if (value == 0 || limits.terminates) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "terminated is 1, but the run's environment is declared as one that never terminates: set "
      "env.spec.terminates: true, or report the end as a time limit");
}

absl::Status CheckRowValues(const RowSpec& spec, const RowLimits& limits, const RowsView& rows,
                            uint32_t i) {
  const size_t o = spec.observation_size, a = spec.action_size;
  POMPC_RETURN_IF_ERROR(CheckMagnitudes("observation", rows.observations.subspan(i * o, o)));
  POMPC_RETURN_IF_ERROR(CheckActions("action", rows.actions.subspan(i * a, a)));
  POMPC_RETURN_IF_ERROR(CheckMagnitudes("reward", rows.rewards.subspan(i, 1)));
  POMPC_RETURN_IF_ERROR(CheckTerminated(limits, rows.terminated[i]));
  POMPC_RETURN_IF_ERROR(CheckFlag("has_plan", rows.has_plan[i]));
  POMPC_RETURN_IF_ERROR(CheckActions("plan_mean", rows.plan_mean.subspan(i * a, a)));
  // A row without a plan has ones, which no planner needs to give.
  const StdRange range = rows.has_plan[i] ? limits.plan_std : StdRange();
  POMPC_RETURN_IF_ERROR(CheckStds("plan_std", range, rows.plan_std.subspan(i * a, a)));
  return CheckMagnitudes("plan_value", rows.plan_value.subspan(i, 1));
}

}  // namespace

absl::Status CheckSizes(const RowSpec& spec, const RowsView& rows) {
  const size_t n = rows.count, o = spec.observation_size, a = spec.action_size;
  if (n == 0 && rows.final_observation.empty()) {
    return absl::InvalidArgumentError("holds neither rows nor a final observation");
  }
  POMPC_RETURN_IF_ERROR(CheckSize("observations", rows.observations.size(), n * o));
  POMPC_RETURN_IF_ERROR(CheckSize("actions", rows.actions.size(), n * a));
  POMPC_RETURN_IF_ERROR(CheckSize("rewards", rows.rewards.size(), n));
  POMPC_RETURN_IF_ERROR(CheckSize("terminated", rows.terminated.size(), n));
  POMPC_RETURN_IF_ERROR(CheckSize("plan_mean", rows.plan_mean.size(), n * a));
  POMPC_RETURN_IF_ERROR(CheckSize("plan_std", rows.plan_std.size(), n * a));
  POMPC_RETURN_IF_ERROR(CheckSize("plan_value", rows.plan_value.size(), n));
  POMPC_RETURN_IF_ERROR(CheckSize("has_plan", rows.has_plan.size(), n));
  POMPC_RETURN_IF_ERROR(CheckSize("versions", rows.versions.size(), n));
  if (rows.final_observation.empty()) return absl::OkStatus();
  return CheckSize("final_observation", rows.final_observation.size(), o);
}

absl::Status CheckValues(const RowSpec& spec, const RowLimits& limits, const RowsView& rows,
                         uint32_t begin, uint64_t first_row) {
  POMPC_DCHECK(CheckSizes(spec, rows).ok());
  for (uint32_t i = begin; i < rows.count; ++i) {
    const absl::Status status = CheckRowValues(spec, limits, rows, i);
    if (!status.ok()) return Annotate(status, absl::StrCat("row ", first_row + i));
    if (rows.terminated[i] == 0 || i + 1 == rows.count) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("row ", first_row + i, " is terminated, and rows follow"));
  }
  return CheckMagnitudes("final_observation", rows.final_observation);
}

absl::Status CheckRow(const RowSpec& spec, const RowView& row) {
  POMPC_RETURN_IF_ERROR(CheckObservation(spec, row.observation, "observation"));
  POMPC_RETURN_IF_ERROR(CheckSize("action", row.action.size(), spec.action_size));
  POMPC_RETURN_IF_ERROR(CheckActions("action", row.action));
  POMPC_RETURN_IF_ERROR(CheckMagnitudes("reward", {&row.reward, 1}));
  POMPC_RETURN_IF_ERROR(CheckMagnitudes("plan_value", {&row.plan_value, 1}));
  return CheckPlans(spec, RowLimits(), row.has_plan() ? 1 : 0, row.plan_mean, row.plan_std);
}

absl::Status CheckPlans(const RowSpec& spec, const RowLimits& limits, size_t count,
                        std::span<const float> plan_mean, std::span<const float> plan_std) {
  POMPC_RETURN_IF_ERROR(CheckSize("plan_mean", plan_mean.size(), count * spec.action_size));
  POMPC_RETURN_IF_ERROR(CheckSize("plan_std", plan_std.size(), count * spec.action_size));
  POMPC_RETURN_IF_ERROR(CheckActions("plan_mean", plan_mean));
  return CheckStds("plan_std", limits.plan_std, plan_std);
}

absl::Status CheckObservation(const RowSpec& spec, std::span<const float> observation,
                              const char* what) {
  POMPC_RETURN_IF_ERROR(CheckSize(what, observation.size(), spec.observation_size));
  return CheckMagnitudes(what, observation);
}

}  // namespace pompc::replay
