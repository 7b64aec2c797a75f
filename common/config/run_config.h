#ifndef POMPC_COMMON_CONFIG_RUN_CONFIG_H_
#define POMPC_COMMON_CONFIG_RUN_CONFIG_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/values/number_check.h"
#include "proto/config.pb.h"

namespace pompc::config {

// The name of the task whose environment the user provides. Its EnvSpec must be given.
inline constexpr char kExternalTask[] = "external";

// The name of the one table of a run whose config gives none.
inline constexpr char kDefaultTable[] = "default";

// What a run config is made of. Later values replace earlier ones: presets come first, then files,
// then overrides, each in the order given.
struct RunConfigSources {
  // Names of presets.
  std::vector<std::string> presets;
  // Paths of files in protobuf text format.
  std::vector<std::string> files;
  // Assignments "path.to.field=value", the arguments of --set.
  std::vector<std::string> overrides;
  // The folder of the presets; empty means DefaultPresetsDir().
  std::string presets_dir;
};

// Returns the config that the sources make, checked and with every default filled in. Fails with
// INVALID_ARGUMENT "where: field: value; allowed: ..." for bad content, with NOT_FOUND for files
// and presets that do not exist, and as ReadFile does for files that cannot be read.
absl::StatusOr<proto::RunConfig> LoadRunConfig(const RunConfigSources& sources);

// Checks the ranges of all fields and the rules between fields; a field that is not set counts as
// its default. Rules about env.spec apply once it is filled in (FillEnvSpec). Returns
// INVALID_ARGUMENT naming the fields.
absl::Status Validate(const proto::RunConfig& config);

// Returns the config with every default set explicitly, so that a later version with other defaults
// reads the same run. Two fields stay absent: po_mpc.alpha, which would replace lambda, and
// env.spec, which follows from the task.
proto::RunConfig Resolve(proto::RunConfig config);

// Returns the config that programs compute with, in which the values that the run config leaves to
// a rule are worked out: model.encoder_dim, mlp_dim, latent_dim, encoder_layers and num_q follow
// from model.size; planner.iterations, learner.discount, po_mpc.alpha and, in a LOCKSTEP run,
// planner.max_batch have rules of their own. Files keep the config as it was given. Fails with
// INVALID_ARGUMENT as Validate does, or if env.spec is missing.
absl::StatusOr<proto::RunConfig> Derive(proto::RunConfig config);

// Returns `model` with each dimension that is 0 filled in from model.size. Fails with
// INVALID_ARGUMENT, listing the sizes, for an unknown size.
absl::StatusOr<proto::ModelConfig> FillSizes(proto::ModelConfig model);

// Return the rows of the seed phase, and the updates made when it ends, with the rules for those
// that are not given worked out. Without env.spec the seed rows are those of the shortest episodes.
uint64_t SeedRows(const proto::RunConfig& config);
uint64_t PretrainUpdates(const proto::RunConfig& config);

// Returns the range of the standard deviations that the run's planner stores with its plans, which
// depends on planner.statistic. `config` is resolved.
StdRange PlanStdRange(const proto::RunConfig& config);

// Returns the table that the learner draws batches from. `config` is valid.
proto::TableConfig LearnerTable(const proto::RunConfig& config);

// Returns the exponent of the importance weights in the learner's update, or nothing if its table
// draws all windows alike. `config` is valid.
std::optional<double> ImportanceExponent(const proto::RunConfig& config);

// Returns the config in protobuf text format, from which ParseRunConfig reads the same message.
std::string ToText(const proto::RunConfig& config);

// Returns the folder of the presets when none is given: $POMPC_PRESETS_DIR, else where DataFolder
// finds presets/.
std::string DefaultPresetsDir();

// Returns the names of the presets in `dir`, sorted. Fails with NOT_FOUND if there is no such
// folder.
absl::StatusOr<std::vector<std::string>> ListPresets(const std::string& dir);

// Returns the path of the file of preset `name`. Fails with NOT_FOUND, listing the presets, if
// there is none of this name.
absl::StatusOr<std::string> FindPreset(const std::string& dir, const std::string& name);

}  // namespace pompc::config

#endif  // POMPC_COMMON_CONFIG_RUN_CONFIG_H_
