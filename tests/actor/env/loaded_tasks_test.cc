// What is particular to the tasks whose models are loaded. They need the suite's models;
// scripts/test.sh gets them where it can.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "actor/env/registry.h"
#include "gtest/gtest.h"

namespace pompc::env {
namespace {

class LoadedTasksTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    for (const TaskDefinition& task : Tasks()) {
      if (task.name != GetParam()) continue;
      const absl::Status found = FindAssetModel(task.asset, "");
      if (!found.ok()) GTEST_SKIP() << found.message();
    }
  }
};

std::vector<std::string> LoadedTasks() {
  std::vector<std::string> names;
  for (const TaskDefinition& task : Tasks()) {
    if (!task.built_in()) names.push_back(task.name);
  }
  return names;
}

// Also the quadruped's, whose actuators' ranges differ.
TEST_P(LoadedTasksTest, ActionsFromMinusOneToOneSpanTheActuatorsRanges) {
  auto simulation = *MakeSimulation(GetParam(), 1);
  Physics& physics = simulation->physics();
  FloatEnvironment environment(std::make_unique<ActionScaling>(std::move(simulation)));
  ASSERT_TRUE(environment.Reset().ok());
  const int size = environment.spec().action_size;
  for (const float action : {-1.f, 0.f, 1.f}) {
    ASSERT_FALSE(environment.Step(std::vector<float>(size, action))->unstable);
    for (int i = 0; i < size; ++i) {
      const mjtNum* range = physics.model().actuator_ctrlrange + 2 * i;
      EXPECT_NEAR(physics.ctrl()[i], range[0] + (action + 1) / 2 * (range[1] - range[0]), 1e-15);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Tasks, LoadedTasksTest, testing::ValuesIn(LoadedTasks()),
                         [](const auto& info) {
                           std::string name = info.param;
                           name[name.find('-')] = '_';
                           return name;
                         });

TEST(QuadrupedTest, ActionRangesAreTheSuites) {
  auto simulation = MakeSimulation("quadruped-walk", 1);
  if (!simulation.ok()) GTEST_SKIP() << simulation.status().message();
  const EnvironmentSpec& spec = (*simulation)->spec();
  // Yaw, lift and extend of each leg.
  for (int leg = 0; leg < 4; ++leg) {
    EXPECT_EQ(std::vector(&spec.action_low[3 * leg], &spec.action_low[3 * leg] + 3),
              (std::vector<double>{-1, -1, -0.8}));
    EXPECT_EQ(std::vector(&spec.action_high[3 * leg], &spec.action_high[3 * leg] + 3),
              (std::vector<double>{1, 1.1, 0.8}));
  }
}

}  // namespace
}  // namespace pompc::env
