#include "planner/client/planner_client.h"

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "common/base/retry.h"
#include "common/base/threads.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/planner/client/scripted_planner.h"
#include "tests/support/await.h"

namespace pompc::planner {
namespace {

using ::testing::HasSubstr;

TEST_F(PlannerClientTest, CallsAreSpreadOverThePlanners) {
  PlannerClient client(Options());
  std::set<float> answered;
  for (int i = 0; i < 64; ++i) answered.insert(Ask(client));
  EXPECT_EQ(answered, std::set<float>({1, 2}));
  EXPECT_EQ(one_.run_id(), "run");
}

TEST_F(PlannerClientTest, CallsGoWhereTheAnswerComesSooner) {
  FakeClock clock;
  PlannerClientOptions options = Options();
  options.clock = &clock;
  PlannerClient client(options);
  // The first planner takes its time.
  one_.OnCall([&] { clock.Advance(absl::Milliseconds(100)); });
  two_.OnCall([&] { clock.Advance(absl::Milliseconds(10)); });
  for (int i = 0; i < 200; ++i) Ask(client);
  EXPECT_LE(one_.calls(), 20);
  EXPECT_GT(one_.calls(), 0);
}

TEST_F(PlannerClientTest, StickyClientStaysWithOnePlannerUntilItFails) {
  PlannerClientOptions options = Options();
  options.sticky = true;
  PlannerClient client(options);
  const float first = Ask(client);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(Ask(client), first);
  ScriptedPlanner& left = first == 1 ? one_ : two_;
  left.AnswerWith(absl::UnavailableError("restarting"));
  EXPECT_EQ(Ask(client), 3 - first);
  left.AnswerWith(absl::OkStatus());
  for (int i = 0; i < 20; ++i) EXPECT_EQ(Ask(client), 3 - first);
}

TEST_F(PlannerClientTest, PlannersThatRefuseForNowCostOneTryOnAnother) {
  for (const auto code : {absl::StatusCode::kUnavailable, absl::StatusCode::kResourceExhausted,
                          absl::StatusCode::kNotFound}) {
    PlannerClient client(Options());
    one_.AnswerWith(absl::Status(code, "not now"));
    const int before = one_.calls();
    for (int i = 0; i < 20; ++i) EXPECT_EQ(Ask(client), 2);
    EXPECT_GT(one_.calls(), before);
  }
}

TEST_F(PlannerClientTest, UnreachablePlannerCostsOneTryOnAnother) {
  PlannerClientOptions options = Options();
  options.planners = {rpc::Endpoint("127.0.0.1:1"), two_.endpoint()};
  PlannerClient client(options);
  EXPECT_EQ(Ask(client), 2);
}

TEST_F(PlannerClientTest, SilentPlannerAloneIsAskedAgainAfterTheAttemptTimeout) {
  PlannerClientOptions options = Options();
  options.planners = {one_.endpoint()};
  options.attempt_timeout = absl::Milliseconds(20);
  one_.BeSilent();
  PlannerClient client(options);
  Event answered;
  client.Plan(proto::PlanRequest(), kLong, [&](const absl::StatusOr<proto::PlanReply>& reply) {
    EXPECT_TRUE(reply.ok()) << reply.status();
    answered.Set();
  });
  ASSERT_TRUE(Await([&] { return one_.calls() >= 2; }));
  one_.BeSilent(false);
  answered.Wait();
}

TEST_F(PlannerClientTest, WrongInputIsNotRetried) {
  for (const auto code : {absl::StatusCode::kInvalidArgument, absl::StatusCode::kInternal}) {
    for (ScriptedPlanner* planner : {&one_, &two_}) {
      planner->AnswerWith(absl::Status(code, "observation has 3 numbers"));
    }
    PlannerClient client(Options());
    const int before = one_.calls() + two_.calls();
    const absl::Status status = PlanAndWait(client, proto::PlanRequest(), kLong).status();
    EXPECT_EQ(status.code(), code);
    EXPECT_EQ(status.message(), "planner in-process: observation has 3 numbers");
    EXPECT_EQ(one_.calls() + two_.calls(), before + 1);
  }
}

TEST_F(PlannerClientTest, APlannerThatIsNoneOfTheRunCostsOneTryOnAnother) {
  for (const auto code : {absl::StatusCode::kFailedPrecondition, absl::StatusCode::kUnimplemented,
                          absl::StatusCode::kPermissionDenied}) {
    PlannerClient client(Options());
    one_.AnswerWith(absl::Status(code, "peer belongs to another run"));
    const int before = one_.calls();
    for (int i = 0; i < 100; ++i) EXPECT_EQ(Ask(client), 2);
    // It is avoided from then on; a probe may ask it again.
    EXPECT_LE(one_.calls(), before + 5);
  }
}

TEST_F(PlannerClientTest, AWrongPlannerThatIsAskedInAdditionDoesNotEndTheCall) {
  two_.AnswerWith(absl::FailedPreconditionError("peer belongs to another run"));
  // Some of the seeds have the right planner asked first.
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    one_.BeSilent();
    PlannerClientOptions options = Options();
    options.seed = seed;
    options.attempt_timeout = absl::Milliseconds(500);
    options.picker.unmeasured_patience = absl::Milliseconds(1);
    options.picker.least_patience = absl::Milliseconds(1);
    PlannerClient client(options);
    const int one = one_.calls(), two = two_.calls();
    Event answered;
    client.Plan(proto::PlanRequest(), kLong, [&](const absl::StatusOr<proto::PlanReply>& reply) {
      EXPECT_TRUE(reply.ok()) << reply.status();
      answered.Set();
    });
    ASSERT_TRUE(Await([&] { return one_.calls() > one && two_.calls() > two; }));
    one_.BeSilent(false);
    answered.Wait();
  }
}

TEST_F(PlannerClientTest, ACallEndsWhenAllPlannersAreOfOtherRuns) {
  for (ScriptedPlanner* planner : {&one_, &two_}) {
    planner->AnswerWith(absl::FailedPreconditionError("peer belongs to another run"));
  }
  PlannerClient client(Options());
  const absl::Status status = PlanAndWait(client, proto::PlanRequest(), kLong).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(one_.calls() + two_.calls(), 2);
}

TEST_F(PlannerClientTest, CallWaitsUntilAPlannerIsThere) {
  one_.AnswerWith(absl::UnavailableError("the planner has no parameters yet"));
  two_.AnswerWith(absl::UnavailableError("the planner has no parameters yet"));
  PlannerClient client(Options());
  Event answered;
  client.Plan(proto::PlanRequest(), kLong, [&](absl::StatusOr<proto::PlanReply> reply) {
    EXPECT_TRUE(reply.ok()) << reply.status();
    answered.Set();
  });
  ASSERT_TRUE(Await([&] { return one_.calls() >= 2 && two_.calls() >= 2; }));
  EXPECT_EQ(client.waiting().calls, 1);
  EXPECT_GT(client.waiting().longest, absl::ZeroDuration());
  EXPECT_THAT(client.waiting().reason,
              HasSubstr("planner in-process: the planner has no parameters yet"));
  two_.AnswerWith(absl::OkStatus());
  answered.Wait();
  ASSERT_TRUE(Await([&] { return client.waiting().calls == 0; }));
  EXPECT_EQ(client.waiting().reason, "");
}

TEST_F(PlannerClientTest, CallEndsAtItsDeadlineWithTheLastFailure) {
  one_.AnswerWith(absl::UnavailableError("no parameters"));
  two_.AnswerWith(absl::UnavailableError("no parameters"));
  FakeClock clock;
  PlannerClientOptions options = Options();
  options.clock = &clock;
  PlannerClient client(options);
  absl::Status status;
  Event ended;
  client.Plan(proto::PlanRequest(), kLong, [&](const auto& reply) {
    status = reply.status();
    ended.Set();
  });
  ASSERT_TRUE(Await([&] { return client.waiting().pausing == 1; }));
  clock.Advance(kLong);
  ended.Wait();
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(status.message()), HasSubstr("no plan after"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("no parameters"));
}

TEST_F(PlannerClientTest, RetriesPauseByTheClock) {
  one_.AnswerWith(absl::UnavailableError("no parameters"));
  two_.AnswerWith(absl::UnavailableError("no parameters"));
  FakeClock clock;
  PlannerClientOptions options = Options();
  options.clock = &clock;
  options.backoff = {absl::Seconds(1), absl::Seconds(1), 2.0};
  PlannerClient client(options);
  absl::Status status;
  Event ended;
  client.Plan(proto::PlanRequest(), absl::Seconds(10), [&](absl::StatusOr<proto::PlanReply> reply) {
    status = reply.status();
    ended.Set();
  });
  // Each pause is at most a second long, and nothing is asked before it is over.
  for (int round = 1; round <= 10; ++round) {
    ASSERT_TRUE(Await([&] { return client.waiting().pausing == 1; }));
    EXPECT_EQ(one_.calls() + two_.calls(), 2 * round);
    clock.Advance(absl::Seconds(1));
    ASSERT_TRUE(Await([&] { return ended.IsSet() || one_.calls() + two_.calls() > 2 * round; }));
  }
  ended.Wait();
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(status.message()), HasSubstr("no plan after 10s"));
}

