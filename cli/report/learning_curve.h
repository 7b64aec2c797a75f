#ifndef POMPC_CLI_REPORT_LEARNING_CURVE_H_
#define POMPC_CLI_REPORT_LEARNING_CURVE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace pompc::cli {

// The learning curve of the run in `run_dir`, as an SVG document: mean return of the evaluations
// with its 95 % interval, and the returns of training episodes, over rows. NOT_FOUND if there is no
// run; a run without data gives a picture that says so.
absl::StatusOr<std::string> LearningCurveSvg(const std::string& run_dir);

// Writes it to `path`, replacing what is there.
absl::Status WriteLearningCurve(const std::string& run_dir, const std::string& path);

}  // namespace pompc::cli

#endif  // POMPC_CLI_REPORT_LEARNING_CURVE_H_
