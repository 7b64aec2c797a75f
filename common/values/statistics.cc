#include "common/values/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "common/values/split_mix.h"

namespace pompc {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

// Draws indices below a bound. The numbers are the same on every machine.
class IndexDraws {
 public:
  explicit IndexDraws(uint64_t seed) : state_(MixSeed(seed, 0)) {}

  size_t Below(size_t bound) {
    state_ += kSplitMixStep;
    // The upper half of the product is uniform but for a part in 2^32.
    return static_cast<size_t>(((SplitMixBits(state_) >> 32) * bound) >> 32);
  }

 private:
  uint64_t state_;
};

// Fills `drawn` with as many runs of each task, drawn with replacement.
void Draw(const TaskScores& scores, IndexDraws& draws, TaskScores* drawn) {
  drawn->resize(scores.size());
  for (size_t t = 0; t < scores.size(); ++t) {
    std::vector<double>& task = (*drawn)[t];
    task.resize(scores[t].size());
    for (double& value : task) value = scores[t][draws.Below(scores[t].size())];
  }
}

Interval Percentiles(const std::vector<double>& results, double confidence) {
  return {Quantile(results, (1 - confidence) / 2), Quantile(results, (1 + confidence) / 2)};
}

std::vector<double> TaskMeans(const TaskScores& scores) {
  std::vector<double> means;
  for (const std::vector<double>& task : scores) {
    if (!task.empty()) means.push_back(Mean(task));
  }
  return means;
}

// The mean over tasks of the mean of a function of each score.
double MeanOf(const TaskScores& scores, const std::function<double(double)>& of) {
  std::vector<double> means;
  for (const std::vector<double>& task : scores) {
    if (task.empty()) continue;
    double sum = 0;
    for (const double value : task) sum += of(value);
    means.push_back(sum / static_cast<double>(task.size()));
  }
  return Mean(means);
}

}  // namespace

double Mean(const std::vector<double>& values) {
  if (values.empty()) return kNone;
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double Median(std::vector<double> values) { return Quantile(std::move(values), 0.5); }

double InterquartileMean(std::vector<double> values) {
  if (values.empty()) return kNone;
  std::sort(values.begin(), values.end());
  const size_t cut = values.size() / 4;
  return Mean(std::vector<double>(values.begin() + static_cast<std::ptrdiff_t>(cut),
                                  values.end() - static_cast<std::ptrdiff_t>(cut)));
}

double Quantile(std::vector<double> values, double q) {
  if (values.empty()) return kNone;
  std::sort(values.begin(), values.end());
  const double place = std::clamp(q, 0.0, 1.0) * static_cast<double>(values.size() - 1);
  const auto below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, values.size() - 1);
  return std::lerp(values[below], values[above], place - static_cast<double>(below));
}

double MeanScore(const TaskScores& scores) { return Mean(TaskMeans(scores)); }

double MedianScore(const TaskScores& scores) { return Median(TaskMeans(scores)); }

double InterquartileMeanScore(const TaskScores& scores) {
  std::vector<double> all;
  for (const std::vector<double>& task : scores) all.insert(all.end(), task.begin(), task.end());
  return InterquartileMean(std::move(all));
}

double OptimalityGap(const TaskScores& scores, double target) {
  return MeanOf(scores, [target](double score) { return target - std::min(score, target); });
}

double ShareAbove(const TaskScores& scores, double threshold) {
  return MeanOf(scores, [threshold](double score) { return score > threshold ? 1.0 : 0.0; });
}

double ProbabilityOfImprovement(const TaskScores& x, const TaskScores& y) {
  std::vector<double> tasks;
  for (size_t t = 0; t < std::min(x.size(), y.size()); ++t) {
    if (x[t].empty() || y[t].empty()) continue;
    double wins = 0;
    for (const double a : x[t]) {
      for (const double b : y[t]) wins += a > b ? 1.0 : a == b ? 0.5 : 0.0;
    }
    tasks.push_back(wins / static_cast<double>(x[t].size() * y[t].size()));
  }
  return Mean(tasks);
}

Interval Bootstrap(const TaskScores& scores,
                   const std::function<double(const TaskScores&)>& statistic,
                   const BootstrapOptions& options) {
  IndexDraws draws(options.seed);
  TaskScores drawn;
  std::vector<double> results;
  for (size_t i = 0; i < options.repetitions; ++i) {
    Draw(scores, draws, &drawn);
    results.push_back(statistic(drawn));
  }
  return Percentiles(results, options.confidence);
}

Interval Bootstrap(const TaskScores& x, const TaskScores& y,
                   const std::function<double(const TaskScores& x, const TaskScores& y)>& statistic,
                   const BootstrapOptions& options) {
  IndexDraws draws(options.seed);
  TaskScores drawn_x, drawn_y;
  std::vector<double> results;
  for (size_t i = 0; i < options.repetitions; ++i) {
    Draw(x, draws, &drawn_x);
    Draw(y, draws, &drawn_y);
    results.push_back(statistic(drawn_x, drawn_y));
  }
  return Percentiles(results, options.confidence);
}

}  // namespace pompc
