// How a run's evaluations come about, and what its end has to do with them.
#include <string>

#include "gtest/gtest.h"
#include "tests/run/control/run_control_fixture.h"

namespace pompc::run {
namespace {

class RunControlEvaluationTest : public RunControlTest {};

TEST_F(RunControlEvaluationTest, EvaluationRunsFromMilestoneToFinish) {
  FinishSeedPhase();
  auto actor = *control_.Register(proto::ACTOR, "a", 1);
  auto evaluator = *control_.Register(proto::EVALUATOR, "e", 0);
  Rows(100);
  ASSERT_EQ(Step(), TrainerStep::kEvaluate);
  control_.Published({1, 2});
  const proto::EvaluationAssignment added = control_.AddEvaluation({1, 2});
  EXPECT_EQ(Step(), TrainerStep::kUpdate);

  EXPECT_FALSE(control_.Heartbeat(actor.lease_id(), {})->has_evaluation());
  const auto told = *control_.Heartbeat(evaluator.lease_id(), {});
  EXPECT_EQ(FromProto(told.version()), (ParameterVersion{1, 2}));
  EXPECT_EQ(told.evaluation().DebugString(), added.DebugString());

  EXPECT_EQ(*control_.ReportEvaluation(evaluator.lease_id(), added.evaluation_id(), {1, 2}, {710}),
            proto::FINISHED);
  EXPECT_EQ(Step(), TrainerStep::kFinish);
  const auto news = control_.TakeEvaluationNews();
  ASSERT_EQ(news.size(), 1u);
  EXPECT_TRUE(news[0].best);
  EXPECT_EQ(news[0].result->return_mean(), 710);
  EXPECT_TRUE(control_.TakeEvaluationNews().empty());
  EXPECT_NE(control_.Status().over_reason().find("710"), std::string::npos);
}

TEST_F(RunControlEvaluationTest, ReportOfAnEndedLeaseIsNotFound) {
  FinishSeedPhase();
  auto evaluator = Evaluate();
  clock_.Advance(absl::Seconds(10));
  control_.Tick();
  EXPECT_EQ(control_.ReportEvaluation(evaluator.lease_id(), 1, {1, 2}, {500}).status().code(),
            absl::StatusCode::kNotFound);
  // Another evaluator is given the same evaluation.
  auto other = *control_.Register(proto::EVALUATOR, "f", 0);
  EXPECT_EQ(control_.Heartbeat(other.lease_id(), {})->evaluation().evaluation_id(), 1u);
}

TEST_F(RunControlEvaluationTest, OnlyItsEvaluatorReportsAnEvaluation) {
  FinishSeedPhase();
  const auto evaluator = Evaluate();
  const auto actor = *control_.Register(proto::ACTOR, "a", 1);
  const auto other = *control_.Register(proto::EVALUATOR, "f", 0);
  for (const uint64_t lease : {actor.lease_id(), other.lease_id()}) {
    EXPECT_EQ(control_.ReportEvaluation(lease, 1, {1, 2}, {500}).status().code(),
              absl::StatusCode::kFailedPrecondition);
  }
  EXPECT_EQ(control_.Status().evaluations_size(), 0);
  EXPECT_TRUE(control_.ReportEvaluation(evaluator.lease_id(), 1, {1, 2}, {500}).ok());
}

TEST_F(RunControlEvaluationTest, OnlyTheBestResultIsBest) {
  FinishSeedPhase();
  auto evaluator = Evaluate();
  ASSERT_TRUE(control_.ReportEvaluation(evaluator.lease_id(), 1, {1, 2}, {500}).ok());
  control_.AddEvaluation({1, 3});
  ASSERT_TRUE(control_.Heartbeat(evaluator.lease_id(), {})->has_evaluation());
  ASSERT_TRUE(control_.ReportEvaluation(evaluator.lease_id(), 2, {1, 3}, {400}).ok());
  const auto news = control_.TakeEvaluationNews();
  ASSERT_EQ(news.size(), 2u);
  EXPECT_TRUE(news[0].best);
  EXPECT_FALSE(news[1].best);
  EXPECT_EQ(control_.Status().best_evaluation(), 0u);
}

TEST_F(RunControlEvaluationTest, AllRowsFinishOnceTheLastEvaluationIsIn) {
  FinishSeedPhase();
  auto evaluator = *control_.Register(proto::EVALUATOR, "e", 0);
  Rows(500);
  uint64_t updates = control_.updates();
  while (Step() == TrainerStep::kUpdate) {
    control_.UpdateDone();
    ++updates;
  }
  EXPECT_EQ(updates, 910u);
  // The last evaluation is of the last parameters.
  ASSERT_EQ(Step(), TrainerStep::kEvaluate);
  control_.AddEvaluation({1, 5});
  control_.Tick();
  EXPECT_EQ(Step(), TrainerStep::kWait);
  Report(evaluator.lease_id());
  EXPECT_EQ(control_.phase(), proto::FINISHED);
}

// Two minutes after the start none comes any more.
TEST_F(RunControlEvaluationTest, AllRowsFinishWithoutEvaluators) {
  FinishSeedPhase();
  clock_.Advance(absl::Minutes(2));
  AwaitLastEvaluation();
  control_.Tick();
  EXPECT_EQ(control_.phase(), proto::FINISHED);
}

TEST_F(RunControlEvaluationTest, AFirstEvaluatorIsWaitedForAtTheEnd) {
  FinishSeedPhase();
  AwaitLastEvaluation();
  control_.Tick();
  EXPECT_EQ(Step(), TrainerStep::kWait);
  EXPECT_EQ(control_.phase(), proto::TRAINING);
  EXPECT_NE(control_.Status().waiting().find("for an evaluator to make them, 2m at most"),
            std::string::npos)
      << control_.Status().waiting();
  auto evaluator = *control_.Register(proto::EVALUATOR, "e", 0);
  Report(evaluator.lease_id());
  EXPECT_EQ(control_.phase(), proto::FINISHED);
  EXPECT_EQ(control_.Status().over_reason(), "all 1000 rows are stored");
}

// Frozen, it is silent until its lease ends, and comes again when it goes on.
TEST_F(RunControlEvaluationTest, AnEvaluatorThatFellSilentIsWaitedForAtTheEnd) {
  auto evaluator = *control_.Register(proto::EVALUATOR, "e", 0);
  FinishSeedPhase();
  clock_.Advance(absl::Minutes(30));
  AwaitLastEvaluation();
  TickFor(absl::Seconds(100));
  EXPECT_EQ(control_.Heartbeat(evaluator.lease_id(), {}).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(control_.phase(), proto::TRAINING);
  evaluator = *control_.Register(proto::EVALUATOR, "e", 0);
  Report(evaluator.lease_id());
  EXPECT_EQ(control_.phase(), proto::FINISHED);
}

TEST_F(RunControlEvaluationTest, EvaluationsThatNobodyMakesAreGivenUpAloud) {
  ASSERT_TRUE(control_.Register(proto::EVALUATOR, "e", 0).ok());
  FinishSeedPhase();
  AwaitLastEvaluation();
  TickFor(absl::Minutes(2) + absl::Seconds(15));
  EXPECT_EQ(control_.phase(), proto::FINISHED);
  EXPECT_EQ(control_.Status().over_reason(),
            "all 1000 rows are stored; 1 evaluation had no result: no evaluator");
  const auto news = control_.TakeEvaluationNews();
  ASSERT_EQ(news.size(), 1u);
  EXPECT_FALSE(news[0].result.has_value());
}

TEST_F(RunControlEvaluationTest, StopDoesNotWaitForEvaluators) {
  FinishSeedPhase();
  AwaitLastEvaluation();
  control_.Tick();
  ASSERT_EQ(control_.phase(), proto::TRAINING);
  control_.Stop("asked to");
  EXPECT_EQ(Step(), TrainerStep::kFinish);
}

TEST_F(RunControlEvaluationTest, InLockstepNoEvaluatorIsWaitedFor) {
  RunControlOptions options = Options();
  options.shards = {"a:1"};
  options.stop.max_rows = 110;
  options.lockstep = true;
  RunControl control(options, &clock_);
  proto::ShardInfo state;
  state.set_shard_incarnation(1);
  state.set_accepted_rows(110);
  state.set_stored_rows(110);
  state.set_windows(110);
  state.set_capacity_rows(1000);
  control.ShardAnswered(0, state, true);
  control.BeginSeedClosing();
  control.Published({1, 1});
  control.StartTraining();
  while (control.AwaitStep(absl::ZeroDuration()) == TrainerStep::kUpdate) control.UpdateDone();
  ASSERT_EQ(control.AwaitStep(absl::ZeroDuration()), TrainerStep::kEvaluate);
  control.AddEvaluation({1, 2});
  control.Tick();
  EXPECT_EQ(control.phase(), proto::FINISHED);
}

}  // namespace
}  // namespace pompc::run
