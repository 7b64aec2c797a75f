// The LibTorch engine on one CPU thread: taking in a version, and plans by batch size.
#include <memory>
#include <string>
#include <vector>

#include "benchmark/benchmark.h"
#include "common/log.h"
#include "planner/torch_engine.h"
#include "tests/planner/torch_snapshot.h"

namespace pompc::planner {
namespace {

// Sizes of cartpole-swingup; the settings of presets/quickstart.textproto for `tiny`.
proto::RunConfig Config(const std::string& size) {
  proto::RunConfig config;
  config.mutable_env()->mutable_spec()->set_observation_size(5);
  config.mutable_env()->mutable_spec()->set_action_size(1);
  config.mutable_model()->set_size(size);
  if (size == "tiny") {
    config.mutable_planner()->set_iterations(4);
    config.mutable_planner()->set_samples(128);
    config.mutable_planner()->set_policy_samples(8);
    config.mutable_planner()->set_elites(16);
  }
  return learner::PlanningSections(config, 0.98);
}

std::shared_ptr<PlanEngine> Engine() {
  (void)SetUpLogging({.level = "off"});
  return *MakeTorchEngine({.device = "cpu", .threads = 1});
}

void BM_Load(benchmark::State& state, const std::string& size) {
  const auto engine = Engine();
  const learner::ParameterSnapshot snapshot = TorchSnapshot(Config(size), {1, 1}, 1);
  // A planner always holds the version before.
  auto model = *engine->Load(snapshot);
  for (auto _ : state) model = *engine->Load(snapshot);
  state.SetBytesProcessed(state.iterations() * snapshot.data->size());
}
BENCHMARK_CAPTURE(BM_Load, tiny, "tiny")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_Load, 5M, "5M")->Unit(benchmark::kMillisecond);

void BM_PlanBatch(benchmark::State& state) {
  const auto engine = Engine();
  const auto model = *engine->Load(TorchSnapshot(Config("tiny"), {1, 1}, 1));
  std::vector<PlanItem> items(state.range(0));
  std::vector<const PlanItem*> batch;
  for (size_t i = 0; i < items.size(); ++i) {
    items[i].observation.assign(5, 0.1f * static_cast<float>(i));
    items[i].seed = i;
    batch.push_back(&items[i]);
  }
  for (auto _ : state) benchmark::DoNotOptimize(engine->PlanBatch(*model, batch));
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_PlanBatch)
    ->ArgName("requests")
    ->Arg(1)
    ->Arg(4)
    ->Arg(16)
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace pompc::planner
