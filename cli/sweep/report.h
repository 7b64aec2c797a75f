#ifndef POMPC_CLI_SWEEP_REPORT_H_
#define POMPC_CLI_SWEEP_REPORT_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/sweep/plan.h"
#include "cli/sweep/results.h"

namespace pompc::cli {

// The report of a sweep: tables and pictures of what came of its trials.

struct ReportOptions {
  // Returns of which the report says how soon they were reached; empty: those with the scores 0.5
  // and 0.8 on each task.
  std::vector<double> thresholds;
  // Draws of the bootstrap, and their seed.
  size_t repetitions = 2000;
  uint64_t seed = 1;
  // The folder of published curves; empty: none are drawn or put beside the sweep's returns.
  std::string published_dir;
};

// The finished trials that a report is about.
struct ReportData {
  std::string name;
  // The first setting is the one with which others are compared.
  std::vector<std::string> settings;
  std::vector<std::string> tasks;
  // One for each task.
  std::vector<ScoreRange> scores;
  proto::SweepConfig::Metric metric = proto::SweepConfig::CURVE;
  SweepResults results;
};

// Reads the folder of a sweep, or a table like results.csv without one. NOT_FOUND if `where` is
// neither; FAILED_PRECONDITION if no trial is finished.
absl::StatusOr<ReportData> ReadReportData(const std::string& where);

struct SweepReport {
  std::string markdown;
  // A page that needs nothing else.
  std::string html;
  // Other files by name: tables (.csv) and pictures (.svg). Of these only minutes.csv depends on
  // how fast the machine was.
  std::map<std::string, std::string> files;
};

SweepReport MakeReport(const ReportData& data, const ReportOptions& options);

// Writes report.md, report.html and the other files into the folder, which is made.
absl::Status WriteReport(const SweepReport& report, const std::string& folder);

}  // namespace pompc::cli

#endif  // POMPC_CLI_SWEEP_REPORT_H_
