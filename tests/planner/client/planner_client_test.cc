#include "planner/client/planner_client.h"

#include <algorithm>
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/base/retry.h"
#include "common/base/threads.h"
#include "common/rpc/call.h"
#include "common/rpc/server.h"
#include "gmock/gmock.h"
#include "grpcpp/support/server_callback.h"
#include "gtest/gtest.h"
#include "proto/planner.grpc.pb.h"
#include "tests/planner/client/plan_and_wait.h"
#include "tests/support/await.h"

namespace pompc::planner {
namespace {

using ::testing::HasSubstr;

// A planner that answers as told: with a status, its own number as plan value, or never.
class ScriptedPlanner final : public proto::PlannerService::CallbackService {
 public:
  explicit ScriptedPlanner(int number) : number_(number) {
    auto started = rpc::Server::Start(rpc::ServerOptions(), {this});
    EXPECT_TRUE(started.ok()) << started.status();
    server_ = *std::move(started);
    endpoint_ = server_->InProcessEndpoint();
  }
  ~ScriptedPlanner() override { server_->Shutdown(absl::ZeroDuration()); }

  grpc::ServerUnaryReactor* Plan(grpc::CallbackServerContext* context,
                                 const proto::PlanRequest* request,
                                 proto::PlanReply* reply) override {
    class Reactor : public grpc::ServerUnaryReactor {
     public:
      explicit Reactor(ScriptedPlanner* planner) : planner_(planner) {}
      void OnCancel() override { planner_->Cancel(this); }
      void OnDone() override { delete this; }

     private:
      ScriptedPlanner* const planner_;
    };
    auto* reactor = new Reactor(this);
    MutexLock lock(&mu_);
    ++calls_;
    if (on_call_) on_call_();
    run_id_ = request->header().run_id();
    if (silent_) {
      silenced_[reactor] = reply;
    } else {
      rpc::SendRetryAfter(context, status_);
      Answer(reactor, reply);
    }
    return reactor;
  }

  // Answers the calls that were left without an answer.
  void AnswerSilenced() {
    MutexLock lock(&mu_);
    for (const auto& [reactor, reply] : silenced_) Answer(reactor, reply);
    silenced_.clear();
  }

  void AnswerWith(absl::Status status) {
    MutexLock lock(&mu_);
    status_ = std::move(status);
  }
  void BeSilent(bool silent = true) {
    MutexLock lock(&mu_);
    silent_ = silent;
  }
  // Called at each call.
  void OnCall(std::function<void()> on_call) {
    MutexLock lock(&mu_);
    on_call_ = std::move(on_call);
  }
  int calls() {
    MutexLock lock(&mu_);
    return calls_;
  }
  std::string run_id() {
    MutexLock lock(&mu_);
    return run_id_;
  }
  const rpc::Endpoint& endpoint() const { return endpoint_; }

 private:
  void Answer(grpc::ServerUnaryReactor* reactor, proto::PlanReply* reply)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    reply->add_plans()->set_plan_value(static_cast<float>(number_));
    reactor->Finish(rpc::ToGrpc(status_));
  }
  void Cancel(grpc::ServerUnaryReactor* reactor) {
    MutexLock lock(&mu_);
    if (silenced_.erase(reactor) > 0) reactor->Finish(grpc::Status::CANCELLED);
  }

  const int number_;
  Mutex mu_;
  absl::Status status_ ABSL_GUARDED_BY(mu_);
  bool silent_ ABSL_GUARDED_BY(mu_) = false;
  int calls_ ABSL_GUARDED_BY(mu_) = 0;
  std::function<void()> on_call_ ABSL_GUARDED_BY(mu_);
  // Calls without an answer.
  std::map<grpc::ServerUnaryReactor*, proto::PlanReply*> silenced_ ABSL_GUARDED_BY(mu_);
  std::string run_id_ ABSL_GUARDED_BY(mu_);
  std::unique_ptr<rpc::Server> server_;
  rpc::Endpoint endpoint_;
};

constexpr absl::Duration kLong = absl::Seconds(30);

class PlannerClientTest : public ::testing::Test {
 protected:
  PlannerClientOptions Options() {
    PlannerClientOptions options;
    options.planners = {one_.endpoint(), two_.endpoint()};
    options.run_id = "run";
    options.backoff = {absl::Milliseconds(1), absl::Milliseconds(5), 2.0};
    return options;
  }

  // Value of the plan: the number of the planner that answered; 0 on failure.
  static float Ask(PlannerClient& client) {
    const auto reply = PlanAndWait(client, proto::PlanRequest(), kLong);
    EXPECT_TRUE(reply.ok()) << reply.status();
    return reply.ok() ? reply->plans(0).plan_value() : 0;
  }

  ScriptedPlanner one_{1}, two_{2};
};

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

// Time is the test's: what a client does about a planner that does not answer.
class SilentPlannerTest : public PlannerClientTest {
 protected:
  // Calls of so many queries each that `client` has begun, and the answers they got.
  struct Answers {
    Mutex mu;
    std::vector<float> values ABSL_GUARDED_BY(mu);

