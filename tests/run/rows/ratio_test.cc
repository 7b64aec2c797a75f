#include "run/rows/ratio.h"

#include "gtest/gtest.h"

namespace pompc::run {
namespace {

RatioOptions SmallOptions() {
  RatioOptions options;
  options.seed_rows = 100;
  options.pretrain_updates = 60;
  options.utd = 0.5;
  options.slack_rows = 20;
  options.min_rows = 50;
  return options;
}

TEST(RatioTest, NoUpdatesBeforeSeedRows) {
  const Ratio ratio(SmallOptions());
  EXPECT_EQ(ratio.UpdatesAllowed(0), 0u);
  EXPECT_EQ(ratio.UpdatesAllowed(99), 0u);
}

TEST(RatioTest, PretrainingThenUtdPerRow) {
  const Ratio ratio(SmallOptions());
  EXPECT_EQ(ratio.UpdatesAllowed(100), 60u);
  EXPECT_EQ(ratio.UpdatesAllowed(101), 60u);
  EXPECT_EQ(ratio.UpdatesAllowed(102), 61u);
  EXPECT_EQ(ratio.UpdatesAllowed(300), 160u);
}

TEST(RatioTest, SeedRowsStopAtSlack) {
  const Ratio ratio(SmallOptions());
  EXPECT_EQ(ratio.RowsBound(true, 0), 120u);
  EXPECT_EQ(ratio.RowsBound(true, 60), 120u);
}

TEST(RatioTest, RowsStopSlackAheadOfUpdates) {
  const Ratio ratio(SmallOptions());
  EXPECT_EQ(ratio.RowsBound(false, 60), 120u);
  EXPECT_EQ(ratio.RowsBound(false, 110), 220u);
}

TEST(RatioTest, BothSidesTogetherNeverStandStill) {
  for (double utd : {0.001, 0.3, 0.5, 1.0, 3.0, 7.7}) {
    for (uint64_t slack : {1, 2, 50}) {
      RatioOptions options = SmallOptions();
      options.utd = utd;
      options.slack_rows = slack;
      const Ratio ratio(options);
      uint64_t rows = options.seed_rows;
      uint64_t updates = options.pretrain_updates;
      for (int round = 0; round < 100; ++round) {
        const uint64_t bound = ratio.RowsBound(false, updates);
        ASSERT_GT(bound, rows) << "utd " << utd << " slack " << slack << " round " << round;
        rows = bound;
        const uint64_t allowed = ratio.UpdatesAllowed(rows);
        ASSERT_GT(allowed, updates) << "utd " << utd << " slack " << slack << " round " << round;
        updates = allowed;
      }
    }
  }
}

TEST(RatioTest, MinRowsNeverExceedsHalfTheCapacityAndIsNeverZero) {
  const Ratio ratio(SmallOptions());
  EXPECT_EQ(ratio.MinRows(1000), 50u);
  EXPECT_EQ(ratio.MinRows(100), 50u);
  EXPECT_EQ(ratio.MinRows(99), 49u);
  EXPECT_EQ(ratio.MinRows(0), 1u);
}

TEST(RatioTest, BadOptionsAreNamed) {
  RatioOptions options = SmallOptions();
  options.utd = 0;
  EXPECT_EQ(options.Validate().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(options.Validate().message().find("utd"), std::string::npos);
  options = SmallOptions();
  options.slack_rows = 0;
  EXPECT_NE(options.Validate().message().find("slack_rows"), std::string::npos);
  EXPECT_TRUE(SmallOptions().Validate().ok());
}

}  // namespace
}  // namespace pompc::run
