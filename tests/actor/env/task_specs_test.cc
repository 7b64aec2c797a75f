#include "common/config/task_specs.h"

#include <algorithm>
#include <string>
#include <vector>

#include "actor/env/registry.h"
#include "gtest/gtest.h"
#include "tests/actor/env/available.h"

namespace pompc::env {
namespace {

TEST(TaskSpecsTest, TableListsTheTasksOfTheRegistryInOrder) {
  std::vector<std::string> names;
  for (const config::TaskSpec& spec : config::TaskSpecs()) names.push_back(spec.task);
  EXPECT_EQ(names, ListTasks());
}

TEST(TaskSpecsTest, TableSaysWhatTheEnvironmentsSay) {
  const std::vector<std::string> available = AvailableTasks();
  for (const config::TaskSpec& entry : config::TaskSpecs()) {
    if (std::find(available.begin(), available.end(), entry.task) == available.end()) continue;
    for (int action_repeat : {1, 2, 3}) {
      SCOPED_TRACE(testing::Message() << entry.task << ", action repeat " << action_repeat);
      const auto environment = MakeFloatEnvironment(entry.task, 1, action_repeat);
      ASSERT_TRUE(environment.ok()) << environment.status();
      const EnvironmentSpec& real = (*environment)->spec();
      const auto spec = config::MakeEnvSpec(entry.task, action_repeat);
      ASSERT_TRUE(spec.ok());
      EXPECT_EQ(static_cast<int>(spec->observation_size()), real.observation_size);
      EXPECT_EQ(static_cast<int>(spec->action_size()), real.action_size);
      EXPECT_EQ(static_cast<int>(spec->episode_decisions()), real.episode_steps);
      EXPECT_EQ(spec->terminates(), real.terminates);
    }
  }
}

}  // namespace
}  // namespace pompc::env
