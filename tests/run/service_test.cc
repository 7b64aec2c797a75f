#include "run/service.h"

#include <limits>
#include <memory>
#include <string>

#include "common/rpc/call.h"
#include "gmock/gmock.h"
#include "grpcpp/channel.h"
#include "gtest/gtest.h"
#include "tests/run/run_fixture.h"

namespace pompc::run {
namespace {

using Stub = proto::RunService::Stub;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr absl::Duration kTimeout = absl::Seconds(10);

class RunServiceTest : public testing::Test {
 protected:
  RunServiceTest()
      : run_(SmallRun(), "run-1", &clock_),
        stub_(proto::RunService::NewStub(run_.server->InProcessChannel())) {}

  absl::StatusOr<proto::RegisterReply> Register(proto::Role role, uint32_t environments = 1,
                                                const std::string& run_id = "") {
    proto::RegisterRequest request;
    *request.mutable_header() = rpc::MakeHeader(run_id);
    request.set_role(role);
    request.set_name("host:1");
    request.set_environments(environments);
    return rpc::CallUnary(*stub_, &Stub::Register, request, kTimeout);
  }
  absl::StatusOr<proto::HeartbeatReply> Heartbeat(uint64_t lease,
                                                  const std::string& run_id = "run-1") {
    proto::HeartbeatRequest request;
    *request.mutable_header() = rpc::MakeHeader(run_id);
    request.set_lease_id(lease);
    request.set_rows(7);
    return rpc::CallUnary(*stub_, &Stub::Heartbeat, request, kTimeout);
  }
  absl::Status Report(uint64_t lease, const proto::EvaluationAssignment& assignment,
                      const std::vector<double>& returns) {
    proto::ReportEvaluationRequest request;
    *request.mutable_header() = rpc::MakeHeader("run-1");
    request.set_lease_id(lease);
    request.set_evaluation_id(assignment.evaluation_id());
    *request.mutable_version() = assignment.version();
    request.mutable_returns()->Add(returns.begin(), returns.end());
    return rpc::CallUnary(*stub_, &Stub::ReportEvaluation, request, kTimeout).status();
  }
  absl::StatusOr<proto::ChangeLimitsReply> ChangeLimits(const proto::RunLimits& limits,
                                                        const std::string& run_id = "run-1") {
    proto::ChangeLimitsRequest request;
    *request.mutable_header() = rpc::MakeHeader(run_id);
    *request.mutable_limits() = limits;
    return rpc::CallUnary(*stub_, &Stub::ChangeLimits, request, kTimeout);
  }
  proto::GetRunReply GetRun() {
    proto::GetRunRequest request;
    *request.mutable_header() = rpc::MakeHeader("");
    return *rpc::CallUnary(*stub_, &Stub::GetRun, request, kTimeout);
  }

