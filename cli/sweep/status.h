#ifndef POMPC_CLI_SWEEP_STATUS_H_
#define POMPC_CLI_SWEEP_STATUS_H_

#include <string>
#include <vector>

#include "cli/sweep/sweep_folder.h"

namespace pompc::cli {

// The state of a sweep, read from its folder and the run directories in it.

// The state of one trial. Numbers are NaN where they are not known.
struct TrialStatus {
  TrialKey key;
  // "finished", "running", "waiting", "interrupted", "failed", "later round", "dropped".
  std::string state;
  double rows = 0;
  // The rows at which it ends; 0: no such limit.
  double max_rows = 0;
  double updates = 0;
  // The newest evaluation's return, and all of them.
  double return_mean = 0;
  std::vector<double> returns;
  // Rows a second, and the seconds that are left at this rate.
  double rows_per_second = 0;
  double seconds_left = 0;
  // A running trial has these too. Who waits for whom and what is out of order, in words, empty
  // when nothing is; what its learner's time went to lately; the address of its own status page.
  std::string waiting;
  std::string learner_time;
  std::string page;
  // Starts that failed, how the newest did, and the last lines of its log.
  uint32_t failures = 0;
  std::string failure;
  std::vector<std::string> log_lines;
};

// What finished trials have taken, and what that means for the others.
struct SweepEstimate {
  // Trials that are finished; those that will be made and are not; of these some may be dropped.
  size_t finished = 0;
  size_t left = 0;
  size_t failed = 0;
  size_t running = 0;
  // Means over finished trials and the largest; NaN before there is one.
  double seconds_per_trial = 0;
  double peak_memory_mib = 0;
};

struct SweepStatus {
  std::vector<TrialStatus> trials;
  SweepEstimate estimate;
  // What successive halving has decided.
  std::vector<std::string> decisions;
  // True while a process runs the sweep.
  bool running = false;
};

// `running`: whether a process runs the sweep now; without one its trials are interrupted.
SweepStatus ReadStatus(const SweepFolder& folder, bool running);

// "at most 48 trials, 12 finished, ...", with an estimate of time and memory for `jobs` at a time,
// or that nothing is known before the first has finished. REQUIRES: jobs >= 1.
std::string EstimateText(const SweepEstimate& estimate, int jobs);

// The status as tables, and as a page that reloads itself.
std::string StatusText(const SweepStatus& status);
std::string StatusHtml(const std::string& name, const SweepStatus& status, int jobs);

}  // namespace pompc::cli

#endif  // POMPC_CLI_SWEEP_STATUS_H_
