// Learner processes that make updates together, with engines that train nothing.
#include "learner/follower.h"

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "learner/ranks/rank_client.h"
#include "tests/learner/learner_fixture.h"

namespace pompc::learner {
namespace {

using ::testing::HasSubstr;

class FollowerTest : public LearnerFixture {
 protected:
  FollowerTest() {
    world_size_ = 2;
    exchange_ = std::make_shared<FakeExchange>(2);
  }
  ~FollowerTest() override {
    exchange_->Leave();
    follower_.reset();
  }

  FollowerOptions RankOptions() {
    FollowerOptions options;
    options.leader = rpc::Endpoint(learner_->address());
    for (const auto& shard : shards_) {
      options.replay.push_back(rpc::Endpoint(shard->server().address()));
    }
    follower_engine_ = std::make_shared<FakeEngine>(1, exchange_);
    follower_engine_->fail_at = fail_at_;
    follower_engine_->failures_left = failures_;
    follower_engine_->bad_batch = follower_bad_batch_;
    options.make_engine = [this](const proto::RunConfig& config) {
      seen_ = config;
      return follower_engine_;
    };
    options.name = "second";
    options.look_up = absl::Milliseconds(20);
    follower_metrics_ = std::make_shared<MetricsRegistry>();
    options.metrics = follower_metrics_;
    return options;
  }
  void StartFollower(FollowerOptions options) {
    auto follower = Follower::Start(std::move(options));
    ASSERT_TRUE(follower.ok()) << follower.status();
    follower_ = *std::move(follower);
  }
  void StartRanks() {
    // The ranks connect by port: rank 0 may end under the other, which in-process channels do not
    // survive.
    AppOptions options = LearnerOptions();
    options.server.listen = "127.0.0.1:0";
    auto learner = App::Start(std::move(options));
    ASSERT_TRUE(learner.ok()) << learner.status();
    learner_ = *std::move(learner);
  }
  // It ends like a process that is killed.
  void LoseFollower() {
    exchange_->Leave();
    follower_->Stop();
  }

