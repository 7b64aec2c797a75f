#include "run/control/statistics.h"

#include <cmath>

#include "gtest/gtest.h"

namespace pompc::run {
namespace {

TEST(StatisticsTest, QuantilesAreThoseOfTheTables) {
  EXPECT_NEAR(StudentT975(1), 12.706, 1e-3);
  EXPECT_NEAR(StudentT975(2), 4.303, 1e-3);
  EXPECT_NEAR(StudentT975(10), 2.228, 1e-3);
  EXPECT_NEAR(StudentT975(11), 2.201, 1e-3);
  EXPECT_NEAR(StudentT975(30), 2.042, 1e-3);
  EXPECT_NEAR(StudentT975(1000000), 1.960, 1e-3);
}

TEST(StatisticsTest, QuantilesFallWithTheDegrees) {
  for (int degrees = 1; degrees < 200; ++degrees) {
    EXPECT_GT(StudentT975(degrees), StudentT975(degrees + 1)) << degrees;
  }
}

TEST(StatisticsTest, IntervalIsThatOfStudentsT) {
  // Standard deviation 100, so the standard error is 100 / sqrt(3).
  const SampleStatistics s = Summarize({600, 700, 800});
  EXPECT_DOUBLE_EQ(s.mean, 700);
  EXPECT_NEAR(s.ci95, 4.3027 * 100 / std::sqrt(3), 1e-9);
  EXPECT_EQ(s.min, 600);
  EXPECT_EQ(s.max, 800);
}

TEST(StatisticsTest, OneValueHasNoInterval) {
  const SampleStatistics s = Summarize({5});
  EXPECT_EQ(s.mean, 5);
  EXPECT_TRUE(std::isnan(s.ci95));
}

TEST(StatisticsTest, EqualValuesHaveAnIntervalOfZero) { EXPECT_EQ(Summarize({3, 3, 3}).ci95, 0); }

TEST(StatisticsDeathTest, NothingHasNoMean) {
  EXPECT_DEATH(Summarize({}), "values.empty");
  EXPECT_DEATH(StudentT975(0), "0 against 1");
}

}  // namespace
}  // namespace pompc::run
