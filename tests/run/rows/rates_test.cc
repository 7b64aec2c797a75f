#include "run/rows/rates.h"

#include "gtest/gtest.h"

namespace pompc::run {
namespace {

TEST(RatesTest, AreZeroBeforeTwoSamples) {
  Rates rates;
  EXPECT_EQ(rates.rows_per_second(), 0);
  rates.Observe(absl::Seconds(1), 100, 50);
  EXPECT_EQ(rates.rows_per_second(), 0);
  EXPECT_EQ(rates.updates_per_second(), 0);
}

TEST(RatesTest, CountFromTheFirstSampleNotFromZero) {
  Rates rates;
  rates.Observe(absl::Seconds(10), 5000, 4000);
  rates.Observe(absl::Seconds(12), 5100, 4050);
  EXPECT_DOUBLE_EQ(rates.rows_per_second(), 50);
  EXPECT_DOUBLE_EQ(rates.updates_per_second(), 25);
}

TEST(RatesTest, ForgetWhatIsOlderThanTheWindow) {
  Rates rates(absl::Seconds(30));
  uint64_t rows = 0;
  for (int second = 0; second <= 100; ++second) {
    rates.Observe(absl::Seconds(second), rows, 0);
    rows += second < 50 ? 1000 : 10;
  }
  EXPECT_DOUBLE_EQ(rates.rows_per_second(), 10);
}

TEST(RatesTest, FallToZeroWhenNothingHappens) {
  Rates rates(absl::Seconds(30));
  rates.Observe(absl::Seconds(0), 0, 0);
  rates.Observe(absl::Seconds(1), 100, 100);
  for (int second = 2; second < 40; ++second) rates.Observe(absl::Seconds(second), 100, 100);
  EXPECT_EQ(rates.rows_per_second(), 0);
}

}  // namespace
}  // namespace pompc::run
