// An actor of a fleet between runs: which it joins, when it leaves, and what it does where planners
// or learners change.
#include "actor/fleet/fleet.h"

#include <memory>
#include <string>
#include <vector>

#include "common/config/run_config.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "replay/app.h"
#include "replay/client/shard_client.h"
#include "run/control/run_control.h"
#include "run/service.h"
#include "tests/actor/fakes.h"
#include "tests/actor/stub_planner.h"
#include "tests/support/await.h"

namespace pompc::actor {
namespace {

using ::testing::HasSubstr;

// A run in its seed phase, in which actors need no plans: a learner's control and a shard, at ports
// of loopback.
class SomeRun {
 public:
  explicit SomeRun(std::string id) : id_(std::move(id)), config_(config::Resolve({})) {
    config_.mutable_env()->mutable_spec()->set_observation_size(3);
    config_.mutable_env()->mutable_spec()->set_action_size(2);
    config_.mutable_env()->mutable_spec()->set_episode_decisions(5);
    config_.mutable_actor()->set_chunk_rows(2);
    config_.mutable_actor()->set_max_unacked_rows(8);
    shard_ = *replay::App::Start(
        {.listen = "127.0.0.1:0", .metrics = std::make_shared<MetricsRegistry>()});
    replay::ShardClientOptions client;
    client.run_id = id_;
    client.spec = config_.env().spec();
    client.horizon = 3;
    client.capacity_rows = 1'000'000;
    client.capacity_bytes = uint64_t{1} << 30;
    client_ = std::make_unique<replay::ShardClient>(client, shard_->server().InProcessChannel());
    POMPC_CHECK_OK(client_->Configure().status());
    POMPC_CHECK_OK(client_->Grant({1'000'000, "updates are behind", false}).status());
    StartLearner();
  }
  ~SomeRun() {
    shard_->Stop();
    learner_->Shutdown(absl::ZeroDuration());
  }

  // A learner that knows nothing of an earlier one, at another port.
  void StartLearner() {
    if (learner_ != nullptr) learner_->Shutdown(absl::ZeroDuration());
    run::RunControlOptions options;
    options.shards = {"a"};
    options.lease.heartbeat = absl::Milliseconds(5);
    options.ratio = {.seed_rows = 1'000'000,
                     .pretrain_updates = 10,
                     .utd = 1,
                     .slack_rows = 1000,
                     .min_rows = 1000};
    options.evaluation.every_rows = 10000;
    options.evaluation.episodes = 2;
    options.learner_incarnation = ++starts_;
    control_ = std::make_unique<run::RunControl>(options, &clock_);
    service_ = std::make_unique<run::RunService>(
        control_.get(), run::RunServiceOptions{.run_id = id_, .config = config_});
    learner_ = *rpc::Server::Start({.listen = "127.0.0.1:0"}, {service_.get()});
  }

  // Returns what a planner says of it.
  proto::PlannerRunInfo Named(double wanted = 1) const {
    proto::PlannerRunInfo info;
    info.set_run_id(id_);
    info.set_learner(learner_->address());
    info.mutable_demand()->add_replay(shard_->server().address());
    info.mutable_demand()->set_environments(control_->Status().environments());
    info.mutable_demand()->set_wanted_environments(wanted);
    return info;
  }
  // Waits until rows come under a lease of the present learner.
  bool AwaitRows() {
    const uint64_t before = Rows();
    return Await([&] { return control_->Status().environments() > 0 && Rows() > before; });
  }
  bool AwaitNobody() {
    return Await([&] { return control_->Status().environments() == 0; });
  }
  uint64_t Rows() const { return client_->Info()->accepted_rows(); }
  run::RunControl& control() { return *control_; }

 private:
  const std::string id_;
  proto::RunConfig config_;
  FakeClock clock_;
  uint64_t starts_ = 0;
  std::unique_ptr<replay::App> shard_;
  std::unique_ptr<replay::ShardClient> client_;
  std::unique_ptr<run::RunControl> control_;
  std::unique_ptr<run::RunService> service_;
  std::unique_ptr<rpc::Server> learner_;
};

class FleetTest : public ::testing::Test {
 protected:
  FleetOptions Hasty() {
    FleetOptions options;
    options.actor.planners = {planner_.endpoint()};
    options.actor.environments = 2;
    options.actor.flush_timeout = absl::Milliseconds(10);
    options.actor.factory = FakeFactory({.episode_steps = 5});
    options.decide_every = absl::Milliseconds(20);
    options.look_every = absl::Milliseconds(10);
    return options;
  }
  void Start(FleetOptions options) {
    auto fleet = Fleet::Start(std::move(options));
    ASSERT_TRUE(fleet.ok()) << fleet.status();
    fleet_ = *std::move(fleet);
  }

