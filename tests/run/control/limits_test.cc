#include "run/control/limits.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pompc::run {
namespace {

using ::testing::HasSubstr;

RunLimits Before() { return {.utd = 1, .slack_rows = 100, .min_rows = 50, .max_rows = 1000}; }

// In the middle of the run: 400 rows, 20 more granted, all stored.
LimitFacts Facts() {
  return {.rows = 400, .granted_rows = 20, .stored_rows = 400, .capacity_rows = 10000};
}

std::string Refusal(const RunLimits& now, const LimitFacts& facts = Facts()) {
  return std::string(CheckLimits(Before(), now, facts).message());
}

TEST(LimitsTest, WhatCannotHoldTheRunIsAllowed) {
  RunLimits now = Before();
  now.utd = 0.01;
  now.slack_rows = 1;
  now.min_rows = 900;
  EXPECT_TRUE(CheckLimits(Before(), now, Facts()).ok()) << "the rows are yet to come";
  now.max_rows = 420;
  now.min_rows = 420;
  EXPECT_TRUE(CheckLimits(Before(), now, Facts()).ok());
  now.max_rows = 0;
  now.min_rows = 1000000;
  EXPECT_TRUE(CheckLimits(Before(), now, Facts()).ok()) << "half of the capacity is enough";
}

TEST(LimitsTest, ALimitOfRowsBelowWhatShardsMayHaveTakenIsRefusedWithTheNumbers) {
  RunLimits now = Before();
  now.max_rows = 419;
  EXPECT_EQ(CheckLimits(Before(), now, Facts()).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Refusal(now),
            "stop.max_rows: 419; the run has 400 rows, and its shards were granted 20 more; "
            "allowed: 0 (no limit), or 420 and more (`pompc stop` ends the run)");
}

TEST(LimitsTest, RowsThatWillNeverComeAreNotWaitedFor) {
  RunLimits now = Before();
  now.min_rows = 901;
  LimitFacts facts = Facts();
  facts.stored_rows = 300;
  EXPECT_EQ(Refusal(now, facts),
            "replay.min_rows: 901; replay holds 300 rows, and 600 more may come until "
            "stop.max_rows 1000: updates would wait for rows that never come; allowed: 900 and "
            "less");
  now.min_rows = 900;
  EXPECT_EQ(Refusal(now, facts), "");
  // The same wait, made by fewer rows to come.
  now.max_rows = 450;
  now.min_rows = 400;
  EXPECT_THAT(Refusal(now, facts), HasSubstr("50 more may come until stop.max_rows 450"));
  // Updates begin at half of what the shards can hold, so that is never waited for in vain.
  facts.capacity_rows = 600;
  EXPECT_EQ(Refusal(now, facts), "");
}

TEST(LimitsTest, ARunThatIsOverOrTakesTurnsKeepsItsLimits) {
  RunLimits now = Before();
  now.utd = 2;
  LimitFacts over = Facts();
  over.over = "all 1000 rows are stored";
  EXPECT_EQ(CheckLimits(Before(), now, over).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Refusal(now, over), HasSubstr("all 1000 rows are stored"));
  LimitFacts lockstep = Facts();
  lockstep.lockstep = true;
  EXPECT_THAT(Refusal(now, lockstep), HasSubstr("LOCKSTEP"));
  LimitFacts offline = Facts();
  offline.offline = true;
  EXPECT_THAT(Refusal(now, offline), HasSubstr("OFFLINE"));
  EXPECT_TRUE(CheckLimits(Before(), Before(), over).ok()) << "a change of nothing";
}

TEST(LimitsTest, ALaterStartKeepsWhatWasChangedUnlessItsConfigWasChangedToo) {
  proto::RunConfig config;
  config = WithLimits(config, Before());
  proto::KeptLimits kept;
  *kept.mutable_config() = ToProto(Before());
  *kept.mutable_limits() = ToProto({.utd = 0.5, .slack_rows = 7, .min_rows = 50, .max_rows = 1000});
  kept.add_changes()->set_setting("learner.utd");
  const proto::KeptLimits same = LimitsAtStart(config, kept);
  EXPECT_EQ(WithChanges({}, same.limits()), (RunLimits{0.5, 7, 50, 1000}));
  EXPECT_EQ(same.changes_size(), 1);
  config.mutable_learner()->set_utd(3);
  config.mutable_stop()->set_max_rows(2000);
  const proto::KeptLimits changed = LimitsAtStart(config, kept);
  EXPECT_EQ(WithChanges({}, changed.limits()), (RunLimits{3, 7, 50, 2000}));
  // From now on the new values are those that a later config is compared with.
  config.mutable_learner()->set_utd(1);
  EXPECT_EQ(WithChanges({}, LimitsAtStart(config, changed).limits()), (RunLimits{1, 7, 50, 2000}));
  EXPECT_EQ(WithChanges({}, LimitsAtStart(config, {}).limits()), LimitsOf(config));
}

}  // namespace
}  // namespace pompc::run
