// Time of one call of PlanMppi for a batch of states; on a CPU with one thread.
//   plan_bench [--device cpu|cuda|cuda:N] [flags of the benchmark library]
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "bench/device_flag.h"
#include "common/process/freed_memory.h"
#include "model/device.h"
#include "model/mppi.h"
#include "model/random.h"

namespace pompc::model {
namespace {

at::Device device = at::kCPU;

struct Setting {
  const char* size;
  int samples, iterations, policy_samples, elites;
  MatmulDtype matmul_dtype = MatmulDtype::kFloat32;
};

void BM_Plan(benchmark::State& state, Setting setting) {
  SetComputeThreads(1);
  SetBlasThreads(1);
  KeepFreedMemory();
  ModelConfig config = *ModelSize(setting.size);
  config.observation_size = 5;
  config.action_size = 1;
  config.matmul_dtype = setting.matmul_dtype;
  const WorldModel model = *WorldModel::Create(config, device, 1);
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

// A CPU plans states one after the other, other devices all at once.
void Register() {
  const auto add = [](const std::string& name, Setting setting, std::vector<int64_t> cpu_batches) {
    const std::vector<int64_t> others = {1, 16, 64};
    for (const auto dtype : {MatmulDtype::kFloat32, MatmulDtype::kBfloat16}) {
      setting.matmul_dtype = dtype;
      const std::string suffix = dtype == MatmulDtype::kBfloat16 ? "_bfloat16" : "";
      auto* bench = benchmark::RegisterBenchmark((name + suffix).c_str(), BM_Plan, setting);
      bench->MeasureProcessCPUTime()->UseRealTime();
      for (const int64_t batch : device.is_cpu() ? cpu_batches : others) bench->Arg(batch);
    }
  };
  add("BM_Plan/tiny", {"tiny", 128, 4, 8, 16}, {1, 2, 4});
  add("BM_Plan/small", {"small", 256, 6, 12, 32}, {1});
  add("BM_Plan/5M", {"5M", 512, 6, 24, 64}, {1});
}

}  // namespace
}  // namespace pompc::model

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (!pompc::bench::ParseDeviceFlag(argc, argv, &pompc::model::device)) return 1;
  pompc::model::Register();
  benchmark::RunSpecifiedBenchmarks();
}
