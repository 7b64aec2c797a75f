#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "run/control/run_control.h"
#include "tests/run/control/run_control_fixture.h"

namespace pompc::run {
namespace {

class NoWindowsTest : public RunControlTest {
 protected:
  NoWindowsTest() : RunControlTest(LongWindows()) {}
  static RunControlOptions LongWindows() {
    RunControlOptions options = Options();
    options.windows = {.horizon = 64, .patience = absl::Seconds(10)};
    return options;
  }
  // Each shard holds `rows` rows.
  void RowsAndWindows(uint64_t rows, uint64_t windows) {
    for (int i = 0; i < 2; ++i) {
      proto::ShardInfo state;
      state.set_shard_incarnation(10 + i);
      state.set_accepted_rows(rows);
      state.set_stored_rows(rows);
      state.set_max_accepted_rows(rows);
      state.set_windows(windows);
      state.set_capacity_rows(capacity_);
      state.set_streams(1);
      control_.ShardAnswered(i, state, false);
    }
    control_.Tick();
  }
  void Pass(absl::Duration time) {
    clock_.Advance(time);
    if (lease_ != 0) {
      ASSERT_TRUE(control_.Heartbeat(lease_, {}).ok());
    }
    control_.Tick();
  }
  void StartActor() { lease_ = control_.Register(proto::ACTOR, "a", 2)->lease_id(); }

  uint64_t lease_ = 0;
};

// Batches of 8 windows from table "queue", whose windows may be drawn twice.
class LimitedDrawsTest : public RunControlTest {
 protected:
  LimitedDrawsTest() : RunControlTest(Limited()) {}
  static RunControlOptions Limited() {
    RunControlOptions options = Options();
    options.draws = {.table = "queue", .batch_size = 8, .max_times_sampled = 2};
    return options;
  }
  // Each shard has so many rows, with as many draws left in the learner's table.
  void RowsAndDraws(uint64_t rows, uint64_t draws_left) {
    for (int i = 0; i < 2; ++i) {
      proto::ShardInfo state;
      state.set_shard_incarnation(10 + i);
      state.set_accepted_rows(rows);
      state.set_stored_rows(rows);
      state.set_max_accepted_rows(rows);
      state.set_windows(rows);
      state.set_capacity_rows(capacity_);
      state.set_streams(1);
      proto::TableInfo* all = state.add_tables();
      all->set_name("all");
      all->set_windows(rows);
      all->set_mass(rows);
      proto::TableInfo* queue = state.add_tables();
      queue->set_name("queue");
      queue->set_windows((draws_left + 1) / 2);
      queue->set_mass(draws_left);
      queue->set_draws_left(draws_left);
      control_.ShardAnswered(i, state, true);
    }
  }
};

TEST_F(LimitedDrawsTest, BatchesAreSplitByWhatTheLearnersTableHas) {
  FinishSeedPhase();
  RowsAndDraws(60, 17);
  EXPECT_EQ(control_.Masses(), (std::vector<uint64_t>{17, 17}));
}

// The ratio alone would hold the rows back, and no update could be made.
TEST_F(LimitedDrawsTest, RowsAreGrantedWhileFewDrawsAreLeft) {
  FinishSeedPhase();
  RowsAndDraws(60, 16);
  EXPECT_EQ(control_.NextGrant(0).max_accepted_rows, 60u);
  // 12 draws fewer than four batches have: 6 rows give as many.
  RowsAndDraws(60, 10);
  EXPECT_EQ(control_.NextGrant(0).max_accepted_rows + control_.NextGrant(1).max_accepted_rows,
            126u);
}

TEST_F(LimitedDrawsTest, WithoutEnoughDrawsTheRunEndsAtItsLastRow) {
  FinishSeedPhase();
  RowsAndDraws(500, 4);
  ASSERT_EQ(Step(), TrainerStep::kUpdate) << "a batch is left";
  RowsAndDraws(500, 3);
  EXPECT_EQ(Step(), TrainerStep::kEvaluate) << "the last one";
  control_.AddEvaluation({1, 2});
  clock_.Advance(absl::Minutes(2));
  control_.Tick();
  EXPECT_EQ(control_.phase(), proto::FINISHED);
  EXPECT_NE(control_.Status().over_reason().find("too few draws left"), std::string::npos)
      << control_.Status().over_reason();
}

TEST_F(NoWindowsTest, TheLearnerEndsWithAnErrorThatSaysWhatToChange) {
  StartActor();
  RowsAndWindows(60, 0);
  EXPECT_EQ(Step(), TrainerStep::kWait);
  for (const std::string& waits : {control_.Status().waiting(), control_.NextGrant(0).reason}) {
    EXPECT_NE(waits.find("0 windows in 120 stored rows of 2 environments"), std::string::npos)
        << waits;
    EXPECT_NE(waits.find("planner.horizon 64"), std::string::npos) << waits;
  }
  // 120 rows are all that the seed phase may have, but two environments may both be short of a
  // window then. 50 + 2 * 65 must be enough.
  EXPECT_EQ(control_.NextGrant(0).max_accepted_rows + control_.NextGrant(1).max_accepted_rows,
            180u);
  Pass(absl::Seconds(9));
  Pass(absl::Seconds(9));
  EXPECT_TRUE(control_.Failure().ok()) << "rows may still come";
  RowsAndWindows(90, 0);
  EXPECT_EQ(control_.NextGrant(0).max_accepted_rows, 90u);
  Pass(absl::Seconds(9));
  EXPECT_TRUE(control_.Failure().ok());
  Pass(absl::Seconds(1));
  EXPECT_EQ(Step(), TrainerStep::kFinish);
  const absl::Status failure = control_.Failure();
  EXPECT_EQ(failure.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(failure.message().find("lower planner.horizon"), std::string::npos) << failure;
  EXPECT_NE(control_.Status().waiting().find("lower planner.horizon"), std::string::npos);
  // The run is not over: actors wait for a learner that is set up better.
  EXPECT_EQ(control_.Heartbeat(lease_, {})->phase(), proto::SEED);
}

TEST_F(NoWindowsTest, AWindowInTimeIsEnough) {
  StartActor();
  RowsAndWindows(90, 0);
  Pass(absl::Seconds(9));
  RowsAndWindows(90, 1);
  EXPECT_EQ(Step(), TrainerStep::kUpdate);
  EXPECT_TRUE(control_.AwaitSampling(absl::ZeroDuration()));
  RowsAndWindows(90, 0);
  Pass(absl::Seconds(9));
  EXPECT_TRUE(control_.Failure().ok());
}

TEST_F(NoWindowsTest, AShardThatIsAwayMayHoldWindows) {
  StartActor();
  RowsAndWindows(90, 0);
  control_.ShardLost(1, "gone");
  Pass(absl::Seconds(9));
  Pass(absl::Seconds(9));
  EXPECT_TRUE(control_.Failure().ok());
}

TEST_F(NoWindowsTest, ARunWithAllItsRowsWaitsForNoMore) {
  RunControlOptions options = LongWindows();
  options.stop.max_rows = 100;
  RunControl control(options, &clock_);
  for (int i = 0; i < 2; ++i) {
    proto::ShardInfo state;
    state.set_shard_incarnation(10 + i);
    state.set_accepted_rows(50);
    state.set_stored_rows(50);
    state.set_capacity_rows(capacity_);
    control.ShardAnswered(i, state, false);
  }
  ASSERT_TRUE(control.Register(proto::ACTOR, "a", 1000).ok());
  control.Tick();
  clock_.Advance(absl::Seconds(10));
  control.Tick();
  EXPECT_EQ(control.Failure().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace pompc::run
