// The planner's service and app over in-process channels and a loopback port, with a fake engine.
#include "planner/service.h"

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "common/base/threads.h"
#include "common/rpc/wire.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "planner/app.h"
#include "planner/client/planner_client.h"
#include "tests/planner/fake_engine.h"
#include "tests/planner/planner_fixture.h"
#include "tests/support/await.h"

namespace pompc::planner {
namespace {

using ::testing::HasSubstr;

std::vector<float> Floats(const std::string& bytes) {
  return FromBytes<float>(bytes, "bytes", bytes.size() / sizeof(float)).value();
}

TEST_F(PlannerTest, ReplyCarriesPlanVersionAndTimes) {
  Publish(3);
  const auto reply = Plan(FakeRequest(0.5f));
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_THAT(Floats(reply->plans(0).action()), ::testing::ElementsAre(0.5f, 0.5f));
  EXPECT_THAT(Floats(reply->plans(0).plan_mean()), ::testing::ElementsAre(0.5f, 0.5f));
  EXPECT_THAT(Floats(reply->plans(0).plan_std()), ::testing::ElementsAre(0.5f, 0.5f));
  EXPECT_EQ(Floats(reply->plans(0).warm_start()).size(), 4u);
  EXPECT_EQ(reply->plans(0).plan_value(), 3);
  EXPECT_EQ(FromProto(reply->plans(0).version()), (ParameterVersion{1, 3}));
  EXPECT_EQ(reply->plans(0).batch_size(), 1u);
  EXPECT_EQ(Info().plans(), 1u);
}

TEST_F(PlannerTest, QueriesOfOneRequestAreAnsweredInTheirOrder) {
  Publish(1);
  proto::PlanRequest request;
  for (int i = 0; i < 6; ++i) *request.add_queries() = FakeRequest(i / 8.0f).queries(0);
  const auto reply = Plan(request);
  ASSERT_TRUE(reply.ok()) << reply.status();
  ASSERT_EQ(reply->plans_size(), 6);
  for (int i = 0; i < 6; ++i) {
    EXPECT_THAT(Floats(reply->plans(i).action()), ::testing::ElementsAre(i / 8.0f, i / 8.0f));
    // FakeSpec().max_batch is 4.
    EXPECT_EQ(reply->plans(i).batch_size(), i < 4 ? 4u : 2u);
  }
}

TEST_F(PlannerTest, AnEvaluationSharesTheNextBatchWithAnActorThatAskedForMuchBefore) {
  Publish(1);
  engine_->backend.Hold();
  proto::PlanRequest many;
  for (int i = 0; i < 8; ++i) *many.add_queries() = FakeRequest().queries(0);
  Thread actor("actor", [&] { EXPECT_TRUE(Plan(many).ok()); });
  engine_->backend.AwaitBatches(1);
  // FakeSpec().max_batch is 4, so four of the actor's wait.
  Thread evaluator("evaluator", [&] {
    proto::PlanRequest request = FakeRequest();
    request.set_evaluate(true);
    const auto reply = Plan(request);
    ASSERT_TRUE(reply.ok()) << reply.status();
    // With three of the actor's.
    EXPECT_EQ(reply->plans(0).batch_size(), 4u);
  });
  EXPECT_TRUE(Await([&] { return Info().queued() == 5; }));
  engine_->backend.Release();
}

TEST_F(PlannerTest, OneBadQueryRefusesTheRequestNamingIt) {
  Publish(1);
  proto::PlanRequest request = FakeRequest();
  *request.add_queries() = FakeRequest(NAN).queries(0);
  const absl::Status status = Plan(request).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "queries[1]: observation number 0 is nan, must be finite");
  EXPECT_EQ(Info().plans(), 0u);
}

TEST_F(PlannerTest, RequestsWithoutOrWithTooManyQueriesAreRefused) {
  Publish(1);
  proto::PlanRequest request;
  absl::Status status = Plan(request).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "queries has 0 entries; allowed are 1 to 64");
  for (int i = 0; i < 65; ++i) *request.add_queries() = FakeRequest().queries(0);
  status = Plan(request).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "queries has 65 entries; allowed are 1 to 64");
}

TEST_F(PlannerTest, IsNotServingBeforeTheFirstParameters) {
  const absl::Status health = app_->Health();
  EXPECT_EQ(health.code(), absl::StatusCode::kUnavailable);
  const absl::Status status = Plan(FakeRequest()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("no parameters yet"));
  EXPECT_EQ(Info().version().number(), 0u);
  Publish(1);
  EXPECT_TRUE(app_->Health().ok());
  EXPECT_TRUE(Plan(FakeRequest()).ok());
}

