// Runs that can never begin, and runs that nearly cannot.
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/learner/learner_fixture.h"

namespace pompc::learner {
namespace {

using ::testing::HasSubstr;

class BeginTest : public LearnerFixture {
 protected:
  void StartWithPatience(absl::Duration patience) {
    StartShards(1);
    AppOptions options = LearnerOptions();
    options.window_patience = patience;
    auto learner = App::Start(options);
    ASSERT_TRUE(learner.ok()) << learner.status();
    learner_ = *std::move(learner);
    StartWriters(1);
  }
  // Episodes of two rows at random; windows take three.
  void WriteShortEpisodes(int episodes, bool terminated) {
    replay::TrajectoryWriter& writer = *writers_[0];
    const std::vector<float> observation = {0.5f, -0.5f}, action = {0.25f};
    for (int e = 0; e < episodes; ++e) {
      writer.BeginEpisode(0);
      const float reward = 0;
      replay::RowView row;
      row.Set<float>("observations", observation);
      row.Set<float>("actions", action);
      row.Set<float>("rewards", reward);
      for (const bool last : {false, true}) {
        const uint8_t ends = last && terminated ? 1 : 0;
        row.Set<uint8_t>("terminated", ends);
        ASSERT_TRUE(writer.Append(0, row, absl::Seconds(20)).ok());
      }
      ASSERT_TRUE(writer.EndEpisode(0, observation).ok());
    }
    ASSERT_TRUE(writer.Flush(absl::Seconds(20)).ok());
  }
};

TEST_F(BeginTest, EpisodesThatAreCutOffBeforeTheyMakeAWindowEndTheLearnerWithAnError) {
  StartWithPatience(absl::Milliseconds(20));
  WriteShortEpisodes(50, /*terminated=*/false);
  const absl::Status status = learner_->Wait();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("0 windows in 100 stored rows"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("lower planner.horizon"));
  // The run is not over.
  EXPECT_EQ(learner_->Status().phase(), proto::SEED);
  EXPECT_EQ(learner_->Status().updates(), 0u);
}

TEST_F(BeginTest, UntilThenTheStatusSaysWhatIsMissing) {
  StartWithPatience(absl::Hours(1));
  WriteShortEpisodes(50, /*terminated=*/false);
  AwaitThat([&] {
    const std::string waiting = learner_->Status().waiting();
    return waiting.find("0 windows in 100 stored rows") != std::string::npos &&
           waiting.find("planner.horizon 3 rows") != std::string::npos;
  });
}

TEST_F(BeginTest, ShortEpisodesThatTerminateAreLearnedFrom) {
  config_.mutable_env()->mutable_spec()->set_terminates(true);
  StartWithPatience(absl::Milliseconds(20));
  WriteShortEpisodes(50, /*terminated=*/true);
  AwaitTraining();
  EXPECT_EQ(learner_->Status().updates(), 20u);
  EXPECT_EQ(learner_->Status().shards(0).windows(), 50u);
}

TEST_F(BeginTest, CapacityThatHoldsNoWindowsIsRefused) {
  StartShards(1);
  const auto error = [&](auto change) {
    AppOptions options = LearnerOptions();
    change(options);
    return std::string(App::Start(options).status().message());
  };
  // 72 bytes a row: 14563 rows.
  const auto few_bytes = [](AppOptions& options) {
    options.config.mutable_replay()->set_capacity_bytes(1 << 20);
    options.config.mutable_replay()->set_capacity_rows(1000000);
    options.config.mutable_actor()->set_environments(4000);
  };
  EXPECT_THAT(error(few_bytes), HasSubstr("actor.environments * (planner.horizon + 1)"));
  // The same happens to each of very many shards.
  const auto many_shards = [](AppOptions& options) {
    options.config.mutable_replay()->set_capacity_rows(1000);
    options.replay.resize(500, options.replay[0]);
  };
  EXPECT_THAT(error(many_shards), HasSubstr("capacity of 2 rows"));
}

// The largest spec that can be configured: one item of each kind fits into its message.
TEST_F(BeginTest, MessagesOfTheLargestSpecFit) {
  StartShards(1);
  AppOptions options = LearnerOptions();
  proto::EnvSpec* spec = options.config.mutable_env()->mutable_spec();
  spec->set_observation_size(100000);
  spec->set_action_size(1000);
  spec->set_episode_decisions(64);
  options.config.mutable_planner()->set_horizon(64);
  options.config.mutable_learner()->set_batch_size(2);
  options.config.mutable_actor()->set_environments(1);
  EXPECT_TRUE(options.Validate().ok()) << options.Validate();
  spec->set_observation_size(600000);
  EXPECT_FALSE(options.Validate().ok());
}

}  // namespace
}  // namespace pompc::learner
