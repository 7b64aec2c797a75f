// Errors that end a learner, or do not: the run is over only when it says so.
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/rpc/call.h"
#include "common/rpc/server.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "learner/app.h"
#include "replay/service.h"
#include "run/run_client.h"
#include "tests/learner/learner_fixture.h"

namespace pompc::learner {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

using LearnerFailureTest = LearnerFixture;

// An actor, whose part the test plays, through a learner that fails and the next one.
TEST_F(LearnerFailureTest, ActorsOutliveALearnerThatFails) {
  fail_at_ = 28;
  failures_ = 6;
  StartShards(1);
  AppOptions options = LearnerOptions();
  options.server.listen = "127.0.0.1:0";
  learner_ = *App::Start(options);
  const std::string address = learner_->address();
  run::RunClientOptions client;
  client.learner = rpc::Endpoint(address);
  client.environments = 1;
  run::RunClient actor(client);
  ASSERT_TRUE(actor.Register(absl::Seconds(10)).ok());
  actor.Start();
  FinishSeedPhase();
  Write(0, 40, true);
  EXPECT_EQ(learner_->Wait().code(), absl::StatusCode::kInternal);
  EXPECT_EQ(learner_->Status().peers_size(), 1) << "it did not wait for the actor to go home";
  learner_->Stop();
  AwaitThat([&] { return !actor.news().problem.empty(); });
  learner_.reset();
  fail_at_ = 0;
  options = LearnerOptions();
  options.server.listen = address;
  learner_ = *App::Start(options);
  AwaitThat([&] { return actor.news().registration->incarnation() >> 32 == 2; });
  EXPECT_FALSE(actor.news().over());
  EXPECT_EQ(actor.news().registration->index(), 0u);
  AwaitUpdates(28);
  learner_->StopRun("enough");
  AwaitThat([&] { return actor.news().phase == proto::STOPPING; });
}

TEST_F(LearnerFailureTest, AShardThatSomebodyElseHasTakenIsTriedUntilItIsBack) {
  // The shard may have been granted rows before it is lost; the others get them after this time.
  keep_grants_ = absl::Milliseconds(100);
  StartShards(2);
  StartLearner();
  FinishSeedPhase();
  for (int shard : {0, 1}) Write(shard, 40, true);
  AwaitUpdates(60);
  const std::string address = shards_[1]->server().address();
  writers_.clear();
  shards_[1].reset();
  // It restarts empty, and another run is the first to configure it.
  replay::Shard shard(1, Clock::Real(), std::make_unique<replay::MemoryStore>());
  replay::ShardConfig other;
  other.run_id = "somebody-else";
  other.table = {{.observation_size = 2, .action_size = 1}, 3, 100, uint64_t{1} << 20};
  ASSERT_TRUE(shard.Configure(other).ok());
  replay::Service service(&shard);
  auto server = rpc::Server::Start({.listen = address}, {&service});
  ASSERT_TRUE(server.ok()) << server.status();
  AwaitThat([&] {
    const proto::RunStatus status = learner_->Status();
    return status.shards(1).problem().find("somebody-else") != std::string::npos &&
           status.waiting().find("shard 1 (" + address + ") has been unreachable") !=
               std::string::npos;
  });
  EXPECT_EQ(learner_->Status().phase(), proto::TRAINING);
  EXPECT_TRUE(learner_->Health().ok());
  // The rest of the run goes on without it.
  replay::TrajectoryWriterOptions writer = WriterOptions(2);
  writer.shards = {rpc::Endpoint(shards_[0]->server().address()).Channel()};
  writers_.push_back(std::make_unique<replay::TrajectoryWriter>(writer, Clock::Real()));
  Write(0, 40, true);
  AwaitUpdates(80);
  writers_.clear();
  (*server)->Shutdown(absl::ZeroDuration());
  server->reset();
  StartShard(1, address);
  AwaitThat([&] { return learner_->Status().shards(1).reachable(); });
  EXPECT_EQ(learner_->Status().waiting().find("somebody-else"), std::string::npos);
}

TEST_F(LearnerFailureTest, AShardThatNeverBelongedToTheRunEndsTheLearnerNotTheRun) {
  StartShards(1);
  StartLearner();
  FinishSeedPhase();
  writers_.clear();
  learner_.reset();
  std::filesystem::remove_all(folder_.File("run"));
  StartLearner();
  const absl::Status status = learner_->Wait();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              AllOf(StartsWith("replay shard 0"),
                    HasSubstr("a shard keeps this for as long as its rows live")));
  EXPECT_EQ(learner_->Status().phase(), proto::SEED);
}

TEST_F(LearnerFailureTest, ARunDirectoryThatIsMovedEndsTheLearnerNotTheRun) {
  StartShards(1);
  StartLearner();
  FinishSeedPhase();
  Write(0, 20, true);
  AwaitUpdates(30);
  std::filesystem::rename(folder_.File("run"), folder_.File("moved"));
  // Another folder of its name is not the run's.
  std::filesystem::create_directories(folder_.File("run/checkpoints/writing-update-000000001"));
  const absl::Status status = learner_->Wait();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(std::string(status.message()),
            "the run directory " + folder_.File("run") +
                " was moved or deleted while the run was going on; its newest checkpoint is of "
                "update 20");
  EXPECT_EQ(learner_->Status().phase(), proto::TRAINING);
  learner_.reset();
  EXPECT_EQ(*NamesIn(folder_.File("run/checkpoints")),
            std::vector<std::string>{"writing-update-000000001"});
  std::filesystem::remove_all(folder_.File("run"));
  std::filesystem::rename(folder_.File("moved"), folder_.File("run"));
  StartLearner();
  EXPECT_EQ(learner_->Status().updates(), 20u);
}

