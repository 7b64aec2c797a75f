// Time of one call of PlanMppi for a batch of states, on one thread.
#include <benchmark/benchmark.h>

#include <string>

#include "model/device.h"
#include "model/mppi.h"
#include "model/random.h"

namespace pompc::model {
namespace {

struct Setting {
  const char* size;
  int samples, iterations, policy_samples, elites;
};

void BM_Plan(benchmark::State& state, Setting setting) {
  SetComputeThreads(1);
  KeepFreedMemory();
  ModelConfig config = *ModelSize(setting.size);
  config.observation_size = 5;
  config.action_size = 1;
  const WorldModel model = *WorldModel::Create(config, at::kCPU, 1);
  MppiConfig mppi;
  mppi.samples = setting.samples;
  mppi.iterations = setting.iterations;
  mppi.policy_samples = setting.policy_samples;
  mppi.elites = setting.elites;
  const int64_t batch = state.range(0);
  PlanInputs inputs;
  for (int64_t b = 0; b < batch; ++b) inputs.seeds.push_back(static_cast<uint64_t>(b));
  inputs.observations = Normal(inputs.seeds, {0, 0}, {config.observation_size}, at::kCPU);
  for (auto _ : state)
    benchmark::DoNotOptimize(PlanMppi(model, mppi, inputs).actions.data_ptr<float>());
  state.counters["ms_per_plan"] = benchmark::Counter(
      static_cast<double>(batch) * 1e-3,
      benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

BENCHMARK_CAPTURE(BM_Plan, tiny, Setting{"tiny", 128, 4, 8, 16})
    ->Arg(1)
    ->Arg(2)
    ->Arg(4)
    ->MeasureProcessCPUTime();
BENCHMARK_CAPTURE(BM_Plan, small, Setting{"small", 256, 6, 12, 32})
    ->Arg(1)
    ->MeasureProcessCPUTime();
BENCHMARK_CAPTURE(BM_Plan, 5M, Setting{"5M", 512, 6, 24, 64})->Arg(1)->MeasureProcessCPUTime();

}  // namespace
}  // namespace pompc::model

BENCHMARK_MAIN();
