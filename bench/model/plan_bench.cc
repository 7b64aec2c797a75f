// Time of planning a batch of states: on a CPU with a Planner on one thread, elsewhere with a
// DevicePlanner.
//   plan_bench [--device cpu|cuda|cuda:N] [flags of the benchmark library]
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "bench/device_flag.h"
#include "bench/sized_config.h"
#include "common/process/freed_memory.h"
#include "model/device.h"
#include "model/planning/device_planner.h"
#include "model/planning/plan.h"
#include "model/random.h"

namespace pompc::model {
namespace {

at::Device device = at::kCPU;

struct Setting {
  const char* size;
  int samples, iterations, policy_samples, elites;
  proto::ModelConfig::MatmulDtype matmul_dtype = proto::ModelConfig::FLOAT32;
};

void BM_Plan(benchmark::State& state, Setting setting) {
  SetComputeThreads(1);
  SetBlasThreads(1);
  KeepFreedMemory();
  proto::RunConfig config = bench::SizedConfig(setting.size);
  config.mutable_model()->set_matmul_dtype(setting.matmul_dtype);
  proto::PlannerConfig& planner = *config.mutable_planner();
  planner.set_samples(setting.samples);
  planner.set_iterations(setting.iterations);
  planner.set_policy_samples(setting.policy_samples);
  planner.set_elites(setting.elites);
  const WorldModel model = WorldModel::Create(config, device, 1);
  const int64_t batch = state.range(0);
  PlanInputs inputs;
  for (int64_t b = 0; b < batch; ++b) inputs.seeds.push_back(static_cast<uint64_t>(b));
  inputs.observations =
      Normal(inputs.seeds, {0, 0}, {config.env().spec().observation_size()}, at::kCPU);
  DevicePlanner on_device(config, model, [] { return MakeRecorder(device, /*records=*/true); });
  if (!device.is_cpu()) on_device.WarmUp(model, batch);
  const Planner on_cpu(model, config);
  for (auto _ : state) {
    const Plans plans = device.is_cpu() ? on_cpu.Plan(inputs) : on_device.Plan(model, inputs);
    benchmark::DoNotOptimize(plans.actions.data_ptr<float>());
  }
  state.counters["ms_per_plan"] = benchmark::Counter(
      static_cast<double>(batch) * 1e-3,
      benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

// A CPU plans states one after the other, other devices all at once.
void Register() {
  const auto add = [](const std::string& name, Setting setting, std::vector<int64_t> cpu_batches) {
    const std::vector<int64_t> others = {1, 16, 64};
    for (const auto dtype : {proto::ModelConfig::FLOAT32, proto::ModelConfig::BFLOAT16}) {
      setting.matmul_dtype = dtype;
      const std::string suffix = dtype == proto::ModelConfig::BFLOAT16 ? "_bfloat16" : "";
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