// Also of an older number than another checkpoint's: it may be the newest.
TEST_F(LearnerFailureTest, ACheckpointUnderAWrongNumberIsRefusedWithItsName) {
  StartShards(1);
  StartLearner();
  FinishSeedPhase();
  Write(0, 60, true);
  AwaitUpdates(50);
  learner_.reset();
  const std::string path = folder_.File("run/checkpoints/update-0000000");
  for (const char* wrong : {"99", "10"}) {
    std::filesystem::rename(path + "50", path + wrong);
    const absl::Status status = TryStartLearner();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
    EXPECT_THAT(std::string(status.message()),
                HasSubstr(path + wrong + " holds update 50: name it update-000000050"));
    std::filesystem::rename(path + wrong, path + "50");
  }
  StartLearner();
  EXPECT_EQ(learner_->Status().updates(), 50u);
}

// Both folders name the same run, so that shards and rows look as if they belonged to either.
TEST_F(LearnerFailureTest, ACopyOfTheRunDirectoryNeedsShardsOfItsOwn) {
  StartShards(1);
  StartLearner();
  FinishSeedPhase();
  writers_.clear();
  learner_.reset();
  std::filesystem::copy(
      folder_.File("run"), folder_.File("copy"),
      std::filesystem::copy_options::recursive | std::filesystem::copy_options::copy_symlinks);
  StartLearner();
  AwaitTraining();
  AwaitThat([&] { return learner_->Status().shards(0).reachable(); });
  const auto start_copy = [&] {
    AppOptions options = LearnerOptions();
    options.run_dir = folder_.File("copy");
    return *App::Start(options);
  };
  std::unique_ptr<App> copy = start_copy();
  ASSERT_EQ(copy->run_id(), learner_->run_id());
  absl::Status status = copy->Wait();
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
  EXPECT_THAT(std::string(status.message()),
              AllOf(StartsWith("replay shard 0"), HasSubstr("held by another start (2) of run"),
                    HasSubstr("a copy of another one?")));
  EXPECT_TRUE(learner_->Health().ok()) << learner_->Health();

  // As a later start would of the same folder, its next one takes the shard: the learner that held
  // it must not wait for it to come back.
  copy.reset();
  copy = start_copy();
  status = learner_->Wait();
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("held by another start (3) of run"));
  EXPECT_TRUE(copy->Health().ok()) << copy->Health();
}

TEST_F(LearnerFailureTest, FewerShardsThanBeforeAreNamed) {
  StartShards(2);
  StartLearner();
  FinishSeedPhase();
  writers_.clear();
  learner_.reset();
  shards_.pop_back();
  StartLearner();
  const absl::Status status = learner_->Wait();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("shard is one of 2, now of 1 (--replay"));
}

TEST_F(LearnerFailureTest, SettingsOfAStartThatTheShardsRefuseAreNotMadeTheRuns) {
  StartShards(2);
  StartLearner();
  FinishSeedPhase();
  writers_.clear();
  learner_.reset();
  shards_.pop_back();
  config_.mutable_planner()->set_horizon(5);
  StartLearner();
  const absl::Status status = learner_->Wait();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("a shard keeps this for as long as its rows live"));
  EXPECT_THAT(folder_.Read("run/config.textproto"), HasSubstr("horizon: 3"));
  learner_.reset();
  shards_.clear();
  StartShards(1);
  StartLearner();
  AwaitThat([&] { return learner_->Status().shards(0).reachable(); });
  EXPECT_THAT(folder_.Read("run/config.textproto"), HasSubstr("horizon: 5"));
}

// A shard that takes rows and refuses to hand them out.
using ShardService = replay::Service;
class StingyShard : public ShardService {
 public:
  using ShardService::ShardService;
  grpc::ServerUnaryReactor* Sample(grpc::CallbackServerContext* context,
                                   const grpc::ByteBuffer* /*request*/,
                                   grpc::ByteBuffer* /*reply*/) override {
    return rpc::FinishUnary(context, absl::InvalidArgumentError("count of windows is 16"));
  }
};

TEST_F(LearnerFailureTest, AShardThatRefusesToDrawEndsTheLearner) {
  replay::Shard shard(1, Clock::Real(), std::make_unique<replay::MemoryStore>());
  StingyShard service(&shard);
  auto server = rpc::Server::Start({.listen = "127.0.0.1:0"}, {&service});
  ASSERT_TRUE(server.ok()) << server.status();
  AppOptions options = LearnerOptions();
  options.replay = {rpc::Endpoint((*server)->address())};
  auto learner = App::Start(options);
  ASSERT_TRUE(learner.ok()) << learner.status();
  learner_ = *std::move(learner);
  replay::TrajectoryWriterOptions writer = WriterOptions(1);
  writer.shards = {options.replay[0].Channel()};
  writers_.push_back(std::make_unique<replay::TrajectoryWriter>(writer, Clock::Real()));
  Write(0, 100, false);
  const absl::Status status = learner_->Wait();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("shard 0: count of windows is 16"));
  writers_.clear();
  learner_.reset();
  (*server)->Shutdown(absl::ZeroDuration());
}

}  // namespace
}  // namespace pompc::learner