TEST_F(PlannerTest, BadRequestsAreRefusedNamingTheFieldAndTheAllowed) {
  Publish(1);
  proto::PlanRequest request = FakeRequest();
  request.mutable_queries(0)->set_observation(ToBytes<float>(std::vector<float>(5)));
  absl::Status status = Plan(request).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(),
            "queries[0]: observation has 5 numbers, the run's observations have 3");

  request = FakeRequest();
  request.mutable_queries(0)->mutable_observation()->pop_back();
  status = Plan(request).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "queries[0]: observation has 11 bytes; expected a multiple of 4");

  request = FakeRequest(NAN);
  status = Plan(request).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "queries[0]: observation number 0 is nan, must be finite");

  request = FakeRequest();
  request.mutable_queries(0)->set_warm_start(ToBytes<float>(std::vector<float>(3)));
  status = Plan(request).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("warm_start has 3 numbers"));

  request = FakeRequest();
  request.mutable_queries(0)->set_warm_start(ToBytes<float>(std::vector<float>(4, INFINITY)));
  EXPECT_EQ(Plan(request).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Info().plans(), 0u);
}

TEST_F(PlannerTest, RequestsOfAnotherRunOrWireVersionAreRefusedNamingBoth) {
  Publish(1);
  proto::PlanRequest request = FakeRequest();
  *request.mutable_header() = rpc::MakeHeader("other");
  absl::Status status = Plan(request).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("\"other\""));
  EXPECT_THAT(std::string(status.message()), HasSubstr("\"run\""));
  request.mutable_header()->set_wire_version(99);
  status = Plan(request).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(PlannerTest, PinnedVersionIsUsedWhileItIsKept) {
  Publish(1, /*keep_seconds=*/1000);
  Publish(2);
  proto::PlanRequest request = FakeRequest();
  *request.mutable_pinned_version() = ToProto(ParameterVersion{1, 1});
  const auto reply = Plan(request);
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(FromProto(reply->plans(0).version()), (ParameterVersion{1, 1}));
  EXPECT_EQ(Plan(FakeRequest())->plans(0).version().number(), 2u);
  EXPECT_EQ(Info().kept_versions_size(), 1);
}

TEST_F(PlannerTest, PinnedVersionThatIsNotThereIsUnavailable) {
  Publish(1);
  proto::PlanRequest request = FakeRequest();
  *request.mutable_pinned_version() = ToProto(ParameterVersion{1, 9});
  const absl::Status status = Plan(request).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("parameters 1.9"));
}

TEST_F(PlannerTest, ParametersThatCannotBeLoadedLeaveTheOldOnesInPlace) {
  Publish(1);
  publisher_.Publish(FakeSnapshot({1, 2}, 0, "broken"));
  publisher_.Publish(FakeSnapshot({1, 3}, 1000));
  ASSERT_TRUE(Await([&] { return Info().version().number() == 3; }));
  EXPECT_TRUE(Plan(FakeRequest()).ok());
}

TEST_F(PlannerTest, FullQueueIsResourceExhausted) {
  Publish(1);
  engine_->backend.Hold();
  PlannerClient client({.planners = {app_->server().InProcessEndpoint()}, .run_id = "run"});
  const auto ignore = [](const absl::StatusOr<proto::PlanReply>&) {};
  client.Plan(FakeRequest(), kLong, ignore);
  engine_->backend.AwaitBatches(1);
  for (int i = 0; i < FakeSpec().max_queue; ++i) client.Plan(FakeRequest(), kLong, ignore);
  ASSERT_TRUE(Await([&] { return Info().queued() == 8; }));
  const absl::Status status = Plan(FakeRequest()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("planner.max_queue is 8"));
  engine_->backend.Release();
}

TEST_F(PlannerTest, CallThatGivesUpLeavesTheQueue) {
  Publish(1);
  engine_->backend.Hold();
  PlannerClient client({.planners = {app_->server().InProcessEndpoint()}, .run_id = "run"});
  client.Plan(FakeRequest(), kLong, [](const absl::StatusOr<proto::PlanReply>&) {});
  engine_->backend.AwaitBatches(1);
  proto::PlanRequest two = FakeRequest();
  *two.add_queries() = two.queries(0);
  EXPECT_EQ(Plan(two, absl::Milliseconds(50)).status().code(), absl::StatusCode::kDeadlineExceeded);
  ASSERT_TRUE(Await([&] { return Info().queued() == 0; }));
  engine_->backend.Release();
}

// Ends a planner that has one call in a batch and one that waits.
class DrainTest : public PlannerTest {
 protected:
  // Begins to stop it; the calls' results are in `running_` and `waiting_` once Join() returns.
  void StopUnderLoad() {
    Publish(1);
    engine_->backend.Hold();
    running_caller_ = Thread("running", [this] { running_ = Plan(FakeRequest()).status(); });
    engine_->backend.AwaitBatches(1);
    waiting_caller_ = Thread("waiting", [this] { waiting_ = Plan(FakeRequest()).status(); });
    ASSERT_TRUE(Await([&] { return Info().queued() == 1; }));
    stopper_ = Thread("stopper", [this] { app_->Stop(); });
  }
  // Until the call that waits has its answer.
  void JoinWaiting() { waiting_caller_.Join(); }
  void Join() {
    running_caller_.Join();
    waiting_caller_.Join();
    stopper_.Join();
  }

