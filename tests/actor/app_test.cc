#include "actor/app.h"

#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/config/run_config.h"
#include "common/config/task_specs.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "replay/app.h"
#include "replay/client/shard_client.h"
#include "run/control/run_control.h"
#include "run/service.h"
#include "tests/actor/fakes.h"
#include "tests/actor/stub_planner.h"
#include "tests/support/await.h"
#include "tests/support/metrics_text.h"

namespace pompc::actor {
namespace {

using ::testing::HasSubstr;

constexpr char kRun[] = "run-1";
constexpr uint32_t kChunkRows = 2;

proto::RunConfig FakeConfig() {
  proto::RunConfig config = config::Resolve({});
  config.mutable_env()->mutable_spec()->set_observation_size(3);
  config.mutable_env()->mutable_spec()->set_action_size(2);
  config.mutable_env()->mutable_spec()->set_episode_decisions(5);
  config.mutable_actor()->set_environments(4);
  config.mutable_actor()->set_chunk_rows(kChunkRows);
  config.mutable_actor()->set_max_unacked_rows(8);
  return config;
}

// The rest of a run around an actor: learner control over its service, two shards, a planner.
class AppTest : public ::testing::Test {
 protected:
  AppTest() { StartLearner(FakeConfig()); }

  ~AppTest() override {
    app_ = nullptr;
    for (auto& shard : shards_) shard->Stop();
    learner_->Shutdown(absl::ZeroDuration());
  }

  void StartLearner(const proto::RunConfig& config) {
    if (learner_ != nullptr) learner_->Shutdown(absl::ZeroDuration());
    run::RunControlOptions options;
    options.shards = {"a", "b"};
    options.lease.heartbeat = absl::Milliseconds(5);
    options.ratio = {.seed_rows = 2500,
                     .pretrain_updates = 2500,
                     .utd = 1,
                     .slack_rows = 1000,
                     .min_rows = 1000};
    options.evaluation.every_rows = 10000;
    options.evaluation.episodes = 2;
    control_ = std::make_unique<run::RunControl>(options, &learner_clock_);
    run_service_ = std::make_unique<run::RunService>(
        control_.get(), run::RunServiceOptions{.run_id = kRun, .config = config});
    learner_ = *rpc::Server::Start({}, {run_service_.get()});
  }

  // Two shards that take `rows` each.
  void StartShards(uint64_t rows) {
    for (uint32_t i = 0; i < 2; ++i) {
      replay::AppOptions options;
      options.shard = std::to_string(i);
      options.metrics = metrics_;
      shards_.push_back(*replay::App::Start(options));
      replay::ShardClientOptions client;
      client.run_id = kRun;
      client.shard_index = i;
      client.spec = FakeConfig().env().spec();
      client.horizon = 3;
      client.capacity_rows = 10000;
      client.capacity_bytes = 1 << 24;
      clients_.push_back(std::make_unique<replay::ShardClient>(
          client, shards_.back()->server().InProcessChannel()));
      ASSERT_TRUE(clients_.back()->Configure().ok());
    }
    Grant(rows, false);
  }
  void Grant(uint64_t rows, bool seed_phase_over) {
    for (auto& client : clients_) {
      const auto info = client->Grant({rows, "updates are behind", seed_phase_over});
      ASSERT_TRUE(info.ok()) << info.status();
    }
  }

  static AppOptions Hasty() {
    AppOptions options;
    options.flush_timeout = absl::Milliseconds(10);
    return options;
  }
  void StartApp(AppOptions options = Hasty()) {
    options.learner = learner_->InProcessEndpoint();
    options.planners = {planner_.endpoint()};
    if (options.replay.empty()) {
      for (auto& shard : shards_) options.replay.push_back(shard->server().InProcessEndpoint());
    }
    if (real_environments_) {
      options.factory = nullptr;
    } else {
      options.factory = FakeFactory({.episode_steps = 5});
    }
    auto app = App::Start(std::move(options));
    ASSERT_TRUE(app.ok()) << app.status();
    app_ = *std::move(app);
  }

  proto::ShardInfo Info(int shard) {
    const auto info = clients_[shard]->Info();
    EXPECT_TRUE(info.ok()) << info.status();
    return info.value_or(proto::ShardInfo());
  }
  void AwaitAccepted(uint64_t rows) {
    for (int shard = 0; shard < 2; ++shard) {
      ASSERT_TRUE(Await([&] { return Info(shard).accepted_rows() >= rows; }));
    }
  }

