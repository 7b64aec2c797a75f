// The LibTorch engine on one CPU thread: taking in a version, plans by batch size, and what
// parameters published as bfloat16 do to plans.
#include <cmath>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "bench/planner/planner_config.h"
#include "benchmark/benchmark.h"
#include "common/process/log.h"
#include "planner/torch_engine.h"
#include "tests/planner/torch_snapshot.h"

namespace pompc::planner {
namespace {

std::shared_ptr<PlanEngine> Engine() {
  (void)SetUpLogging({.level = "off"});
  return *MakeTorchEngine({.device = "cpu", .threads = 1});
}

void BM_Load(benchmark::State& state, const std::string& size) {
  const auto engine = Engine();
  const parameters::ParameterSnapshot snapshot = TorchSnapshot(PlannerConfig(size), {1, 1}, 1);
  // A planner always holds the version before.
  auto model = *engine->Load(snapshot);
  for (auto _ : state) model = *engine->Load(snapshot);
  state.SetBytesProcessed(state.iterations() * snapshot.data->size());
}
BENCHMARK_CAPTURE(BM_Load, tiny, "tiny")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_Load, 5M, "5M")->Unit(benchmark::kMillisecond);

void BM_PlanBatch(benchmark::State& state) {
  const auto engine = Engine();
  const auto model = *engine->Load(TorchSnapshot(PlannerConfig("tiny"), {1, 1}, 1));
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

struct Difference {
  double action = 0;
  double value = 0;
};

// Mean absolute differences of the plans that two models make of the same items, the second with
// each seed `shift` higher.
Difference Compare(PlanEngine& engine, const PlannerModel& one, const PlannerModel& two,
                   uint64_t shift) {
  constexpr int kItems = 256;
  std::mt19937_64 random(1);
  std::normal_distribution<float> normal;
  Difference sum;
  for (int i = 0; i < kItems; ++i) {
    PlanItem item;
    for (int k = 0; k < one.spec().observation_size; ++k) {
      item.observation.push_back(normal(random));
    }
    item.seed = i;
    item.evaluate = true;
    const Plan a = (*engine.PlanBatch(one, {&item}))[0];
    item.seed += shift;
    const Plan b = (*engine.PlanBatch(two, {&item}))[0];
    sum.action += std::abs(a.action[0] - b.action[0]) / kItems;
    sum.value += std::abs(a.plan_value - b.plan_value) / kItems;
  }
  return sum;
}

// Float32 parameters against the same as bfloat16, for the same observations and noise; and, for
// comparison, against themselves with other noise.
void BM_Bfloat16(benchmark::State& state, const std::string& size) {
  const auto engine = Engine();
  const proto::RunConfig config = PlannerConfig(size);
  const model::NamedTensors parameters = TorchParameters(config, 1);
  const auto exact = *engine->Load(SnapshotOf(config, {1, 1}, parameters));
  const auto rounded = *engine->Load(
      SnapshotOf(config, {1, 2}, model::Convert(parameters, at::kFloat, at::kBFloat16)));
  Difference rounding, noise;
  for (auto _ : state) {
    rounding = Compare(*engine, *exact, *rounded, 0);
    noise = Compare(*engine, *exact, *exact, 1000);
  }
  state.counters["action"] = rounding.action;
  state.counters["value"] = rounding.value;
  state.counters["action_noise"] = noise.action;
  state.counters["value_noise"] = noise.value;
}
BENCHMARK_CAPTURE(BM_Bfloat16, tiny, "tiny")->Iterations(1)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace pompc::planner