  std::shared_ptr<FakeEngine> follower_engine_;
  std::function<bool(int)> follower_bad_batch_;
  proto::RunConfig seen_;
  std::shared_ptr<MetricsRegistry> follower_metrics_;
  std::unique_ptr<Follower> follower_;
};

TEST_F(FollowerTest, RanksMakeEveryUpdateTogetherAndEndTogether) {
  StartShards(2);
  StartRanks();
  AwaitThat([&] {
    return learner_->Status().waiting().find("waits for rank 1 of 2 to join") != std::string::npos;
  });
  StartFollower(RankOptions());
  FinishSeedPhase();
  for (int i = 0; i < 5; ++i) Write(i % 2, 40, true);
  AwaitUpdates(120);
  EXPECT_EQ(seen_.learner().batch_size(), 16u);
  EXPECT_THAT(WithoutRun(metrics_->ToText()), HasSubstr("pompc_learner_ranks 2"));
  learner_->StopRun("enough");
  EXPECT_TRUE(learner_->Wait().ok());
  EXPECT_TRUE(follower_->Wait().ok());
  // Half of the batch each. An update is counted before its row is written.
  EXPECT_THAT(folder_.Read("run/metrics.csv"), HasSubstr("\n120,300,8,"));
  EXPECT_EQ(follower_engine_->update_count(), 120u);
  EXPECT_THAT(WithoutRun(follower_metrics_->ToText()),
              HasSubstr("pompc_learner_follower_updates_total 120"));
}

TEST_F(FollowerTest, TheStateGoesBackOnAllRanks) {
  fail_at_ = 28;
  StartShards(1);
  StartRanks();
  StartFollower(RankOptions());
  FinishSeedPhase();
  Write(0, 40, true);
  AwaitUpdates(40);
  EXPECT_EQ(learner_->Status().restorations(), 1u);
  AwaitThat([&] { return follower_engine_->update_count() == 40; });
}

TEST_F(FollowerTest, EachRankBarsTheWindowsOfItsOwnPart) {
  StartShards(1);
  StartRanks();
  StartFollower(RankOptions());
  StartWriters(1);
  ASSERT_TRUE(TryWrite(0, 100, false, /*poison_every=*/50).ok());
  AwaitTraining();
  // Rows 49 and 99 stand in three windows and in one.
  const auto barred = [&] { return shards_[0]->shard().counts().barred_windows; };
  for (int i = 0; i < 50 && barred() < 4; ++i) Write(0, 20, true);
  EXPECT_EQ(barred(), 4u);
  const uint64_t updates = learner_->Status().updates();
  Write(0, 80, true);
  AwaitUpdates(updates + 20);
  EXPECT_TRUE(follower_->Health().ok());
  AwaitThat([&] { return follower_engine_->update_count() == engine_->update_count(); });
}

// More of them than restorations of one state are allowed without a window to blame.
TEST_F(FollowerTest, RankZeroHearsOfTheWindowsThatOthersHaveBarred) {
  follower_bad_batch_ = [](int batch) { return batch <= 8; };
  StartShards(1);
  StartRanks();
  StartFollower(RankOptions());
  FinishSeedPhase();
  const proto::RunStatus status = learner_->Status();
  EXPECT_EQ(status.restorations(), 8u);
  EXPECT_EQ(status.last_restoration(),
            "the model loss is not finite; gone back to update 0; barred by rank 1 (see its log): "
            "1 window");
  EXPECT_GE(shards_[0]->shard().counts().barred_windows, 1u);
  EXPECT_TRUE(learner_->Health().ok());
}

TEST_F(FollowerTest, EachRankWritesBackWhatItPlannedAnew) {
  config_.mutable_learner()->mutable_reanalyze()->set_every_updates(25);
  StartShards(1);
  StartRanks();
  StartFollower(RankOptions());
  FinishSeedPhase();
  for (int i = 0; i < 4; ++i) Write(0, 40, true);
  AwaitUpdates(100);
  EXPECT_GE(follower_engine_->replanned().size(), 1u);
  // The two draw differently.
  EXPECT_NE(follower_engine_->replanned(), engine_->replanned());
  AwaitThat([&] {
    return WithoutRun(follower_metrics_->ToText())
               .find("pompc_learner_replanned_rows_total{result=\"written\"} 0") ==
           std::string::npos;
  });
}

TEST_F(FollowerTest, ALostRankInterruptsTheRunWhichGoesOnFromItsCheckpoint) {
  StartShards(1);
  StartRanks();
  StartFollower(RankOptions());
  FinishSeedPhase();
  Write(0, 80, true);
  AwaitUpdates(60);
  LoseFollower();
  EXPECT_TRUE(follower_->Wait().ok());
  const absl::Status status = learner_->Wait();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(
      std::string(status.message()),
      HasSubstr("rank 1 (second) of 2 is gone; the run resumes from its newest checkpoint"));
  // Actors wait for it instead of going home.
  EXPECT_EQ(learner_->Status().phase(), proto::TRAINING);
  EXPECT_FALSE(learner_->Health().ok());

  learner_.reset();
  exchange_ = std::make_shared<FakeExchange>(2);
  StartRanks();
  StartFollower(RankOptions());
  AwaitUpdates(60);
  AwaitThat([&] { return follower_engine_->update_count() == 60; });
}

TEST_F(FollowerTest, TheErrorThatEndsRankZeroEndsTheOthers) {
  fail_at_ = 28;
  failures_ = 6;
  StartShards(1);
  StartRanks();
  StartFollower(RankOptions());
  FinishSeedPhase();
  Write(0, 40, true);
  EXPECT_EQ(learner_->Wait().code(), absl::StatusCode::kInternal);
  const absl::Status status = follower_->Wait();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("the model loss is not finite"));
}

TEST_F(FollowerTest, ARankWithoutABatchIsWaitedFor) {
  StartShards(1);
  StartRanks();
  FollowerOptions options = RankOptions();
  options.replay = {rpc::Endpoint("127.0.0.1:1")};
  StartFollower(std::move(options));
  StartWriters(1);
  Write(0, 100, false);
  AwaitThat([&] {
    return learner_->Status().waiting().find("waits for rank 1 to get its batch") !=
           std::string::npos;
  });
  EXPECT_EQ(learner_->Status().updates(), 0u);
}

TEST_F(FollowerTest, RanksThatDoNotFitAreRefused) {
  StartShards(1);
  StartRanks();
  FollowerOptions options = RankOptions();
  options.world_size = 3;
  StartFollower(options);
  EXPECT_EQ(follower_->Wait().code(), absl::StatusCode::kFailedPrecondition);
  options.world_size = 2;
  options.replay.push_back(options.replay[0]);
  StartFollower(options);
  const absl::Status shards = follower_->Wait();
  EXPECT_EQ(shards.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(shards.message(), "rank 0 was started with 1 replay shards, rank 1 with 2");

  RankClient first({.leader = options.leader, .name = "a"});
  AwaitThat([&] { return first.Join().ok(); });
  RankClient second({.leader = options.leader, .name = "b"});
  const absl::Status taken = second.Join().status();
  EXPECT_EQ(taken.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(taken.message()), HasSubstr("already present: a"));
}

TEST_F(FollowerTest, MissingOptionsAreNamed) {
  FollowerOptions options;
  options.rank = 2;
  EXPECT_THAT(std::string(Follower::Start(options).status().message()),
              HasSubstr("rank: 2; allowed with a world size of 2: 0 to 1"));
  options.rank = 1;
  EXPECT_THAT(std::string(Follower::Start(options).status().message()), HasSubstr("rendezvous:"));
  options.leader = rpc::Endpoint("127.0.0.1:1");
  EXPECT_THAT(std::string(Follower::Start(options).status().message()), HasSubstr("replay:"));
}

TEST_F(FollowerTest, ConfigsThatRanksCannotShareAreRefused) {
  StartShards(1);
  config_.mutable_learner()->set_batch_size(15);
  absl::Status status = TryStartLearner();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("learner.batch_size: 15; allowed"));
  config_.mutable_learner()->set_batch_size(16);
  config_.set_schedule(proto::RunConfig::LOCKSTEP);
  status = TryStartLearner();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("LOCKSTEP: 1"));
}

TEST_F(FollowerTest, StopsWhileRankZeroIsNotThere) {
  StartShards(1);
  StartRanks();
  FollowerOptions options = RankOptions();
  options.leader = rpc::Endpoint("127.0.0.1:1");
  StartFollower(std::move(options));
  EXPECT_TRUE(follower_->Health().ok());
  follower_->Stop();
  EXPECT_TRUE(follower_->Wait().ok());
}

}  // namespace
}  // namespace pompc::learner
