#ifndef POMPC_CLI_SWEEP_SWEEP_FOLDER_H_
#define POMPC_CLI_SWEEP_SWEEP_FOLDER_H_

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/sweep/plan.h"
#include "cli/sweep/results.h"
#include "cli/sweep/schedule.h"
#include "common/io/files.h"
#include "proto/sweep.pb.h"

namespace pompc::cli {

// The folder of a sweep (docs/sweeps.md lists its files): what it is to do, what has been done.
// Every file is replaced atomically, so that a sweep that was killed is as far as its files say.
// Not thread-safe; functions block on the disk.
class SweepFolder {
 public:
  // Reads the folder of a sweep that was begun. NOT_FOUND if there is none.
  static absl::StatusOr<SweepFolder> Open(const std::string& path);
  // Makes the folder where `path` has none, or takes the plan for the one that is there, to run the
  // sweep: no other process can while this object lives. Trials that have begun must have the
  // configs that the plan gives them: INVALID_ARGUMENT naming the setting, the fields and both
  // values, and what to do. ABORTED if another process runs the sweep.
  static absl::StatusOr<SweepFolder> Begin(const std::string& path, SweepPlan plan);

  const std::string& path() const { return path_; }
  const SweepPlan& plan() const { return plan_; }
  const SweepResults& results() const { return results_; }

  // Files and folders of a trial: the run directory, the log of its process, its config.
  std::string RunDir(const TrialKey& key) const;
  std::string Log(const TrialKey& key) const { return RunDir(key) + ".log"; }
  std::string Config(const TrialKey& key) const { return RunDir(key) + ".textproto"; }
  // The page that shows the sweep.
  std::string StatusPage() const { return path_ + "/status.html"; }

  // Returns whether a process runs the sweep.
  bool IsRunning() const;

  // Asks the process that runs the sweep to end, or takes the request back.
  absl::Status RequestStop() const;
  absl::Status ClearStop() const;
  bool StopRequested() const;

  // The state of a trial; one without failures where nothing is kept.
  proto::TrialState State(const TrialKey& key) const;
  // Keeps it.
  absl::Status SetState(const proto::TrialState& state);
  // Keeps the config of a trial that begins.
  absl::Status KeepConfig(const Trial& trial) const;
  // Keeps what came of a trial and forgets its state.
  absl::Status Record(SweepResults trial);

  // What is known of each trial of the plan.
  std::vector<TrialOutcome> Outcomes() const;

 private:
  SweepFolder(std::string path, SweepPlan plan) : path_(std::move(path)), plan_(std::move(plan)) {}

  absl::Status Load();
  absl::Status KeepSweepFile() const;
  // Compares what has begun with the plan.
  absl::Status CheckBegun() const;
  absl::Status WriteState() const;

  std::string path_;
  SweepPlan plan_;
  SweepResults results_;
  proto::SweepState state_;
  // Held by the process that runs the sweep.
  std::optional<FileLock> lock_;
};

// The key and the empty state of a trial.
TrialKey KeyOf(const proto::TrialState& state);
proto::TrialState NewState(const TrialKey& key);

}  // namespace pompc::cli

#endif  // POMPC_CLI_SWEEP_SWEEP_FOLDER_H_