    size_t size() {
      MutexLock lock(&mu);
      return values.size();
    }
    int Of(float planner) {
      MutexLock lock(&mu);
      return static_cast<int>(std::count(values.begin(), values.end(), planner));
    }
  };

  PlannerClientOptions Options() {
    PlannerClientOptions options = PlannerClientTest::Options();
    options.clock = &clock_;
    options.on_hedge = [this](size_t queries) { hedged_ += static_cast<int>(queries); };
    return options;
  }

  static void Begin(PlannerClient& client, Answers& answers, absl::Duration timeout = kLong) {
    proto::PlanRequest request;
    request.add_queries();
    client.Plan(std::move(request), timeout, [&](const absl::StatusOr<proto::PlanReply>& reply) {
      EXPECT_TRUE(reply.ok()) << reply.status();
      MutexLock lock(&answers.mu);
      answers.values.push_back(reply.ok() ? reply->plans(0).plan_value() : 0);
    });
  }

  // Has both planners measured.
  static void Measure(PlannerClient& client) {
    for (int i = 0; i < 64; ++i) Ask(client);
  }

  // Begins calls until one of them has asked the first planner, which is silent. How many calls
  // that one has had.
  int BeginAtSilent(PlannerClient& client, Answers& answers, absl::Duration timeout = kLong) {
    const int before = one_.calls();
    while (one_.calls() == before) {
      const int calls = one_.calls() + two_.calls();
      Begin(client, answers, timeout);
      ++begun_;
      EXPECT_TRUE(Await([&] { return one_.calls() + two_.calls() > calls; }));
    }
    return one_.calls();
  }