TEST_F(PlannerClientTest, FullPlannersAreAskedAgainWhenTheFirstExpectsRoom) {
  FakeClock clock;
  PlannerClientOptions options = Options();
  options.clock = &clock;
  PlannerClient client(options);
  const absl::Status full = absl::ResourceExhaustedError("full");
  one_.AnswerWith(WithRetryAfter(full, absl::Milliseconds(400)));
  two_.AnswerWith(WithRetryAfter(full, absl::Milliseconds(200)));
  Event answered;
  client.Plan(proto::PlanRequest(), kLong, [&](const absl::StatusOr<proto::PlanReply>& reply) {
    EXPECT_TRUE(reply.ok()) << reply.status();
    EXPECT_EQ(reply->plans(0).plan_value(), 2);
    answered.Set();
  });
  ASSERT_TRUE(Await([&] { return client.waiting().pausing == 1; }));
  // Another call does not even ask.
  Event other;
  client.Plan(proto::PlanRequest(), kLong, [&](const auto&) { other.Set(); });
  EXPECT_EQ(client.waiting().pausing, 2);
  for (ScriptedPlanner* planner : {&one_, &two_}) planner->AnswerWith(absl::OkStatus());
  clock.Advance(absl::Milliseconds(199));
  EXPECT_EQ(one_.calls() + two_.calls(), 2);
  // The pause is at most half as long again.
  clock.Advance(absl::Milliseconds(101));
  answered.Wait();
  other.Wait();
  EXPECT_EQ(one_.calls() + two_.calls(), 4);
}