  bool AwaitStatus(const std::string& text) {
    return Await([&] { return app_->StatusText().find(text) != std::string::npos; });
  }

  bool real_environments_ = false;
  FakeClock learner_clock_;
  std::shared_ptr<MetricsRegistry> metrics_ = std::make_shared<MetricsRegistry>();
  StubPlanner planner_{kRun, 3, 2};
  std::unique_ptr<run::RunControl> control_;
  std::unique_ptr<run::RunService> run_service_;
  std::unique_ptr<rpc::Server> learner_;
  std::vector<std::unique_ptr<replay::App>> shards_;
  std::vector<std::unique_ptr<replay::ShardClient>> clients_;
  std::unique_ptr<App> app_;
};

TEST_F(AppTest, RandomRowsGoToBothShardsUpToTheirGrant) {
  StartShards(20);
  StartApp();
  AwaitAccepted(20);
  ASSERT_TRUE(AwaitStatus("updates are behind"));
  for (int shard = 0; shard < 2; ++shard) {
    EXPECT_LT(Info(shard).accepted_rows(), 20u + kChunkRows);
    EXPECT_EQ(Info(shard).planned_rows(), 0u);
  }
  EXPECT_TRUE(planner_.requests().empty());
}

TEST_F(AppTest, RowsCarryPlansOnceTrainingBegins) {
  StartShards(20);
  StartApp();
  AwaitAccepted(20);
  const uint64_t random_rows[] = {Info(0).accepted_rows(), Info(1).accepted_rows()};
  control_->BeginSeedClosing();
  Grant(60, true);
  control_->StartTraining();
  AwaitAccepted(60);
  for (int shard = 0; shard < 2; ++shard) {
    EXPECT_EQ(Info(shard).planned_rows(), Info(shard).accepted_rows() - random_rows[shard]);
  }
  for (const proto::PlanRequest& request : planner_.requests()) {
    EXPECT_FALSE(request.evaluate());
    EXPECT_FALSE(request.has_pinned_version());
  }
}

TEST_F(AppTest, SeveralThreadsShareTheEnvironments) {
  StartShards(200);
  control_->StartTraining();
  AppOptions options = Hasty();
  options.threads = 3;
  StartApp(options);
  AwaitAccepted(200);
  ASSERT_TRUE(Await([&] { return control_->Status().episodes() >= 10; }));
}

TEST_F(AppTest, EndsWhenTheRunIsOver) {
  StartShards(10);
  StartApp();
  AwaitAccepted(10);
  control_->Stop("enough");
  EXPECT_TRUE(app_->Wait().ok()) << app_->Wait();
}

TEST_F(AppTest, StopEndsItWhileShardsAreFull) {
  StartShards(4);
  StartApp();
  AwaitAccepted(4);
  app_->Stop();
  EXPECT_TRUE(app_->Wait().ok());
}

TEST_F(AppTest, StopFlushesWhatTheShardsTake) {
  StartShards(1000000);
  AppOptions options;
  options.flush_timeout = absl::Seconds(20);
  StartApp(options);
  AwaitAccepted(20);
  app_->Stop();
  EXPECT_EQ(app_->Counts().rows, Info(0).accepted_rows() + Info(1).accepted_rows());
}

TEST_F(AppTest, StopEndsItWhileNoLearnerIsThere) {
  AppOptions options;
  options.learner = rpc::Endpoint("127.0.0.1:1");
  options.planners = {planner_.endpoint()};
  options.replay = {rpc::Endpoint("127.0.0.1:2")};
  auto app = App::Start(options);
  ASSERT_TRUE(app.ok());
  EXPECT_EQ((*app)->Health().code(), absl::StatusCode::kUnavailable);
  (*app)->Stop();
  EXPECT_TRUE((*app)->Wait().ok());
}

TEST_F(AppTest, RowsGoOnUnderANewLeaseWhenTheOldOneWasLost) {
  StartShards(20);
  StartApp();
  AwaitAccepted(20);
  learner_clock_.Advance(absl::Seconds(11));
  control_->Tick();
  ASSERT_TRUE(Await([&] { return !control_->Status().peers().empty(); }));
  Grant(60, false);
  AwaitAccepted(60);
}

TEST_F(AppTest, EvaluatorReportsToTheLearner) {
  StartShards(10);
  control_->StartTraining();
  control_->Published({1, 1});
  AppOptions options = Hasty();
  options.evaluate = true;
  StartApp(options);
  ASSERT_TRUE(Await([&] { return !control_->Status().peers().empty(); }));
  control_->AddEvaluation({1, 1});
  ASSERT_TRUE(Await([&] { return !control_->Status().evaluations().empty(); }));
  const proto::EvaluationResult result = control_->Status().evaluations(0);
  EXPECT_EQ(result.episodes(), 2u);
  EXPECT_EQ(FromProto(result.version()), (ParameterVersion{1, 1}));
  EXPECT_GT(result.return_mean(), 0);
}

TEST_F(AppTest, OtherNumberOfShardsIsRefusedNamingBoth) {
  StartShards(10);
  AppOptions options = Hasty();
  options.name = "host:7";
  options.replay = {shards_[0]->server().InProcessEndpoint()};
  StartApp(options);
  const absl::Status status = app_->Wait();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("--replay names 1 shards; the run has 2"));
  // The learner knows who died, and of what.
  const proto::RunStatus run = control_->Status();
  EXPECT_TRUE(run.peers().empty());
  ASSERT_EQ(run.ended_peers_size(), 1);
  EXPECT_EQ(run.ended_peers(0).name(), "host:7");
  EXPECT_EQ(run.ended_peers(0).end(), proto::FAILED);
  EXPECT_EQ(run.ended_peers(0).how(), status.message());
}

// This happens where the model of a task is missing, or an environment cannot be made.
TEST_F(AppTest, AnActorThatDiesBeforeItsFirstStepTellsTheLearner) {
  StartShards(10);
  AppOptions options = Hasty();
  options.learner = learner_->InProcessEndpoint();
  options.planners = {planner_.endpoint()};
  for (auto& shard : shards_) options.replay.push_back(shard->server().InProcessEndpoint());
  options.factory = [](uint32_t) -> absl::StatusOr<std::unique_ptr<env::FloatEnvironment>> {
    return absl::NotFoundError("no model humanoid.xml");
  };
  app_ = *App::Start(std::move(options));
  EXPECT_FALSE(app_->Wait().ok());
  ASSERT_EQ(control_->Status().ended_peers_size(), 1);
  EXPECT_THAT(control_->Status().ended_peers(0).how(), HasSubstr("no model humanoid.xml"));
}

TEST_F(AppTest, WhoeverIsToldToEndFreesTheLeaseAtOnce) {
  StartShards(1000000);
  StartApp();
  AwaitAccepted(20);
  app_->Stop();
  EXPECT_TRUE(control_->Status().peers().empty());
  ASSERT_EQ(control_->Status().ended_peers_size(), 1);
  EXPECT_EQ(control_->Status().ended_peers(0).end(), proto::LEFT);
  EXPECT_GE(control_->Status().ended_peers(0).rows(), 40u);
}

TEST_F(AppTest, HeartbeatsSayWhatItWaitsFor) {
  StartShards(20);
  StartApp();
  const auto waiting = [&] {
    const proto::RunStatus status = control_->Status();
    return status.peers().empty() ? "" : status.peers(0).waiting();
  };
  ASSERT_TRUE(Await([&] { return waiting().find("updates are behind") != std::string::npos; }));
  Grant(1000000, false);
  EXPECT_TRUE(Await([&] { return waiting().empty(); })) << waiting();
}

TEST_F(AppTest, TaskOfOtherSizesIsRefusedNamingBoth) {
  StartShards(10);
  real_environments_ = true;
  StartApp();
  const absl::Status status = app_->Wait();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              ::testing::AllOf(HasSubstr("cartpole-swingup"), HasSubstr("observation_size 3"),
                               HasSubstr("observation_size 5")));
}

