#include "run/control/phase_machine.h"

#include "gtest/gtest.h"

namespace pompc::run {
namespace {

constexpr uint64_t kSeedRows = 100;

StopOptions AllConditions() {
  StopOptions options;
  options.max_rows = 1000;
  options.return_mean = 700;
  options.max_time = absl::Minutes(5);
  options.last_evaluations = absl::Minutes(1);
  options.evaluator_comes = absl::Seconds(20);
  return options;
}

// All is there but the results of the last evaluations. An evaluator has taken part.
RunProgress Evaluating(bool evaluator) {
  return {.rows = 1000,
          .caught_up = true,
          .outstanding_evaluations = 3,
          .evaluator = evaluator,
          .had_evaluator = true};
}

TEST(PhaseMachineTest, GoesFromSeedToTraining) {
  PhaseMachine machine(AllConditions(), absl::ZeroDuration());
  EXPECT_EQ(machine.phase(), proto::SEED);
  machine.StartTraining();
  EXPECT_EQ(machine.phase(), proto::TRAINING);
}

TEST(PhaseMachineTest, FinishesAtTheReturn) {
  PhaseMachine machine(AllConditions(), absl::ZeroDuration());
  machine.StartTraining();
  machine.Check({.rows = 500, .best_return = 699.9}, kSeedRows, absl::Seconds(1));
  EXPECT_EQ(machine.phase(), proto::TRAINING);
  machine.Check({.rows = 500, .best_return = 700}, kSeedRows, absl::Seconds(1));
  EXPECT_EQ(machine.phase(), proto::FINISHED);
  EXPECT_NE(machine.reason().find("700"), std::string::npos);
}

// Rewards may be costs: Pendulum's returns are all below zero.
TEST(PhaseMachineTest, TheReturnMayBeNegative) {
  PhaseMachine machine({.return_mean = -250}, absl::ZeroDuration());
  machine.StartTraining();
  machine.Check({.rows = 500}, kSeedRows, absl::Seconds(1));
  machine.Check({.rows = 500, .best_return = -250.5}, kSeedRows, absl::Seconds(1));
  EXPECT_EQ(machine.phase(), proto::TRAINING);
  machine.Check({.rows = 500, .best_return = -249}, kSeedRows, absl::Seconds(1));
  EXPECT_EQ(machine.phase(), proto::FINISHED);
  EXPECT_NE(machine.reason().find("-249.0 (goal -250.0)"), std::string::npos) << machine.reason();
}

TEST(PhaseMachineTest, FinishesAtTheTimeLimitOfThisStart) {
  PhaseMachine machine(AllConditions(), absl::Seconds(1000));
  machine.Check({}, kSeedRows, absl::Seconds(1299));
  EXPECT_EQ(machine.phase(), proto::SEED);
  machine.Check({}, kSeedRows, absl::Seconds(1300));
  EXPECT_EQ(machine.phase(), proto::FINISHED);
}

TEST(PhaseMachineTest, WithAllRowsWaitsForUpdatesAndEvaluations) {
  PhaseMachine machine(AllConditions(), absl::ZeroDuration());
  machine.StartTraining();
  machine.Check({.rows = 1000}, kSeedRows, absl::Seconds(1));
  EXPECT_EQ(machine.phase(), proto::TRAINING);
  machine.Check({.rows = 1000, .caught_up = true, .evaluation_due = true}, kSeedRows,
                absl::Seconds(2));
  EXPECT_EQ(machine.phase(), proto::TRAINING);
  machine.Check({.rows = 1000, .caught_up = true}, kSeedRows, absl::Seconds(3));
  EXPECT_EQ(machine.phase(), proto::FINISHED);
}

TEST(PhaseMachineTest, TheLastEvaluationsAreWaitedForWithABound) {
  PhaseMachine machine(AllConditions(), absl::ZeroDuration());
  machine.StartTraining();
  const RunProgress evaluating = Evaluating(/*evaluator=*/true);
  machine.Check(evaluating, kSeedRows, absl::Seconds(10));
  machine.Check(evaluating, kSeedRows, absl::Seconds(69));
  EXPECT_EQ(machine.phase(), proto::TRAINING);
  machine.Check(evaluating, kSeedRows, absl::Seconds(70));
  EXPECT_EQ(machine.phase(), proto::FINISHED);
  EXPECT_EQ(machine.reason(),
            "all 1000 rows are stored; 3 evaluations had no result: none came within 1m");
}

TEST(PhaseMachineTest, AnEvaluatorThatHasGoneIsWaitedForWithABound) {
  PhaseMachine machine(AllConditions(), absl::ZeroDuration());
  machine.StartTraining();
  machine.Check(Evaluating(/*evaluator=*/true), kSeedRows, absl::Seconds(100));
  machine.Check(Evaluating(/*evaluator=*/false), kSeedRows, absl::Seconds(110));
  machine.Check(Evaluating(/*evaluator=*/false), kSeedRows, absl::Seconds(129));
  EXPECT_EQ(machine.phase(), proto::TRAINING);
  // One that has come and gone is waited for anew.
  machine.Check(Evaluating(/*evaluator=*/true), kSeedRows, absl::Seconds(130));
  machine.Check(Evaluating(/*evaluator=*/false), kSeedRows, absl::Seconds(131));
  machine.Check(Evaluating(/*evaluator=*/false), kSeedRows, absl::Seconds(150));
  EXPECT_EQ(machine.phase(), proto::TRAINING);
  machine.Check(Evaluating(/*evaluator=*/false), kSeedRows, absl::Seconds(151));
  EXPECT_EQ(machine.phase(), proto::FINISHED);
  EXPECT_EQ(machine.reason(),
            "all 1000 rows are stored; 3 evaluations had no result: no evaluator");
}

TEST(PhaseMachineTest, AFirstEvaluatorIsWaitedForSinceTheStart) {
  RunProgress progress = Evaluating(/*evaluator=*/false);
  progress.had_evaluator = false;
  progress.outstanding_evaluations = 1;
  PhaseMachine machine(AllConditions(), absl::Seconds(100));
  machine.StartTraining();
  machine.Check(progress, kSeedRows, absl::Seconds(119));
  EXPECT_EQ(machine.phase(), proto::TRAINING);
  machine.Check(progress, kSeedRows, absl::Seconds(120));
  EXPECT_EQ(machine.phase(), proto::FINISHED);
  EXPECT_EQ(machine.reason(), "all 1000 rows are stored; 1 evaluation had no result: no evaluator");
}

TEST(PhaseMachineTest, AllRowsInTheSeedPhaseStillTrains) {
  PhaseMachine machine(AllConditions(), absl::ZeroDuration());
  machine.Check({.rows = 1000, .caught_up = true}, kSeedRows, absl::Seconds(1));
  EXPECT_EQ(machine.phase(), proto::SEED);
}

TEST(PhaseMachineTest, FewerRowsThanTheSeedPhaseNeedsFinishesWithoutTraining) {
  StopOptions options = AllConditions();
  options.max_rows = 50;
  PhaseMachine machine(options, absl::ZeroDuration());
  machine.Check({.rows = 50, .caught_up = true}, kSeedRows, absl::Seconds(1));
  EXPECT_EQ(machine.phase(), proto::FINISHED);
}

TEST(PhaseMachineTest, ZerosSwitchConditionsOff) {
  PhaseMachine machine(StopOptions{}, absl::ZeroDuration());
  machine.StartTraining();
  machine.Check({.rows = 1000000, .caught_up = true, .best_return = 1e9}, kSeedRows,
                absl::Hours(1000));
  EXPECT_EQ(machine.phase(), proto::TRAINING);
}

TEST(PhaseMachineTest, OverIsFinal) {
  PhaseMachine machine(AllConditions(), absl::ZeroDuration());
  machine.Stop("asked to");
  machine.StartTraining();
  machine.Check({.rows = 1000, .caught_up = true, .best_return = 900}, kSeedRows, absl::Hours(1));
  machine.Stop("again");
  EXPECT_EQ(machine.phase(), proto::STOPPING);
  EXPECT_EQ(machine.reason(), "asked to");
}

}  // namespace
}  // namespace pompc::run
