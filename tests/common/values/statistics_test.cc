#include "common/values/statistics.h"

#include <cmath>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pompc {
namespace {

using ::testing::DoubleNear;

constexpr double kTolerance = 1e-6;

// Scores of five runs on three tasks, with ties; what rliable 1.2.0 computes of them stands below.
const TaskScores kX = {
    {0.11, 0.35, 0.27, 0.42, 0.19}, {0.62, 0.58, 0.71, 0.58, 0.66}, {0.93, 1.10, 0.88, 0.97, 1.02}};
const TaskScores kY = {
    {0.21, 0.30, 0.27, 0.33, 0.29}, {0.60, 0.58, 0.69, 0.52, 0.66}, {0.90, 1.00, 0.91, 0.80, 0.95}};

TEST(StatisticsTest, PlainNumbers) {
  EXPECT_DOUBLE_EQ(Mean({1, 2, 6}), 3);
  EXPECT_DOUBLE_EQ(Median({5, 1, 2}), 2);
  EXPECT_DOUBLE_EQ(Median({5, 1, 2, 4}), 3);
  // A quarter of three is none.
  EXPECT_DOUBLE_EQ(InterquartileMean({0, 1, 11}), 4);
  EXPECT_DOUBLE_EQ(InterquartileMean({100, 2, -50, 4}), 3);
  EXPECT_DOUBLE_EQ(Quantile({0, 10}, 0.25), 2.5);
  EXPECT_DOUBLE_EQ(Quantile({3, 1, 2}, 0), 1);
  EXPECT_DOUBLE_EQ(Quantile({3, 1, 2}, 1), 3);
}

TEST(StatisticsTest, AgreeWithRliable) {
  EXPECT_THAT(MeanScore(kX), DoubleNear(0.626, kTolerance));
  EXPECT_THAT(MedianScore(kX), DoubleNear(0.63, kTolerance));
  EXPECT_THAT(InterquartileMeanScore(kX), DoubleNear(0.6366666666666666, kTolerance));
  EXPECT_THAT(OptimalityGap(kX), DoubleNear(0.382, kTolerance));
  EXPECT_THAT(ProbabilityOfImprovement(kX, kY), DoubleNear(0.5866666666666667, kTolerance));
  EXPECT_THAT(ProbabilityOfImprovement(kY, kX), DoubleNear(0.41333333333333333, kTolerance));
  EXPECT_THAT(ShareAbove(kX, 0.3), DoubleNear(0.8, kTolerance));
  // A score that is equal to the threshold is not above it.
  EXPECT_THAT(ShareAbove(kX, 0.58), DoubleNear(0.5333333333333333, kTolerance));
  EXPECT_THAT(ShareAbove(kX, 0.97), DoubleNear(0.13333333333333333, kTolerance));
}

TEST(StatisticsTest, IntervalsAgreeWithRliableWithinTheErrorOfTheirDraws) {
  const BootstrapOptions options = {.repetitions = 20'000, .seed = 3};
  const auto expect = [](const Interval& interval, double low, double high, double error) {
    EXPECT_THAT(interval.low, DoubleNear(low, error));
    EXPECT_THAT(interval.high, DoubleNear(high, error));
  };
  // rliable with 50,000 draws, and 5,000 of the last. Means of few numbers have few values, so that
  // an end of an interval may lie at the next one.
  expect(Bootstrap(kX, MeanScore, options), 0.58533333, 0.66733333, 0.002);
  expect(Bootstrap(kX, MedianScore, options), 0.588, 0.674, 0.004);
  expect(Bootstrap(kX, InterquartileMeanScore, options), 0.59666667, 0.67, 0.004);
  expect(Bootstrap(
             kX, [](const TaskScores& scores) { return OptimalityGap(scores); }, options),
         0.34466667, 0.42, 0.003);
  expect(Bootstrap(kX, kY, ProbabilityOfImprovement, options), 0.36666667, 0.79333333, 0.015);
}

TEST(StatisticsTest, TheSameSeedGivesTheSameInterval) {
  const Interval first = Bootstrap(kX, MeanScore, {.repetitions = 100, .seed = 5});
  const Interval second = Bootstrap(kX, MeanScore, {.repetitions = 100, .seed = 5});
  const Interval other = Bootstrap(kX, MeanScore, {.repetitions = 100, .seed = 6});
  EXPECT_EQ(first.low, second.low);
  EXPECT_EQ(first.high, second.high);
  EXPECT_TRUE(first.low != other.low || first.high != other.high);
}

TEST(StatisticsTest, TasksMayHaveDifferentNumbersOfRuns) {
  const TaskScores scores = {{0, 1}, {0.5}, {}};
  EXPECT_DOUBLE_EQ(MeanScore(scores), 0.5);
  EXPECT_DOUBLE_EQ(OptimalityGap(scores), 0.5);
  EXPECT_DOUBLE_EQ(ShareAbove(scores, 0.4), 0.75);
  EXPECT_DOUBLE_EQ(ProbabilityOfImprovement(scores, {{0.5}, {}, {1}}), 0.5);
  const Interval interval = Bootstrap(scores, MeanScore, {.repetitions = 200});
  EXPECT_GE(interval.low, 0.25);
  EXPECT_LE(interval.high, 0.75);
}

TEST(StatisticsTest, NoNumbersGiveNoNumber) {
  EXPECT_TRUE(std::isnan(Mean({})));
  EXPECT_TRUE(std::isnan(InterquartileMean({})));
  EXPECT_TRUE(std::isnan(Quantile({}, 0.5)));
  EXPECT_TRUE(std::isnan(MeanScore({{}, {}})));
  EXPECT_TRUE(std::isnan(ProbabilityOfImprovement({{1}}, {{}})));
  EXPECT_TRUE(std::isnan(Bootstrap(TaskScores(), MeanScore).low));
}

}  // namespace
}  // namespace pompc
