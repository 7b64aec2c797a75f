#ifndef POMPC_CLI_RUN_DIRECTORY_H_
#define POMPC_CLI_RUN_DIRECTORY_H_

#include <string>

#include "absl/status/statusor.h"
#include "proto/config.pb.h"

namespace pompc::cli {

// What the commands know of a run directory (docs/run-directory.md).
std::string ConfigFile(const std::string& run_dir);
std::string MetricsFile(const std::string& run_dir);
std::string TimingsFile(const std::string& run_dir);
std::string EpisodesFile(const std::string& run_dir);
std::string EvaluationsFile(const std::string& run_dir);
std::string CheckpointsFolder(const std::string& run_dir);
std::string LearningCurveFile(const std::string& run_dir);

// Whether the folder holds a run.
bool HoldsRun(const std::string& run_dir);

// The resolved config of the run. NOT_FOUND naming the folder if it holds no run, DATA_LOSS naming
// config.textproto when it is empty or cut off.
absl::StatusOr<proto::RunConfig> ReadRunConfig(const std::string& run_dir);

// "runs/<task>-<date>-<time>": where a run goes when nobody says.
std::string DefaultRunDirectory(const std::string& task);

}  // namespace pompc::cli

#endif  // POMPC_CLI_RUN_DIRECTORY_H_
