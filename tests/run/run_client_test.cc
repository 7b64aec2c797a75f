#include "run/run_client.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/bounded_queue.h"
#include "common/rpc/call.h"
#include "common/rpc/server.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/run/run_fixture.h"
#include "tests/support/await.h"

namespace pompc::run {
namespace {

using ::testing::HasSubstr;

RunClientOptions Options(const rpc::Endpoint& learner, proto::Role role, Clock* clock) {
  RunClientOptions options;
  options.learner = learner;
  options.role = role;
  options.name = "host:1";
  options.environments = role == proto::ACTOR ? 2 : 0;
  options.clock = clock;
  return options;
}

class RunClientTest : public testing::Test {
 protected:
  void StartLearner(uint64_t incarnation, const std::string& run_id = "run-1",
                    const std::string& listen = "") {
    run_ = std::make_unique<ServedRun>(SmallRun(incarnation), run_id, &learner_clock_, listen);
  }
  void MakeClient(proto::Role role, const rpc::Endpoint& learner) {
    client_ = std::make_unique<RunClient>(Options(learner, role, &clock_));
  }
  void Join(proto::Role role) {
    MakeClient(role, run_->server->InProcessEndpoint());
    ASSERT_TRUE(client_->Register(absl::ZeroDuration()).ok());
    client_->Start();
    clock_.AwaitWaiters(1);
  }
  // The same over a port, whose address it returns: a learner can be started there anew.
  std::string JoinOverAPort() {
    StartLearner(1, "run-1", "127.0.0.1:0");
    const std::string address = run_->server->address();
    MakeClient(proto::ACTOR, rpc::Endpoint(address));
    EXPECT_TRUE(client_->Register(absl::ZeroDuration()).ok());
    client_->Start();
    clock_.AwaitWaiters(1);
    return address;
  }
  // The learner, which runs all the time, has heard of nobody for too long.
  void EndLeases() {
    for (int second = 0; second < 10; ++second) {
      learner_clock_.Advance(absl::Seconds(1));
      run_->control.Tick();
    }
  }
  // One more heartbeat, and its answer taken in.
  void Beat(absl::Duration after = absl::Seconds(1)) {
    clock_.Advance(after);
    clock_.AwaitWaiters(1);
  }