// A planner refuses what it cannot plan by an attempt's deadline, which may be far before the
// call's: if all attempts were as short, it would refuse every one of them.
TEST_F(PlannerClientTest, AttemptsAfterARefusalHaveMoreTimeUpToThatOfTheCall) {
  FakeClock clock;
  PlannerClientOptions options = Options();
  options.clock = &clock;
  options.planners = {one_.endpoint()};
  // Hours, so that what a call takes to arrive does not matter.
  options.attempt_timeout = absl::Hours(10);
  PlannerClient client(options);
  one_.AnswerWith(WithRetryAfter(absl::ResourceExhaustedError("late"), absl::Milliseconds(100)));
  Event answered;
  client.Plan(proto::PlanRequest(), absl::Hours(70), [&](const auto& reply) {
    EXPECT_TRUE(reply.ok()) << reply.status();
    answered.Set();
  });
  for (int refused = 1; refused <= 6; ++refused) {
    ASSERT_TRUE(Await([&] { return one_.calls() == refused && client.waiting().pausing == 1; }));
    if (refused == 6) one_.AnswerWith(absl::OkStatus());
    clock.Advance(absl::Milliseconds(150));
  }
  answered.Wait();
  std::vector<int64_t> hours;
  for (const absl::Duration left : one_.time_left()) {
    hours.push_back(absl::ToInt64Hours(left + absl::Minutes(30)));
  }
  EXPECT_EQ(hours, (std::vector<int64_t>{10, 20, 40, 70, 70, 70, 70}));
}

