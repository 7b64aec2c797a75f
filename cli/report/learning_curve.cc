#include "cli/report/learning_curve.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cli/report/csv.h"
#include "cli/report/line_chart.h"
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

absl::StatusOr<std::string> LearningCurveSvg(const std::string& run_dir) {
  POMPC_ASSIGN_OR_RETURN(const proto::RunConfig config, ReadRunConfig(run_dir));
  POMPC_ASSIGN_OR_RETURN(const CsvTable evaluations, ReadCsvIfThere(EvaluationsFile(run_dir)));
  POMPC_ASSIGN_OR_RETURN(const CsvTable episodes, ReadCsvIfThere(EpisodesFile(run_dir)));
  ChartOptions options;
  options.title = absl::StrCat(config.env().task(), ", seed ", config.seed());
  const bool offline = config.schedule() == proto::RunConfig::OFFLINE;
  options.x_label = offline ? "updates" : "rows (decisions of the agent)";
  options.y_label = "return of an episode";
  if (config.stop().return_mean() != 0) {
    options.reference = config.stop().return_mean();
    options.reference_name = "goal";
  }
  std::vector<ChartSeries> series;
  series.push_back({.name = absl::StrCat("training, mean of ", kEpisodesInMean, " episodes"),
                    .color = "#c08a1e",
                    .x = episodes.column("rows"),
                    .y = RunningMean(episodes.column("return"))});
  series.push_back({.name = "evaluations, mean and 95 % interval",
                    .color = "#1f6fb4",
                    .x = evaluations.column(offline ? "updates" : "rows"),
                    .y = evaluations.column("return_mean"),
                    .half_width = evaluations.column("return_ci95"),
                    .markers = true});
  return LineChartSvg(options, series);
}

absl::Status WriteLearningCurve(const std::string& run_dir, const std::string& path) {
  POMPC_ASSIGN_OR_RETURN(const std::string svg, LearningCurveSvg(run_dir));
  return WriteFileAtomically(path, svg);
}

}  // namespace pompc::cli
