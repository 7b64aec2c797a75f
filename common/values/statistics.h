#ifndef POMPC_COMMON_VALUES_STATISTICS_H_
#define POMPC_COMMON_VALUES_STATISTICS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

// Statistics of repeated runs on several tasks, as "Deep Reinforcement Learning at the Edge of the
// Statistical Precipice" (Agarwal et al. 2021) defines them and its program rliable computes them.
// Everything here is a pure function: the same numbers give the same result on every machine with
// the same arithmetic. A statistic of no numbers is NaN.

namespace pompc {

// scores[t][r] is the score of run r on task t. Tasks may have different numbers of runs (rliable's
// have the same); where they have, results are those of rliable.
using TaskScores = std::vector<std::vector<double>>;

// Plain numbers.
double Mean(const std::vector<double>& values);
double Median(std::vector<double> values);
// The mean of the middle half: a quarter of the numbers, rounded down, is left out at each end.
double InterquartileMean(std::vector<double> values);
// The value below which a share of `q` of the numbers lies, in a straight line between two of them
// (numpy's default). `q` is from 0 to 1.
double Quantile(std::vector<double> values, double q);

// These are of scores: the mean of the tasks' means; the median of the tasks' means; the
// interquartile mean of all runs; and the mean distance by which runs fall short of `target`,
// averaged over tasks.
double MeanScore(const TaskScores& scores);
double MedianScore(const TaskScores& scores);
double InterquartileMeanScore(const TaskScores& scores);
double OptimalityGap(const TaskScores& scores, double target = 1);
// The share of runs whose score is above `threshold`, averaged over tasks: a performance profile is
// this over many thresholds.
double ShareAbove(const TaskScores& scores, double threshold);
// The probability that a run of `x` is better than one of `y` on a task that is chosen at random; a
// tie counts half (the Mann-Whitney statistic). Tasks are matched by their place; those that only
// one of them has are left out.
double ProbabilityOfImprovement(const TaskScores& x, const TaskScores& y);

struct Interval {
  double low = 0;
  double high = 0;
};

struct BootstrapOptions {
  // Draws of the data.
  size_t repetitions = 2000;
  uint64_t seed = 1;
  // Share of the draws' results within the interval.
  double confidence = 0.95;
};

// The percentile interval of `statistic` over draws of the runs with replacement, of each task
// separately (stratified by task).
Interval Bootstrap(const TaskScores& scores,
                   const std::function<double(const TaskScores&)>& statistic,
                   const BootstrapOptions& options = {});
// The same of a statistic of two, whose runs are drawn independently.
Interval Bootstrap(const TaskScores& x, const TaskScores& y,
                   const std::function<double(const TaskScores& x, const TaskScores& y)>& statistic,
                   const BootstrapOptions& options = {});

}  // namespace pompc

#endif  // POMPC_COMMON_VALUES_STATISTICS_H_