// It may outlive the call, and while it does the planner is not probed again.
TEST_F(PlannerClientTest, AProbeHasNoMoreTimeThanItsCall) {
  FakeClock clock;
  PlannerClientOptions options = Options();
  options.clock = &clock;
  options.attempt_timeout = absl::Hours(10);
  one_.AnswerWith(absl::UnavailableError("starting"));
  two_.AnswerWith(WithRetryAfter(absl::ResourceExhaustedError("late"), absl::Milliseconds(100)));
  PlannerClient client(options);
  Event answered;
  client.Plan(proto::PlanRequest(), absl::Hours(15), [&](const auto& reply) {
    EXPECT_TRUE(reply.ok()) << reply.status();
    answered.Set();
  });
  ASSERT_TRUE(Await([&] { return two_.calls() == 1 && client.waiting().pausing == 1; }));
  ASSERT_EQ(one_.calls(), 1);
  // The next attempt would have 20 hours, and one is probed beside it.
  two_.AnswerWith(absl::OkStatus());
  clock.Advance(EndpointPickerOptions().avoid_failed);
  answered.Wait();
  ASSERT_TRUE(Await([&] { return one_.calls() == 2; }));
  EXPECT_EQ(absl::ToInt64Hours(one_.time_left().back() + absl::Minutes(30)), 15);
}

TEST_F(PlannerClientTest, CallEndsAtItsDeadlineWhileAllPlannersAreFull) {
  FakeClock clock;
  PlannerClientOptions options = Options();
  options.clock = &clock;
  PlannerClient client(options);
  for (ScriptedPlanner* planner : {&one_, &two_}) {
    planner->AnswerWith(WithRetryAfter(absl::ResourceExhaustedError("full"), absl::Seconds(3)));
  }
  absl::Status status;
  Event ended;
  client.Plan(proto::PlanRequest(), absl::Seconds(1), [&](const auto& reply) {
    status = reply.status();
    ended.Set();
  });
  ASSERT_TRUE(Await([&] { return client.waiting().pausing == 1; }));
  clock.Advance(absl::Seconds(1));
  ended.Wait();
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(status.message()), HasSubstr("full"));
}

// With no hedge left, the attempt itself is given up in time for another one.
TEST_F(PlannerClientTest, AnAttemptLeavesTimeForAnotherPlanner) {
  PlannerClientOptions options = Options();
  options.picker.hedge_burst = 0;
  options.picker.hedge_share = 0;
  options.attempt_timeout = kLong;
  one_.BeSilent();
  PlannerClient client(options);
  while (one_.calls() == 0) {
    const auto reply = PlanAndWait(client, proto::PlanRequest(), absl::Seconds(2));
    ASSERT_TRUE(reply.ok()) << reply.status();
    EXPECT_EQ(reply->plans(0).plan_value(), 2);
  }
}

