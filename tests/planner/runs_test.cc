// A planner that serves several runs: which come and go, and that each has its share.
#include <cmath>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/threads.h"
#include "common/rpc/wire.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "planner/run_table.h"
#include "tests/planner/planner_fixture.h"
#include "tests/support/await.h"

namespace pompc::planner {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// The table alone, on a clock of its own; learners are servers of this process.
class RunTableTest : public ::testing::Test {
 protected:
  void Start(size_t max_runs = 3, bool accept_guests = true) {
    RunTableOptions options;
    options.max_runs = max_runs;
    options.accept_guests = accept_guests;
    options.clock = &clock_;
    options.backoff = {absl::Milliseconds(1), absl::Milliseconds(1), 1.0};
    options.load = [this](const parameters::ParameterSnapshot& snapshot) {
      return engine_.Load(snapshot);
    };
    table_ = std::make_unique<RunTable>(std::move(options));
  }
  absl::Status Follow(OtherLearner& learner, const std::string& run_id = "") {
    return table_->Follow(learner.endpoint(), run_id, RunTable::Origin::kGuest);
  }
  // Names a new learner of this run, and waits for its parameters.
  std::unique_ptr<OtherLearner> FollowNew(const std::string& run_id, uint64_t number = 1) {
    auto learner = std::make_unique<OtherLearner>(run_id, "127.0.0.1:0");
    learner->Publish(number);
    const absl::Status status = Follow(*learner);
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_TRUE(Await([&] { return NumberOf(run_id) == number; }));
    return learner;
  }
  // The number of the newest parameters of a run; 0 without any. Does not count as being asked
  // for.
  uint64_t NumberOf(const std::string& run_id) {
    for (const RunTable::Entry& entry : table_->List()) {
      if (entry.run_id != run_id || entry.run == nullptr) continue;
      const auto newest = entry.run->parameters().Newest();
      if (newest != nullptr) return newest->version().number;
    }
    return 0;
  }
  std::vector<std::string> Runs() {
    std::vector<std::string> runs;
    for (const RunTable::Entry& entry : table_->List()) runs.push_back(entry.run_id);
    return runs;
  }

  FakeClock clock_;
  FakeEngine engine_;
  std::unique_ptr<RunTable> table_;
};

TEST_F(RunTableTest, FindsEachRunAndListsThoseThatAreHere) {
  Start();
  EXPECT_EQ(table_->Find("a").status().code(), absl::StatusCode::kUnavailable);
  const auto a = FollowNew("a"), b = FollowNew("b", 7);
  EXPECT_EQ((*table_->Find("a"))->id(), "a");
  EXPECT_EQ((*table_->Find("b"))->parameters().Newest()->version().number, 7u);
  const absl::Status missing = table_->Find("c").status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(missing.message()), HasSubstr("\"c\"; it serves \"a\", \"b\""));
}

TEST_F(RunTableTest, NamingALearnerAgainChangesNothing) {
  Start();
  const auto a = FollowNew("a");
  EXPECT_TRUE(Follow(*a).ok());
  EXPECT_TRUE(Follow(*a, "a").ok());
  EXPECT_THAT(Runs(), ElementsAre("a"));
}

