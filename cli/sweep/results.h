#ifndef POMPC_CLI_SWEEP_RESULTS_H_
#define POMPC_CLI_SWEEP_RESULTS_H_

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/sweep/plan.h"

namespace pompc::cli {

// What came of finished trials, in three CSV files: results.csv has a line for each trial,
// curves.csv one for each of its evaluations, times.csv how long these took. Only times.csv depends
// on the clock. Cells without a number are empty; numbers have six digits.

// Columns of metrics.csv that are kept.
const std::vector<std::string>& KeptMetrics();

struct TrialResult {
  TrialKey key;
  double rows = NAN;
  // Control steps of the environment: rows x action repeat.
  double frames = NAN;
  double updates = NAN;
  // Mean of the last two evaluations, mean of all, and the best.
  double return_last = NAN;
  double return_curve = NAN;
  double return_best = NAN;
  // KeptMetrics() by name, means over the second half of the run, and "max_" and a name for the
  // largest value of two of them; absent where the run has no such number.
  std::map<std::string, double> metrics;
  // PlannedSetting::flags when the trial began.
  std::string flags;

  // The number that `metric` names.
  double Return(proto::SweepConfig::Metric metric) const;
};

struct CurvePoint {
  TrialKey key;
  double rows = NAN;
  double frames = NAN;
  double return_mean = NAN;
  // KeptMetrics() by name, means since the evaluation before.
  std::map<std::string, double> metrics;
};

struct TimePoint {
  TrialKey key;
  // Those of an evaluation; in a trial's last line those of its end.
  double rows = NAN;
  double seconds = NAN;
  // In the last line: the most memory that its process had.
  double peak_memory_mib = NAN;
};

struct SweepResults {
  std::vector<TrialResult> trials;
  std::vector<CurvePoint> curves;
  std::vector<TimePoint> times;

  // Nullptr if the trial has none.
  const TrialResult* Find(const TrialKey& key) const;
  // Puts those of one trial in the place of what there is of it.
  void Replace(const SweepResults& trial);
  // Orders lines by the trials' places in the plan; those that it does not have stand behind.
  void SortBy(const SweepPlan& plan);
};

// What the run in `run_dir` came to. FAILED_PRECONDITION if it has no evaluation; otherwise as
// ReadCsv.
absl::StatusOr<SweepResults> SumUp(const Trial& trial, const std::string& run_dir,
                                   double peak_memory_mib);

// Reads the three files of a folder; those that do not exist are empty, and lines of trials without
// a line in results.csv are left out. DATA_LOSS naming file and line for what is no such table.
absl::StatusOr<SweepResults> ReadResults(const std::string& folder);
// Reads a table like results.csv from anywhere. Columns may be missing, `task` too: then all trials
// are of the task "all". NOT_FOUND if there is none.
absl::StatusOr<std::vector<TrialResult>> ReadTrialResults(const std::string& path);
// Writes the three files, each atomically, results.csv last: it says which trials are finished.
absl::Status WriteResults(const std::string& folder, const SweepResults& results);

// A line of CSV without its end: cells with commas, quotes or line breaks are quoted.
std::string CsvLine(const std::vector<std::string>& cells);
// A number with so many significant digits, and "" for what is none.
std::string CsvNumber(double value, int digits = 6);

}  // namespace pompc::cli

#endif  // POMPC_CLI_SWEEP_RESULTS_H_