  FakeClock clock_;
  FakeClock learner_clock_;
  std::unique_ptr<ServedRun> run_;
  std::unique_ptr<RunClient> client_;
};

TEST_F(RunClientTest, HeartbeatsKeepTheLeaseAndBringNews) {
  StartLearner(1);
  Join(proto::ACTOR);
  EXPECT_EQ(client_->news().phase, proto::SEED);
  client_->SetCounters({.rows = 40, .episodes = 1, .last_return = 12});
  for (int second = 0; second < 30; ++second) {
    Beat();
    learner_clock_.Advance(absl::Seconds(1));
    run_->control.Tick();
  }
  const proto::RunStatus status = run_->control.Status();
  ASSERT_EQ(status.peers_size(), 1);
  EXPECT_EQ(status.peers(0).rows(), 40u);
  EXPECT_EQ(status.episodes(), 1u);

  run_->control.StartTraining();
  run_->control.Published({1, 3});
  Beat();
  EXPECT_EQ(client_->news().phase, proto::TRAINING);
  EXPECT_EQ(client_->news().version.number(), 3u);
  EXPECT_FALSE(client_->news().over());
}

TEST_F(RunClientTest, EndOfTheRunIsToldAndEndsTheHeartbeats) {
  StartLearner(1);
  MakeClient(proto::ACTOR, run_->server->InProcessEndpoint());
  ASSERT_TRUE(client_->Register(absl::ZeroDuration()).ok());
  BoundedQueue<RunClient::News> over(1);
  client_->Start([&](const RunClient::News& news) {
    if (news.over()) over.Push(news);
  });
  clock_.AwaitWaiters(1);
  run_->control.Stop("asked to");
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(over.Pop(Clock::Real())->phase, proto::STOPPING);
  EXPECT_TRUE(run_->control.Drained());
}

TEST_F(RunClientTest, AnEndedLeaseIsReplaced) {
  StartLearner(1);
  Join(proto::ACTOR);
  const uint64_t first = client_->news().registration->incarnation();
  EndLeases();
  Beat();
  EXPECT_GT(client_->news().registration->incarnation(), first);
  EXPECT_EQ(run_->control.Status().peers_size(), 1);
  EXPECT_TRUE(client_->news().problem.empty());
}

TEST_F(RunClientTest, ItKeepsItsIndexUnderEveryLease) {
  StartLearner(1, "run-1", "127.0.0.1:0");
  const std::string address = run_->server->address();
  ASSERT_TRUE(run_->control.Register(proto::ACTOR, "first", 1).ok());
  MakeClient(proto::ACTOR, rpc::Endpoint(address));
  ASSERT_EQ(client_->Register(absl::ZeroDuration())->index(), 1u);
  client_->Start();
  clock_.AwaitWaiters(1);
  EndLeases();
  Beat();
  EXPECT_EQ(client_->news().registration->index(), 1u) << "though 0 is free";
  run_.reset();
  Beat();
  StartLearner(2, "run-1", address);
  while (!client_->news().problem.empty()) Beat();
  EXPECT_EQ(client_->news().registration->index(), 1u);
  EXPECT_EQ(client_->news().registration->incarnation() >> 32, 2u);
}

TEST_F(RunClientTest, LeavingEndsTheLeaseAtOnceAndSaysWhy) {
  StartLearner(1);
  Join(proto::ACTOR);
  client_->SetWaiting("no plan \xff");
  Beat();
  EXPECT_EQ(run_->control.Status().peers(0).waiting(), "no plan ?");
  client_->SetCounters({.rows = 4, .episodes = 1, .last_return = 2});
  client_->Close();
  client_->Leave(absl::InternalError(absl::StrCat("the simulation \xfe", std::string(9000, 'x'))));
  const proto::RunStatus status = run_->control.Status();
  EXPECT_TRUE(status.peers().empty());
  ASSERT_EQ(status.ended_peers_size(), 1);
  EXPECT_THAT(status.ended_peers(0).how(), ::testing::StartsWith("the simulation ?xxx"));
  EXPECT_EQ(status.ended_peers(0).rows(), 4u);
  EXPECT_EQ(status.episodes(), 1u);
  client_->Leave(absl::OkStatus());
  EXPECT_EQ(run_->control.Status().ended_peers_size(), 1) << "there is no lease any more";
}

TEST_F(RunClientTest, EpisodesAreCountedOnceHoweverManyLeases) {
  StartLearner(1);
  Join(proto::ACTOR);
  client_->SetCounters({.rows = 500, .episodes = 5, .last_return = 3});
  Beat();
  EXPECT_EQ(run_->control.Status().episodes(), 5u);
  EndLeases();
  Beat();  // finds no lease, and registers again
  Beat();
  EXPECT_EQ(run_->control.Status().episodes(), 5u);
  EXPECT_EQ(run_->control.Status().peers(0).rows(), 0u);
  EXPECT_EQ(run_->control.TakeEpisodeNews().size(), 1u) << "no new episode, no news";
  // Two more while no lease holds.
  EndLeases();
  client_->SetCounters({.rows = 700, .episodes = 7, .last_return = 4});
  Beat();
  Beat();
  EXPECT_EQ(run_->control.Status().episodes(), 7u);
  EXPECT_EQ(run_->control.Status().peers(0).rows(), 200u);
}

TEST_F(RunClientTest, ARestartedLearnerIsToldOnlyWhatItsPredecessorWasNot) {
  const std::string address = JoinOverAPort();
  client_->SetCounters({.rows = 500, .episodes = 5, .last_return = 3});
  Beat();
  run_.reset();
  client_->SetCounters({.rows = 600, .episodes = 6, .last_return = 9});
  Beat();
  StartLearner(2, "run-1", address);
  // The channel needs real time to connect again; heartbeats fail until it has.
  while (!client_->news().problem.empty()) Beat();
  Beat();
  EXPECT_EQ(run_->control.Status().episodes(), 1u);
  const auto news = run_->control.TakeEpisodeNews();
  ASSERT_EQ(news.size(), 1u);
  EXPECT_EQ(news[0].episode_return, 9);
}

TEST_F(RunClientTest, RegistersAgainWithARestartedLearner) {
  const std::string address = JoinOverAPort();
  const uint64_t first = client_->news().registration->incarnation();
  run_.reset();
  Beat();
  EXPECT_FALSE(client_->news().problem.empty());
  EXPECT_FALSE(client_->news().over());
  StartLearner(2, "run-1", address);
  // The channel needs real time to connect again; heartbeats fail until it has.
  while (!client_->news().problem.empty()) Beat();
  EXPECT_GT(client_->news().registration->incarnation(), first);
  EXPECT_EQ(client_->news().registration->incarnation() >> 32, 2u);
}

TEST_F(RunClientTest, AnotherRunAtTheAddressIsAnError) {
  StartLearner(1, "run-1", "127.0.0.1:0");
  const std::string address = run_->server->address();
  MakeClient(proto::ACTOR, rpc::Endpoint(address));
  ASSERT_TRUE(client_->Register(absl::ZeroDuration()).ok());
  run_.reset();
  StartLearner(1, "run-2", address);
  BoundedQueue<RunClient::News> over(1);
  client_->Start([&](const RunClient::News& news) {
    if (news.over()) over.Push(news);
  });
  std::optional<RunClient::News> news;
  while (!(news = over.TryPop()).has_value()) clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(news->error.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(news->error.message()), HasSubstr("run-2"));
}

TEST_F(RunClientTest, GivesUpOnALearnerThatStaysAway) {
  StartLearner(1, "run-1", "127.0.0.1:0");
  RunClientOptions options = Options(rpc::Endpoint(run_->server->address()), proto::ACTOR, &clock_);
  options.give_up_after = absl::Seconds(30);
  client_ = std::make_unique<RunClient>(options);
  ASSERT_TRUE(client_->Register(absl::ZeroDuration()).ok());
  BoundedQueue<RunClient::News> over(1);
  client_->Start([&](const RunClient::News& news) {
    if (news.over()) over.Push(news);
  });
  clock_.AwaitWaiters(1);
  run_->server->Shutdown(absl::ZeroDuration());
  Beat(absl::Seconds(29));
  EXPECT_FALSE(client_->news().over());
  clock_.Advance(absl::Seconds(2));
  EXPECT_EQ(over.Pop(Clock::Real())->error.code(), absl::StatusCode::kUnavailable);
}

TEST_F(RunClientTest, RegisterWaitsForTheLearnerUpToItsBound) {
  // Port 1 of loopback: nobody is there.
  MakeClient(proto::ACTOR, rpc::Endpoint("127.0.0.1:1"));
  EXPECT_EQ(client_->Register(absl::ZeroDuration()).status().code(),
            absl::StatusCode::kUnavailable);
  absl::Status status;
  Thread waiter("waiter", [&] { status = client_->Register(absl::Hours(1)).status(); });
  clock_.AwaitWaiters(1);
  EXPECT_THAT(client_->news().problem, HasSubstr("the learner is unreachable"));
  client_->Close();
  waiter.Join();
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
}

TEST_F(RunClientTest, EvaluationIsTakenReportedAndNotGivenAgain) {
  StartLearner(1);
  Join(proto::EVALUATOR);
  EXPECT_FALSE(client_->news().evaluation.has_value());
  run_->BeginEvaluation({1, 4});
  Beat();
  ASSERT_TRUE(client_->news().evaluation.has_value());
  const proto::EvaluationAssignment assignment = *client_->news().evaluation;
  EXPECT_TRUE(client_->ReportEvaluation(assignment, {1, 3}, {500, 500}, absl::Minutes(1)).ok());
  EXPECT_FALSE(client_->news().evaluation.has_value());
  ASSERT_EQ(run_->control.Status().evaluations_size(), 1);
  EXPECT_EQ(run_->control.Status().evaluations(0).return_mean(), 2);
  // Told again it is neither an error nor a second result.
  EXPECT_TRUE(client_->ReportEvaluation(assignment, {9, 9}, {500, 500}, absl::Minutes(1)).ok());
  EXPECT_EQ(run_->control.Status().evaluations_size(), 1);
}

TEST_F(RunClientTest, ReportIsRepeatedUnderANewLease) {
  StartLearner(1);
  Join(proto::EVALUATOR);
  run_->BeginEvaluation({1, 4});
  Beat();
  const proto::EvaluationAssignment assignment = *client_->news().evaluation;
  const uint64_t ended_lease = client_->news().registration->lease_id();
  EndLeases();
  absl::Status status = absl::UnknownError("not yet");
  Thread reporter("reporter", [&] {
    status = client_->ReportEvaluation(assignment, {1, 3}, {500, 500}, absl::Minutes(1));
  });
  // The report finds no lease, waits and asks for a heartbeat, which registers again. Only when
  // both wait once more is time to move on: the report tries again a single time, and must find the
  // new lease.
  ASSERT_TRUE(Await([&] { return client_->news().registration->lease_id() != ended_lease; }));
  clock_.AwaitWaiters(2);
  clock_.Advance(absl::Seconds(1));
  reporter.Join();
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(run_->control.Status().evaluations_size(), 1);
}

TEST_F(RunClientTest, RefusedReportSaysWhy) {
  StartLearner(1);
  Join(proto::EVALUATOR);
  proto::EvaluationAssignment unknown;
  unknown.set_evaluation_id(9);
  EXPECT_EQ(client_->ReportEvaluation(unknown, {1, 3}, {500, 500}, absl::Minutes(1)).code(),
            absl::StatusCode::kFailedPrecondition);
}

// What a learner that is going down may answer.
class DyingLearner : public proto::RunService::CallbackService {
 public:
  explicit DyingLearner(absl::StatusCode code) : code_(code) {}
  grpc::ServerUnaryReactor* GetRun(grpc::CallbackServerContext* context,
                                   const proto::GetRunRequest* /*request*/,
                                   proto::GetRunReply* /*reply*/) override {
    return rpc::FinishUnary(context, absl::Status(code_, "last words"));
  }

