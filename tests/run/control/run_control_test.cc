#include "run/control/run_control.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/threads.h"
#include "gtest/gtest.h"
#include "tests/run/control/run_control_fixture.h"

namespace pompc::run {
namespace {

TEST_F(RunControlTest, SeedPhaseWaitsForItsRowsThenPretrainsThenCloses) {
  EXPECT_EQ(Step(), TrainerStep::kWait);
  Rows(49);
  EXPECT_EQ(Step(), TrainerStep::kWait);
  EXPECT_NE(control_.Status().waiting().find("98 of 100"), std::string::npos)
      << control_.Status().waiting();
  Rows(50);
  for (int i = 0; i < 10; ++i) {
    ASSERT_EQ(Step(), TrainerStep::kUpdate);
    control_.UpdateDone();
  }
  EXPECT_EQ(Step(), TrainerStep::kCloseSeed);
  EXPECT_EQ(control_.phase(), proto::SEED);
}

TEST_F(RunControlTest, SeedPhaseIsClosedOnceEveryShardHasAgreed) {
  Rows(50);
  control_.BeginSeedClosing();
  EXPECT_TRUE(control_.NextGrant(0).seed_phase_over);
  Answer(0, 50, true);
  EXPECT_FALSE(control_.AwaitSeedClosed(absl::ZeroDuration()));
  EXPECT_NE(control_.Status().waiting().find("1 (b:2)"), std::string::npos)
      << control_.Status().waiting();
  Answer(1, 50, false);
  EXPECT_FALSE(control_.AwaitSeedClosed(absl::ZeroDuration()));
  Answer(1, 50, true);
  EXPECT_TRUE(control_.AwaitSeedClosed(absl::ZeroDuration()));
  EXPECT_TRUE(control_.Save().seed_closed);
}

TEST_F(RunControlTest, SeedGrantsStopAtSlack) {
  Rows(0);
  uint64_t granted = control_.NextGrant(0).max_accepted_rows;
  granted += control_.NextGrant(1).max_accepted_rows;
  EXPECT_EQ(granted, 120u);
  EXPECT_FALSE(control_.NextGrant(0).seed_phase_over);
  Rows(60);
  EXPECT_EQ(control_.NextGrant(0).max_accepted_rows, 60u);
}

TEST_F(RunControlTest, UpdatesFollowRowsAndRowsFollowUpdates) {
  FinishSeedPhase();
  EXPECT_EQ(Step(), TrainerStep::kWait);
  EXPECT_EQ(control_.NextGrant(0).max_accepted_rows + control_.NextGrant(1).max_accepted_rows,
            120u);
  Rows(60);
  // 120 rows of 120: no more until updates are made.
  const ShardGrant grant = control_.NextGrant(0);
  EXPECT_EQ(grant.max_accepted_rows, 60u);
  EXPECT_NE(grant.reason.find("120 rows, 10 updates"), std::string::npos) << grant.reason;
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(Step(), TrainerStep::kUpdate) << i;
    control_.UpdateDone();
  }
  EXPECT_EQ(Step(), TrainerStep::kWait);
  EXPECT_EQ(control_.NextGrant(0).max_accepted_rows, 70u);
}

TEST_F(RunControlTest, LostReplayIsFilledBeforeUpdatesGoOn) {
  FinishSeedPhase();
  Rows(60);
  ASSERT_EQ(Step(), TrainerStep::kUpdate);
  // Both shards restart empty. 130 rows in all are granted by the ratio, but 50 must be stored.
  Answer(0, 0, true, 20);
  Answer(1, 0, true, 21);
  EXPECT_EQ(control_.rows(), 120u);
  EXPECT_EQ(Step(), TrainerStep::kWait);
  const ShardGrant grant = control_.NextGrant(0);
  EXPECT_EQ(grant.max_accepted_rows, 25u);
  EXPECT_TRUE(grant.seed_phase_over);
  EXPECT_NE(grant.reason.find("0 of 50"), std::string::npos) << grant.reason;
  Answer(0, 25, true, 20);
  Answer(1, 25, true, 21);
  EXPECT_EQ(control_.rows(), 170u);
  EXPECT_EQ(Step(), TrainerStep::kUpdate);
}

// What the refill may add stops at stop.max_rows, and what cannot be trained then is not waited
// for.
TEST_F(RunControlTest, LostReplayIsNotFilledBeyondTheLastRow) {
  FinishSeedPhase();
  Rows(498);
  ASSERT_EQ(control_.rows(), 996u);
  ASSERT_EQ(Step(), TrainerStep::kEvaluate);
  control_.AddEvaluation({1, 2});
  ASSERT_EQ(Step(), TrainerStep::kUpdate);
  Answer(0, 0, true, 20);
  Answer(1, 0, true, 21);
  EXPECT_EQ(Step(), TrainerStep::kWait);
  EXPECT_EQ(control_.NextGrant(0).max_accepted_rows + control_.NextGrant(1).max_accepted_rows, 4u);
  Answer(0, 2, true, 20);
  Answer(1, 2, true, 21);
  EXPECT_EQ(control_.rows(), 1000u);
  EXPECT_EQ(control_.NextGrant(0).max_accepted_rows, 2u);
  EXPECT_EQ(Step(), TrainerStep::kEvaluate) << "the last one";
  control_.AddEvaluation({1, 3});
  // One that is away may hold the rows still.
  control_.ShardLost(1, "gone");
  control_.Tick();
  EXPECT_EQ(control_.phase(), proto::TRAINING);
  Answer(1, 2, true, 21);
  clock_.Advance(absl::Minutes(2));
  control_.Tick();
  EXPECT_EQ(control_.phase(), proto::FINISHED);
  EXPECT_NE(control_.Status().over_reason().find("replay has lost"), std::string::npos);
}

TEST_F(RunControlTest, GrantsNeverPassMaxRowsWhateverIsMissing) {
  RunControlOptions options = Options();
  options.shards = {"a:1"};
  options.stop.max_rows = 110;
  RunControl control(options, &clock_);
  proto::ShardInfo state;
  state.set_shard_incarnation(1);
  state.set_capacity_rows(1000);
  state.set_streams(1);
  for (uint64_t accepted : {0, 109, 110}) {
    for (uint64_t stored : {uint64_t{0}, accepted}) {
      state.set_accepted_rows(accepted);
      state.set_max_accepted_rows(accepted);
      state.set_stored_rows(stored);
      state.set_windows(stored);
      control.ShardAnswered(0, state, false);
      EXPECT_EQ(control.NextGrant(0).max_accepted_rows, 110u) << accepted << " " << stored;
    }
  }
}

TEST_F(RunControlTest, SeedPhaseThatLostItsReplayAtTheLastRowEnds) {
  Rows(500);
  ASSERT_EQ(Step(), TrainerStep::kUpdate);
  Answer(0, 0, false, 20);
  Answer(1, 0, false, 21);
  control_.Tick();
  EXPECT_EQ(control_.phase(), proto::FINISHED);
}

TEST_F(RunControlTest, ADeadShardsRowsDoNotCountAsStored) {
  FinishSeedPhase();
  Answer(0, 90);
  Answer(1, 40, true, 99);
  EXPECT_EQ(control_.Masses(), (std::vector<uint64_t>{90, 40}));
  control_.ShardLost(0, "connection refused");
  EXPECT_EQ(control_.Masses(), (std::vector<uint64_t>{0, 40}));
  EXPECT_EQ(Step(), TrainerStep::kWait);
  EXPECT_NE(control_.Status().waiting().find("connection refused"), std::string::npos);
  EXPECT_EQ(control_.rows(), 180u);
}

TEST_F(RunControlTest, AwaitStepWakesWhenRowsArrive) {
  TrainerStep step = TrainerStep::kWait;
  Thread waiter("waiter", [&] { step = control_.AwaitStep(absl::Minutes(1)); });
  clock_.AwaitWaiters(1);
  Rows(50);
  waiter.Join();
  EXPECT_EQ(step, TrainerStep::kUpdate);
}

TEST_F(RunControlTest, StopWakesTheTrainerAndSendsPeersHome) {
  auto actor = *control_.Register(proto::ACTOR, "a", 1);
  TrainerStep step = TrainerStep::kWait;
  Thread waiter("waiter", [&] { step = control_.AwaitStep(absl::InfiniteDuration()); });
  clock_.AwaitWaiters(1);
  control_.Stop("asked to");
  waiter.Join();
  EXPECT_EQ(step, TrainerStep::kFinish);
  EXPECT_FALSE(control_.Drained());
  EXPECT_EQ(control_.Heartbeat(actor.lease_id(), {})->phase(), proto::STOPPING);
  EXPECT_TRUE(control_.Drained());
  // Who comes now is sent home at once and holds nothing up.
  EXPECT_EQ(control_.Register(proto::ACTOR, "late", 1)->phase(), proto::STOPPING);
  EXPECT_TRUE(control_.Drained());
  Rows(10);
  EXPECT_EQ(control_.NextGrant(0).max_accepted_rows, 10u);
}

TEST_F(RunControlTest, SilentPeersDoNotHoldUpTheEnd) {
  ASSERT_TRUE(control_.Register(proto::ACTOR, "a", 1).ok());
  control_.Stop("asked to");
  clock_.Advance(absl::Seconds(10));
  control_.Tick();
  EXPECT_TRUE(control_.Drained());
}

TEST_F(RunControlTest, NoMoreRowsThanTheRunMayHave) {
  FinishSeedPhase();
  for (int i = 0; i < 890; ++i) control_.UpdateDone();
  Rows(495);
  EXPECT_EQ(control_.NextGrant(0).max_accepted_rows, 500u);
}

TEST_F(RunControlTest, TimeLimitFinishesTheRun) {
  RunControlOptions options = Options();
  options.stop.max_time = absl::Minutes(1);
  RunControl control(options, &clock_);
  clock_.Advance(absl::Seconds(59));
  control.Tick();
  EXPECT_EQ(control.phase(), proto::SEED);
  EXPECT_DOUBLE_EQ(control.Status().remaining_seconds(), 1);
  clock_.Advance(absl::Seconds(1));
  control.Tick();
  EXPECT_EQ(control.phase(), proto::FINISHED);
}

TEST_F(RunControlTest, RestoredRunGoesOnWhereItStood) {
  FinishSeedPhase();
  Rows(60);
  for (int i = 0; i < 5; ++i) control_.UpdateDone();
  clock_.Advance(absl::Seconds(30));
  const RunProgressState saved = control_.Save();
  EXPECT_EQ(saved.elapsed_seconds, 30);

  RunControlOptions options = Options();
  options.learner_incarnation = 2;
  RunControl resumed(options, &clock_);
  resumed.Restore(saved, {});
  EXPECT_EQ(resumed.phase(), proto::TRAINING);
  EXPECT_EQ(resumed.updates(), 15u);
  EXPECT_EQ(resumed.rows(), 120u);
  // Nothing is in replay yet.
  EXPECT_EQ(resumed.AwaitStep(absl::ZeroDuration()), TrainerStep::kWait);
  proto::ShardInfo state;
  state.set_shard_incarnation(99);
  state.set_accepted_rows(50);
  state.set_stored_rows(50);
  state.set_windows(50);
  state.set_capacity_rows(1000);
  resumed.ShardAnswered(0, state, true);
  EXPECT_EQ(resumed.rows(), 170u);
  EXPECT_EQ(resumed.AwaitStep(absl::ZeroDuration()), TrainerStep::kUpdate);
  EXPECT_GT(resumed.Register(proto::ACTOR, "a", 1)->incarnation(), uint64_t{2} << 32);
  clock_.Advance(absl::Seconds(5));
  EXPECT_EQ(resumed.Status().elapsed_seconds(), 35);
}

TEST_F(RunControlTest, ARestartedLearnerGrantsNothingBeforeAllShardsWereHeard) {
  RunControlOptions options = Options();
  options.learner_incarnation = 2;
  RunControl resumed(options, &clock_);
  resumed.Restore(std::nullopt, {});
  proto::ShardInfo state;
  state.set_shard_incarnation(10);
  state.set_accepted_rows(40);
  state.set_stored_rows(40);
  state.set_max_accepted_rows(60);
  state.set_capacity_rows(1000);
  state.set_streams(1);
  resumed.ShardAnswered(0, state, false);
  ShardGrant grant = resumed.NextGrant(0);
  EXPECT_EQ(grant.max_accepted_rows, 40u);
  EXPECT_EQ(grant.reason,
            "the learner was restarted and waits for the contents of these shards: "
            "1 (b:2)");
  EXPECT_EQ(grant.newest_version, (ParameterVersion{2, 0}));
  state.set_shard_incarnation(11);
  state.set_accepted_rows(70);
  state.set_stored_rows(70);
  state.set_max_accepted_rows(70);
  resumed.ShardAnswered(1, state, false);
  // 100 rows and 20 of slack, of which 110 are there; shard 0 still keeps what it was granted.
  EXPECT_LE(resumed.NextGrant(0).max_accepted_rows - 40, 10u);
  EXPECT_LE(resumed.NextGrant(1).max_accepted_rows - 70, 1u);
}

TEST_F(RunControlTest, AShardThatIsNotHeardIsWaitedForSoLongAndNoLonger) {
  RunControlOptions options = Options();
  options.learner_incarnation = 2;
  options.hear_from_shards = absl::Seconds(7);
  RunControl resumed(options, &clock_);
  resumed.Restore(std::nullopt, {});
  proto::ShardInfo state;
  state.set_shard_incarnation(10);
  state.set_streams(1);
  resumed.ShardAnswered(0, state, false);
  resumed.ShardLost(1, "no route");
  clock_.Advance(absl::Seconds(6));
  EXPECT_EQ(resumed.NextGrant(0).max_accepted_rows, 0u);
  clock_.Advance(absl::Seconds(1));
  EXPECT_GT(resumed.NextGrant(0).max_accepted_rows, 0u);
}

TEST_F(RunControlTest, AShardThatLoadsItsRowsIsWaitedForHoweverLong) {
  RunControlOptions options = Options();
  options.learner_incarnation = 2;
  options.hear_from_shards = absl::Seconds(7);
  RunControl resumed(options, &clock_);
  resumed.Restore(std::nullopt, {});
  proto::ShardInfo state;
  state.set_shard_incarnation(10);
  state.set_streams(1);
  resumed.ShardAnswered(0, state, false);
  resumed.ShardLost(1, "loading: 10 % of the rows", /*loading=*/true);
  clock_.Advance(absl::Minutes(5));
  ShardGrant grant = resumed.NextGrant(0);
  EXPECT_EQ(grant.max_accepted_rows, 0u);
  EXPECT_NE(grant.reason.find("loading: 10 % of the rows"), std::string::npos) << grant.reason;
  resumed.ShardLost(1, "no route");
  EXPECT_GT(resumed.NextGrant(0).max_accepted_rows, 0u);
}

TEST_F(RunControlTest, RowsThatAShardStillLoadsAreNotFilledUpAtOthers) {
  FinishSeedPhase();
  Rows(60);
  // One shard comes back empty, and the other one loads the rows that it had.
  Answer(0, 0, true, 20);
  control_.ShardLost(1, "loading: 10 % of the rows", /*loading=*/true);
  EXPECT_EQ(Step(), TrainerStep::kWait);
  const std::string waiting = control_.Status().waiting();
  EXPECT_NE(waiting.find("shards that load their rows"), std::string::npos) << waiting;
  const ShardGrant grant = control_.NextGrant(0);
  EXPECT_EQ(grant.max_accepted_rows, 0u);
  EXPECT_NE(grant.reason.find("loading: 10 % of the rows"), std::string::npos) << grant.reason;
  control_.ShardLost(1, "gone");
  EXPECT_GT(control_.NextGrant(0).max_accepted_rows, 0u) << "its rows count as lost";
  Answer(1, 60);
  EXPECT_EQ(control_.NextGrant(0).max_accepted_rows, 0u);
  EXPECT_EQ(Step(), TrainerStep::kUpdate);
}

// Cut off from the learner, but not from its actors.
TEST_F(RunControlTest, WhatAShardWasGrantedIsKeptForItWhileItDoesNotAnswer) {
  Rows(0);
  ASSERT_EQ(control_.NextGrant(0).max_accepted_rows, 60u);
  ASSERT_EQ(control_.NextGrant(1).max_accepted_rows, 60u);
  control_.ShardLost(0, "no route");
  Answer(1, 60);
  clock_.Advance(absl::Seconds(59));
  const ShardGrant grant = control_.NextGrant(1);
  EXPECT_EQ(grant.max_accepted_rows, 60u);
  EXPECT_EQ(grant.reason.substr(0, 21), "60 rows are kept for ") << grant.reason;
  EXPECT_NE(grant.reason.find("0 (a:1)"), std::string::npos) << grant.reason;
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(control_.NextGrant(1).max_accepted_rows, 120u);
}

TEST_F(RunControlTest, MoreThanAQuarterOfBarredWindowsIsTooMuch) {
  EXPECT_TRUE(control_.CheckBarred().ok());
  proto::ShardInfo state;
  state.set_shard_incarnation(10);
  state.set_windows(40);
  state.set_barred_windows(20);
  control_.ShardAnswered(0, state, false);
  EXPECT_EQ(control_.CheckBarred().code(), absl::StatusCode::kFailedPrecondition);
  state.set_shard_incarnation(11);
  state.set_barred_windows(0);
  control_.ShardAnswered(1, state, false);
  EXPECT_TRUE(control_.CheckBarred().ok()) << "20 of 100";
  EXPECT_TRUE(control_.ShardLost(1, "no route"));
  EXPECT_FALSE(control_.CheckBarred().ok()) << "of the shards that are there";
}

// Two shards that are full with fewer rows than min_rows, then one of them alone.
TEST_F(RunControlTest, SmallReplayIsFullEnoughWithHalfOfWhatTheShardsThereCanHold) {
  capacity_ = 40;
  const auto stored = [&](int shard, uint64_t rows) {
    proto::ShardInfo state;
    state.set_shard_incarnation(10 + shard);
    state.set_accepted_rows(60);
    state.set_stored_rows(rows);
    state.set_windows(rows);
    state.set_capacity_rows(capacity_);
    state.set_streams(1);
    state.set_max_accepted_rows(60);
    control_.ShardAnswered(shard, state, false);
  };
  stored(0, 20);
  stored(1, 19);
  EXPECT_EQ(Step(), TrainerStep::kWait);
  EXPECT_NE(control_.Status().waiting().find("39 of 40 rows"), std::string::npos)
      << control_.Status().waiting();
  stored(1, 20);
  EXPECT_EQ(Step(), TrainerStep::kUpdate);
  EXPECT_TRUE(control_.AwaitSampling(absl::ZeroDuration()));
  EXPECT_EQ(control_.NextGrant(0).max_accepted_rows, 60u) << "nothing is missing";
  control_.ShardLost(1, "gone");
  EXPECT_EQ(Step(), TrainerStep::kUpdate) << "20 of 40 that the other can hold";
  control_.ShardLost(0, "gone");
  EXPECT_EQ(Step(), TrainerStep::kWait) << "there is nothing to sample";
}

TEST_F(RunControlTest, RunSavedBeforeAllShardsAgreedClosesTheSeedPhaseAgain) {
  Rows(50);
  for (int i = 0; i < 10; ++i) control_.UpdateDone();
  control_.BeginSeedClosing();
  Answer(0, 50, true);
  RunControl resumed(Options(), &clock_);
  resumed.Restore(control_.Save(), {});
  EXPECT_EQ(resumed.phase(), proto::SEED);
  EXPECT_EQ(resumed.AwaitStep(absl::ZeroDuration()), TrainerStep::kCloseSeed);
}

TEST_F(RunControlTest, RunSavedAtTheEndOfPretrainingTakesNoMoreRandomRows) {
  Rows(50);
  for (int i = 0; i < 10; ++i) control_.UpdateDone();
  RunControl resumed(Options(), &clock_);
  resumed.Restore(control_.Save(), {});
  proto::ShardInfo empty;
  empty.set_shard_incarnation(99);
  resumed.ShardAnswered(0, empty, false);
  EXPECT_TRUE(resumed.NextGrant(0).seed_phase_over);
}

TEST_F(RunControlTest, HaltEndsWaitingButNotTheRun) {
  auto actor = *control_.Register(proto::ACTOR, "a", 1);
  bool sampling = true;
  TrainerStep step = TrainerStep::kWait;
  Thread trainer("trainer", [&] { step = control_.AwaitStep(absl::InfiniteDuration()); });
  Thread sampler("sampler", [&] { sampling = control_.AwaitSampling(absl::InfiniteDuration()); });
  clock_.AwaitWaiters(2);
  control_.Halt();
  trainer.Join();
  sampler.Join();
  EXPECT_EQ(step, TrainerStep::kFinish);
  EXPECT_FALSE(sampling);
  EXPECT_EQ(control_.Heartbeat(actor.lease_id(), {})->phase(), proto::SEED);
}

TEST_F(RunControlTest, SamplingBeginsWithTheLastRowOfTheSeedPhase) {
  Rows(49);
  EXPECT_FALSE(control_.AwaitSampling(absl::ZeroDuration()));
  Rows(50);
  EXPECT_TRUE(control_.AwaitSampling(absl::ZeroDuration()));
  control_.ShardLost(0, "gone");
  EXPECT_TRUE(control_.AwaitSampling(absl::ZeroDuration()));
  control_.ShardLost(1, "gone");
  EXPECT_FALSE(control_.AwaitSampling(absl::ZeroDuration()));
}

TEST_F(RunControlTest, EpisodesAreCountedAcrossHeartbeats) {
  auto actor = *control_.Register(proto::ACTOR, "a", 2);
  auto evaluator = *control_.Register(proto::EVALUATOR, "e", 0);
  ASSERT_TRUE(control_.Heartbeat(actor.lease_id(), {10, 1, 5.0}).ok());
  ASSERT_TRUE(control_.Heartbeat(actor.lease_id(), {20, 1, 5.0}).ok());
  ASSERT_TRUE(control_.Heartbeat(actor.lease_id(), {40, 4, 7.0}).ok());
  ASSERT_TRUE(control_.Heartbeat(evaluator.lease_id(), {40, 4, 900.0}).ok());
  const proto::RunStatus status = control_.Status();
  EXPECT_EQ(status.episodes(), 4u);
  EXPECT_EQ(status.training_return_mean(), 6.0);
  const std::vector<EpisodeNews> news = control_.TakeEpisodeNews();
  ASSERT_EQ(news.size(), 2u);
  EXPECT_EQ(news[1].episodes, 4u);
  EXPECT_EQ(news[1].episode_return, 7);
}

TEST_F(RunControlTest, StatusTellsRatesAndTimeLeft) {
  FinishSeedPhase();
  control_.Tick();
  clock_.Advance(absl::Seconds(10));
  Rows(60);
  for (int i = 0; i < 10; ++i) control_.UpdateDone();
  control_.Tick();
  const proto::RunStatus status = control_.Status();
  EXPECT_DOUBLE_EQ(status.rows_per_second(), 2);
  EXPECT_DOUBLE_EQ(status.updates_per_second(), 1);
  EXPECT_DOUBLE_EQ(status.remaining_seconds(), 440);
  EXPECT_EQ(status.shards_size(), 2);
  EXPECT_EQ(status.shards(1).address(), "b:2");
}

TEST_F(RunControlTest, UndoneUpdatesAreMadeAgain) {
  FinishSeedPhase();
  Rows(55);
  while (Step() == TrainerStep::kUpdate) control_.UpdateDone();
  EXPECT_EQ(control_.updates(), 20u);
  control_.Restored(15, "the policy is not finite");
  EXPECT_EQ(control_.updates(), 15u);
  EXPECT_EQ(control_.Status().restorations(), 1u);
  EXPECT_EQ(control_.Status().last_restoration(), "the policy is not finite");
  for (int i = 0; i < 5; ++i) {
    ASSERT_EQ(Step(), TrainerStep::kUpdate);
    control_.UpdateDone();
  }
  EXPECT_EQ(Step(), TrainerStep::kWait);
}

class LockstepTest : public RunControlTest {
 protected:
  LockstepTest() : RunControlTest(LockstepOptions()) {}
  static RunControlOptions LockstepOptions() {
    RunControlOptions options = Options();
    options.lockstep = true;
    options.stop.max_rows = 300;
    return options;
  }
};

TEST_F(LockstepTest, RowsAreAskedForWhereverTheyAreWaitedFor) {
  // Nothing is known of the shards yet.
  EXPECT_EQ(Step(), TrainerStep::kAct);
  Rows(49);
  EXPECT_EQ(Step(), TrainerStep::kAct);
  FinishSeedPhase();
  EXPECT_EQ(Step(), TrainerStep::kAct);
  Rows(51);
  EXPECT_EQ(Step(), TrainerStep::kUpdate);
  control_.UpdateDone();
  EXPECT_EQ(Step(), TrainerStep::kUpdate);
  control_.UpdateDone();
  EXPECT_EQ(Step(), TrainerStep::kAct);
}

TEST_F(LockstepTest, ReplayWithTooFewRowsIsFilledByTurns) {
  FinishSeedPhase();
  Rows(60);
  ASSERT_EQ(Step(), TrainerStep::kUpdate);
  // Their memories are lost.
  Answer(0, 10, true, 20);
  Answer(1, 10, true, 21);
  EXPECT_EQ(Step(), TrainerStep::kAct);
}

TEST_F(LockstepTest, ATurnThatHasBegunCanAlwaysEnd) {
  FinishSeedPhase();
  Rows(149);
  while (Step() == TrainerStep::kUpdate) control_.UpdateDone();
  // Two rows before the limit, whatever the slack is.
  EXPECT_GE(control_.NextGrant(0).max_accepted_rows, 149u + 10000);
}

TEST_F(LockstepTest, NothingMovesWhileAPolicyIsEvaluated) {
  FinishSeedPhase();
  const auto evaluator = Evaluate();
  Rows(110);
  EXPECT_EQ(Step(), TrainerStep::kWait);
  clock_.Advance(absl::Seconds(3));
  EXPECT_TRUE(control_.ReportEvaluation(evaluator.lease_id(), 1, {1, 2}, {5}).ok());
  EXPECT_EQ(Step(), TrainerStep::kUpdate);
  EXPECT_EQ(control_.Status().evaluations(0).elapsed_seconds(), 0);
}

TEST_F(LockstepTest, TheRunEndsWhenItHasAllRowsAndTheirUpdates) {
  FinishSeedPhase();
  Rows(151);
  while (Step() == TrainerStep::kUpdate) control_.UpdateDone();
  EXPECT_EQ(Step(), TrainerStep::kEvaluate);
  auto evaluator = *control_.Register(proto::EVALUATOR, "e", 0);
  control_.AddEvaluation({1, 2});
  control_.Heartbeat(evaluator.lease_id(), {}).IgnoreError();
  EXPECT_TRUE(control_.ReportEvaluation(evaluator.lease_id(), 1, {1, 2}, {5}).ok());
  control_.Tick();
  EXPECT_EQ(control_.phase(), proto::FINISHED);
}

}  // namespace
}  // namespace pompc::run
