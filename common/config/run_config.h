#ifndef POMPC_COMMON_CONFIG_RUN_CONFIG_H_
#define POMPC_COMMON_CONFIG_RUN_CONFIG_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/values/number_check.h"
#include "proto/config.pb.h"

namespace pompc::config {

// Name of the task whose environment the user brings: its EnvSpec must be given.
inline constexpr char kExternalTask[] = "external";

// What a run config is made of. Later layers win: presets, then files, then overrides, each in the
// order given.
struct RunConfigSources {
  // Names of presets.
  std::vector<std::string> presets;
  // Paths of files in protobuf text format.
  std::vector<std::string> files;
  // "path.to.field=value", as given with --set.
  std::vector<std::string> overrides;
  // Where presets are; empty: DefaultPresetsDir().
  std::string presets_dir;
};

// The config the sources make: checked, and with every default filled in. INVALID_ARGUMENT
// "where: field: value; allowed: ..." for bad content, NOT_FOUND for files and presets that are
// not there, statuses of ReadFile for files that cannot be read.
absl::StatusOr<proto::RunConfig> LoadRunConfig(const RunConfigSources& sources);

// Checks the ranges of all fields, and what several fields must fulfil together; defaults count
// where nothing is set. What depends on env.spec is checked once that is filled in (FillEnvSpec).
// INVALID_ARGUMENT naming the fields.
absl::Status Validate(const proto::RunConfig& config);

// The same config with every default set explicitly, so that a later version with other defaults
// reads the same run. Absent stay po_mpc.alpha (it would replace lambda), and env.spec (the task
// knows it).
proto::RunConfig Resolve(proto::RunConfig config);

// Range of the standard deviations that the run's planner stores with its plans, by
// planner.statistic. `config` is resolved.
StdRange PlanStdRange(const proto::RunConfig& config);

// Protobuf text format; LoadRunConfig reads the same message from it.
std::string ToText(const proto::RunConfig& config);

}  // namespace pompc::config

#endif  // POMPC_COMMON_CONFIG_RUN_CONFIG_H_