TEST_F(AppTest, UnknownTaskIsRefusedNamingTheTasks) {
  proto::RunConfig config = FakeConfig();
  config.mutable_env()->set_task("cartpole-dance");
  StartLearner(config);
  StartShards(10);
  real_environments_ = true;
  StartApp();
  const absl::Status status = app_->Wait();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()),
              ::testing::AllOf(HasSubstr("cartpole-dance"), HasSubstr("cartpole-swingup")));
}

TEST_F(AppTest, RowsOfSizesTheShardsDoNotExpectAreStoredNowhere) {
  proto::RunConfig config = FakeConfig();
  config.mutable_env()->clear_spec();
  ASSERT_TRUE(config::FillEnvSpec(&config).ok());
  StartLearner(config);
  StartShards(10);
  real_environments_ = true;
  StartApp();
  ASSERT_TRUE(AwaitStatus("observation"));
  // Each refused episode is counted once, by who hears of every one.
  EXPECT_TRUE(Await([&] { return app_->Counts().refused > 0; }));
  EXPECT_GT(app_->Counts().refused_rows, 0u);
  EXPECT_EQ(Info(0).accepted_rows(), 0u);
}

// Episodes that ended before their rows reached the shard, which by then takes none without a plan.
TEST_F(AppTest, RefusalsOfEpisodesThatHaveEndedAreCountedAndTold) {
  proto::RunConfig config = FakeConfig();
  config.mutable_actor()->set_environments(1);
  config.mutable_actor()->set_chunk_rows(8);
  config.mutable_actor()->set_max_unacked_rows(64);
  StartLearner(config);
  StartShards(1000);
  Grant(1000, /*seed_phase_over=*/true);
  AppOptions options = Hasty();
  options.metrics = metrics_;
  StartApp(options);
  ASSERT_TRUE(AwaitStatus("the seed phase is over"));
  EXPECT_EQ(Info(0).accepted_rows(), 0u);
  const ActorStats::Counts counts = app_->Counts();
  const uint64_t begun =
      std::accumulate(counts.episodes.begin(), counts.episodes.end(), uint64_t{1});
  EXPECT_GT(counts.refused, 0u);
  EXPECT_LE(counts.refused, begun) << "each once";
  EXPECT_GE(counts.refused_rows, counts.refused);
  EXPECT_LE(counts.refused_rows, 5 * counts.refused);
  EXPECT_THAT(WithoutRun(metrics_->ToText()),
              HasSubstr("pompc_actor_refused_rows_total{role=\"actor\"}"));
  // The learner has not told the actor yet: it waits, and goes on once told.
  control_->StartTraining();
  ASSERT_TRUE(Await([&] { return Info(0).planned_rows() > 0; }));
}

