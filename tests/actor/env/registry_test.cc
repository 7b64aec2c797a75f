#include "actor/env/registry.h"

#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/actor/env/available.h"

namespace pompc::env {
namespace {

using ::testing::HasSubstr;

TEST(RegistryTest, EveryTaskIsMadeWithThousandControlStepsAndStarts) {
  for (const std::string& task : AvailableTasks()) {
    SCOPED_TRACE(task);
    auto environment = MakeEnvironment(task, 1);
    ASSERT_TRUE(environment.ok()) << environment.status();
    const EnvironmentSpec& spec = (*environment)->spec();
    EXPECT_EQ(spec.task, task);
    EXPECT_EQ(spec.episode_steps, 1000);
    EXPECT_EQ(spec.action_low, std::vector<double>(spec.action_size, -1));
    EXPECT_EQ(spec.action_high, std::vector<double>(spec.action_size, 1));
    EXPECT_TRUE((*environment)->Reset().ok());
    EXPECT_EQ(static_cast<int>((*environment)->observation().size()), spec.observation_size);
  }
}

TEST(RegistryTest, EveryDomainIsListed) {
  EXPECT_THAT(ListTasks(), testing::IsSupersetOf({"pendulum-swingup", "cartpole-swingup-sparse",
                                                  "acrobot-swingup", "reacher-hard", "cup-catch",
                                                  "finger-turn-hard", "cheetah-run", "walker-walk",
                                                  "hopper-hop", "reacher-three-hard", "cup-spin"}));
}

TEST(RegistryTest, UnknownTaskIsRefusedNamingAllTasks) {
  const auto environment = MakeEnvironment("cartpole-swing", 1);
  EXPECT_EQ(environment.status().code(), absl::StatusCode::kNotFound);
  const std::string message(environment.status().message());
  EXPECT_THAT(message, HasSubstr("\"cartpole-swing\""));
  for (const std::string& task : ListTasks()) EXPECT_THAT(message, HasSubstr(task));
}

TEST(RegistryTest, ActionRepeatBelowOneIsRefused) {
  EXPECT_EQ(MakeFloatEnvironment("pendulum-swingup", 1, 0).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(RegistryTest, EpisodeOfFiveHundredDecisionsAtRepeatTwoEndsInTruncation) {
  auto environment = *MakeFloatEnvironment("cartpole-swingup", 1, 2);
  EXPECT_EQ(environment->spec().episode_steps, 500);
  EXPECT_NEAR(environment->spec().step_seconds, 0.02, 1e-12);
  const std::vector<float> action = {0.5f};
  for (int episode = 0; episode < 2; ++episode) {
    ASSERT_TRUE(environment->Reset().ok());
    for (int decision = 1; decision <= 500; ++decision) {
      const StepResult result = *environment->Step(action);
      ASSERT_EQ(result.truncated, decision == 500) << decision;
      ASSERT_FALSE(result.terminated || result.unstable);
    }
    EXPECT_EQ(environment->Step(action).status().code(), absl::StatusCode::kFailedPrecondition);
  }
}

TEST(RegistryTest, SameSeedGivesTheSameEpisodesAndAnotherDoesNot) {
  const auto second_start = [](uint32_t seed) {
    auto environment = *MakeFloatEnvironment("cartpole-swingup", seed, 2);
    for (int i = 0; i < 2; ++i) EXPECT_TRUE(environment->Reset().ok());
    return std::vector<float>(environment->observation().begin(), environment->observation().end());
  };
  EXPECT_EQ(second_start(3), second_start(3));
  EXPECT_NE(second_start(3), second_start(4));
}

// A uniformly random policy with every action held for two control steps collects about 50 of 1000
// on cartpole-swingup, the figure measured on the suite's own model (without holding, 25).
TEST(RegistryTest, RandomPolicyReturnIsTheKnownOne) {
  constexpr int kEpisodes = 40;
  auto environment = *MakeFloatEnvironment("cartpole-swingup", 1, 2);
  RandomState policy(2);
  double total = 0;
  for (int episode = 0; episode < kEpisodes; ++episode) {
    ASSERT_TRUE(environment->Reset().ok());
    for (bool done = false; !done;) {
      const float action = policy.Uniform(-1, 1);
      const StepResult result = *environment->Step({&action, 1});
      total += result.reward;
      done = result.done();
    }
  }
  EXPECT_GT(total / kEpisodes, 37);
  EXPECT_LT(total / kEpisodes, 65);
}

}  // namespace
}  // namespace pompc::env
