// The tasks against recorded numbers of the DeepMind Control Suite: trajectories, placed states and
// seeded starts.
#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "actor/env/recording.h"
#include "tests/actor/env/available.h"
#include "tests/actor/env/reference_data.h"

namespace pompc::env {
namespace {

using ::nlohmann::json;

// The project's own data covers every task whose model is its own; any data covers these, at least.
constexpr int kOwnTasks = 29;
constexpr int kAdditionalTasks = 6;
constexpr int kAdditionalDogs = 1;
constexpr char kNewerProbes[] = "mujoco3/reward_probes.json";

json Computed(const absl::StatusOr<std::string>& text) {
  EXPECT_TRUE(text.ok()) << text.status();
  return text.ok() ? json::parse(*text) : json::object();
}

// `actual` has every number of `expected`, and no others.
void ExpectSame(const json& actual, const json& expected, double tolerance,
                const std::string& where) {
  ASSERT_EQ(actual.size(), expected.size()) << where << actual;
  for (const auto& [name, value] : expected.items()) {
    const std::string place = absl::StrCat(where, " ", name);
    ASSERT_TRUE(actual.contains(name)) << place;
    const bool is_list = actual[name].is_array();
    const auto numbers = is_list ? actual[name].get<std::vector<double>>()
                                 : std::vector<double>{actual[name].get<double>()};
    ExpectNear(numbers, value, tolerance, place);
  }
}

// Up to where a trajectory is not yet a matter of the last bits. `own_line`: it was recorded under
// MuJoCo 2 or 3, as the one that is compiled in; for this purpose 4 is of the line of 3.
int LastSureStep(const std::string& task, bool own_line) {
  const std::string domain = task.substr(0, task.find('-'));
  // The cup's string pulls otherwise from MuJoCo 3 on, before the first record after the start.
  if (!own_line && domain == "cup") return 0;
  if (!own_line && domain == "humanoid") return 40;
  if (NewerMujoco() && domain == "humanoid") return 80;
  // It begins above the ground, and falls onto a dozen points at once.
  if (NewerMujoco() && domain == "dog") return own_line ? 6 : 0;
  if (domain == "dog") return 50;
  if (domain == "walker" || domain == "humanoid" || domain == "quadruped") return 100;
  return 200;
}

// The project's own data for the tasks whose models are not.
constexpr char kLoadedTasksFolder[] = POMPC_SOURCE_DIR "/tests/data/control_suite_loaded";

int LoadedTasksHere() {
  int count = 0;
  for (const TaskDefinition& task : Tasks()) {
    if (!task.built_in() && FindAssetModel(task.asset, "").ok()) ++count;
  }
  return count;
}

class ReferenceTest : public ReferenceDataTest {
 protected:
  void SetUp() override {
    ReferenceDataTest::SetUp();
    if (GetParam() == kLoadedTasksFolder && LoadedTasksHere() == 0) {
      GTEST_SKIP() << "no models; scripts/fetch-control-suite.sh gets them";
    }
  }
  int TasksCovered() const {
    if (GetParam() == kLoadedTasksFolder) return LoadedTasksHere();
    if (GetParam() == ReferenceFolders().front()) return kOwnTasks;
    return kAdditionalTasks;
  }
};

TEST_P(ReferenceTest, TrajectoriesAgree) {
  int compared = 0;
  for (const std::string& task : AvailableTasks()) {
    if (!Has(task + ".json")) continue;
    // Of tasks that differ between the lines, the project has records of both.
    const std::string newer = "mujoco3/" + task + ".json";
    const bool has_newer = NewerMujoco() && Has(newer);
    const json expected = Load(has_newer ? newer : task + ".json");
    const int last_sure = LastSureStep(task, has_newer || !NewerMujoco());
    const json actual = Computed(TraceLike(task, expected.dump()));
    for (const char* size : {"n_sub_steps", "nq", "nv", "nu", "obs_dim"}) {
      EXPECT_EQ(actual.at(size), expected.at(size)) << task << " " << size;
    }
    ASSERT_EQ(actual["records"].size(), expected["records"].size());
    int last = 0;
    for (size_t i = 0; i < expected["records"].size(); ++i) {
      const json& record = expected["records"][i];
      const int step = record["step"];
      if (step > last_sure) break;
      ExpectSame(actual["records"][i], record, 1e-6, absl::StrCat(task, " step ", step));
      last = step;
    }
    EXPECT_GE(last, std::min(100, last_sure)) << task;
    ++compared;
  }
  EXPECT_GE(compared, TasksCovered());
}

TEST_P(ReferenceTest, PlacedStatesAgree) {
  json tasks = Load("reward_probes.json")["tasks"];
  if (NewerMujoco()) {
    // Where the ground pushes a dozen points of the dog, the lines differ.
    for (const char* task : {"dog-stand", "dog-walk", "dog-trot", "dog-run"}) tasks.erase(task);
    if (Has(kNewerProbes)) tasks.update(Load(kNewerProbes)["tasks"]);
  }
  int compared = 0;
  for (const std::string& task : AvailableTasks()) {
    if (!tasks.contains(task)) continue;
    const json actual = Computed(ProbeLike(task, json({{"tasks", tasks}}).dump()))["tasks"][task];
    ASSERT_EQ(actual.size(), tasks[task].size()) << task;
    EXPECT_GE(actual.size(), 8u) << task;
    for (size_t i = 0; i < actual.size(); ++i) {
      ExpectSame(actual[i], tasks[task][i], 1e-9, absl::StrCat(task, " probe ", i));
    }
    ++compared;
  }
  EXPECT_GE(compared, TasksCovered() - (NewerMujoco() && !Has(kNewerProbes) ? kAdditionalDogs : 0));
}

// One generator per environment, continued over its episodes.
TEST_P(ReferenceTest, SeededStartsAgree) {
  const json tasks = Load("seeded_resets.json")["tasks"];
  const std::vector<uint32_t> seeds = {0, 1, 2};
  int compared = 0;
  for (const std::string& task : AvailableTasks()) {
    if (!tasks.contains(task)) continue;
    const json actual = Computed(SeededStarts(task, seeds, 2))["tasks"][task];
    ASSERT_EQ(actual.size(), 6u) << task;
    ASSERT_EQ(tasks[task].size(), 6u) << task;
    // 200 physics steps lie before a start of the cheetah.
    const double tolerance = task.starts_with("cheetah") ? 1e-6 : 1e-9;
    for (size_t i = 0; i < actual.size(); ++i) {
      ExpectSame(actual[i], tasks[task][i], tolerance, absl::StrCat(task, " start ", i));
    }
    ++compared;
  }
  EXPECT_GE(compared, TasksCovered());
}

INSTANTIATE_TEST_SUITE_P(ControlSuite, ReferenceTest, testing::ValuesIn(ReferenceFolders()),
                         ReferenceFolderName);
INSTANTIATE_TEST_SUITE_P(LoadedTasks, ReferenceTest, testing::Values(kLoadedTasksFolder));

}  // namespace
}  // namespace pompc::env
