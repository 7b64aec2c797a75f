#include "common/config/task_specs.h"

#include <string>

#include "common/config/run_config.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pompc::config {
namespace {

using ::testing::HasSubstr;

proto::RunConfig ConfigOf(const std::string& task) {
  proto::RunConfig config;
  config.mutable_env()->set_task(task);
  return config;
}

TEST(TaskSpecsTest, SpecFollowsFromTaskAndActionRepeat) {
  const auto spec = MakeEnvSpec("cartpole-swingup", 2);
  ASSERT_TRUE(spec.ok());
  EXPECT_EQ(spec->observation_size(), 5u);
  EXPECT_EQ(spec->action_size(), 1u);
  EXPECT_EQ(spec->episode_decisions(), 500u);
  EXPECT_FALSE(spec->terminates());
  EXPECT_EQ(MakeEnvSpec("cartpole-swingup", 3)->episode_decisions(), 334u);
}

TEST(TaskSpecsTest, UnknownTaskIsRefusedNamingTheKnownOnes) {
  proto::RunConfig config = ConfigOf("cartpole-swngup");
  const absl::Status status = FillEnvSpec(&config);
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("\"cartpole-swngup\""));
  for (const TaskSpec& spec : TaskSpecs()) {
    EXPECT_THAT(std::string(status.message()), HasSubstr(spec.task));
  }
}

TEST(TaskSpecsTest, GivenSizesMustAgree) {
  proto::RunConfig config = ConfigOf("cartpole-swingup");
  config.mutable_env()->mutable_spec()->set_observation_size(7);
  const absl::Status status = FillEnvSpec(&config);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("env.spec.observation_size: 7"));
  config.mutable_env()->mutable_spec()->set_observation_size(5);
  EXPECT_TRUE(FillEnvSpec(&config).ok());
  EXPECT_EQ(config.env().spec().episode_decisions(), 500u);
}

TEST(TaskSpecsTest, ExternalTaskKeepsWhatItWasGiven) {
  proto::RunConfig config = ConfigOf(kExternalTask);
  config.mutable_env()->mutable_spec()->set_observation_size(7);
  EXPECT_TRUE(FillEnvSpec(&config).ok());
  EXPECT_EQ(config.env().spec().observation_size(), 7u);
}

}  // namespace
}  // namespace pompc::config
