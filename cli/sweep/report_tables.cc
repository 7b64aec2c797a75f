#include "cli/sweep/report_tables.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "learner/status/published_curves.h"

namespace pompc::cli {
namespace {

// With more settings than this only the comparisons with the first are computed.
constexpr size_t kMostCompared = 16;
// Significant digits of statistics in CSV files: enough to compare them with other programs.
constexpr int kDigits = 9;

struct NamedStatistic {
  const char* name;
  double (*of)(const TaskScores&);
};

double Gap(const TaskScores& scores) { return OptimalityGap(scores); }

constexpr NamedStatistic kStatistics[] = {{"mean", MeanScore},
                                          {"interquartile mean", InterquartileMeanScore},
                                          {"median", MedianScore},
                                          {"optimality gap", Gap}};

BootstrapOptions Draws(const ReportOptions& options) {
  return {.repetitions = options.repetitions, .seed = options.seed};
}

size_t RunCount(const TaskScores& runs) {
  size_t count = 0;
  for (const std::vector<double>& task : runs) count += task.size();
  return count;
}

size_t PlaceOf(const std::vector<std::string>& names, const std::string& name) {
  return static_cast<size_t>(std::find(names.begin(), names.end(), name) - names.begin());
}

// For each task the differences between runs of two settings with the same seed.
TaskScores Differences(const ReportData& data, const std::string& setting, const std::string& to) {
  TaskScores differences(data.tasks.size());
  for (const TrialResult& a : data.results.trials) {
    if (a.key.setting != setting) continue;
    const TrialResult* b = data.results.Find({to, a.key.task, a.key.seed});
    const size_t task = PlaceOf(data.tasks, a.key.task);
    if (b == nullptr || task == data.tasks.size()) continue;
    const double scale = data.scores[task].one - data.scores[task].zero;
    const double difference = (a.Return(data.metric) - b->Return(data.metric)) / scale;
    if (std::isfinite(difference)) differences[task].push_back(difference);
  }
  return differences;
}

std::string Statistic(const TaskScores& runs, double (*of)(const TaskScores&),
                      const ReportOptions& options) {
  return WithInterval(of(runs), Bootstrap(runs, of, Draws(options)), "%.3f");
}

ReportTable AllTasks(const ReportData& data, const ReportOptions& options) {
  const std::string& first = data.settings.front();
  ReportTable table = {
      .title = "All tasks",
      .note = absl::StrCat("Scores. The last columns compare with ", first,
                           ": the mean difference between runs of the same task and seed, and the "
                           "probability that a run is better than one of ",
                           first, "."),
      .rows = {{"setting", "runs", "mean", "interquartile mean", "median", "optimality gap",
                "difference", "probability of improvement"}}};
  const TaskScores base = RunsOf(data, first);
  for (const std::string& setting : data.settings) {
    const TaskScores runs = RunsOf(data, setting);
    if (RunCount(runs) == 0) continue;
    std::vector<std::string> row = {setting, absl::StrCat(RunCount(runs))};
    const bool complete = IsComplete(runs);
    for (const NamedStatistic& statistic : kStatistics) {
      row.push_back(complete ? Statistic(runs, statistic.of, options) : "–");
    }
    const TaskScores differences = Differences(data, setting, first);
    const bool comparable = setting != first && complete && IsComplete(base);
    row.push_back(comparable && IsComplete(differences) ? Statistic(differences, MeanScore, options)
                                                        : "–");
    row.push_back(
        comparable
            ? WithInterval(ProbabilityOfImprovement(runs, base),
                           Bootstrap(runs, base, ProbabilityOfImprovement, Draws(options)), "%.2f")
            : "–");
    table.rows.push_back(std::move(row));
  }
  return table;
}

ReportTable EachTask(const ReportData& data, const ReportOptions& options) {
  ReportTable table = {.title = "Each task",
                       .note = "Mean returns, with the number of runs.",
                       .rows = {{"setting"}}};
  for (const std::string& task : data.tasks) table.rows[0].push_back(task);
  for (const std::string& setting : data.settings) {
    const TaskScores returns = RunsOf(data, setting, false);
    if (RunCount(returns) == 0) continue;
    std::vector<std::string> row = {setting};
    for (const std::vector<double>& runs : returns) {
      row.push_back(
          runs.empty()
              ? "–"
              : absl::StrCat(
                    WithInterval(Mean(runs), Bootstrap({runs}, MeanScore, Draws(options)), "%.0f"),
                    " (", runs.size(), ")"));
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

// The times at which the runs of a setting on a task have reached a return.
struct Reached {
  size_t runs = 0;
  // One number for each of those that have.
  std::vector<double> rows, frames, minutes;
};

double SecondsAt(const SweepResults& results, const CurvePoint& point) {
  for (const TimePoint& time : results.times) {
    if (time.key == point.key && time.rows == point.rows) return time.seconds;
  }
  return NAN;
}

Reached ReachedBy(const ReportData& data, const std::string& setting, const std::string& task,
                  double threshold) {
  Reached reached;
  std::set<uint64_t> seeds, done;
  for (const CurvePoint& point : data.results.curves) {
    if (point.key.setting != setting || point.key.task != task) continue;
    seeds.insert(point.key.seed);
    // Points stand in the order of their rows.
    if (!(point.return_mean >= threshold) || !done.insert(point.key.seed).second) continue;
    reached.rows.push_back(point.rows);
    reached.frames.push_back(point.frames);
    const double seconds = SecondsAt(data.results, point);
    if (std::isfinite(seconds)) reached.minutes.push_back(seconds / 60);
  }
  reached.runs = seeds.size();
  return reached;
}

std::vector<double> ThresholdsOf(const ReportOptions& options, const ScoreRange& range) {
  if (!options.thresholds.empty()) return options.thresholds;
  return {std::lerp(range.zero, range.one, 0.5), std::lerp(range.zero, range.one, 0.8)};
}

// Calls `with` for each setting, task and threshold that has runs.
template <typename F>
void ForEachThreshold(const ReportData& data, const ReportOptions& options, F with) {
  for (const std::string& setting : data.settings) {
    for (size_t task = 0; task < data.tasks.size(); ++task) {
      for (const double threshold : ThresholdsOf(options, data.scores[task])) {
        const Reached reached = ReachedBy(data, setting, data.tasks[task], threshold);
        if (reached.runs > 0) with(setting, data.tasks[task], threshold, reached);
      }
    }
  }
}

std::string NumberOr(double value, const char* format) {
  return std::isfinite(value) ? absl::StrFormat(*absl::ParsedFormat<'f'>::New(format), value) : "–";
}

ReportTable Thresholds(const ReportData& data, const ReportOptions& options) {
  ReportTable table = {
      .title = "How soon",
      .note =
          "The first evaluation with at least this return, as means over the "
          "runs that have reached it.",
      .rows = {{"setting", "task", "return", "runs that reached it", "rows", "frames", "minutes"}}};
  ForEachThreshold(data, options,
                   [&table](const std::string& setting, const std::string& task, double threshold,
                            const Reached& reached) {
                     table.rows.push_back({setting, task, absl::StrFormat("%g", threshold),
                                           absl::StrCat(reached.rows.size(), " of ", reached.runs),
                                           NumberOr(Mean(reached.rows), "%.0f"),
                                           NumberOr(Mean(reached.frames), "%.0f"),
                                           NumberOr(Mean(reached.minutes), "%.1f")});
                   });
  return table;
}

// A metric's numbers in the results of a setting on a task.
std::vector<double> MetricOf(const ReportData& data, const std::string& setting,
                             const std::string& task, const std::string& name) {
  std::vector<double> values;
  for (const TrialResult& trial : data.results.trials) {
    if (trial.key.setting != setting || trial.key.task != task) continue;
    const auto it = trial.metrics.find(name);
    if (it != trial.metrics.end()) values.push_back(it->second);
  }
  return values;
}

std::string Percent(double share, const char* format) {
  return std::isfinite(share) ? NumberOr(100 * share, format) + "%" : "–";
}

ReportTable Training(const ReportData& data) {
  ReportTable table = {
      .title = "Training",
      .note =
          "Means over the second half of each run, with the largest value of all runs in "
          "brackets. S_k and S_q are the running scales of the KL and of values. A std of 0 "
          "means that there is no such network.",
      .rows = {{"setting", "task", "runs", "KL (max)", "S_k", "S_q", "value", "regularised",
                "clamped (max)", "clipped", "std of policy, prior, plan"}}};
  for (const std::string& setting : data.settings) {
    for (size_t task = 0; task < data.tasks.size(); ++task) {
      const auto values = [&](const std::string& name) {
        return MetricOf(data, setting, data.tasks[task], name);
      };
      const auto mean = [&](const std::string& name) { return Mean(values(name)); };
      const auto worst = [&](const std::string& name) {
        const std::vector<double> all = values("max_" + name);
        return all.empty() ? NAN : *std::max_element(all.begin(), all.end());
      };
      const size_t runs = RunsOf(data, setting)[task].size();
      if (runs == 0) continue;
      table.rows.push_back(
          {setting, data.tasks[task], absl::StrCat(runs),
           absl::StrCat(NumberOr(mean("policy_prior_kl"), "%.2f"), " (",
                        NumberOr(worst("policy_prior_kl"), "%.0f"), ")"),
           NumberOr(mean("kl_scale"), "%.2f"), NumberOr(mean("value_scale"), "%.1f"),
           NumberOr(mean("value"), "%.1f"), NumberOr(mean("regularized_value"), "%.1f"),
           absl::StrCat(Percent(mean("clamped_regularized_targets"), "%.1f"), " (",
                        Percent(worst("clamped_regularized_targets"), "%.0f"), ")"),
           Percent(mean("clipped_actions"), "%.1f"),
           absl::StrCat(NumberOr(mean("policy_std"), "%.2f"), ", ",
                        NumberOr(mean("prior_std"), "%.2f"), ", ",
                        NumberOr(mean("planner_std"), "%.2f"))});
    }
  }
  return table;
}

// A line of the table beside published returns: the mean over tasks, then each task; "–" where a
// task has no return.
std::vector<std::string> ComparedRow(const std::string& name,
                                     const std::vector<std::optional<double>>& returns) {
  double sum = 0;
  for (const std::optional<double>& value : returns) sum += value.value_or(NAN);
  std::vector<std::string> row = {name,
                                  NumberOr(sum / static_cast<double>(returns.size()), "%.0f")};
  for (const std::optional<double>& value : returns) {
    row.push_back(NumberOr(value.value_or(NAN), "%.0f"));
  }
  return row;
}

// The setting's mean return on a task at `frames`, of the runs that have got there.
std::optional<double> MeanAt(const ReportData& data, const std::string& setting,
                             const std::string& task, double frames) {
  std::vector<double> returns;
  for (const RunPoints& run : RunsPoints(data, setting, task)) {
    if (const std::optional<double> value = At(run, frames)) returns.push_back(*value);
  }
  if (returns.empty()) return std::nullopt;
  return Mean(returns);
}

// The frame that all runs have reached: the last rows of runs may differ a little.
double LastCommonFrame(const ReportData& data) {
  std::map<TrialKey, double> last;
  for (const CurvePoint& point : data.results.curves) {
    double& frames = last[point.key];
    frames = std::max(frames, point.frames);
  }
  double common = std::numeric_limits<double>::infinity();
  for (const auto& [key, frames] : last) common = std::min(common, frames);
  return common;
}

// Nothing where no method has published returns of a task of the sweep at its last frame.
std::optional<ReportTable> BesidePublished(const ReportData& data, const ReportOptions& options) {
  if (options.published_dir.empty() || data.results.curves.empty()) return std::nullopt;
  const double frames = LastCommonFrame(data);
  std::vector<std::string> methods;
  std::map<std::string, std::vector<std::optional<double>>> published;
  for (size_t task = 0; task < data.tasks.size(); ++task) {
    const auto curves = learner::ReadPublishedCurves(options.published_dir, data.tasks[task]);
    if (!curves.ok()) continue;  // Most tasks have none.
    for (const learner::PublishedCurve& curve : *curves) {
      const auto at = learner::ReturnAt(curve, frames);
      if (!at.has_value()) continue;
      if (PlaceOf(methods, curve.method) == methods.size()) methods.push_back(curve.method);
      published[curve.method].resize(data.tasks.size());
      published[curve.method][task] = at->return_mean;
    }
  }
  if (methods.empty()) return std::nullopt;
  ReportTable table = {
      .title = "Beside published returns",
      .note = absl::StrCat("Returns at ", CsvNumber(frames),
                           " frames: of a setting the mean of its runs' evaluations there, of a "
                           "method what its authors published, in a straight line between their "
                           "points. The first column is the mean over all tasks."),
      .rows = {{"", "all tasks"}}};
  for (const std::string& task : data.tasks) table.rows[0].push_back(task);
  for (const std::string& setting : data.settings) {
    std::vector<std::optional<double>> returns;
    for (const std::string& task : data.tasks) {
      returns.push_back(MeanAt(data, setting, task, frames));
    }
    table.rows.push_back(ComparedRow(setting, returns));
  }
  for (const std::string& method : methods) {
    table.rows.push_back(ComparedRow(method, published[method]));
  }
  return table;
}

std::vector<std::string> ValueCells(double value, const Interval& interval) {
  return {CsvNumber(value, kDigits), CsvNumber(interval.low, kDigits),
          CsvNumber(interval.high, kDigits)};
}

void AddLine(std::vector<std::string> cells, const std::vector<std::string>& more,
             std::string* text) {
  cells.insert(cells.end(), more.begin(), more.end());
  absl::StrAppend(text, CsvLine(cells), "\n");
}

std::string SummaryCsv(const ReportData& data, const ReportOptions& options) {
  std::string text = "setting,runs,statistic,value,low,high\n";
  for (const std::string& setting : data.settings) {
    const TaskScores runs = RunsOf(data, setting);
    if (!IsComplete(runs)) continue;
    for (const NamedStatistic& statistic : kStatistics) {
      AddLine({setting, absl::StrCat(RunCount(runs)), statistic.name},
              ValueCells(statistic.of(runs), Bootstrap(runs, statistic.of, Draws(options))), &text);
    }
  }
  return text;
}

std::string ReturnsCsv(const ReportData& data, const ReportOptions& options) {
  std::string text = "setting,task,runs,metric,mean,low,high\n";
  ReportData of = data;
  for (const auto metric :
       {proto::SweepConfig::CURVE, proto::SweepConfig::END, proto::SweepConfig::BEST}) {
    of.metric = metric;
    for (const std::string& setting : data.settings) {
      const TaskScores returns = RunsOf(of, setting, false);
      for (size_t task = 0; task < returns.size(); ++task) {
        if (returns[task].empty()) continue;
        AddLine(
            {setting, data.tasks[task], absl::StrCat(returns[task].size()),
             proto::SweepConfig::Metric_Name(metric)},
            ValueCells(Mean(returns[task]), Bootstrap({returns[task]}, MeanScore, Draws(options))),
            &text);
      }
    }
  }
  return text;
}

std::string ImprovementCsv(const ReportData& data, const ReportOptions& options) {
  std::string text = "setting,over,probability,low,high\n";
  const size_t others = data.settings.size() > kMostCompared ? 1 : data.settings.size();
  for (const std::string& x : data.settings) {
    for (size_t i = 0; i < others; ++i) {
      const std::string& y = data.settings[i];
      const TaskScores of_x = RunsOf(data, x), of_y = RunsOf(data, y);
      if (x == y || !IsComplete(of_x) || !IsComplete(of_y)) continue;
      AddLine({x, y},
              ValueCells(ProbabilityOfImprovement(of_x, of_y),
                         Bootstrap(of_x, of_y, ProbabilityOfImprovement, Draws(options))),
              &text);
    }
  }
  return text;
}

}  // namespace

TaskScores RunsOf(const ReportData& data, const std::string& setting, bool scores) {
  TaskScores runs(data.tasks.size());
  std::vector<const TrialResult*> trials;
  for (const TrialResult& trial : data.results.trials) {
    if (trial.key.setting == setting) trials.push_back(&trial);
  }
  std::stable_sort(trials.begin(), trials.end(), [](const TrialResult* a, const TrialResult* b) {
    return a->key.seed < b->key.seed;
  });
  for (const TrialResult* trial : trials) {
    const size_t task = PlaceOf(data.tasks, trial->key.task);
    const double value = trial->Return(data.metric);
    if (task == data.tasks.size() || !std::isfinite(value)) continue;
    const ScoreRange& range = data.scores[task];
    runs[task].push_back(scores ? (value - range.zero) / (range.one - range.zero) : value);
  }
  return runs;
}

std::vector<RunPoints> RunsPoints(const ReportData& data, const std::string& setting,
                                  const std::string& task) {
  std::map<uint64_t, RunPoints> runs;
  for (const CurvePoint& point : data.results.curves) {
    if (point.key.setting != setting || point.key.task != task) continue;
    RunPoints& run = runs[point.key.seed];
    const bool ascending = run.frames.empty() || point.frames > run.frames.back();
    if (!ascending || !std::isfinite(point.return_mean)) continue;
    run.frames.push_back(point.frames);
    run.returns.push_back(point.return_mean);
  }
  std::vector<RunPoints> all;
  for (auto& [seed, run] : runs) {
    if (!run.frames.empty()) all.push_back(std::move(run));
  }
  return all;
}

std::optional<double> At(const RunPoints& run, double frames) {
  const auto next = std::lower_bound(run.frames.begin(), run.frames.end(), frames);
  if (next == run.frames.end()) return std::nullopt;
  const auto i = static_cast<size_t>(next - run.frames.begin());
  if (*next == frames) return run.returns[i];
  if (i == 0) return std::nullopt;
  return std::lerp(run.returns[i - 1], run.returns[i],
                   (frames - run.frames[i - 1]) / (*next - run.frames[i - 1]));
}

bool IsComplete(const TaskScores& runs) {
  return !runs.empty() &&
         std::none_of(runs.begin(), runs.end(), [](const auto& task) { return task.empty(); });
}

std::string WithInterval(double value, const Interval& interval, const char* format) {
  const std::string text = NumberOr(value, format);
  // The draws of single runs are all alike.
  if (!(interval.low < interval.high)) return text;
  return absl::StrCat(text, " [", NumberOr(interval.low, format), ", ",
                      NumberOr(interval.high, format), "]");
}

std::vector<ReportTable> MakeTables(const ReportData& data, const ReportOptions& options) {
  std::vector<ReportTable> tables = {AllTasks(data, options), EachTask(data, options)};
  if (const auto compared = BesidePublished(data, options)) tables.push_back(*compared);
  if (!data.results.curves.empty()) tables.push_back(Thresholds(data, options));
  tables.push_back(Training(data));
  return tables;
}

std::map<std::string, std::string> MakeCsvFiles(const ReportData& data,
                                                const ReportOptions& options) {
  std::string thresholds = "setting,task,return,runs,reached,rows,frames\n";
  std::string minutes = "setting,task,return,minutes\n";
  ForEachThreshold(data, options,
                   [&](const std::string& setting, const std::string& task, double threshold,
                       const Reached& reached) {
                     const std::vector<std::string> key = {setting, task, CsvNumber(threshold)};
                     AddLine(key,
                             {absl::StrCat(reached.runs), absl::StrCat(reached.rows.size()),
                              CsvNumber(Mean(reached.rows)), CsvNumber(Mean(reached.frames))},
                             &thresholds);
                     AddLine(key, {CsvNumber(Mean(reached.minutes))}, &minutes);
                   });
  return {{"summary.csv", SummaryCsv(data, options)},
          {"returns.csv", ReturnsCsv(data, options)},
          {"improvement.csv", ImprovementCsv(data, options)},
          {"thresholds.csv", thresholds},
          {"minutes.csv", minutes}};
}

}  // namespace pompc::cli
