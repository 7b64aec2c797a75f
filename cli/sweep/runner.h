#ifndef POMPC_CLI_SWEEP_RUNNER_H_
#define POMPC_CLI_SWEEP_RUNNER_H_

#include <cstddef>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/sweep/kept_process.h"
#include "cli/sweep/sweep_folder.h"

namespace pompc::cli {

struct RunnerOptions {
  // The program whose command `train` makes a trial.
  std::string program;
  // Trials at a time.
  int jobs = 1;
  // What is added to the niceness of their processes.
  int nice = 0;
  // More flags of `train`, the same for all trials: where models of tasks are.
  std::vector<std::string> flags;
  // The processes that work for all trials, which `flags` name.
  std::vector<KeptProcess*> kept;
  // A line for each trial that ends.
  std::ostream* out = nullptr;
};

// The end of a call of RunTrials: why it came and what had failed by then.
struct RunnerEnd {
  // What told it to end before all trials were finished; empty: nothing.
  std::string stopped_by;
  // Trials that have failed too often.
  size_t failed = 0;
};

// Makes the trials of a sweep that are missing, each in a process of its own, and returns when all
// are finished or have failed too often, or when SIGINT, SIGTERM, SIGHUP or RequestStop tell it to
// end: then its trials end with checkpoints first, and a second SIGINT or SIGTERM ends everything
// at once. The processes end with this one, however it ends. Half-done trials with schedule
// LOCKSTEP begin anew, as a resumed one would have other numbers; others resume from their
// checkpoints.
//
// Fails as BackgroundProcess::Start if the program cannot be started, as KeptProcess::Tend, and
// with the system's reason if the folder cannot be written. REQUIRES: `folder` is of
// SweepFolder::Begin; BlockSignals() was called and no SignalHandler exists; options.jobs >= 1;
// options.out is not null.
absl::StatusOr<RunnerEnd> RunTrials(const RunnerOptions& options, SweepFolder* folder);

// Keeps what came of trials that something else has made in the folder (a job array), and returns
// how many these are. Starts nothing. `folder` is of SweepFolder::Begin.
absl::StatusOr<size_t> RecordFinished(SweepFolder* folder);

}  // namespace pompc::cli

#endif  // POMPC_CLI_SWEEP_RUNNER_H_
