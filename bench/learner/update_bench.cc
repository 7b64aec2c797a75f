// Time of one PO-MPC update: on a CPU with one thread, with the project's kernels, and with ATen's
// operations alone (eager); on CUDA replayed from a graph, and launched one by one (eager).
//   update_bench [--device cpu|cuda|cuda:N] [flags of the benchmark library]
#include <benchmark/benchmark.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "bench/device_flag.h"
#include "bench/sized_config.h"
#include "common/process/freed_memory.h"
#include "learner/update/updater.h"
#include "model/device.h"
#include "model/ops.h"
#include "model/random.h"

namespace pompc::update {
namespace {

using proto::PoMpcConfig;

at::Device device = at::kCPU;

at::Tensor Draw(uint64_t seed, at::IntArrayRef shape) {
  return model::Normal({seed}, {0, 0}, shape, at::kCPU)[0];
}

struct Setting {
  const char* size;
  double alpha = 0.5;
  PoMpcConfig::TargetHorizon horizon = PoMpcConfig::ONE_STEP;
  bool eager = false;
  proto::ModelConfig::MatmulDtype matmul_dtype = proto::ModelConfig::FLOAT32;
};

std::unique_ptr<Updater> MakeUpdater(const Setting& setting) {
  model::SetComputeThreads(1);
  model::SetBlasThreads(1);
  KeepFreedMemory();
  proto::RunConfig config = bench::SizedConfig(setting.size);
  config.mutable_model()->set_matmul_dtype(setting.matmul_dtype);
  config.mutable_po_mpc()->set_alpha(setting.alpha);
  config.mutable_po_mpc()->set_target_horizon(setting.horizon);
  return Updater::Create(config, device, 1);
}

// Looking at the whole state and copying it.
void BM_Keep(benchmark::State& state, Setting setting) {
  const std::unique_ptr<Updater> updater = MakeUpdater(setting);
  for (auto _ : state) {
    if (!updater->Keep().ok()) state.SkipWithError("the state is not finite");
  }
  int64_t bytes = 0;
  for (const model::NamedTensor& named : updater->Export().tensors) {
    bytes += static_cast<int64_t>(named.tensor.nbytes());
  }
  state.counters["bytes"] = static_cast<double>(bytes);
}

void BM_Update(benchmark::State& state, Setting setting) {
  const std::unique_ptr<Updater> updater = MakeUpdater(setting);
  const int64_t b = state.range(0);
  Batch batch;
  batch.observations = Draw(1, {b, 4, 5});
  batch.actions = Draw(2, {b, 3, 1}).clamp(-1, 1);
  batch.rewards = Draw(3, {b, 3});
  batch.terminated = at::zeros({b, 3});
  batch.plan_mean = Draw(4, {b, 4, 1}).clamp(-1, 1);
  batch.plan_std = at::full({b, 4, 1}, 0.3);
  batch.has_plan = at::ones({b, 4});
  std::optional<model::ReferenceScope> scope;
  if (setting.eager) scope.emplace();
  const model::Recorder* recorder = nullptr;
  if (device.is_cuda()) {
    std::unique_ptr<model::Recorder> own = model::MakeRecorder(device, /*records=*/!setting.eager);
    recorder = own.get();
    updater->SetRecorder(std::move(own));
  }
  const auto update = [&] {
    const auto metrics = updater->Step(batch, false);
    if (!metrics.ok()) state.SkipWithError(std::string(metrics.status().message()).c_str());
  };
  const auto wait = [&] { benchmark::DoNotOptimize(updater->model().flat()[0].item<float>()); };
  // What is not repeated: loading kernels, recording.
  for (int i = 0; device.is_cuda() && i < 10; ++i) update();
  wait();
  // The host runs ahead of other devices, up to the wait.
  const int64_t updates = device.is_cpu() ? 1 : 100;
  while (state.KeepRunningBatch(updates)) {
    for (int64_t i = 0; i < updates; ++i) update();
    wait();
  }
  if (recorder != nullptr) state.counters["replays"] = static_cast<double>(recorder->replays());
}

constexpr Setting kTiny{.size = "tiny"};
constexpr Setting kTinyBfloat16{.size = "tiny", .matmul_dtype = proto::ModelConfig::BFLOAT16};
constexpr Setting kTinyEager{.size = "tiny", .eager = true};
constexpr Setting kTinyWindowEnd{.size = "tiny", .horizon = PoMpcConfig::WINDOW_END};
constexpr Setting kTinyImitation{.size = "tiny", .alpha = 1, .horizon = PoMpcConfig::WINDOW_END};
constexpr Setting kSmall{.size = "small"};
constexpr Setting kSmallBfloat16{.size = "small", .matmul_dtype = proto::ModelConfig::BFLOAT16};
constexpr Setting k5M{.size = "5M"};
constexpr Setting k5MBfloat16{.size = "5M", .matmul_dtype = proto::ModelConfig::BFLOAT16};
constexpr Setting k5MEager{.size = "5M", .eager = true};

void Timed(benchmark::internal::Benchmark* bench) {
  bench->Unit(benchmark::kMillisecond)->MeasureProcessCPUTime()->UseRealTime();
}
BENCHMARK_CAPTURE(BM_Keep, tiny, kTiny)->Apply(Timed);
BENCHMARK_CAPTURE(BM_Keep, 5M, k5M)->Apply(Timed);
BENCHMARK_CAPTURE(BM_Update, tiny, kTiny)->Arg(128)->Apply(Timed);
BENCHMARK_CAPTURE(BM_Update, tiny_bfloat16, kTinyBfloat16)->Arg(128)->Apply(Timed);
BENCHMARK_CAPTURE(BM_Update, tiny_eager, kTinyEager)->Arg(128)->Apply(Timed);
BENCHMARK_CAPTURE(BM_Update, tiny_window_end, kTinyWindowEnd)->Arg(128)->Apply(Timed);
BENCHMARK_CAPTURE(BM_Update, tiny_imitation, kTinyImitation)->Arg(128)->Apply(Timed);
BENCHMARK_CAPTURE(BM_Update, small, kSmall)->Arg(256)->Apply(Timed);
BENCHMARK_CAPTURE(BM_Update, small_bfloat16, kSmallBfloat16)->Arg(256)->Apply(Timed);
BENCHMARK_CAPTURE(BM_Update, 5M, k5M)->Arg(256)->Apply(Timed);
BENCHMARK_CAPTURE(BM_Update, 5M_bfloat16, k5MBfloat16)->Arg(256)->Apply(Timed);
BENCHMARK_CAPTURE(BM_Update, 5M_eager, k5MEager)->Arg(256)->Apply(Timed);

}  // namespace
}  // namespace pompc::update

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (!pompc::bench::ParseDeviceFlag(argc, argv, &pompc::update::device)) return 1;
  benchmark::RunSpecifiedBenchmarks();
}