TEST_F(AppTest, ConfigWithoutSizesIsRefusedNamingThem) {
  proto::RunConfig config = FakeConfig();
  config.mutable_env()->clear_spec();
  StartLearner(config);
  StartShards(10);
  StartApp();
  const absl::Status status = app_->Wait();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("spec has a size of 0"));
}

TEST_F(AppTest, RunThatWasOverBeforeTheFirstHeartbeatEndsIt) {
  StartShards(10);
  control_->Stop("enough");
  StartApp();
  EXPECT_TRUE(app_->Wait().ok()) << app_->Wait();
  EXPECT_EQ(app_->Counts().rows, 0u);
}

TEST_F(AppTest, MetricsSayWhatTheWorkersDo) {
  StartShards(20);
  AppOptions options = Hasty();
  options.metrics = metrics_;
  StartApp(options);
  AwaitAccepted(20);
  const std::string labelled = metrics_->ToText();
  EXPECT_THAT(labelled, HasSubstr(absl::StrCat("role=\"actor\",run=\"", kRun, "\"} ")));
  const std::string text = WithoutRun(labelled);
  EXPECT_THAT(text, HasSubstr("pompc_actor_state_seconds_total{role=\"actor\",state=\"stepping\","
                              "worker=\"0\"}"));
  EXPECT_THAT(text, HasSubstr("pompc_actor_rows_total{phase=\"random\",role=\"actor\"}"));
}

TEST(AppOptionsTest, NamesTheFlagThatIsMissingOrWrong) {
  AppOptions options;
  const auto message = [&] { return std::string(options.Validate().message()); };
  EXPECT_THAT(message(), HasSubstr("--learner"));
  ASSERT_TRUE(options.SetAddresses("localhost:1", "", "").ok());
  EXPECT_THAT(message(), HasSubstr("--planners"));
  ASSERT_TRUE(options.SetAddresses("", "localhost:2,localhost:3", "").ok());
  EXPECT_EQ(options.planners.size(), 2u);
  EXPECT_THAT(message(), HasSubstr("--replay"));
  options.evaluate = true;
  EXPECT_TRUE(options.Validate().ok());
  options.threads = 0;
  EXPECT_THAT(message(), HasSubstr("--threads: 0; allowed: 1 to 256"));
  options.threads = 1;
  options.environments = 5000;
  EXPECT_THAT(message(), HasSubstr("--environments: 5000"));
  EXPECT_THAT(std::string(options.SetAddresses("a:1,b:2", "", "").message()),
              HasSubstr("one learner"));
  EXPECT_THAT(std::string(options.SetAddresses("", "nowhere", "").message()),
              HasSubstr("--planners"));
}

}  // namespace
}  // namespace pompc::actor
