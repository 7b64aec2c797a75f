// Time of one PO-MPC update, on one thread.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <utility>

#include "learner/update/updater.h"
#include "model/device.h"
#include "model/random.h"

namespace pompc::update {
namespace {

at::Tensor Draw(uint64_t seed, at::IntArrayRef shape) {
  return model::Normal({seed}, {0, 0}, shape, at::kCPU)[0];
}

void BM_Update(benchmark::State& state, const char* size, double alpha, TargetHorizon horizon) {
  model::SetComputeThreads(1);
  model::KeepFreedMemory();
  model::ModelConfig model_config = *model::ModelSize(size);
  model_config.observation_size = 5;
  model_config.action_size = 1;
  UpdateConfig config;
  config.alpha = alpha;
  config.target_horizon = horizon;
  const std::unique_ptr<Updater> updater = *Updater::Create(model_config, config, at::kCPU, 1);
  const int64_t b = state.range(0);
  Batch batch;
  batch.observations = Draw(1, {b, 4, 5});
  batch.actions = Draw(2, {b, 3, 1}).clamp(-1, 1);
  batch.rewards = Draw(3, {b, 3});
  batch.terminated = at::zeros({b, 3});
  batch.plan_mean = Draw(4, {b, 4, 1}).clamp(-1, 1);
  batch.plan_std = at::full({b, 4, 1}, 0.3);
  batch.has_plan = at::ones({b, 4});
  for (auto _ : state) {
    const auto metrics = updater->Step(batch, false);
    if (!metrics.ok()) state.SkipWithError(std::string(metrics.status().message()).c_str());
  }
}

constexpr TargetHorizon kEnd = TargetHorizon::kWindowEnd;
constexpr TargetHorizon kOne = TargetHorizon::kOneStep;
BENCHMARK_CAPTURE(BM_Update, tiny, "tiny", 0.5, kEnd)->Arg(128)->MeasureProcessCPUTime();
BENCHMARK_CAPTURE(BM_Update, tiny_one_step, "tiny", 0.5, kOne)->Arg(128)->MeasureProcessCPUTime();
BENCHMARK_CAPTURE(BM_Update, tiny_imitation, "tiny", 1, kEnd)->Arg(128)->MeasureProcessCPUTime();
BENCHMARK_CAPTURE(BM_Update, small, "small", 0.5, kEnd)->Arg(256)->MeasureProcessCPUTime();
BENCHMARK_CAPTURE(BM_Update, 5M, "5M", 0.5, kOne)->Arg(256)->MeasureProcessCPUTime();

}  // namespace
}  // namespace pompc::update

BENCHMARK_MAIN();
