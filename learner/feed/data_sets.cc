#include "learner/feed/data_sets.h"

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status_macros.h"
#include "common/config/run_config.h"
#include "common/process/log.h"
#include "common/values/short_text.h"
#include "replay/dataset/layout.h"

namespace pompc::learner {
namespace {

constexpr size_t kMaxText = 60;

absl::Status Differs(const std::string& path, absl::string_view what, absl::string_view have,
                     absl::string_view setting, absl::string_view want) {
  if (have == want) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", what, " ", ShortText(have, kMaxText),
                                                 "; the run's ", setting, " is ", want));
}

// What a file says of itself must be what the run is about; what it leaves out is its user's word.
absl::Status CheckFits(const replay::DataSet& data, const proto::RunConfig& config) {
  const proto::EnvConfig& env = config.env();
  const auto number = [](uint64_t value) { return absl::StrCat(value); };
  POMPC_RETURN_IF_ERROR(Differs(data.path(), "observations have a size of",
                                number(data.spec().observation_size), "env.spec.observation_size",
                                number(env.spec().observation_size())));
  POMPC_RETURN_IF_ERROR(Differs(data.path(), "actions have a size of",
                                number(data.spec().action_size), "env.spec.action_size",
                                number(env.spec().action_size())));
  const auto metadata = [&](const char* key, const char* setting, const std::string& want) {
    const auto found = data.metadata().find(key);
    if (found == data.metadata().end()) return absl::OkStatus();
    return Differs(data.path(), absl::StrCat("metadata \"", key, "\" is"), found->second, setting,
                   want);
  };
  POMPC_RETURN_IF_ERROR(metadata(replay::dataset::kTaskKey, "env.task", env.task()));
  return metadata(replay::dataset::kActionRepeatKey, "env.action_repeat",
                  number(env.action_repeat()));
}

void WarnIfTooLarge(const std::vector<replay::CheckedDataSet>& data_sets,
                    const proto::RunConfig& config) {
  uint64_t slots = 0;
  for (const replay::CheckedDataSet& set : data_sets) {
    slots += set.data->rows() + set.data->episodes();
  }
  if (slots <= config.replay().capacity_rows()) return;
  Log().warn(
      "replay.import has {} rows and final observations, and replay.capacity_rows is {}: the first "
      "episodes are evicted",
      slots, config.replay().capacity_rows());
}

}  // namespace

absl::StatusOr<std::vector<replay::CheckedDataSet>> OpenDataSets(const proto::RunConfig& config) {
  std::vector<replay::CheckedDataSet> data_sets;
  const replay::RowLimits limits = {.terminates = config.env().spec().terminates(),
                                    .plan_std = config::PlanStdRange(config)};
  for (absl::string_view name : absl::StrSplit(config.replay().import(), ',', absl::SkipEmpty())) {
    const std::string path(absl::StripAsciiWhitespace(name));
    absl::StatusOr<std::unique_ptr<const replay::DataSet>> data = replay::DataSet::Open(path);
    if (!data.ok()) return Annotate(data.status(), "replay.import");
    POMPC_RETURN_IF_ERROR(Annotate(CheckFits(**data, config), "replay.import"));
    const absl::StatusOr<uint32_t> id = (*data)->Check(limits);
    if (!id.ok()) return Annotate(id.status(), "replay.import");
    for (const replay::CheckedDataSet& other : data_sets) {
      if (other.id != *id) continue;
      return absl::InvalidArgumentError(
          absl::StrCat("replay.import: ", path, " has the same rows as ", other.data->path()));
    }
    Log().info("replay.import: {}: {} rows of {} episodes, {} plans", path, (*data)->rows(),
               (*data)->episodes(), (*data)->has_plans() ? "with" : "without");
    data_sets.push_back({*std::move(data), *id});
  }
  WarnIfTooLarge(data_sets, config);
  return data_sets;
}

}  // namespace pompc::learner