TEST_F(RunTableTest, TheRunNotAskedForLongestMakesRoom) {
  Start(/*max_runs=*/2);
  const auto a = FollowNew("a"), b = FollowNew("b");
  OtherLearner c("c", "127.0.0.1:0");
  const absl::Status full = Follow(c);
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(full.message()), HasSubstr("--max-runs"));
  clock_.Advance(absl::Minutes(2));
  ASSERT_TRUE(table_->Find("a").ok());
  EXPECT_TRUE(Follow(c).ok());
  EXPECT_EQ(Runs()[0], "a");
  EXPECT_EQ(table_->Find("b").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(RunTableTest, ARunThatIsDroppedIsLetGo) {
  Start();
  const auto a = FollowNew("a"), b = FollowNew("b");
  const std::weak_ptr<PlannerRun> run = *table_->Find("b");
  EXPECT_FALSE(run.expired());
  EXPECT_TRUE(table_->Unfollow("b").ok());
  EXPECT_THAT(Runs(), ElementsAre("a"));
  EXPECT_TRUE(Await([&] { return run.expired(); }));
  EXPECT_EQ(table_->Unfollow("b").code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(table_->Unfollow("").code(), absl::StatusCode::kNotFound);
}

TEST_F(RunTableTest, ALearnerThatMovesTakesItsRunAlong) {
  Start();
  auto a = FollowNew("a", 3);
  const auto run = *table_->Find("a");
  a = nullptr;
  // It says nothing of the run, or names it.
  const auto moved = FollowNew("a", 5);
  EXPECT_EQ(*table_->Find("a"), run);
  OtherLearner again("a", "127.0.0.1:0");
  ASSERT_TRUE(Follow(again, "a").ok());
  EXPECT_EQ(*table_->Find("a"), run) << "at once";
  again.Publish(6);
  EXPECT_TRUE(Await([&] { return NumberOf("a") == 6; }));
  EXPECT_THAT(Runs(), ElementsAre("a"));
}

TEST_F(RunTableTest, ALearnerGoneForLongIsGivenUpAndItsRunStays) {
  Start();
  auto a = FollowNew("a");
  a = nullptr;
  ASSERT_TRUE(table_->Follow(rpc::Endpoint("127.0.0.1:1"), "", RunTable::Origin::kGuest).ok());
  ASSERT_TRUE(Await([&] { return !table_->List()[0].status.connected; }));
  table_->Sweep();
  EXPECT_TRUE(table_->List()[0].followed);
  clock_.Advance(absl::Minutes(11));
  ASSERT_TRUE(Await([&] {
    table_->Sweep();
    return !table_->List()[0].followed;
  }));
  EXPECT_THAT(Runs(), ElementsAre("a")) << "nothing is left of the one without parameters";
  EXPECT_TRUE(table_->Find("a").ok());
  // Naming it again follows it again.
  OtherLearner back("a", "127.0.0.1:0");
  ASSERT_TRUE(Follow(back, "a").ok());
  back.Publish(9);
  EXPECT_TRUE(Await([&] { return NumberOf("a") == 9; }));
}

TEST_F(RunTableTest, WhatAHostNamedStays) {
  Start(/*max_runs=*/2);
  OtherLearner host("host", "127.0.0.1:0");
  host.Publish(1);
  ASSERT_TRUE(table_->Follow(host.endpoint(), "", RunTable::Origin::kHost).ok());
  ASSERT_TRUE(Await([&] { return NumberOf("host") == 1; }));
  EXPECT_EQ(table_->Unfollow("host").code(), absl::StatusCode::kFailedPrecondition);
  const absl::Status unknown = table_->Unfollow("hots");
  EXPECT_EQ(unknown.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(unknown.message()), HasSubstr("\"hots\"; it serves \"host\""));
  OtherLearner thief("host", "127.0.0.1:0");
  EXPECT_EQ(Follow(thief, "host").code(), absl::StatusCode::kFailedPrecondition);
  // Nor does one that says so only later replace the host's parameters.
  thief.Publish(7);
  ASSERT_TRUE(Follow(thief).ok());
  EXPECT_TRUE(Await([&] { return table_->List().size() == 1; }));
  EXPECT_EQ(NumberOf("host"), 1u);
  const auto guest = FollowNew("guest");
  clock_.Advance(absl::Hours(1));
  const auto next = FollowNew("next");
  EXPECT_THAT(Runs(), ElementsAre("host", "next"));
}

TEST_F(RunTableTest, WithoutGuestsOtherRunsCannotCome) {
  Start(/*max_runs=*/3, /*accept_guests=*/false);
  OtherLearner host("host", "127.0.0.1:0");
  host.Publish(1);
  ASSERT_TRUE(table_->Follow(host.endpoint(), "", RunTable::Origin::kHost).ok());
  ASSERT_TRUE(Await([&] { return NumberOf("host") == 1; }));
  EXPECT_EQ(table_->Find("other").status().code(), absl::StatusCode::kFailedPrecondition);
  OtherLearner guest("guest", "127.0.0.1:0");
  const absl::Status refused = Follow(guest);
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("--accept-runs"));
  // Until another host's run is known, it may be the one asked for.
  ASSERT_TRUE(table_->Follow(guest.endpoint(), "", RunTable::Origin::kHost).ok());
  EXPECT_EQ(table_->Find("other").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(RunTableTest, AnErrorNamesSoManyRunsAsAClientTakes) {
  Start(/*max_runs=*/256);
  std::vector<std::unique_ptr<OtherLearner>> learners;
  for (int i = 0; i < 20; ++i)
    learners.push_back(FollowNew(absl::StrCat(i, std::string(250, 'x'))));
  const std::string message(table_->Find("c").status().message());
  EXPECT_THAT(message, HasSubstr(" and 4 others"));
  EXPECT_LT(message.size(), 5000u);
}

TEST_F(RunTableTest, ALearnerWhoseRunHasNoProperIdIsNotServed) {
  Start();
  OtherLearner bad("a\nb", "127.0.0.1:0");
  bad.Publish(1);
  ASSERT_TRUE(Follow(bad).ok());
  ASSERT_TRUE(Await([&] { return !table_->List()[0].status.last_error.empty(); }));
  EXPECT_EQ(Runs()[0], "");
  EXPECT_FALSE(table_->HasParameters());
}

TEST_F(RunTableTest, AGuestThatIsNoLearnerIsDropped) {
  RunTableOptions options;
  options.accept_guests = true;
  options.backoff = {absl::Milliseconds(1), absl::Milliseconds(10), 2.0};
  options.wrong_peer_timeout = absl::Milliseconds(20);
  options.load = [this](const parameters::ParameterSnapshot& snapshot) {
    return engine_.Load(snapshot);
  };
  options.on_wrong_peer = [](const absl::Status&) { ADD_FAILURE() << "no host is wrong"; };
  table_ = std::make_unique<RunTable>(options);
  const auto other = *rpc::Server::Start({.listen = "127.0.0.1:0"}, {});
  ASSERT_TRUE(table_->Follow(rpc::Endpoint(other->address()), "", RunTable::Origin::kGuest).ok());
  EXPECT_TRUE(Await([&] { return table_->List().empty(); }));
}

TEST_F(RunTableTest, NobodyIsFollowedAfterClose) {
  Start();
  const auto a = FollowNew("a");
  table_->Close();
  EXPECT_EQ(Follow(*a).code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(table_->Find("a").ok());
}

using RunTableDeathTest = RunTableTest;

TEST_F(RunTableDeathTest, WhatTheHeaderRequiresIsChecked) {
  EXPECT_DEATH(RunTable{RunTableOptions()}, "load != nullptr");
  EXPECT_DEATH(
      {
        Start();
        (void)table_->Follow(rpc::Endpoint(), "", RunTable::Origin::kGuest);
      },
      "learner.empty");
  EXPECT_DEATH(
      {
        Start();
        (void)table_->Follow(rpc::Endpoint("127.0.0.1:1"), "a\nb", RunTable::Origin::kGuest);
      },
      "control character");
  EXPECT_DEATH(Start(/*max_runs=*/0), "max_runs");
}

// The service with ten runs.
class RunsTest : public PlannerTest {
 protected:
  RunsTest() : PlannerTest("", Spec()) {
    AppOptions options;
    options.accept_runs = true;
    options.clock = &clock_;
    StartApp(options, "", engine_);
  }
  ~RunsTest() override {
    engine_->backend.Release();
    app_ = nullptr;
  }

  static PlanSpec Spec() {
    PlanSpec spec = FakeSpec();
    spec.max_batch = 1;
    spec.max_queue = 1000;
    return spec;
  }

  absl::Status Follow(const std::string& learner, const std::string& run_id = "",
                      const std::optional<proto::ActorDemand>& demand = std::nullopt) {
    proto::FollowRequest request;
    *request.mutable_header() = rpc::MakeHeader(run_id);
    request.set_learner(learner);
    if (demand.has_value()) *request.mutable_demand() = *demand;
    return rpc::CallUnary(*stub_, &proto::PlannerService::Stub::Follow, request, kLong).status();
  }
  absl::Status Unfollow(const std::string& run_id) {
    proto::UnfollowRequest request;
    *request.mutable_header() = rpc::MakeHeader(run_id);
    return rpc::CallUnary(*stub_, &proto::PlannerService::Stub::Unfollow, request, kLong).status();
  }
  proto::PlannerInfoReply InfoOf(const std::string& run_id) {
    proto::PlannerInfoRequest request;
    *request.mutable_header() = rpc::MakeHeader(run_id);
    return rpc::CallUnary(*stub_, &proto::PlannerService::Stub::Info, request, kLong).value();
  }
  static proto::PlanRequest RequestOf(const std::string& run_id, int queries = 1) {
    proto::PlanRequest request;
    for (int i = 0; i < queries; ++i) *request.add_queries() = FakeRequest().queries(0);
    *request.mutable_header() = rpc::MakeHeader(run_id);
    return request;
  }

  // Plans take no time by it, so that runs take turns plan by plan.
  FakeClock clock_;
};

proto::ActorDemand Demand(double wanted) {
  proto::ActorDemand demand;
  demand.add_replay("127.0.0.1:7001");
  demand.add_replay("127.0.0.1:7002");
  demand.set_environments(3);
  demand.set_wanted_environments(wanted);
  return demand;
}

TEST_F(RunsTest, WhatARunWantsOfActorsIsToldUntilItIsOld) {
  OtherLearner a("a", "127.0.0.1:0");
  const std::string learner = a.endpoint().address();
  ASSERT_TRUE(Follow(learner, "a", Demand(4.5)).ok());
  const proto::PlannerRunInfo told = InfoOf("").runs(1);
  EXPECT_EQ(told.run_id(), "a");
  EXPECT_EQ(told.learner(), learner);
  EXPECT_THAT(told.demand().replay(), ElementsAre("127.0.0.1:7001", "127.0.0.1:7002"));
  EXPECT_EQ(told.demand().environments(), 3u);
  EXPECT_EQ(told.demand().wanted_environments(), 4.5);
  // Renewed, it is what was said last.
  clock_.Advance(absl::Seconds(20));
  ASSERT_TRUE(Follow(learner, "a", Demand(2)).ok());
  clock_.Advance(absl::Seconds(30));
  EXPECT_EQ(InfoOf("").runs(1).demand().wanted_environments(), 2);
  clock_.Advance(absl::Seconds(1));
  EXPECT_FALSE(InfoOf("").runs(1).has_demand()) << "whoever renewed it is gone";
  ASSERT_TRUE(Follow(learner, "a", Demand(2)).ok());
  ASSERT_TRUE(Follow(learner, "a").ok());
  EXPECT_FALSE(InfoOf("").runs(1).has_demand()) << "the run takes no actors any more";
}

TEST_F(RunsTest, ADemandThatIsNoneIsRefusedWithTheRun) {
  OtherLearner a("a", "127.0.0.1:0");
  const auto refusal = [&](const proto::ActorDemand& demand) {
    const absl::Status status = Follow(a.endpoint().address(), "a", demand);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_EQ(InfoOf("").runs_size(), 1) << "the planner follows what was refused";
    return std::string(status.message());
  };
  for (const double wanted : {0.0, -1.0, 1e10, std::nan(""), HUGE_VAL}) {
    EXPECT_THAT(refusal(Demand(wanted)), HasSubstr("demand.wanted_environments"));
  }
  proto::ActorDemand demand = Demand(1);
  demand.set_environments(2'000'000'000);
  EXPECT_THAT(refusal(demand), HasSubstr("demand.environments: 2000000000; allowed are 0 to"));
  demand = Demand(1);
  demand.clear_replay();
  EXPECT_THAT(refusal(demand), HasSubstr("demand.replay"));
  demand.add_replay("no port");
  EXPECT_THAT(refusal(demand), HasSubstr("demand.replay: \"no port\""));
  demand.set_replay(0, "127.0.0.1:1,127.0.0.1:2");
  EXPECT_THAT(refusal(demand), HasSubstr("demand.replay"));
  for (int i = 0; i < 1025; ++i) demand.add_replay(absl::StrCat("127.0.0.1:", 2000 + i));
  demand.set_replay(0, "127.0.0.1:1");
  EXPECT_THAT(refusal(demand), HasSubstr("1026 addresses; allowed are 1 to 1024"));
}

TEST_F(RunsTest, RunsComeAndGoWhileThePlannerStays) {
  // Somebody must reach it to name a run.
  EXPECT_TRUE(app_->Health().ok()) << app_->Health();
  OtherLearner a("a", "127.0.0.1:0"), b("b", "127.0.0.1:0");
  a.Publish(1);
  b.Publish(2);
  ASSERT_TRUE(Follow(a.endpoint().address()).ok());
  ASSERT_TRUE(Follow(b.endpoint().address(), "b").ok());
  ASSERT_TRUE(Await([&] { return Plan(RequestOf("a")).ok() && Plan(RequestOf("b")).ok(); }));
  EXPECT_EQ(Plan(RequestOf("b"))->plans(0).version().number(), 2u);
  const proto::PlannerInfoReply info = InfoOf("");
  // The first is the host's, which has published nothing.
  ASSERT_EQ(info.runs_size(), 3);
  EXPECT_EQ(info.runs(0).run_id(), "");
  EXPECT_EQ(info.runs(2).run_id(), "b");
  EXPECT_EQ(info.runs(2).learner(), b.endpoint().address());
  EXPECT_TRUE(info.runs(2).connected());
  EXPECT_EQ(info.runs(2).version().number(), 2u);
  EXPECT_EQ(InfoOf("b").version().number(), 2u);
  EXPECT_THAT(registry_->ToText(), HasSubstr("pompc_planner_parameters_number{run=\"b\"} 2"));

  EXPECT_TRUE(Unfollow("b").ok());
  const absl::Status gone = Plan(RequestOf("b")).status();
  EXPECT_EQ(gone.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(gone.message()), HasSubstr("it serves \"a\""));
  EXPECT_THAT(registry_->ToText(), Not(HasSubstr("run=\"b\"")));
  EXPECT_EQ(Unfollow("b").code(), absl::StatusCode::kNotFound);
}

TEST_F(RunsTest, IdsThatNoRunHasAreRefused) {
  OtherLearner a("a", "127.0.0.1:0");
  a.Publish(1);
  ASSERT_TRUE(Follow(a.endpoint().address()).ok());
  ASSERT_TRUE(Await([&] { return Plan(RequestOf("a")).ok(); }));
  const std::string long_id(10 << 10, 'x');
  for (const std::string& id : {long_id, std::string("a\nb"), std::string("\0", 1),
                                std::string("a\x7f"), std::string(257, 'x')}) {
    for (const absl::Status& status :
         {Plan(RequestOf(id)).status(), Follow(a.endpoint().address(), id), Unfollow(id)}) {
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
      EXPECT_THAT(std::string(status.message()), HasSubstr("the run's id"));
    }
  }
  // What may be an id and is none of a run here, whatever it would mean elsewhere.
  for (const std::string& id : {std::string(), std::string("../../etc/passwd"), std::string("a "),
                                std::string("{run=\"a\"}"), std::string(256, 'x')}) {
    const absl::Status status = Plan(RequestOf(id)).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("it serves \"a\""));
  }
  EXPECT_TRUE(Plan(RequestOf("a")).ok());
}

// Requests for runs that are not here leave nothing behind, and each is told what is here.
TEST_F(RunsTest, ManyUnknownRunsTakeNoRoom) {
  OtherLearner a("a", "127.0.0.1:0");
  a.Publish(1);
  ASSERT_TRUE(Follow(a.endpoint().address()).ok());
  ASSERT_TRUE(Await([&] { return Plan(RequestOf("a")).ok(); }));
  for (int i = 0; i < 2000; ++i) {
    ASSERT_EQ(Plan(RequestOf(absl::StrCat("unknown-", i))).status().code(),
              absl::StatusCode::kNotFound);
  }
  // The host's, and a's.
  EXPECT_EQ(InfoOf("").runs_size(), 2);
  EXPECT_THAT(registry_->ToText(), Not(HasSubstr("unknown-")));
}

TEST_F(RunsTest, WhatIsNoAddressIsRefused) {
  EXPECT_EQ(Follow("nowhere").code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Follow("").code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Follow("127.0.0.1:1,127.0.0.1:2").code(), absl::StatusCode::kInvalidArgument);
}

// Run i asks for 6 (i + 1) plans at once, all before the first is made, the greediest first.
TEST_F(RunsTest, TenRunsTakeTurns) {
  constexpr int kRuns = 10;
  std::vector<std::unique_ptr<OtherLearner>> learners;
  for (int i = 0; i < kRuns; ++i) {
    const std::string run = "run-" + std::to_string(i);
    learners.push_back(std::make_unique<OtherLearner>(run, "127.0.0.1:0"));
    learners.back()->Publish(1);
    ASSERT_TRUE(Follow(learners.back()->endpoint().address()).ok());
    ASSERT_TRUE(Await([&] { return Plan(RequestOf(run)).ok(); }));
  }
  const size_t before = engine_->backend.batch_runs().size();
  engine_->backend.Hold();
  std::vector<Thread> callers;
  size_t expected = 0;
  for (int i = kRuns - 1; i >= 0; --i) {
    const int queries = 6 * (i + 1);
    callers.emplace_back("caller", [&, i, queries] {
      EXPECT_TRUE(Plan(RequestOf("run-" + std::to_string(i), queries)).ok());
    });
    expected += queries;
    // The backend holds one.
    ASSERT_TRUE(Await([&] { return InfoOf("").queued() == expected - 1; }));
  }
  engine_->backend.Release();
  callers.clear();
  // While all wait, each has every tenth plan: none waits longer than its share needs.
  const std::vector<std::string> order = engine_->backend.batch_runs();
  ASSERT_EQ(order.size(), before + expected);
  for (int round = 0; round < 6; ++round) {
    std::map<std::string, int> plans;
    for (int i = 0; i < kRuns; ++i) ++plans[order[before + 1 + round * kRuns + i]];
    EXPECT_EQ(plans.size(), static_cast<size_t>(kRuns)) << "round " << round;
  }
}

}  // namespace
}  // namespace pompc::planner