 private:
  const absl::StatusCode code_;
};

TEST(GetRunTest, WhatIsNoRefusalIsNobodyBeingThere) {
  for (const absl::StatusCode code :
       {absl::StatusCode::kCancelled, absl::StatusCode::kUnknown, absl::StatusCode::kAborted,
        absl::StatusCode::kFailedPrecondition}) {
    DyingLearner service(code);
    auto server = rpc::Server::Start({}, {&service});
    ASSERT_TRUE(server.ok());
    const absl::Status status = GetRun((*server)->InProcessEndpoint(), absl::Seconds(10)).status();
    const bool refusal = code == absl::StatusCode::kFailedPrecondition;
    EXPECT_EQ(status.code(), refusal ? code : absl::StatusCode::kUnavailable);
    EXPECT_EQ(status.message(), "last words");
  }
}

TEST_F(RunClientTest, ToolsGetAndStopTheRun) {
  StartLearner(1);
  const rpc::Endpoint learner = run_->server->InProcessEndpoint();
  const auto run = GetRun(learner, absl::Seconds(10));
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->run_id(), "run-1");
  EXPECT_EQ(StopRun(learner, "run-1", absl::Seconds(10))->phase(), proto::STOPPING);
  EXPECT_EQ(run_->control.phase(), proto::STOPPING);
}

}  // namespace
}  // namespace pompc::run
