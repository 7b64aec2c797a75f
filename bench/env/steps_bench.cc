// Time of one control step of each task, on one thread, under actions drawn at random:
//   Episodes/TASK     as an actor has it: a step of a FloatEnvironment, and new episodes
//   Environment/TASK  the same without what starts an episode
//   Read/TASK         as little as it can be: mj_step over the same model, observation and reward
//   Physics/TASK      mj_step alone
// Tasks whose models are not here are left out. The context names MuJoCo's version.
#include <benchmark/benchmark.h>

#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "actor/env/registry.h"
#include "common/base/check.h"

namespace pompc::env {
namespace {

constexpr uint32_t kSeed = 1;
// Control steps of every episode measured, also where the task could end one earlier.
constexpr int kEpisodeSteps = 1000;

// Actions for an episode, one after the other, in [-1, 1].
std::vector<float> DrawActions(int action_size) {
  RandomState random(kSeed);
  std::vector<float> actions(static_cast<size_t>(kEpisodeSteps) * action_size);
  for (float& x : actions) x = static_cast<float>(random.Uniform(-1, 1));
  return actions;
}

void Stop(benchmark::State& state, const absl::Status& status) {
  state.SkipWithError(std::string(status.message()).c_str());
}

void StepEnvironment(benchmark::State& state, const std::string& task, bool count_resets) {
  auto environment = MakeFloatEnvironment(task, kSeed, 1);
  if (!environment.ok()) return Stop(state, environment.status());
  const size_t size = (*environment)->spec().action_size;
  const std::vector<float> actions = DrawActions(static_cast<int>(size));
  bool done = true;
  size_t next = 0;
  double rewards = 0;
  for (auto _ : state) {
    if (done || next == actions.size()) {
      if (!count_resets) state.PauseTiming();
      const absl::Status reset = (*environment)->Reset();
      if (!reset.ok()) return Stop(state, reset);
      next = 0;
      if (!count_resets) state.ResumeTiming();
    }
    const auto result = (*environment)->Step({actions.data() + next, size});
    if (!result.ok()) return Stop(state, result.status());
    next += size;
    done = result->done();
    rewards += result->reward;
  }
  benchmark::DoNotOptimize(rewards);
  state.SetItemsProcessed(state.iterations());
}

// The model and the task of an environment, without what an environment does around them.
struct Bare {
  std::unique_ptr<Physics> physics;
  std::unique_ptr<Task> task;
  int steps = 0;
};

absl::StatusOr<Bare> MakeBare(const TaskDefinition& definition) {
  std::string mjcf(definition.mjcf);
  if (!definition.built_in()) {
    POMPC_ASSIGN_OR_RETURN(mjcf, LoadAssetModel(definition.asset, ""));
  }
  Bare bare;
  POMPC_ASSIGN_OR_RETURN(bare.physics, Physics::FromXml(mjcf));
  bare.task = definition.make(*bare.physics);
  const double timestep = bare.physics->model().opt.timestep;
  bare.steps = static_cast<int>(std::lround(definition.control_seconds / timestep));
  return bare;
}

absl::Status Begin(Bare& bare, RandomState& random) {
  POMPC_RETURN_IF_ERROR(bare.physics->Reset());
  POMPC_RETURN_IF_ERROR(bare.task->Initialize(*bare.physics, random));
  return bare.physics->Forward(Actuation::kDisabled);
}

// The actions of StepEnvironment in the actuators' units.
std::vector<double> Controls(const mjModel& model) {
  const std::vector<float> actions = DrawActions(model.nu);
  std::vector<double> controls;
  for (size_t i = 0; i < actions.size(); ++i) {
    const mjtNum* range = model.actuator_ctrlrange + 2 * (i % model.nu);
    controls.push_back(range[0] + (actions[i] + 1) / 2 * (range[1] - range[0]));
  }
  return controls;
}

void StepPhysics(benchmark::State& state, const TaskDefinition& definition, bool read) {
  auto bare = MakeBare(definition);
  if (!bare.ok()) return Stop(state, bare.status());
  const mjModel* model = &bare->physics->model();
  mjData* data = &bare->physics->data();
  const std::vector<double> controls = Controls(*model);
  RandomState random(kSeed);
  std::vector<double> observation;
  size_t next = controls.size();
  double rewards = 0;
  for (auto _ : state) {
    if (next == controls.size()) {
      state.PauseTiming();
      const absl::Status begun = Begin(*bare, random);
      if (!begun.ok()) return Stop(state, begun);
      next = 0;
      state.ResumeTiming();
    }
    for (int i = 0; i < model->nu; ++i) data->ctrl[i] = controls[next++];
    for (int i = 0; i < bare->steps; ++i) mj_step(model, data);
    if (!read) continue;
    rewards += bare->task->Reward(*bare->physics);
    observation.clear();
    bare->task->Observe(*bare->physics, observation);
  }
  benchmark::DoNotOptimize(rewards);
  state.SetItemsProcessed(state.iterations());
}

void Register(const TaskDefinition& task) {
  const auto add = [&](const char* kind, auto run) {
    benchmark::RegisterBenchmark(absl::StrCat(kind, "/", task.name).c_str(), run)
        ->Unit(benchmark::kMicrosecond);
  };
  add("Episodes", [&task](benchmark::State& state) { StepEnvironment(state, task.name, true); });
  add("Environment",
      [&task](benchmark::State& state) { StepEnvironment(state, task.name, false); });
  add("Read", [&task](benchmark::State& state) { StepPhysics(state, task, true); });
  add("Physics", [&task](benchmark::State& state) { StepPhysics(state, task, false); });
}

}  // namespace
}  // namespace pompc::env

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::AddCustomContext("mujoco", mj_versionString());
  for (const pompc::env::TaskDefinition& task : pompc::env::Tasks()) {
    if (task.built_in() || pompc::env::FindAssetModel(task.asset, "").ok()) {
      pompc::env::Register(task);
    }
  }
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
