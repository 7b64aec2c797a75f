#include "cli/report/learning_curve.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cli/report/csv.h"
#include "cli/report/run_directory.h"
#include "common/base/check.h"
#include "common/io/files.h"

namespace pompc::cli {
namespace {

// Training returns are noisy: each point is the mean of so many newest episodes.
constexpr int kEpisodesInMean = 5;

std::vector<double> RunningMean(const std::vector<double>& values) {
  std::vector<double> means;
  double sum = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    sum += values[i];
    if (i >= kEpisodesInMean) sum -= values[i - kEpisodesInMean];
    means.push_back(sum / static_cast<double>(std::min<size_t>(i + 1, kEpisodesInMean)));
  }
  return means;
}

}  // namespace

absl::StatusOr<RunCurve> ReadRunCurve(const std::string& run_dir) {
  RunCurve curve;
  POMPC_ASSIGN_OR_RETURN(curve.config, ReadRunConfig(run_dir));
  POMPC_ASSIGN_OR_RETURN(const CsvTable evaluations, ReadCsvIfThere(EvaluationsFile(run_dir)));
  POMPC_ASSIGN_OR_RETURN(const CsvTable episodes, ReadCsvIfThere(EpisodesFile(run_dir)));
  ChartOptions& options = curve.options;
  options.title = absl::StrCat(curve.config.env().task(), ", seed ", curve.config.seed());
  const bool offline = curve.config.schedule() == proto::RunConfig::OFFLINE;
  options.x_label = offline ? "updates" : "rows (decisions of the agent)";
  options.y_label = "return of an episode";
  if (curve.config.stop().return_mean() != 0) {
    options.reference = curve.config.stop().return_mean();
    options.reference_name = "goal";
  }
  curve.training = {.name = absl::StrCat("training, mean of ", kEpisodesInMean, " episodes"),
                    .color = "#c08a1e",
                    .x = episodes.column("rows"),
                    .y = RunningMean(episodes.column("return"))};
  curve.evaluations = {.name = "evaluations, mean and 95 % interval",
                       .color = "#1f6fb4",
                       .x = evaluations.column(offline ? "updates" : "rows"),
                       .y = evaluations.column("return_mean"),
                       .half_width = evaluations.column("return_ci95"),
                       .markers = true};
  return curve;
}

absl::StatusOr<std::string> LearningCurveSvg(const std::string& run_dir) {
  POMPC_ASSIGN_OR_RETURN(const RunCurve curve, ReadRunCurve(run_dir));
  return LineChartSvg(curve.options, {curve.training, curve.evaluations});
}

absl::Status WriteLearningCurve(const std::string& run_dir, const std::string& path) {
  POMPC_ASSIGN_OR_RETURN(const std::string svg, LearningCurveSvg(run_dir));
  return WriteFileAtomically(path, svg);
}

}  // namespace pompc::cli