  FakeClock clock_;
  // Calls that BeginAtSilent has begun.
  size_t begun_ = 0;
  std::atomic<int> hedged_{0};
};

TEST_F(SilentPlannerTest, WhatOneLeavesUnansweredTheOtherAnswersOncePatienceIsOver) {
  PlannerClient client(Options());
  Measure(client);
  one_.BeSilent();
  Answers answers;
  const int before = two_.calls(), begun = one_.calls() + before + 32;
  for (int i = 0; i < 32; ++i) Begin(client, answers);
  ASSERT_TRUE(Await([&] { return one_.calls() + two_.calls() == begun; }));
  const int unanswered = one_.calls();
  ASSERT_TRUE(Await([&] { return static_cast<int>(answers.size()) == two_.calls() - before; }));
  EXPECT_LT(answers.size(), 32u);
  EXPECT_EQ(hedged_, 0);
  clock_.Advance(absl::Milliseconds(250));
  ASSERT_TRUE(Await([&] { return answers.size() == 32; }));
  EXPECT_EQ(answers.Of(2), 32);
  // From now on it is not asked any more, so nobody waits.
  for (int i = 0; i < 32; ++i) Begin(client, answers);
  ASSERT_TRUE(Await([&] { return answers.size() == 64; }));
  EXPECT_EQ(one_.calls(), unanswered);
  EXPECT_EQ(client.waiting().calls, 0);
}

TEST_F(SilentPlannerTest, AProbeHoldsNobodyUpAndBringsThePlannerBack) {
  PlannerClient client(Options());
  Measure(client);
  one_.BeSilent();
  Answers answers;
  const int silent = BeginAtSilent(client, answers);
  clock_.Advance(absl::Milliseconds(250));
  ASSERT_TRUE(Await([&] { return answers.size() == begun_; }));
  clock_.Advance(absl::Seconds(1));
  // This one is sent to both, and the second answers.
  EXPECT_EQ(Ask(client), 2);
  ASSERT_TRUE(Await([&] { return one_.calls() == silent + 1; }));
  EXPECT_EQ(Ask(client), 2);
  EXPECT_EQ(one_.calls(), silent + 1);
  // The copy is answered at last.
  one_.BeSilent(false);
  one_.AnswerSilenced();
  ASSERT_TRUE(Await([&] { return Ask(client) == 1; }));
}

// Whatever a probe is answered with, it is not the last one.
TEST_F(SilentPlannerTest, APlannerIsProbedAgainAfterAnErrorThatIsNotRetried) {
  PlannerClient client(Options());
  one_.AnswerWith(absl::UnavailableError("restarting"));
  ASSERT_TRUE(Await([&] { return Ask(client) == 2 && one_.calls() > 0; }));
  one_.AnswerWith(absl::InternalError("no device"));
  const int refused = one_.calls();
  clock_.Advance(absl::Seconds(2));
  EXPECT_EQ(Ask(client), 2);
  ASSERT_TRUE(Await([&] { return one_.calls() == refused + 1; }));
  one_.AnswerWith(absl::OkStatus());
  EXPECT_TRUE(Await([&] {
    clock_.Advance(absl::Seconds(2));
    return Ask(client) == 1;
  }));
}

// If all planners are avoided, the call itself is the probe.
TEST_F(SilentPlannerTest, ACallThatProbesMakesRoomForTheNextProbeHoweverItEnds) {
  for (const auto code : {absl::StatusCode::kResourceExhausted, absl::StatusCode::kInternal}) {
    PlannerClient client(Options());
    one_.AnswerWith(absl::UnavailableError("restarting"));
    two_.AnswerWith(absl::UnavailableError("restarting"));
    Event ended;
    client.Plan(proto::PlanRequest(), absl::Milliseconds(1), [&](const auto&) { ended.Set(); });
    ASSERT_TRUE(Await([&] { return client.waiting().pausing == 1; }));
    clock_.Advance(absl::Seconds(2));
    ended.Wait();
    // Both may be probed now: this call asks one of them, which refuses it, and then the other.
    one_.AnswerWith(absl::Status(code, "not now"));
    two_.AnswerWith(absl::Status(code, "not now"));
    client.Plan(proto::PlanRequest(), absl::Seconds(1), [&](const auto&) {});
    ASSERT_TRUE(Await([&] { return client.waiting().pausing == client.waiting().calls; }));
    two_.AnswerWith(absl::OkStatus());
    one_.AnswerWith(absl::OkStatus());
    EXPECT_TRUE(Await([&] {
      clock_.Advance(absl::Seconds(2));
      return Ask(client) == 1;
    }));
    EXPECT_TRUE(Await([&] {
      clock_.Advance(absl::Seconds(2));
      return Ask(client) == 2;
    }));
  }
}

TEST_F(SilentPlannerTest, EvaluationsMoveToTheOtherPlannerAndStayThere) {
  PlannerClientOptions options = Options();
  options.sticky = true;
  PlannerClient client(options);
  Measure(client);
  const float first = Ask(client);
  ScriptedPlanner& left = first == 1 ? one_ : two_;
  const int before = left.calls();
  left.BeSilent();
  Answers answers;
  for (int i = 0; i < 4; ++i) Begin(client, answers);
  ASSERT_TRUE(Await([&] { return left.calls() >= before + 4; }));
  clock_.Advance(absl::Milliseconds(250));
  ASSERT_TRUE(Await([&] { return answers.size() == 4; }));
  EXPECT_EQ(Ask(client), 3 - first);
  clock_.Advance(absl::Hours(1));
  EXPECT_EQ(Ask(client), 3 - first);
}

TEST_F(SilentPlannerTest, AHedgeThatIsRefusedLeavesTheFirstAttemptAlone) {
  PlannerClient client(Options());
  Measure(client);
  one_.BeSilent();
  two_.AnswerWith(absl::UnavailableError("the planner does not hold parameters 1.7"));
  Answers answers;
  // Asked first or after the refusal, the silent one is waited for.
  Begin(client, answers);
  ASSERT_TRUE(Await([&] {
    clock_.Advance(absl::Milliseconds(250));
    return client.waiting().reason.find("1.7") != std::string::npos;
  }));
  one_.BeSilent(false);
  one_.AnswerSilenced();
  ASSERT_TRUE(Await([&] { return answers.size() == 1; }));
  EXPECT_EQ(answers.Of(1), 1);
}

TEST_F(SilentPlannerTest, OfTwoThatAreSilentNoneIsAskedTwiceForTheSame) {
  PlannerClient client(Options());
  Measure(client);
  one_.BeSilent();
  two_.BeSilent();
  Answers answers;
  const int before = one_.calls() + two_.calls();
  Begin(client, answers);
  for (int i = 0; i < 20; ++i) {
    clock_.AwaitWaiters(1);
    clock_.Advance(absl::Milliseconds(250));
  }
  ASSERT_TRUE(Await([&] { return one_.calls() + two_.calls() == before + 2; }));
  EXPECT_EQ(hedged_, 1);
  two_.AnswerSilenced();
  ASSERT_TRUE(Await([&] { return answers.size() == 1; }));
}

TEST_F(PlannerClientTest, WrongInputIsNotRetried) {
  for (const auto code : {absl::StatusCode::kInvalidArgument, absl::StatusCode::kFailedPrecondition,
                          absl::StatusCode::kInternal}) {
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
  PlannerClient client(Options());
  const absl::Status status =
      PlanAndWait(client, proto::PlanRequest(), absl::Milliseconds(30)).status();
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

// Nothing is measured, and the call's time is shorter than the patience with such a planner.
TEST_F(SilentPlannerTest, APlannerThatHangsCostsACallAPartOfItsTime) {
  PlannerClient client(Options());
  one_.BeSilent();
  Answers answers;
  BeginAtSilent(client, answers, absl::Seconds(4));
  const size_t before = answers.size();
  clock_.Advance(absl::Milliseconds(999));
  EXPECT_EQ(answers.size(), before);
  clock_.Advance(absl::Milliseconds(1));
  ASSERT_TRUE(Await([&] { return answers.size() == begun_; }));
  EXPECT_EQ(answers.Of(2), static_cast<int>(begun_));
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
    const auto reply = PlanAndWait(client, proto::PlanRequest(), absl::Milliseconds(400));
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
