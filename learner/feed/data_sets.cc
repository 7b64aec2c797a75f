#include "learner/feed/data_sets.h"

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/check.h"
#include "common/config/run_config.h"
#include "common/process/log.h"

namespace pompc::learner {
namespace {

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
    const replay::RowSpec spec = {config.env().spec().observation_size(),
                                  config.env().spec().action_size()};
    POMPC_RETURN_IF_ERROR(
        Annotate(replay::CheckFits(**data, spec, config.env().task(), config.env().action_repeat()),
                 "replay.import"));
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
