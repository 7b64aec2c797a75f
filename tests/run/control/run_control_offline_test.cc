#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/run/control/run_control_fixture.h"

namespace pompc::run {
namespace {

using ::testing::HasSubstr;

RunControlOptions Offline() {
  RunControlOptions options = Options();
  options.imports = true;
  options.ratio.offline = true;
  options.ratio.seed_rows = 0;
  options.ratio.pretrain_updates = 0;
  options.ratio.min_rows = 1;
  options.stop.max_rows = 0;
  options.stop.max_updates = 30;
  options.evaluation.every_updates = 20;
  options.evaluation.last_updates = 30;
  return options;
}

class RunControlOfflineTest : public RunControlTest {
 protected:
  RunControlOfflineTest() : RunControlTest(Offline()) {}

  // Shard `i` has imported `rows` of `of` rows.
  void Import(int i, uint64_t rows, uint64_t of) {
    proto::ShardInfo info;
    info.set_shard_incarnation(10 + i);
    info.set_imported_rows(rows);
    info.set_stored_rows(rows);
    info.set_windows(rows);
    info.set_capacity_rows(capacity_);
    control_.ShardAnswered(i, info, false);
    control_.ShardImported(i, rows, of);
  }
  void BeginTraining() {
    Import(0, 60, 60);
    Import(1, 40, 40);
    control_.BeginSeedClosing();
    for (int i = 0; i < 2; ++i) Answered(i);
    control_.Published({1, 1});
    control_.StartTraining();
  }
  void Answered(int i) {
    proto::ShardInfo info;
    info.set_shard_incarnation(10 + i);
    info.set_stored_rows(50);
    info.set_windows(50);
    info.set_capacity_rows(capacity_);
    control_.ShardAnswered(i, info, true);
  }
  void Update(int times) {
    for (int i = 0; i < times; ++i) {
      ASSERT_EQ(Step(), TrainerStep::kUpdate) << i;
      control_.UpdateDone();
    }
  }
};

TEST_F(RunControlOfflineTest, UpdatesWaitForTheRowsOfEveryShard) {
  EXPECT_EQ(Step(), TrainerStep::kWait);
  Import(0, 60, 60);
  Import(1, 10, 40);
  EXPECT_EQ(Step(), TrainerStep::kWait);
  EXPECT_FALSE(control_.AwaitSampling(absl::ZeroDuration()));
  EXPECT_THAT(control_.Status().waiting(), HasSubstr("replay.import: 70 of 100"));
  Import(1, 40, 40);
  EXPECT_TRUE(control_.AwaitSampling(absl::ZeroDuration()));
  EXPECT_EQ(Step(), TrainerStep::kCloseSeed);
}

TEST_F(RunControlOfflineTest, NoRowIsEverGranted) {
  Import(0, 60, 60);
  EXPECT_EQ(control_.NextGrant(0).max_accepted_rows, 0u);
  EXPECT_THAT(control_.NextGrant(0).reason, HasSubstr("offline"));
  BeginTraining();
  EXPECT_EQ(control_.NextGrant(0).max_accepted_rows, 0u);
  Update(19);
  EXPECT_EQ(control_.NextGrant(1).max_accepted_rows, 0u);
  EXPECT_EQ(control_.rows(), 0u);
}

TEST_F(RunControlOfflineTest, ItIsEvaluatedByUpdatesAndEndsAfterTheLast) {
  BeginTraining();
  Update(20);
  EXPECT_EQ(Step(), TrainerStep::kEvaluate);
  const proto::EvaluationAssignment first = control_.AddEvaluation({1, 2});
  EXPECT_EQ(first.updates(), 20u);
  Update(10);
  EXPECT_EQ(Step(), TrainerStep::kEvaluate);
  control_.AddEvaluation({1, 3});
  EXPECT_EQ(Step(), TrainerStep::kWait);
  EXPECT_THAT(control_.Status().waiting(), HasSubstr("last evaluations"));
  auto evaluator = *control_.Register(proto::EVALUATOR, "e", 0);
  Report(evaluator.lease_id());
  TickFor(absl::Seconds(1));
  EXPECT_EQ(control_.phase(), proto::TRAINING);
  Report(evaluator.lease_id());
  TickFor(absl::Seconds(1));
  EXPECT_EQ(control_.phase(), proto::FINISHED);
  EXPECT_THAT(control_.Status().over_reason(), HasSubstr("all 30 updates are made"));
  EXPECT_EQ(Step(), TrainerStep::kFinish);
}

TEST_F(RunControlOfflineTest, AShardThatLostItsRowsHoldsUpdatesUntilItHasThemAgain) {
  BeginTraining();
  Update(3);
  control_.ShardLost(0, "gone");
  // The other one still has windows.
  Update(1);
  Import(0, 20, 60);
  EXPECT_EQ(Step(), TrainerStep::kWait);
  Import(0, 60, 60);
  Update(1);
}

TEST_F(RunControlOfflineTest, RowsWithoutAWindowEndTheLearner) {
  for (int i = 0; i < 2; ++i) {
    proto::ShardInfo info;
    info.set_shard_incarnation(10 + i);
    info.set_stored_rows(2);
    info.set_capacity_rows(capacity_);
    control_.ShardAnswered(i, info, false);
    control_.ShardImported(i, 2, 2);
  }
  TickFor(absl::Seconds(10));
  EXPECT_TRUE(absl::IsFailedPrecondition(control_.Failure())) << control_.Failure();
  EXPECT_THAT(control_.Failure().message(), HasSubstr("0 windows in 4 stored rows"));
}

class RunControlImportTest : public RunControlTest {
 protected:
  static RunControlOptions Importing() {
    RunControlOptions options = Options();
    options.imports = true;
    options.stop.max_updates = 40;
    return options;
  }
  RunControlImportTest() : RunControlTest(Importing()) {}
};

TEST_F(RunControlImportTest, TheSeedPhaseHasItsRowsBesideThoseOfDataSets) {
  control_.ShardImported(0, 500, 500);
  control_.ShardImported(1, 0, 500);
  Rows(50);
  EXPECT_EQ(Step(), TrainerStep::kWait);
  EXPECT_GT(control_.NextGrant(0).max_accepted_rows, 0u);
  control_.ShardImported(1, 500, 500);
  EXPECT_EQ(Step(), TrainerStep::kUpdate);
  EXPECT_EQ(control_.rows(), 100u);
}

TEST_F(RunControlImportTest, MaxUpdatesEndsARunThatActs) {
  control_.ShardImported(0, 0, 0);
  control_.ShardImported(1, 0, 0);
  FinishSeedPhase();
  Rows(90, true);
  for (int i = 10; i < 40; ++i) {
    ASSERT_EQ(Step(), TrainerStep::kUpdate);
    control_.UpdateDone();
  }
  EXPECT_NE(Step(), TrainerStep::kUpdate);
  TickFor(absl::Seconds(1));
  EXPECT_EQ(control_.phase(), proto::FINISHED);
}

}  // namespace
}  // namespace pompc::run