TEST_F(PlannerClientTest, AnAddedPlannerIsAskedAtOnceAndOneThatLeftIsNot) {
  PlannerClientOptions options = Options();
  options.planners = {};
  options.backoff = {absl::Hours(1), absl::Hours(1), 2.0};
  PlannerClient client(options);
  std::vector<float> values;
  Event answered;
  client.Plan(proto::PlanRequest(), kLong, [&](const absl::StatusOr<proto::PlanReply>& reply) {
    ASSERT_TRUE(reply.ok()) << reply.status();
    values.push_back(reply->plans(0).plan_value());
    answered.Set();
  });
  EXPECT_EQ(client.waiting().pausing, 1);
  EXPECT_THAT(client.waiting().reason, HasSubstr("no planner is known"));
  client.SetPlanners({one_.endpoint()});
  answered.Wait();
  EXPECT_THAT(values, ::testing::ElementsAre(1));
  client.SetPlanners({one_.endpoint(), two_.endpoint()});
  ASSERT_TRUE(Await([&] { return Ask(client) == 2; }));
  const int before = one_.calls();
  client.SetPlanners({two_.endpoint()});
  for (int i = 0; i < 20; ++i) EXPECT_EQ(Ask(client), 2);
  EXPECT_EQ(one_.calls(), before);
}

TEST_F(PlannerClientTest, WhatAPlannerThatLeftHasToAnswerEndsAsUsual) {
  PlannerClientOptions options = Options();
  options.planners = {one_.endpoint()};
  one_.BeSilent();
  PlannerClient client(options);
  float value = 0;
  Event answered;
  client.Plan(proto::PlanRequest(), kLong, [&](const absl::StatusOr<proto::PlanReply>& reply) {
    ASSERT_TRUE(reply.ok()) << reply.status();
    value = reply->plans(0).plan_value();
    answered.Set();
  });
  ASSERT_TRUE(Await([&] { return one_.calls() == 1; }));
  client.SetPlanners({});
  one_.AnswerSilenced();
  answered.Wait();
  EXPECT_EQ(value, 1);
}

TEST_F(PlannerClientTest, OneCallTooManyIsRefused) {
  one_.BeSilent();
  PlannerClientOptions options = Options();
  options.max_calls = 1;
  options.planners = {one_.endpoint()};
  PlannerClient client(options);
  client.Plan(proto::PlanRequest(), kLong, [](const absl::StatusOr<proto::PlanReply>&) {});
  const absl::Status status = PlanAndWait(client, proto::PlanRequest(), kLong).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(PlannerClientTest, CloseCancelsCallsInFlightAndCallsThatPause) {
  one_.BeSilent();
  PlannerClientOptions options = Options();
  options.planners = {one_.endpoint(), rpc::Endpoint("127.0.0.1:1")};
  options.backoff = {absl::Hours(1), absl::Hours(1), 2.0};
  options.attempt_timeout = absl::Hours(1);
  std::vector<absl::StatusCode> codes;
  Mutex mu;
  const auto note = [&](const absl::StatusOr<proto::PlanReply>& reply) {
    MutexLock lock(&mu);
    codes.push_back(reply.status().code());
  };
  {
    PlannerClient silent(options);
    silent.Plan(proto::PlanRequest(), kLong, note);
    ASSERT_TRUE(Await([&] { return one_.calls() == 1; }));
    options.planners = {rpc::Endpoint("127.0.0.1:1")};
    PlannerClient pausing(options);
    pausing.Plan(proto::PlanRequest(), kLong, note);
    ASSERT_TRUE(Await([&] { return !pausing.waiting().reason.empty(); }));
    pausing.Close();
    silent.Close();
    MutexLock lock(&mu);
    EXPECT_THAT(codes,
                ::testing::ElementsAre(absl::StatusCode::kCancelled, absl::StatusCode::kCancelled));
  }
  PlannerClient closed(options);
  closed.Close();
  EXPECT_EQ(PlanAndWait(closed, proto::PlanRequest(), kLong).status().code(),
            absl::StatusCode::kCancelled);
}

}  // namespace
}  // namespace pompc::planner
