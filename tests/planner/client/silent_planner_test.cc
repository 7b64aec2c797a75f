// What a client does about planners that do not answer.
#include <algorithm>
#include <atomic>
#include <string>
#include <utility>
#include <vector>

#include "common/base/threads.h"
#include "gtest/gtest.h"
#include "tests/planner/client/scripted_planner.h"
#include "tests/support/await.h"

namespace pompc::planner {
namespace {

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

}  // namespace
}  // namespace pompc::planner
