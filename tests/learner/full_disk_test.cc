// What a learner does when its run directory has no room.
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "run/run_client.h"
#include "tests/learner/learner_fixture.h"
#include "tests/rundir/file_size_limit.h"

namespace pompc::learner {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class FullDiskTest : public LearnerFixture {};

TEST_F(FullDiskTest, ALastCheckpointThatCannotBeWrittenIsTheLearnersError) {
  write_timeout_ = absl::Milliseconds(20);
  StartShards(1);
  StartLearner();
  FinishSeedPhase();
  *engine_->write_failures = 1000000;
  Write(0, 20, true);
  AwaitUpdates(30);
  learner_->Stop();
  const absl::Status status = learner_->Wait();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("the last checkpoint, of update 30"),
                    HasSubstr("the newest is of update 20"), HasSubstr("no space left")));
  EXPECT_EQ(learner_->Status().phase(), proto::TRAINING) << "the run goes on with another start";
}

TEST_F(FullDiskTest, AFailedCheckpointOfTheLastUpdateIsWrittenAgain) {
  StartShards(1);
  StartLearner();
  FinishSeedPhase();
  // That of update 50, which is also the last one: requested, failed, and tried again twice.
  *engine_->write_failures = 3;
  Write(0, 60, true);
  AwaitUpdates(50);
  learner_->Stop();
  EXPECT_TRUE(learner_->Wait().ok()) << learner_->Wait();
  EXPECT_EQ(folder_.Read("run/checkpoints/update-000000050/engine"), "50");
}

// A disk that takes a write and never ends it.
TEST_F(FullDiskTest, WhoeverAsksIsToldThatACheckpointIsWaitedFor) {
  write_after_ = std::make_shared<Event>();
  StartShards(1);
  StartLearner();
  StartWriters(1);
  Write(0, 100, false);
  AwaitThat([&] {
    return learner_->Status().waiting().find(
               "the learner waits to write the checkpoint of update 20") != std::string::npos;
  });
  write_after_->Set();
  AwaitTraining();
  EXPECT_EQ(learner_->Status().waiting().find("checkpoint"), std::string::npos);
}

TEST_F(FullDiskTest, EvaluationsThatCannotBeWrittenAreTheLearnersError) {
  write_timeout_ = absl::Milliseconds(20);
  config_.mutable_evaluation()->set_every_rows(140);
  StartShards(1);
  StartLearner();
  learner_.reset();
  // The largest file of the run, so that it is the one for which there is no room.
  std::string table = folder_.Read("run/evaluations.csv");
  for (int i = 1; i <= 1000; ++i) absl::StrAppend(&table, i, ",1.1,0,0,0,2,-5,1,-6,-4\n");
  folder_.Write("run/evaluations.csv", table);
  StartLearner();
  run::RunClientOptions options;
  options.learner = learner_->server().InProcessEndpoint();
  options.role = proto::EVALUATOR;
  run::RunClient evaluator(options);
  ASSERT_TRUE(evaluator.Register(absl::ZeroDuration()).ok());
  evaluator.Start();
  FinishSeedPhase();
  Write(0, 40, true);
  AwaitThat([&] { return evaluator.news().evaluation.has_value(); });
  {
    const FileSizeLimit limit(table.size());
    ASSERT_TRUE(evaluator
                    .ReportEvaluation(*evaluator.news().evaluation, {1, 2}, {50, 50},
                                      absl::Seconds(10))
                    .ok());
    // gRPC can crash where a call begins on an in-process channel while its server shuts down.
    evaluator.Close();
    learner_->Stop();
  }
  const absl::Status status = learner_->Wait();
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("evaluations.csv"), HasSubstr("1 rows wait")));
  EXPECT_EQ(folder_.Read("run/evaluations.csv"), table) << "no half a row";
}

}  // namespace
}  // namespace pompc::learner
