// What no task may do, whatever happens in its simulation. Tasks whose models are not here are
// skipped.
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "actor/env/registry.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pompc::env {
namespace {

using ::testing::HasSubstr;

class EveryTaskTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    for (const TaskDefinition& task : Tasks()) {
      if (task.name != GetParam() || task.built_in()) continue;
      const absl::Status found = FindAssetModel(task.asset, "");
      if (!found.ok()) GTEST_SKIP() << found.message();
    }
  }
};

// Episodes of extreme actions stay finite or end flagged.
TEST_P(EveryTaskTest, WildActionsGiveFiniteNumbers) {
  auto environment = *MakeFloatEnvironment(GetParam(), 5, 2);
  ASSERT_TRUE(environment->Reset().ok());
  std::vector<float> action(environment->spec().action_size);
  for (int decision = 0; decision < 100; ++decision) {
    for (size_t i = 0; i < action.size(); ++i) action[i] = (decision / 3 + i) % 2 == 0 ? -1 : 1;
    const StepResult result = *environment->Step(action);
    ASSERT_TRUE(std::isfinite(result.reward));
    for (const float x : environment->observation()) ASSERT_TRUE(std::isfinite(x)) << decision;
    if (result.done()) {
      ASSERT_TRUE(environment->Reset().ok());
    }
  }
}

TEST_P(EveryTaskTest, FailedSimulationIsAFlaggedTruncationAndCanBeReset) {
  for (const double broken : {std::numeric_limits<double>::quiet_NaN(), 1e11}) {
    SCOPED_TRACE(broken);
    auto simulation = *MakeSimulation(GetParam(), 1);
    Physics& physics = simulation->physics();
    FloatEnvironment environment(std::make_unique<ActionRepeat>(
        std::make_unique<TimeLimit>(std::make_unique<ActionScaling>(std::move(simulation))), 2));
    ASSERT_TRUE(environment.Reset().ok());
    physics.data().qvel[physics.model().nv - 1] = broken;
    const std::vector<float> action(environment.spec().action_size, 0.5f);
    const StepResult result = *environment.Step(action);
    EXPECT_TRUE(result.unstable && result.truncated && !result.terminated);
    EXPECT_EQ(result.reward, 0);
    EXPECT_EQ(environment.fault().code(), absl::StatusCode::kAborted);
    EXPECT_THAT(std::string(environment.fault().message()), HasSubstr("unstable simulation: "));
    for (const float x : environment.observation()) EXPECT_TRUE(std::isfinite(x));
    ASSERT_TRUE(environment.Reset().ok());
    EXPECT_FALSE(environment.Step(action)->unstable);
  }
}

INSTANTIATE_TEST_SUITE_P(Tasks, EveryTaskTest, testing::ValuesIn(ListTasks()),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace pompc::env
