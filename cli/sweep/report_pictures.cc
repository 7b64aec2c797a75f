#include "cli/sweep/report_pictures.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <optional>

#include "absl/strings/str_cat.h"
#include "cli/report/reference_plot.h"
#include "cli/sweep/report_tables.h"
#include "common/values/statistics.h"
#include "learner/status/published_curves.h"

namespace pompc::cli {
namespace {

constexpr char kProfileName[] = "profile";
// Points of a curve over all tasks, and of a profile.
constexpr size_t kMostPoints = 40;
constexpr int kProfileSteps = 50;
// Okabe and Ito's colours for everyone who tells some apart, without black and yellow; with dashes
// from the eighth setting on.
constexpr std::array<const char*, 7> kSettingColors = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                                       "#56b4e9", "#e69f00", "#8a63d2"};
constexpr std::array<const char*, 4> kSettingDashes = {"", "7 3", "2 3", "9 3 2 3"};

ChartSeries SeriesOf(const ReportData& data, size_t setting) {
  return {.name = data.settings[setting],
          .color = kSettingColors[setting % kSettingColors.size()],
          .dashes = kSettingDashes[setting / kSettingColors.size() % kSettingDashes.size()]};
}

// The frames at which a mean over runs has its points: those of the run with most evaluations.
std::vector<double> GridOf(const std::vector<RunPoints>& runs) {
  std::vector<double> grid;
  for (const RunPoints& run : runs) {
    if (run.frames.size() > grid.size()) grid = run.frames;
  }
  return grid;
}

void AddPoint(double x, double y, const Interval& interval, ChartSeries* series) {
  series->x.push_back(x);
  series->y.push_back(y);
  series->low.push_back(interval.low);
  series->high.push_back(interval.high);
}

// A picture needs no more digits than it has pixels.
BootstrapOptions PictureDraws(const ReportOptions& options) {
  return {.repetitions = std::min<size_t>(options.repetitions, 500), .seed = options.seed};
}

// The mean over runs wherever most of them have a return.
ChartSeries MeanCurve(const ReportData& data, const ReportOptions& options, size_t setting,
                      const std::string& task) {
  ChartSeries series = SeriesOf(data, setting);
  const std::vector<RunPoints> runs = RunsPoints(data, data.settings[setting], task);
  for (const double frames : GridOf(runs)) {
    std::vector<double> returns;
    for (const RunPoints& run : runs) {
      if (const std::optional<double> value = At(run, frames)) returns.push_back(*value);
    }
    // Runs that are left over say nothing of the mean.
    if (2 * returns.size() <= runs.size()) continue;
    AddPoint(frames, Mean(returns), Bootstrap({returns}, MeanScore, PictureDraws(options)),
             &series);
  }
  return series;
}

ReportPicture TaskCurves(const ReportData& data, const ReportOptions& options,
                         const std::string& task) {
  ReportPicture picture = {.name = absl::StrCat("curves-", task),
                           .options = {.title = task,
                                       .x_label = "frames (control steps of the environment)",
                                       .y_label = "return of an evaluation"},
                           .series = {}};
  double end = 0;
  for (size_t setting = 0; setting < data.settings.size(); ++setting) {
    ChartSeries series = MeanCurve(data, options, setting, task);
    if (series.x.empty()) continue;
    end = std::max(end, series.x.back());
    picture.series.push_back(std::move(series));
  }
  if (picture.series.empty() || options.published_dir.empty()) return picture;
  // Most tasks and budgets have no published curve.
  const auto published = learner::ReadPublishedCurves(options.published_dir, task);
  if (!published.ok()) return picture;
  std::vector<ChartSeries> references;
  for (const learner::PublishedCurve& curve : *published) {
    ChartSeries series = PublishedSeries(curve, end);
    if (series.x.size() > 1) references.push_back(std::move(series));
  }
  // Drawn first, so that the sweep's own lie on top.
  picture.series.insert(picture.series.begin(), references.begin(), references.end());
  return picture;
}

ReportPicture AllTaskCurves(const ReportData& data, const ReportOptions& options) {
  ReportPicture picture = {.name = "scores",
                           .options = {.title = "All tasks",
                                       .x_label = "frames (control steps of the environment)",
                                       .y_label = "score, interquartile mean"},
                           .series = {}};
  for (size_t setting = 0; setting < data.settings.size(); ++setting) {
    std::vector<std::vector<RunPoints>> tasks;
    for (const std::string& task : data.tasks) {
      tasks.push_back(RunsPoints(data, data.settings[setting], task));
    }
    ChartSeries series = SeriesOf(data, setting);
    const std::vector<double> grid = GridOf(tasks.front());
    const size_t step = grid.size() / kMostPoints + 1;
    for (size_t i = 0; i < grid.size(); i += step) {
      TaskScores scores(tasks.size());
      for (size_t task = 0; task < tasks.size(); ++task) {
        const ScoreRange& range = data.scores[task];
        for (const RunPoints& run : tasks[task]) {
          const std::optional<double> value = At(run, grid[i]);
          if (value) scores[task].push_back((*value - range.zero) / (range.one - range.zero));
        }
      }
      if (!IsComplete(scores)) continue;
      AddPoint(grid[i], InterquartileMeanScore(scores),
               Bootstrap(scores, InterquartileMeanScore, PictureDraws(options)), &series);
    }
    if (!series.x.empty()) picture.series.push_back(std::move(series));
  }
  return picture;
}

ReportPicture Profile(const ReportData& data, const ReportOptions& options) {
  ReportPicture picture = {.name = kProfileName,
                           .options = {.title = "Performance profile",
                                       .x_label = "score",
                                       .y_label = "share of runs with a higher score"},
                           .series = {}};
  for (size_t setting = 0; setting < data.settings.size(); ++setting) {
    const TaskScores scores = RunsOf(data, data.settings[setting]);
    if (!IsComplete(scores)) continue;
    ChartSeries series = SeriesOf(data, setting);
    for (int i = 0; i <= kProfileSteps; ++i) {
      const double at = static_cast<double>(i) / kProfileSteps;
      const auto share = [at](const TaskScores& drawn) { return ShareAbove(drawn, at); };
      AddPoint(at, share(scores), Bootstrap(scores, share, PictureDraws(options)), &series);
    }
    picture.series.push_back(std::move(series));
  }
  return picture;
}

}  // namespace

std::vector<ReportPicture> MakePictures(const ReportData& data, const ReportOptions& options) {
  std::vector<ReportPicture> pictures;
  for (const std::string& task : data.tasks) pictures.push_back(TaskCurves(data, options, task));
  if (data.tasks.size() > 1) pictures.push_back(AllTaskCurves(data, options));
  pictures.push_back(Profile(data, options));
  std::erase_if(pictures, [](const ReportPicture& picture) { return picture.series.empty(); });
  return pictures;
}

std::string ProfileCsv(const std::vector<ReportPicture>& pictures) {
  std::string text = "setting,score,share,low,high\n";
  for (const ReportPicture& picture : pictures) {
    if (picture.name != kProfileName) continue;
    for (const ChartSeries& series : picture.series) {
      for (size_t i = 0; i < series.x.size(); ++i) {
        absl::StrAppend(&text,
                        CsvLine({series.name, CsvNumber(series.x[i]), CsvNumber(series.y[i]),
                                 CsvNumber(series.low[i]), CsvNumber(series.high[i])}),
                        "\n");
      }
    }
  }
  return text;
}

}  // namespace pompc::cli
