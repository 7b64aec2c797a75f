#ifndef POMPC_CLI_REPORT_RUN_DIRECTORY_H_
#define POMPC_CLI_REPORT_RUN_DIRECTORY_H_

#include <string>
#include <utility>

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
std::string ReferencesFile(const std::string& run_dir);

// Returns true if the folder holds a run.
bool HoldsRun(const std::string& run_dir);

// The resolved config of the run. NOT_FOUND naming the folder if it holds no run, DATA_LOSS naming
// config.textproto when it is empty or cut off.
absl::StatusOr<proto::RunConfig> ReadRunConfig(const std::string& run_dir);

// The folder of a run for which none is given: a folder of its own, even if another run starts in
// the same second.
class NewRunDirectory {
 public:
  // Makes "runs/<task>-<date>-<time>", followed by -2, -3, ... where that exists.
  static absl::StatusOr<NewRunDirectory> Make(const std::string& task);
  NewRunDirectory(NewRunDirectory&& other) noexcept : path_(std::exchange(other.path_, "")) {}
  NewRunDirectory& operator=(NewRunDirectory&& other) noexcept {
    std::swap(path_, other.path_);
    return *this;
  }
  // Removes the folder if nothing was put into it.
  ~NewRunDirectory();

  const std::string& path() const { return path_; }

 private:
  explicit NewRunDirectory(std::string path) : path_(std::move(path)) {}

  std::string path_;
};

}  // namespace pompc::cli

#endif  // POMPC_CLI_REPORT_RUN_DIRECTORY_H_
