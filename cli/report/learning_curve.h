#ifndef POMPC_CLI_REPORT_LEARNING_CURVE_H_
#define POMPC_CLI_REPORT_LEARNING_CURVE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/report/line_chart.h"
#include "proto/config.pb.h"

namespace pompc::cli {

// What a run's pictures show of it: the returns of training episodes and, the
// mean returns of its evaluations with their 95 % intervals, over rows. (An OFFLINE run has no
// rows of its own; its evaluations stand over updates.)
struct RunCurve {
  proto::RunConfig config;
  ChartOptions options;
  ChartSeries training;
  ChartSeries evaluations;
};

// Reads the run in `run_dir`; its series are empty where it has no data. NOT_FOUND if there is no
// run.
absl::StatusOr<RunCurve> ReadRunCurve(const std::string& run_dir);

// The learning curve of the run in `run_dir`, as an SVG document. NOT_FOUND if there is no run; a
// run without data gives a picture that says so.
absl::StatusOr<std::string> LearningCurveSvg(const std::string& run_dir);

// Writes it to `path`, replacing what is there.
absl::Status WriteLearningCurve(const std::string& run_dir, const std::string& path);

}  // namespace pompc::cli

#endif  // POMPC_CLI_REPORT_LEARNING_CURVE_H_