  FakeClock clock_;
  ServedRun run_;
  std::unique_ptr<Stub> stub_;
};

TEST_F(RunServiceTest, RegisterHandsOutLeaseShardsAndConfig) {
  const auto reply = Register(proto::ACTOR, 3);
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->run_id(), "run-1");
  EXPECT_EQ(reply->index(), 0u);
  EXPECT_EQ(reply->incarnation() >> 32, 1u);
  EXPECT_THAT(reply->shards(), ElementsAre(0, 1, 0));
  EXPECT_EQ(reply->num_shards(), 2u);
  EXPECT_EQ(reply->lease_ms(), 10000u);
  EXPECT_EQ(reply->heartbeat_ms(), 1000u);
  EXPECT_EQ(reply->config().env().task(), "cartpole-swingup");
  EXPECT_EQ(reply->phase(), proto::SEED);
}

TEST_F(RunServiceTest, RegisterRefusesWhatIsNoRoleOrHasNoEnvironments) {
  EXPECT_EQ(Register(proto::ROLE_UNSPECIFIED).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Register(proto::ACTOR, 0).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(RunServiceTest, AnotherRunIsRefusedNamingBoth) {
  const absl::Status status = Register(proto::ACTOR, 1, "run-2").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("run-1"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("run-2"));
  const auto lease = Register(proto::ACTOR);
  EXPECT_EQ(Heartbeat(lease->lease_id(), "run-2").status().code(),
            absl::StatusCode::kFailedPrecondition);
  // Only Register and GetRun may come without a run.
  EXPECT_EQ(Heartbeat(lease->lease_id(), "").status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(RunServiceTest, AnotherWireVersionIsRefused) {
  proto::RegisterRequest request;
  request.mutable_header()->set_wire_version(99);
  request.set_role(proto::ACTOR);
  request.set_environments(1);
  EXPECT_EQ(rpc::CallUnary(*stub_, &Stub::Register, request, kTimeout).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(RunServiceTest, HeartbeatOfAnUnknownLeaseIsNotFound) {
  EXPECT_EQ(Heartbeat(12345).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(RunServiceTest, HeartbeatWithAReturnThatIsNoneIsRefused) {
  const auto actor = Register(proto::ACTOR, 1);
  proto::HeartbeatRequest request;
  *request.mutable_header() = rpc::MakeHeader("run-1");
  request.set_lease_id(actor->lease_id());
  request.set_episodes(1);
  for (const double bad : {std::numeric_limits<double>::quiet_NaN(),
                           -std::numeric_limits<double>::infinity(), 1e300}) {
    request.set_last_return(bad);
    EXPECT_EQ(rpc::CallUnary(*stub_, &Stub::Heartbeat, request, kTimeout).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(GetRun().status().episodes(), 0u);
  request.set_last_return(-1e20);
  EXPECT_TRUE(rpc::CallUnary(*stub_, &Stub::Heartbeat, request, kTimeout).ok());
  EXPECT_EQ(GetRun().status().episodes(), 1u);
}

TEST_F(RunServiceTest, HeartbeatTellsPhaseVersionAndEvaluation) {
  const auto actor = Register(proto::ACTOR);
  const auto evaluator = Register(proto::EVALUATOR, 0);
  EXPECT_EQ(Heartbeat(actor->lease_id())->version().number(), 0u);
  run_.BeginEvaluation({1, 4});
  const auto to_actor = Heartbeat(actor->lease_id());
  EXPECT_EQ(to_actor->phase(), proto::TRAINING);
  EXPECT_EQ(to_actor->version().number(), 4u);
  EXPECT_FALSE(to_actor->has_evaluation());
  const auto to_evaluator = Heartbeat(evaluator->lease_id());
  ASSERT_TRUE(to_evaluator->has_evaluation());
  EXPECT_EQ(to_evaluator->evaluation().version().number(), 4u);
  EXPECT_EQ(to_evaluator->evaluation().episodes(), 2u);
  EXPECT_EQ(to_evaluator->evaluation().rows(), 200u);
}

TEST_F(RunServiceTest, ReportedEvaluationAppearsInTheRun) {
  const auto evaluator = Register(proto::EVALUATOR, 0);
  run_.BeginEvaluation({1, 4});
  const proto::EvaluationAssignment assignment = Heartbeat(evaluator->lease_id())->evaluation();
  EXPECT_EQ(Report(evaluator->lease_id(), assignment, {1}).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Report(evaluator->lease_id(), assignment, {1e300, 800}).message(),
            "evaluation 1: a return is 1e+300, must be at most 1e+24 in magnitude");
  ASSERT_TRUE(Report(evaluator->lease_id(), assignment, {600, 800}).ok());
  ASSERT_TRUE(Report(evaluator->lease_id(), assignment, {600, 800}).ok());
  const proto::RunStatus status = GetRun().status();
  ASSERT_EQ(status.evaluations_size(), 1);
  EXPECT_EQ(status.evaluations(0).return_mean(), 700);
  EXPECT_EQ(status.best_evaluation(), 0u);
}

TEST_F(RunServiceTest, ReportOfTheWrongEvaluationOrLeaseIsRefused) {
  const auto evaluator = Register(proto::EVALUATOR, 0);
  run_.BeginEvaluation({1, 4});
  proto::EvaluationAssignment assignment = Heartbeat(evaluator->lease_id())->evaluation();
  EXPECT_EQ(Report(99, assignment, {600, 800}).code(), absl::StatusCode::kNotFound);
  proto::EvaluationAssignment other_id = assignment;
  other_id.set_evaluation_id(77);
  EXPECT_EQ(Report(evaluator->lease_id(), other_id, {600, 800}).code(),
            absl::StatusCode::kFailedPrecondition);
  proto::EvaluationAssignment other_version = assignment;
  other_version.mutable_version()->set_incarnation(9);
  EXPECT_EQ(Report(evaluator->lease_id(), other_version, {600, 800}).code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(GetRun().status().evaluations_size(), 0);
}

TEST_F(RunServiceTest, GetRunTellsPeersShardsAndWaiting) {
  const auto actor = Register(proto::ACTOR);
  run_.Rows(30);
  ASSERT_TRUE(Heartbeat(actor->lease_id()).ok());
  run_.control.AwaitStep(absl::ZeroDuration());
  const proto::GetRunReply run = GetRun();
  EXPECT_EQ(run.run_id(), "run-1");
  EXPECT_EQ(run.status().run_dir(), "/runs/one");
  EXPECT_EQ(run.status().rows(), 60u);
  ASSERT_EQ(run.status().peers_size(), 1);
  EXPECT_EQ(run.status().peers(0).name(), "host:1");
  EXPECT_EQ(run.status().peers(0).rows(), 7u);
  ASSERT_EQ(run.status().shards_size(), 2);
  EXPECT_TRUE(run.status().shards(1).reachable());
  EXPECT_THAT(run.status().waiting(), HasSubstr("60 of 100"));
}

TEST_F(RunServiceTest, WhatAProcessSaysAboutItselfIsInTheStatus) {
  const auto actor = Register(proto::ACTOR);
  proto::HeartbeatRequest request;
  *request.mutable_header() = rpc::MakeHeader("run-1");
  request.set_lease_id(actor->lease_id());
  request.set_waiting("no plan: planner p:1");
  ASSERT_TRUE(rpc::CallUnary(*stub_, &Stub::Heartbeat, request, kTimeout).ok());
  EXPECT_EQ(GetRun().status().peers(0).waiting(), "no plan: planner p:1");
  request.set_leaving(true);
  request.set_rows(9);
  request.set_error("wrong action");
  ASSERT_TRUE(rpc::CallUnary(*stub_, &Stub::Heartbeat, request, kTimeout).ok());
  const proto::RunStatus status = GetRun().status();
  EXPECT_EQ(status.peers_size(), 0);
  ASSERT_EQ(status.ended_peers_size(), 1);
  EXPECT_EQ(status.ended_peers(0).name(), "host:1");
  EXPECT_EQ(status.ended_peers(0).rows(), 9u);
  EXPECT_EQ(status.ended_peers(0).how(), "wrong action");
  EXPECT_EQ(rpc::CallUnary(*stub_, &Stub::Heartbeat, request, kTimeout).status().code(),
            absl::StatusCode::kNotFound);
}

TEST_F(RunServiceTest, PlannersShardsAndCheckpointsAreInTheStatus) {
  proto::RunStatus observed;
  proto::PlannerStatus& planner = *observed.add_planners();
  planner.set_name("planner-1");
  planner.set_connected(true);
  planner.set_behind_seconds(2);
  observed.set_checkpoint_error("disk full");
  observed.set_checkpoint_failing_seconds(7);
  run_.control.Observe(observed);
  run_.Rows(1);
  run_.control.ShardLost(1, "no route");
  clock_.Advance(absl::Seconds(9));
  const proto::RunStatus status = GetRun().status();
  ASSERT_EQ(status.planners_size(), 1);
  EXPECT_EQ(status.planners(0).name(), "planner-1");
  EXPECT_TRUE(status.planners(0).connected());
  EXPECT_EQ(status.planners(0).behind_seconds(), 2);
  EXPECT_EQ(status.checkpoint_error(), "disk full");
  EXPECT_EQ(status.checkpoint_failing_seconds(), 7);
  EXPECT_EQ(status.shards(0).problem(), "");
  EXPECT_EQ(status.shards(1).problem(), "no route");
  EXPECT_EQ(status.shards(1).unreachable_seconds(), 9);
}

TEST_F(RunServiceTest, AProcessThatRegistersAgainKeepsItsIndex) {
  proto::RegisterRequest request;
  *request.mutable_header() = rpc::MakeHeader("");
  request.set_role(proto::ACTOR);
  request.set_environments(1);
  request.set_process_id(77);
  request.set_former_index(5);
  EXPECT_EQ(rpc::CallUnary(*stub_, &Stub::Register, request, kTimeout)->index(), 5u);
  request.clear_former_index();
  EXPECT_EQ(rpc::CallUnary(*stub_, &Stub::Register, request, kTimeout)->index(), 5u)
      << "it still holds the lease";
  EXPECT_EQ(GetRun().status().peers_size(), 1);
}

TEST_F(RunServiceTest, LimitsChangeOnceTheyAreKept) {
  run_.Rows(100);
  proto::RunLimits wanted;
  wanted.set_utd(0.5);
  wanted.set_slack_rows(33);
  const auto reply = ChangeLimits(wanted);
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->before().utd(), 1);
  EXPECT_EQ(reply->limiter().limits().utd(), 0.5);
  EXPECT_EQ(reply->limiter().limits().min_rows(), 50u) << "what is not named stays";
  EXPECT_EQ(run_.kept.limits().slack_rows(), 33u);
  EXPECT_EQ(run_.kept.config().slack_rows(), 1000u);
  ASSERT_EQ(run_.kept.changes_size(), 2);
  EXPECT_EQ(run_.kept.changes(0).setting(), "learner.utd");
  EXPECT_EQ(run_.kept.changes(0).rows(), 200u);
  EXPECT_EQ(GetRun().status().limiter().changes_size(), 2);
  EXPECT_EQ(ChangeLimits({})->limiter().changes_size(), 2) << "only reads";
  run_.keep_status = absl::ResourceExhaustedError("no space left");
  wanted.set_utd(3);
  EXPECT_EQ(ChangeLimits(wanted).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ChangeLimits({})->limiter().limits().utd(), 0.5) << "nothing is changed";
}

TEST_F(RunServiceTest, LimitsThatWouldHoldTheRunAreRefusedWithTheReason) {
  run_.Rows(100);
  const auto refusal = [&](const proto::RunLimits& wanted) {
    const absl::Status status = ChangeLimits(wanted).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    return std::string(status.message());
  };
  proto::RunLimits wanted;
  wanted.set_utd(0.1);
  wanted.set_slack_rows(9);
  EXPECT_EQ(refusal(wanted),
            "replay.slack_rows: 9 is less than 10, the rows of one update at learner.utd 0.1: "
            "updates and rows would wait for each other");
  wanted.Clear();
  wanted.set_min_rows(2'000'000);
  EXPECT_THAT(refusal(wanted), HasSubstr("replay.capacity_rows: 1000000 is less than"));
  wanted.Clear();
  wanted.set_max_rows(99);
  EXPECT_THAT(refusal(wanted), HasSubstr("stop.max_rows: 99 is less than learner.seed_rows 100"));
  wanted.set_max_rows(150);
  wanted.set_min_rows(50);
  EXPECT_THAT(refusal(wanted), HasSubstr("the run has 200 rows"));
  wanted.Clear();
  for (const double utd : {0.0, -1.0, 1e9, std::numeric_limits<double>::quiet_NaN()}) {
    wanted.set_utd(utd);
    EXPECT_THAT(refusal(wanted), HasSubstr("learner.utd")) << utd;
  }
  EXPECT_TRUE(run_.kept.changes().empty());
  EXPECT_EQ(run_.control.limits().utd, 1);
  // Nor are those of another run changed.
  EXPECT_EQ(ChangeLimits({}, "run-2").status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(RunServiceTest, StopRunSendsPeersHome) {
  const auto actor = Register(proto::ACTOR);
  proto::StopRunRequest request;
  EXPECT_EQ(rpc::CallUnary(*stub_, &Stub::StopRun, request, kTimeout).status().code(),
            absl::StatusCode::kFailedPrecondition);
  *request.mutable_header() = rpc::MakeHeader("run-1");
  EXPECT_EQ(rpc::CallUnary(*stub_, &Stub::StopRun, request, kTimeout)->phase(), proto::STOPPING);
  EXPECT_EQ(Heartbeat(actor->lease_id())->phase(), proto::STOPPING);
  EXPECT_TRUE(run_.control.Drained());
}

}  // namespace
}  // namespace pompc::run