  StubPlanner planner_{"none", 3, 2};
  SomeRun a_{"a"}, b_{"b"};
  FakeClock clock_;
  // Last: it uses all of the above.
  std::unique_ptr<Fleet> fleet_;
};

TEST_F(FleetTest, ServesTheRunThatIsNamedAndTheNextOneWhenThatIsOver) {
  Start(Hasty());
  ASSERT_TRUE(Await([&] { return fleet_->Health().ok(); }));
  EXPECT_THAT(fleet_->StatusText(), HasSubstr("run: none wants actors"));
  planner_.SetRuns({a_.Named()});
  ASSERT_TRUE(a_.AwaitRows());
  EXPECT_EQ(a_.control().Status().environments(), 2u);
  EXPECT_THAT(fleet_->StatusText(), HasSubstr("run: a\njoined runs: 1\n"));
  // Both are named for a while yet, and the one that is over wants more.
  planner_.SetRuns({a_.Named(100), b_.Named()});
  a_.control().Stop("enough");
  ASSERT_TRUE(b_.AwaitRows());
  ASSERT_TRUE(a_.AwaitNobody());
  fleet_->Stop();
  EXPECT_TRUE(b_.AwaitNobody()) << "the lease is given back";
  EXPECT_TRUE(fleet_->Wait().ok());
}

TEST_F(FleetTest, LeavesARunThatHasTooMuch) {
  planner_.SetRuns({a_.Named()});
  Start(Hasty());
  ASSERT_TRUE(a_.AwaitRows());
  // The planner says that nine other actors serve the run.
  proto::PlannerRunInfo full = a_.Named(20);
  full.mutable_demand()->set_environments(20);
  planner_.SetRuns({full, b_.Named(20)});
  ASSERT_TRUE(b_.AwaitRows());
  EXPECT_TRUE(a_.AwaitNobody());
  EXPECT_EQ(a_.control().Status().ended_peers().rbegin()->end(), proto::LEFT);
}

TEST_F(FleetTest, FollowsARunWhoseLearnerHasMoved) {
  planner_.SetRuns({a_.Named()});
  Start(Hasty());
  ASSERT_TRUE(a_.AwaitRows());
  a_.StartLearner();
  planner_.SetRuns({a_.Named()});
  ASSERT_TRUE(a_.AwaitRows());
  EXPECT_THAT(fleet_->StatusText(), HasSubstr("joined runs: 2"));
}

TEST_F(FleetTest, StaysWithARunThatItsPlannersDoNotKnowForAMoment) {
  planner_.SetRuns({a_.Named()});
  FleetOptions options = Hasty();
  options.actor.clock = &clock_;
  Start(options);
  const auto pass = [&](absl::Duration time) {
    // In small steps, between which the fleet looks around.
    for (absl::Duration at; at < time; at += absl::Milliseconds(10)) {
      clock_.Advance(absl::Milliseconds(10));
    }
  };
  ASSERT_TRUE(Await([&] {
    pass(absl::Milliseconds(50));
    return a_.control().Status().environments() > 0;
  }));
  // However far the clock went while the run was joined, it is named once more now.
  const uint64_t asked = planner_.infos();
  ASSERT_TRUE(Await([&] {
    pass(absl::Milliseconds(10));
    return planner_.infos() > asked + 1;
  }));
  // A planner that has just started knows another run first.
  planner_.SetRuns({b_.Named()});
  pass(absl::Seconds(25));
  EXPECT_EQ(b_.control().Status().environments(), 0u);
  EXPECT_GT(a_.control().Status().environments(), 0u);
  EXPECT_TRUE(Await([&] {
    pass(absl::Seconds(1));
    return b_.control().Status().environments() > 0;
  }));
}

TEST_F(FleetTest, SaysWhyItServesNoRun) {
  planner_.SetStatus(absl::UnavailableError("the planner is stopping"));
  Start(Hasty());
  ASSERT_TRUE(Await([&] {
    return fleet_->StatusText().find("planner in-process: the planner is stopping") !=
           std::string::npos;
  }));
  EXPECT_EQ(fleet_->Health().code(), absl::StatusCode::kUnavailable);
  // Addresses that are none are a fault of that run, and others are served.
  proto::PlannerRunInfo bad = a_.Named(100);
  bad.mutable_demand()->set_replay(0, "no port");
  planner_.SetRuns({bad, b_.Named()});
  planner_.SetStatus(absl::OkStatus());
  EXPECT_TRUE(b_.AwaitRows());
}

}  // namespace
}  // namespace pompc::actor
