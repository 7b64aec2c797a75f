#ifndef POMPC_TESTS_RUN_CONTROL_RUN_CONTROL_FIXTURE_H_
#define POMPC_TESTS_RUN_CONTROL_RUN_CONTROL_FIXTURE_H_

#include "common/base/threads.h"
#include "gtest/gtest.h"
#include "run/control/run_control.h"

namespace pompc::run {

inline RunControlOptions Options() {
  RunControlOptions options;
  options.shards = {"a:1", "b:2"};
  options.ratio.seed_rows = 100;
  options.ratio.pretrain_updates = 10;
  options.ratio.utd = 1;
  options.ratio.slack_rows = 20;
  options.ratio.min_rows = 50;
  options.evaluation.every_rows = 200;
  options.evaluation.episodes = 1;
  options.stop.return_mean = 700;
  options.stop.max_rows = 1000;
  return options;
}

// A run in front of its shards, of which the test plays the part.
class RunControlTest : public testing::Test {
 protected:
  explicit RunControlTest(const RunControlOptions& options = Options())
      : control_(options, &clock_) {}

  // Shard `i` answers as memory `incarnation`.
  void Answer(int i, uint64_t rows, bool seed_over = false, uint64_t incarnation = 0) {
    proto::ShardInfo info;
    info.set_shard_incarnation(incarnation == 0 ? 10 + i : incarnation);
    info.set_accepted_rows(rows);
    info.set_stored_rows(rows);
    info.set_windows(rows);
    info.set_capacity_rows(capacity_);
    info.set_streams(1);
    info.set_max_accepted_rows(rows);
    control_.ShardAnswered(i, info, seed_over);
  }
  void Rows(uint64_t each, bool seed_over = false) {
    Answer(0, each, seed_over);
    Answer(1, each, seed_over);
  }
  TrainerStep Step() { return control_.AwaitStep(absl::ZeroDuration()); }
  // Up to the first version.
  void FinishSeedPhase() {
    Rows(50);
    for (int i = 0; i < 10; ++i) control_.UpdateDone();
    control_.BeginSeedClosing();
    Rows(50, true);
    control_.Published({1, 1});
    control_.StartTraining();
  }
  // An evaluator that has been given the evaluation of version (1, 2), published at 200 rows.
  proto::RegisterReply Evaluate() {
    auto evaluator = *control_.Register(proto::EVALUATOR, "e", 0);
    Rows(100);
    while (Step() == TrainerStep::kUpdate) control_.UpdateDone();
    control_.Published({1, 2});
    control_.AddEvaluation({1, 2});
    EXPECT_TRUE(control_.Heartbeat(evaluator.lease_id(), {})->has_evaluation());
    return evaluator;
  }

  // All rows and updates are there, and the last evaluation is outstanding.
  void AwaitLastEvaluation() {
    Rows(500, true);
    while (Step() == TrainerStep::kUpdate) control_.UpdateDone();
    ASSERT_EQ(Step(), TrainerStep::kEvaluate);
    control_.AddEvaluation({1, 5});
  }
  // What the evaluator with `lease` is to do has the result 1.
  void Report(uint64_t lease) {
    const auto told = control_.Heartbeat(lease, {});
    ASSERT_TRUE(told->has_evaluation());
    const proto::EvaluationAssignment& evaluation = told->evaluation();
    ASSERT_TRUE(control_
                    .ReportEvaluation(lease, evaluation.evaluation_id(),
                                      FromProto(evaluation.version()), {1})
                    .ok());
  }
  // Time passes as it does while the learner runs.
  void TickFor(absl::Duration time) {
    for (; time > absl::ZeroDuration(); time -= absl::Seconds(1)) {
      clock_.Advance(absl::Seconds(1));
      control_.Tick();
    }
  }

  FakeClock clock_;
  RunControl control_;
  // Rows each shard can hold.
  uint64_t capacity_ = 1000000;
};

}  // namespace pompc::run

#endif  // POMPC_TESTS_RUN_CONTROL_RUN_CONTROL_FIXTURE_H_
