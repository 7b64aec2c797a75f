#ifndef POMPC_CLI_SWEEP_REPORT_TABLES_H_
#define POMPC_CLI_SWEEP_REPORT_TABLES_H_

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cli/sweep/html.h"
#include "cli/sweep/report.h"
#include "common/values/statistics.h"

namespace pompc::cli {

// The numbers of a report, as tables. Everything here is a pure function of the data; intervals are
// 95 % bootstrap intervals over runs, stratified by task.

// The setting's scores (ReportData::metric), task by task in the order of their seeds; returns
// instead with `scores` false.
TaskScores RunsOf(const ReportData& data, const std::string& setting, bool scores = true);
// Returns of one run over frames, ascending.
struct RunPoints {
  std::vector<double> frames, returns;
};
// The evaluations of a setting's runs on a task, by seed; without runs that have none.
std::vector<RunPoints> RunsPoints(const ReportData& data, const std::string& setting,
                                  const std::string& task);
// The run's return at `frames`, in a straight line between evaluations; nothing where it has none.
std::optional<double> At(const RunPoints& run, double frames);

// Returns whether every task has a run.
bool IsComplete(const TaskScores& runs);

// "0.712 [0.650, 0.770]"; the interval is left out where there is one run alone.
std::string WithInterval(double value, const Interval& interval, const char* format);

// The tables of the report in their order.
std::vector<ReportTable> MakeTables(const ReportData& data, const ReportOptions& options);
// The same numbers and more, as CSV files by name.
std::map<std::string, std::string> MakeCsvFiles(const ReportData& data,
                                                const ReportOptions& options);

}  // namespace pompc::cli

#endif  // POMPC_CLI_SWEEP_REPORT_TABLES_H_
