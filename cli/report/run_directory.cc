#include "cli/report/run_directory.h"

#include <unistd.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/base/check.h"
#include "common/base/threads.h"
#include "common/config/run_config.h"
#include "common/config/text_parser.h"
#include "common/io/files.h"

namespace pompc::cli {

std::string ConfigFile(const std::string& run_dir) { return run_dir + "/config.textproto"; }
std::string MetricsFile(const std::string& run_dir) { return run_dir + "/metrics.csv"; }
std::string TimingsFile(const std::string& run_dir) { return run_dir + "/timings.csv"; }
std::string EpisodesFile(const std::string& run_dir) { return run_dir + "/episodes.csv"; }
std::string EvaluationsFile(const std::string& run_dir) { return run_dir + "/evaluations.csv"; }
std::string CheckpointsFolder(const std::string& run_dir) { return run_dir + "/checkpoints"; }
std::string LearningCurveFile(const std::string& run_dir) {
  return run_dir + "/learning_curve.svg";
}
std::string ReferencesFile(const std::string& run_dir) { return run_dir + "/references.svg"; }

bool HoldsRun(const std::string& run_dir) {
  std::error_code error;
  return std::filesystem::is_regular_file(ConfigFile(run_dir), error);
}

absl::StatusOr<proto::RunConfig> ReadRunConfig(const std::string& run_dir) {
  if (!HoldsRun(run_dir)) {
    return absl::NotFoundError(absl::StrCat(run_dir, ": no run here, config.textproto is missing"));
  }
  // The defaults must not stand in for a part that was lost.
  POMPC_ASSIGN_OR_RETURN(const std::string text, ReadFile(ConfigFile(run_dir)));
  POMPC_RETURN_IF_ERROR(config::ParseResolvedConfig(text, ConfigFile(run_dir)).status());
  return config::LoadRunConfig({.files = {ConfigFile(run_dir)}});
}

absl::StatusOr<NewRunDirectory> NewRunDirectory::Make(const std::string& task) {
  POMPC_ASSIGN_OR_RETURN(
      std::string path,
      MakeNewFolder(absl::StrCat(
          "runs/", task, "-",
          absl::FormatTime("%Y%m%d-%H%M%S", WallTime(), absl::LocalTimeZone()))));
  return NewRunDirectory(std::move(path));
}

NewRunDirectory::~NewRunDirectory() {
  // A folder with something in it stays.
  if (!path_.empty()) rmdir(path_.c_str());
}

}  // namespace pompc::cli
