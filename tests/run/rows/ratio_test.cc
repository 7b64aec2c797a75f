#include "run/rows/ratio.h"

#include <algorithm>

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

TEST(RatioTest, AChangedUtdCountsForTheRowsAfterTheChange) {
  Ratio ratio(SmallOptions());
  RatioOptions slower = SmallOptions();
  slower.utd = 0.1;
  ratio.Change(slower, 300);
  EXPECT_EQ(ratio.since(), (Ratio::Point{300, 160}));
  EXPECT_EQ(ratio.UpdatesAllowed(300), 160u);
  EXPECT_EQ(ratio.UpdatesAllowed(309), 160u);
  EXPECT_EQ(ratio.UpdatesAllowed(310), 161u);
  EXPECT_EQ(ratio.RowsBound(false, 160), 320u);
  RatioOptions faster = SmallOptions();
  faster.utd = 4;
  ratio.Change(faster, 310);
  EXPECT_EQ(ratio.UpdatesAllowed(310), 161u);
  EXPECT_EQ(ratio.UpdatesAllowed(311), 165u);
  // Updates that were behind when it changed hold the rows no further back than the slack.
  EXPECT_EQ(ratio.RowsBound(false, 149), 327u);
}

TEST(RatioTest, AChangeInTheSeedPhaseLeavesTheLineWhereItBegins) {
  Ratio ratio(SmallOptions());
  RatioOptions changed = SmallOptions();
  changed.utd = 2;
  changed.slack_rows = 7;
  ratio.Change(changed, 90);
  EXPECT_EQ(ratio.since(), (Ratio::Point{100, 60}));
  EXPECT_EQ(ratio.UpdatesAllowed(101), 62u);
  EXPECT_EQ(ratio.RowsBound(true, 0), 107u);
}

TEST(RatioTest, OtherLimitsLeaveTheLineAsItIs) {
  Ratio ratio(SmallOptions());
  RatioOptions changed = SmallOptions();
  changed.slack_rows = 7;
  changed.min_rows = 9;
  ratio.Change(changed, 300);
  EXPECT_EQ(ratio.since(), (Ratio::Point{100, 60}));
  EXPECT_EQ(ratio.RowsBound(false, 60), 107u);
  EXPECT_EQ(ratio.MinRows(1000), 9u);
}

TEST(RatioTest, AResumedRunContinuesItsLineAndANewUtdCountsFromThere) {
  Ratio same(SmallOptions());
  same.Continue({300, 500}, 0.5, 320);
  EXPECT_EQ(same.since(), (Ratio::Point{300, 500}));
  EXPECT_EQ(same.UpdatesAllowed(320), 510u);
  // Rows before the point, which a resumed run may have lost.
  EXPECT_EQ(same.UpdatesAllowed(290), 495u);
  Ratio changed(SmallOptions());
  changed.Continue({300, 500}, 2, 320);
  EXPECT_EQ(changed.since(), (Ratio::Point{320, 540}));
  EXPECT_EQ(changed.UpdatesAllowed(322), 541u);
}

TEST(RatioTest, BothSidesNeverStandStillWhateverIsChangedOnTheWay) {
  Ratio ratio(SmallOptions());
  uint64_t rows = 100, updates = 60;
  for (int round = 0; round < 200; ++round) {
    RatioOptions options = SmallOptions();
    options.utd = round % 3 == 0 ? 0.013 : round % 3 == 1 ? 0.7 : 23.5;
    options.slack_rows = 1 + round % 5;
    ratio.Change(options, rows);
    const uint64_t before = rows;
    rows = std::max(rows, ratio.RowsBound(false, updates));
    ASSERT_GT(ratio.UpdatesAllowed(rows), updates) << "round " << round;
    updates = std::min(ratio.UpdatesAllowed(rows), updates + 3);
    ASSERT_TRUE(rows > before || ratio.UpdatesAllowed(rows) >= updates) << "round " << round;
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
