// Limits that change while a run goes on, and what the run tells of both sides that they hold back.
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "run/control/run_control.h"
#include "tests/run/control/run_control_fixture.h"

namespace pompc::run {
namespace {

using ::testing::HasSubstr;

class RunControlLimitsTest : public RunControlTest {
 protected:
  proto::LimiterStatus Limiter() { return control_.Status().limiter(); }
  uint64_t Granted() {
    return control_.NextGrant(0).max_accepted_rows + control_.NextGrant(1).max_accepted_rows;
  }
  void Change(const RunLimits& limits) {
    const auto changes = control_.PlanLimits(limits);
    ASSERT_TRUE(changes.ok()) << changes.status();
    control_.SetLimits(limits, *changes);
  }
  // Both shards hold `each` rows, and `streams` of each are held back.
  void Blocked(uint64_t each, uint32_t streams, const std::string& failure = "") {
    for (int i = 0; i < 2; ++i) {
      proto::ShardInfo info;
      info.set_shard_incarnation(10 + i);
      info.set_accepted_rows(each);
      info.set_stored_rows(each);
      info.set_windows(each);
      info.set_capacity_rows(capacity_);
      info.set_streams(streams);
      info.set_blocked_streams(streams);
      info.set_store_failure(failure);
      info.set_max_accepted_rows(each);
      control_.ShardAnswered(i, info, true);
    }
  }
};

TEST_F(RunControlLimitsTest, MoreSlackLetsWritersRunFurtherAheadAtOnce) {
  FinishSeedPhase();
  EXPECT_EQ(Granted(), 120u);
  RunLimits limits = control_.limits();
  limits.slack_rows = 60;
  EXPECT_EQ(ChangesText(*control_.PlanLimits(limits)), "replay.slack_rows 20 -> 60");
  EXPECT_EQ(Granted(), 120u) << "a plan changes nothing";
  Change(limits);
  EXPECT_EQ(Granted(), 160u);
  EXPECT_EQ(control_.limits(), limits);
}

TEST_F(RunControlLimitsTest, ANewUtdCountsFromTheRowsThatThereAre) {
  FinishSeedPhase();
  Rows(60, true);
  while (Step() == TrainerStep::kUpdate) control_.UpdateDone();
  ASSERT_EQ(control_.updates(), 30u);
  RunLimits limits = control_.limits();
  limits.utd = 0.1;
  Change(limits);
  Rows(64, true);
  EXPECT_EQ(Step(), TrainerStep::kWait) << "8 rows bring no update";
  EXPECT_THAT(control_.Status().waiting(), HasSubstr("0.1 updates per row"));
  Rows(65, true);
  EXPECT_EQ(Step(), TrainerStep::kUpdate);
  EXPECT_EQ(Limiter().updates_bound(), 31u);
  EXPECT_EQ(Limiter().ratio_rows(), 120u);
  EXPECT_EQ(Limiter().ratio_updates(), 30u);
}

TEST_F(RunControlLimitsTest, AResumedRunContinuesOnTheChangedLine) {
  FinishSeedPhase();
  Rows(60, true);
  RunLimits limits = control_.limits();
  limits.utd = 3;
  Change(limits);
  const RunProgressState saved = control_.Save();
  ASSERT_TRUE(saved.line.has_value());
  RunControlOptions options = Options();
  options.ratio.utd = 3;
  RunControl same(options, &clock_);
  same.Restore(saved, {});
  EXPECT_EQ(same.Status().limiter().updates_bound(), 30u);
  EXPECT_EQ(same.Status().limiter().ratio_rows(), 120u);
  // A config that differs counts from where the checkpoint is, not from the beginning.
  options.ratio.utd = 0.5;
  RunControl other(options, &clock_);
  other.Restore(saved, {});
  EXPECT_EQ(other.Status().limiter().updates_bound(), 30u);
  // As do checkpoints of versions that had no line, from the end of the seed phase on.
  RunProgressState old = saved;
  old.line.reset();
  RunControl before(options, &clock_);
  before.Restore(old, {});
  EXPECT_EQ(before.Status().limiter().updates_bound(), 20u);
}

TEST_F(RunControlLimitsTest, MoreRowsForTheRunEndTheWaitForTheLastEvaluation) {
  FinishSeedPhase();
  AwaitLastEvaluation();
  EXPECT_EQ(Granted(), 1000u);
  RunLimits limits = control_.limits();
  limits.max_rows = 0;
  Change(limits);
  TickFor(absl::Minutes(20));
  EXPECT_EQ(control_.phase(), proto::TRAINING);
  EXPECT_GT(Granted(), 1000u);
}

TEST_F(RunControlLimitsTest, FewerRowsThanGrantedAreRefused) {
  FinishSeedPhase();
  const uint64_t granted = Granted();
  RunLimits limits = control_.limits();
  limits.max_rows = granted - 1;
  EXPECT_EQ(control_.PlanLimits(limits).status().code(), absl::StatusCode::kInvalidArgument);
  limits.max_rows = granted;
  EXPECT_TRUE(control_.PlanLimits(limits).ok());
}

TEST_F(RunControlLimitsTest, AFullDiskIsNotCalledALimit) {
  FinishSeedPhase();
  Blocked(60, 3, "the shard's disk is full");
  const proto::LimiterStatus limiter = Limiter();
  EXPECT_EQ(limiter.writers_reason(), proto::LimiterStatus::SHARDS);
  EXPECT_THAT(limiter.writers_wait(), HasSubstr("shard 0 at"));
  EXPECT_THAT(limiter.writers_wait(), HasSubstr("takes no rows: the shard's disk is full"));
  Blocked(60, 3);
  EXPECT_EQ(Limiter().writers_reason(), proto::LimiterStatus::RATIO);
}

TEST_F(RunControlLimitsTest, BothSidesSayWhoIsBlockedByWhichCursorAndBound) {
  EXPECT_EQ(Step(), TrainerStep::kWait);
  EXPECT_EQ(Limiter().learner_reason(), proto::LimiterStatus::SEED_ROWS);
  FinishSeedPhase();
  Blocked(60, 3);
  proto::LimiterStatus limiter = Limiter();
  EXPECT_EQ(limiter.writers_reason(), proto::LimiterStatus::RATIO);
  EXPECT_EQ(limiter.blocked_streams(), 6u);
  EXPECT_EQ(limiter.rows_bound(), 120u);
  EXPECT_EQ(limiter.updates_bound(), 30u);
  EXPECT_THAT(limiter.writers_wait(), HasSubstr("120 rows, 10 updates"));
  while (Step() == TrainerStep::kUpdate) control_.UpdateDone();
  Blocked(60, 0);
  limiter = Limiter();
  EXPECT_EQ(limiter.learner_reason(), proto::LimiterStatus::RATIO);
  EXPECT_THAT(limiter.learner_waits(), HasSubstr("update 30 needs more than 120 rows"));
  EXPECT_EQ(limiter.writers_reason(), proto::LimiterStatus::NONE);
  EXPECT_EQ(limiter.writers_wait(), "");
  EXPECT_EQ(limiter.rows_bound(), 140u);
  // Both shards restart empty.
  Answer(0, 0, true, 20);
  Answer(1, 0, true, 21);
  Rows(65, true);
  Answer(0, 0, true, 20);
  Answer(1, 10, true, 21);
  EXPECT_EQ(Step(), TrainerStep::kWait);
  limiter = Limiter();
  EXPECT_EQ(limiter.learner_reason(), proto::LimiterStatus::MIN_ROWS);
  EXPECT_EQ(limiter.min_rows(), 50u);
  EXPECT_EQ(limiter.stored_rows(), 10u);
}

TEST_F(RunControlLimitsTest, TheTimeOfEachWaitIsCountedByItsReason) {
  constexpr auto kSeedRows = proto::LimiterStatus::SEED_ROWS, kRatio = proto::LimiterStatus::RATIO;
  ASSERT_EQ(Step(), TrainerStep::kWait);
  clock_.Advance(absl::Seconds(3));
  FinishSeedPhase();
  ASSERT_EQ(Step(), TrainerStep::kWait);
  clock_.Advance(absl::Seconds(5));
  Blocked(60, 1);
  ASSERT_EQ(Step(), TrainerStep::kUpdate);
  clock_.Advance(absl::Seconds(7));
  Blocked(60, 0);
  clock_.Advance(absl::Seconds(11));
  EXPECT_EQ(control_.learner_waits().Seconds()[kSeedRows], 3);
  EXPECT_EQ(control_.learner_waits().Seconds()[kRatio], 5);
  EXPECT_EQ(control_.writers_wait().Seconds()[kRatio], 7);
}

TEST_F(RunControlLimitsTest, TheNewestChangesAreRemembered) {
  for (int i = 0; i < 40; ++i) {
    RunLimits limits = control_.limits();
    limits.slack_rows = 100 + i;
    Change(limits);
  }
  ASSERT_EQ(Limiter().changes_size(), static_cast<int>(kMaxLimitChanges));
  EXPECT_EQ(Limiter().changes().rbegin()->now(), 139);
  EXPECT_TRUE(control_.PlanLimits(control_.limits())->empty()) << "a change of nothing";
}

}  // namespace
}  // namespace pompc::run