  absl::Status running_, waiting_;

 private:
  Thread running_caller_, waiting_caller_, stopper_;
};

TEST_F(DrainTest, StopPlansWhatWaitsAndSendsNewCallsElsewhere) {
  StopUnderLoad();
  absl::Status more;
  ASSERT_TRUE(Await([&] {
    // One that comes before the planner has begun to stop must not wait for long.
    more = Plan(FakeRequest(), absl::Milliseconds(20)).status();
    return more.code() == absl::StatusCode::kUnavailable;
  }));
  EXPECT_THAT(std::string(more.message()), HasSubstr("stopping"));
  EXPECT_EQ(app_->Health().code(), absl::StatusCode::kUnavailable);
  engine_->backend.Release();
  Join();
  EXPECT_TRUE(running_.ok()) << running_;
  EXPECT_TRUE(waiting_.ok()) << waiting_;
  EXPECT_TRUE(app_->Wait().ok());
  app_->Stop();
}

TEST_F(DrainTest, WhatIsNotPlannedInTimeIsSentElsewhere) {
  AppOptions options;
  options.drain_timeout = absl::ZeroDuration();
  StartApp(options, "", engine_);
  StopUnderLoad();
  ASSERT_TRUE(Await([&] {
    return Plan(FakeRequest(), absl::Milliseconds(20)).status().code() ==
           absl::StatusCode::kUnavailable;
  }));
  JoinWaiting();
  EXPECT_EQ(waiting_.code(), absl::StatusCode::kUnavailable);
  engine_->backend.Release();
  Join();
  EXPECT_TRUE(running_.ok()) << running_;
}

TEST_F(PlannerTest, MetricsSayWhoWaitsForWhom) {
  Publish(1);
  ASSERT_TRUE(Plan(FakeRequest()).ok());
  const std::string text = registry_->ToText();
  for (const char* line :
       {"pompc_planner_state_seconds_total{state=\"idle\",worker=\"0\"}",
        "pompc_planner_state_seconds_total{state=\"computing\",worker=\"0\"}",
        "pompc_planner_state_seconds_total{state=\"replying\",worker=\"0\"}",
        "pompc_planner_plans_total{run=\"run\"} 1", "pompc_planner_batch_requests_count 1",
        "pompc_planner_queue_wait_seconds_count 1", "pompc_planner_compute_seconds_count 1",
        "pompc_planner_queued_requests{run=\"run\"} 0",
        "pompc_planner_unplanned_requests_total{reason=\"expired\",run=\"run\"} 0",
        "pompc_planner_parameters_incarnation{run=\"run\"} 1",
        "pompc_planner_parameters_number{run=\"run\"} 1",
        "pompc_planner_kept_versions{run=\"run\"} 0",
        "pompc_planner_received_versions_total{run=\"run\"} 1",
        "pompc_planner_received_bytes_total{run=\"run\"} 4",
        "pompc_planner_learner_connected{run=\"run\"} 1",
        "pompc_planner_learner_disconnects_total{run=\"run\"} 0"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
  app_.reset();
  EXPECT_THAT(registry_->ToText(), ::testing::Not(HasSubstr("pompc_planner_plans_total")));
}

TEST(PlannerAppTest, MissingLearnerIsRefused) {
  AppOptions options;
  options.engine = std::make_shared<FakeEngine>();
  options.metrics = std::make_shared<MetricsRegistry>();
  const absl::Status status = App::Start(options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("--learner"));
}

TEST(PlannerAppTest, HealthNamesTheLearnerThatCannotBeReached) {
  AppOptions options;
  options.engine = std::make_shared<FakeEngine>();
  options.metrics = std::make_shared<MetricsRegistry>();
  options.learners = {rpc::Endpoint("127.0.0.1:1")};
  auto app = App::Start(options);
  ASSERT_TRUE(app.ok()) << app.status();
  ASSERT_TRUE(Await([&] {
    return std::string((*app)->Health().message()).find("127.0.0.1:1") != std::string::npos;
  }));
}

// What a port mix-up looks like: another role serves where the learner should.
TEST(PlannerAppTest, EndsWhereTheLearnerShouldBeAnotherRoleIs) {
  const auto other = *rpc::Server::Start({.listen = "127.0.0.1:0"}, {});
  AppOptions options;
  options.engine = std::make_shared<FakeEngine>();
  options.metrics = std::make_shared<MetricsRegistry>();
  options.learners = {rpc::Endpoint(other->address())};
  options.learner_backoff = {absl::Milliseconds(1), absl::Milliseconds(10), 2.0};
  options.wrong_peer_timeout = absl::Milliseconds(20);
  auto app = App::Start(options);
  ASSERT_TRUE(app.ok()) << app.status();
  const absl::Status status = (*app)->Wait();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(status.message()), HasSubstr("no learner at " + other->address()));
  EXPECT_THAT(std::string(status.message()), HasSubstr("is it another role of pompc"));
}

}  // namespace
}  // namespace pompc::planner
