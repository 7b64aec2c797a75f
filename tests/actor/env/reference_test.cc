// The tasks against recorded numbers of the DeepMind Control Suite: trajectories, placed states and
// seeded starts.
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "actor/env/registry.h"
#include "tests/actor/env/reference_data.h"

namespace pompc::env {
namespace {

using ::nlohmann::json;

// The project's own data covers every task whose model is its own; any data covers these, at least.
constexpr int kOwnTasks = 18;
constexpr int kAdditionalTasks = 6;

std::unique_ptr<Simulation> Make(const std::string& task, uint32_t seed = 0) {
  auto simulation = MakeSimulation(task, seed);
  EXPECT_TRUE(simulation.ok()) << simulation.status();
  return *std::move(simulation);
}

PlacedState ReadState(const json& record) {
  const auto field = [&record](const char* name) {
    return record.contains(name) ? record[name].get<std::vector<double>>() : std::vector<double>();
  };
  return {.qpos = field("qpos"),
          .qvel = field("qvel"),
          .act = field("act"),
          .ctrl = field("ctrl"),
          .target = field("target_pos")};
}

// a_t[i] = sin(omega t + phase_per_dim i), mapped onto the actuators' ranges.
std::vector<double> SineAction(const json& rule, int t, const EnvironmentSpec& spec) {
  std::vector<double> action(spec.action_size);
  for (int i = 0; i < spec.action_size; ++i) {
    const double a =
        std::sin(rule["omega"].get<double>() * t + rule["phase_per_dim"].get<double>() * i);
    action[i] = spec.action_low[i] + (a + 1) * (spec.action_high[i] - spec.action_low[i]) / 2;
  }
  return action;
}

void ExpectState(Simulation& simulation, const json& expected, double tolerance,
                 const std::string& where) {
  const mjModel& model = simulation.physics().model();
  const mjData& data = simulation.physics().data();
  ExpectNear(std::span(data.qpos, model.nq), expected["qpos"], tolerance, where + " qpos");
  ExpectNear(std::span(data.qvel, model.nv), expected["qvel"], tolerance, where + " qvel");
  ExpectNear(simulation.observation(), expected["obs"], tolerance, where + " obs");
  if (expected.contains("target_pos")) {
    ExpectNear(simulation.target(), expected["target_pos"], tolerance, where + " target");
  }
}

void ExpectTrajectory(const json& trajectory) {
  const std::string task = trajectory["task"];
  const auto simulation = Make(task);
  EXPECT_EQ(simulation->spec().observation_size, trajectory["obs_dim"].get<int>());
  EXPECT_EQ(simulation->spec().action_size, trajectory["nu"].get<int>());
  const json& records = trajectory["records"];
  ASSERT_TRUE(simulation->Place(ReadState(records[0]), Actuation::kDisabled).ok());
  ExpectNear(simulation->reward(), records[0]["reward"], 1e-9, task + " first reward");

  double total = 0;
  int t = 0;
  for (const json& record : records) {
    const std::string where = absl::StrCat(task, " step ", record["step"].get<int>());
    for (; t < record["step"].get<int>(); ++t) {
      const auto action = SineAction(trajectory["action_rule"], t, simulation->spec());
      const auto result = simulation->Step(action);
      ASSERT_TRUE(result.ok() && !result->done()) << where << simulation->fault();
      total += result->reward;
    }
    ExpectState(*simulation, record, 1e-6, where);
    ExpectNear(simulation->physics().data().time, record["time"], 1e-9, where + " time");
    ExpectNear(simulation->reward(), record["reward"], 1e-6, where + " reward");
    ExpectNear(total, record["return"], 1e-6, where + " return");
    EXPECT_EQ(simulation->physics().data().ncon, record["ncon"].get<int>()) << where;
  }
  EXPECT_GE(t, 100) << task;
}

class ReferenceTest : public ReferenceDataTest {
 protected:
  int TasksCovered() const {
    return GetParam() == ReferenceFolders().front() ? kOwnTasks : kAdditionalTasks;
  }
};

TEST_P(ReferenceTest, TrajectoriesAgree) {
  int compared = 0;
  for (const std::string& task : ListTasks()) {
    if (!Has(task + ".json")) continue;
    ExpectTrajectory(Load(task + ".json"));
    ++compared;
  }
  EXPECT_GE(compared, TasksCovered());
}

TEST_P(ReferenceTest, PlacedStatesAgree) {
  const json tasks = Load("reward_probes.json")["tasks"];
  int compared = 0;
  for (const std::string& task : ListTasks()) {
    if (!tasks.contains(task)) continue;
    const auto simulation = Make(task);
    for (size_t i = 0; i < tasks[task].size(); ++i) {
      const json& probe = tasks[task][i];
      const std::string where = absl::StrCat(task, " probe ", i);
      ASSERT_TRUE(simulation->Place(ReadState(probe), Actuation::kEnabled).ok()) << where;
      ExpectNear(simulation->observation(), probe["obs"], 1e-9, where + " obs");
      ExpectNear(simulation->reward(), probe["reward"], 1e-9, where + " reward");
    }
    EXPECT_GE(tasks[task].size(), 8u) << task;
    ++compared;
  }
  EXPECT_GE(compared, TasksCovered());
}

// One generator per environment, continued over its episodes.
TEST_P(ReferenceTest, SeededStartsAgree) {
  const json tasks = Load("seeded_resets.json")["tasks"];
  int compared = 0;
  for (const std::string& task : ListTasks()) {
    if (!tasks.contains(task)) continue;
    std::unique_ptr<Simulation> simulation;
    for (const json& start : tasks[task]) {
      const uint32_t seed = start["seed"];
      if (start["episode"] == 0) simulation = Make(task, seed);
      ASSERT_TRUE(simulation->Reset().ok());
      ExpectState(*simulation, start, 1e-9,
                  absl::StrCat(task, " seed ", seed, " episode ", start["episode"].get<int>()));
    }
    EXPECT_EQ(tasks[task].size(), 6u) << task;
    ++compared;
  }
  EXPECT_GE(compared, TasksCovered());
}

INSTANTIATE_TEST_SUITE_P(ControlSuite, ReferenceTest, testing::ValuesIn(ReferenceFolders()),
                         ReferenceFolderName);

}  // namespace
}  // namespace pompc::env
