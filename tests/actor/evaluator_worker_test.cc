#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "actor/worker.h"
#include "common/base/bounded_queue.h"
#include "common/base/threads.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/actor/fakes.h"
#include "tests/actor/stub_planner.h"
#include "tests/support/await.h"

namespace pompc::actor {
namespace {

using ::testing::SizeIs;

struct Reported {
  proto::EvaluationAssignment assignment;
  EvaluationOutcome outcome;
};

proto::EvaluationAssignment Assignment(uint64_t id, uint64_t version, uint32_t episodes) {
  proto::EvaluationAssignment assignment;
  assignment.set_evaluation_id(id);
  assignment.mutable_version()->set_incarnation(1);
  assignment.mutable_version()->set_number(version);
  assignment.set_episodes(episodes);
  assignment.set_seed(id * 17);
  return assignment;
}

class EvaluatorWorkerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    planners_ = std::make_unique<rpc::Discovery>(std::vector<rpc::Place>{planner_.endpoint()},
                                                 rpc::DiscoveryOptions());
    options_.planners = planners_.get();
    worker_ = std::make_unique<EvaluatorWorker>(
        options_, FakeFactory(world_),
        [this](const proto::EvaluationAssignment& assignment, const EvaluationOutcome& outcome) {
          reports_.Push({assignment, outcome});
          return absl::OkStatus();
        },
        &stats_, Clock::Real());
    auto registration = std::make_shared<proto::RegisterReply>();
    registration->set_run_id("run");
    news_.registration = registration;
    news_.phase = proto::TRAINING;
    thread_ = Thread("evaluator", [this] { result_ = worker_->Run(); });
  }
  void TearDown() override {
    worker_->Stop();
    thread_.Join();
  }

  void Assign(const proto::EvaluationAssignment& assignment) {
    news_.evaluation = assignment;
    worker_->OnNews(news_);
  }
  Reported Await() { return *reports_.Pop(Clock::Real()); }

  FakeWorld world_ = {.episode_steps = 4};
  EvaluatorWorkerOptions options_ = {.retry_after = absl::Milliseconds(1)};
  StubPlanner planner_{"run", 3, 2};
  std::unique_ptr<rpc::Discovery> planners_;
  ActorStats stats_{"evaluator", 1, Clock::Real(), std::make_shared<MetricsRegistry>()};
  BoundedQueue<Reported> reports_{100};
  run::RunClient::News news_;
  std::unique_ptr<EvaluatorWorker> worker_;
  absl::Status result_;
  Thread thread_;
};

TEST_F(EvaluatorWorkerTest, ReportsEveryEpisodeOfThePinnedVersion) {
  planner_.SetVersions({{1, 5}, {1, 9}});
  Assign(Assignment(1, 5, 3));
  const Reported reported = Await();
  EXPECT_EQ(reported.assignment.evaluation_id(), 1u);
  EXPECT_THAT(reported.outcome.returns, SizeIs(3));
  EXPECT_THAT(reported.outcome.decisions, ::testing::Each(4u));
  for (const proto::PlanRequest& request : planner_.requests()) {
    EXPECT_TRUE(request.evaluate());
    EXPECT_EQ(request.pinned_version().number(), 5u);
  }
}

TEST_F(EvaluatorWorkerTest, PlaysOneAssignmentAfterTheOther) {
  for (uint64_t id = 1; id <= 3; ++id) {
    Assign(Assignment(id, 1, 1));
    uint64_t reported = Await().assignment.evaluation_id();
    // Played again while this thread was slower than retry_after.
    while (reported == id - 1) reported = Await().assignment.evaluation_id();
    EXPECT_EQ(reported, id);
  }
  EXPECT_GE(stats_.counts().evaluations, 3u);
}

TEST_F(EvaluatorWorkerTest, WaitsForAVersionThatIsNotThereYet) {
  Assign(Assignment(1, 8, 1));
  planner_.AwaitRequests(2);
  planner_.SetVersions({{1, 8}});
  EXPECT_THAT(Await().outcome.returns, SizeIs(1));
}

TEST_F(EvaluatorWorkerTest, WithdrawnAssignmentReportsNothingAndTheNextIsPlayed) {
  Assign(Assignment(1, 8, 1));
  planner_.AwaitRequests(1);
  Assign(Assignment(2, 1, 1));
  EXPECT_EQ(Await().assignment.evaluation_id(), 2u);
  EXPECT_EQ(reports_.size(), 0u);
}

TEST_F(EvaluatorWorkerTest, SameEvaluationOfAnotherVersionStartsAnew) {
  Assign(Assignment(1, 8, 1));
  planner_.AwaitRequests(1);
  Assign(Assignment(1, 1, 1));
  EXPECT_EQ(Await().assignment.version().number(), 1u);
}

TEST_F(EvaluatorWorkerTest, FailedEvaluationIsTriedAgainWhileItIsAssigned) {
  planner_.SetStatus(absl::InvalidArgumentError("observation has the wrong size"));
  Assign(Assignment(1, 1, 1));
  planner_.AwaitRequests(1);
  planner_.SetStatus(absl::OkStatus());
  EXPECT_EQ(Await().assignment.evaluation_id(), 1u);
}

class UnstableEvaluatorWorkerTest : public EvaluatorWorkerTest {
 protected:
  UnstableEvaluatorWorkerTest() {
    world_.unstable_at = 2;
    options_.retry_after = absl::Minutes(10);
  }
};

TEST_F(UnstableEvaluatorWorkerTest, FailureIsWhatHeartbeatsTellUntilTheAssignmentIsWithdrawn) {
  Assign(Assignment(1, 1, 1));
  ASSERT_TRUE(pompc::Await([&] { return absl::StrContains(worker_->Waiting(), "exploded"); }));
  EXPECT_THAT(worker_->Waiting(), ::testing::StartsWith("evaluation 1 failed and will be retried"));
  EXPECT_EQ(reports_.size(), 0u);
  news_.evaluation.reset();
  worker_->OnNews(news_);
  EXPECT_EQ(worker_->Waiting(), "");
}

TEST_F(EvaluatorWorkerTest, EndsWhenTheRunIsOver) {
  Assign(Assignment(1, 8, 1));
  planner_.AwaitRequests(1);
  news_.phase = proto::FINISHED;
  worker_->OnNews(news_);
  thread_.Join();
  EXPECT_TRUE(result_.ok()) << result_;
  EXPECT_EQ(reports_.size(), 0u);
}

TEST_F(EvaluatorWorkerTest, EndsWithTheErrorWhenItHasNoPartInTheRunAnyMore) {
  news_.error = absl::FailedPreconditionError("another run");
  worker_->OnNews(news_);
  thread_.Join();
  EXPECT_EQ(result_.code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace pompc::actor
