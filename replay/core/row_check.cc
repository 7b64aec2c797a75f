#include "replay/core/row_check.h"

#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/float_bytes.h"
#include "common/status_macros.h"

namespace pompc::replay {
namespace {

absl::Status CheckSize(const char* what, size_t have, size_t want) {
  if (have == want) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(what, " has ", have, " numbers, expected ", want));
}

absl::Status BadNumber(const char* what, size_t position, float value, const char* rule) {
  return absl::InvalidArgumentError(
      absl::StrCat(what, " number ", position, " is ", value, ", ", rule));
}

absl::Status CheckFinite(const char* what, std::span<const float> values) {
  const size_t i = FirstNonFinite(values);
  return i == values.size() ? absl::OkStatus() : BadNumber(what, i, values[i], "must be finite");
}

absl::Status CheckAction(std::span<const float> values) {
  for (size_t i = 0; i < values.size(); ++i) {
    // Written so that NaN fails.
    if (!(std::fabs(values[i]) <= 1 + kActionTolerance)) {
      return BadNumber("action", i, values[i], "must be in [-1, 1]");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckStd(std::span<const float> values) {
  for (size_t i = 0; i < values.size(); ++i) {
    if (!(values[i] > 0) || !std::isfinite(values[i])) {
      return BadNumber("plan_std", i, values[i], "must be finite and above 0");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckFlag(const char* what, uint8_t value) {
  if (value <= 1) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(what, " is ", int{value}, ", must be 0 or 1"));
}

absl::Status CheckRowValues(const RowSpec& spec, const RowsView& rows, uint32_t i) {
  const size_t o = spec.observation_size, a = spec.action_size;
  POMPC_RETURN_IF_ERROR(CheckFinite("observation", rows.observations.subspan(i * o, o)));
  POMPC_RETURN_IF_ERROR(CheckAction(rows.actions.subspan(i * a, a)));
  POMPC_RETURN_IF_ERROR(CheckFinite("reward", rows.rewards.subspan(i, 1)));
  POMPC_RETURN_IF_ERROR(CheckFlag("terminated", rows.terminated[i]));
  POMPC_RETURN_IF_ERROR(CheckFinite("plan_mean", rows.plan_mean.subspan(i * a, a)));
  POMPC_RETURN_IF_ERROR(CheckStd(rows.plan_std.subspan(i * a, a)));
  POMPC_RETURN_IF_ERROR(CheckFinite("plan_value", rows.plan_value.subspan(i, 1)));
  return CheckFlag("has_plan", rows.has_plan[i]);
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

absl::Status CheckValues(const RowSpec& spec, const RowsView& rows, uint32_t begin,
                         uint64_t first_row) {
  for (uint32_t i = begin; i < rows.count; ++i) {
    const absl::Status status = CheckRowValues(spec, rows, i);
    if (!status.ok()) return Annotate(status, absl::StrCat("row ", first_row + i));
    if (rows.terminated[i] == 0 || i + 1 == rows.count) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("row ", first_row + i, " is terminated, and rows follow"));
  }
  return CheckFinite("final_observation", rows.final_observation);
}

absl::Status CheckRow(const RowSpec& spec, const RowView& row) {
  POMPC_RETURN_IF_ERROR(CheckObservation(spec, row.observation, "observation"));
  POMPC_RETURN_IF_ERROR(CheckSize("action", row.action.size(), spec.action_size));
  POMPC_RETURN_IF_ERROR(CheckAction(row.action));
  POMPC_RETURN_IF_ERROR(CheckFinite("reward", {&row.reward, 1}));
  POMPC_RETURN_IF_ERROR(CheckFinite("plan_value", {&row.plan_value, 1}));
  return CheckPlans(spec, row.has_plan() ? 1 : 0, row.plan_mean, row.plan_std);
}

absl::Status CheckPlans(const RowSpec& spec, size_t count, std::span<const float> plan_mean,
                        std::span<const float> plan_std) {
  POMPC_RETURN_IF_ERROR(CheckSize("plan_mean", plan_mean.size(), count * spec.action_size));
  POMPC_RETURN_IF_ERROR(CheckSize("plan_std", plan_std.size(), count * spec.action_size));
  POMPC_RETURN_IF_ERROR(CheckFinite("plan_mean", plan_mean));
  return CheckStd(plan_std);
}

absl::Status CheckObservation(const RowSpec& spec, std::span<const float> observation,
                              const char* what) {
  POMPC_RETURN_IF_ERROR(CheckSize(what, observation.size(), spec.observation_size));
  return CheckFinite(what, observation);
}

}  // namespace pompc::replay
