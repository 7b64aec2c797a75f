#include "model/planning/device_planner.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"
#include "model/planning/pass.h"

namespace pompc::model {
namespace {

// Runs of a program that CudaRecorder needs before it replays: two to warm up, one to record.
constexpr int kRunsToRecord = 3;

int64_t FilledUp(int64_t batch) {
  int64_t size = 1;
  while (size < batch) size *= 2;
  return size;
}

// `inputs` and, behind them, states to be planned for nobody.
PassInputs FillUp(const PassInputs& inputs, int64_t size) {
  const int64_t missing = size - inputs.size();
  if (missing == 0) return inputs;
  const auto fill = [](const at::Tensor& x, int64_t dim, int64_t count) {
    std::vector<int64_t> shape = x.sizes().vec();
    shape[static_cast<size_t>(dim)] = count;
    return at::cat({x, at::zeros(shape, x.options())}, dim);
  };
  return {fill(inputs.observations, 0, missing), fill(inputs.guess, 0, missing),
          fill(inputs.explore, 0, missing), fill(inputs.seeds, 0, missing),
          fill(inputs.members, 1, 2 * missing)};
}

}  // namespace

DevicePlanner::DevicePlanner(const proto::RunConfig& config, const WorldModel& like,
                             std::function<std::unique_ptr<Recorder>()> make_recorder)
    : config_(config), make_recorder_(std::move(make_recorder)), model_(like.Clone()) {}

Plans DevicePlanner::Plan(const WorldModel& model, const PlanInputs& inputs) {
  POMPC_CHECK_EQ(inputs.states_per_pass, 0, "one pass takes all states");
  at::NoGradGuard no_grad;
  const int64_t batch = inputs.observations.size(0);
  Plans plans = EmptyPlans(config_, batch);
  if (batch == 0) return plans;
  const int64_t size = FilledUp(batch);
  const PassInputs filled = FillUp(MakePassInputs(model, config_, inputs), size);

  MutexLock lock(&mu_);
  POMPC_CHECK(model.flat().sizes() == model_.flat().sizes() && model.device() == model_.device(),
              "a model of the layout and on the device that this planner is for");
  const absl::Duration start = inputs.clock->Now();
  Bucket& bucket = BucketFor(size);
  const int iterations = AffordableIterations(bucket, EarliestEnd(inputs, 0, batch), start);
  proto::RunConfig config = config_;
  config.mutable_planner()->set_iterations(static_cast<uint32_t>(iterations));
  // Queued before the operations that read them.
  model_.flat().copy_(model.flat(), /*non_blocking=*/true);
  const PassInputs loaded = PassInputs::FromTensors(bucket.recorder->Load(filled.Tensors()));
  const at::Tensor packed =
      bucket.recorder->Run(iterations, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
        return PlanPass(model_, config, loaded, absl::InfiniteDuration(), inputs.clock, nullptr);
      });
  Unpack(bucket.recorder->Retrieve(packed)().narrow(0, 0, batch), 0, plans);
  std::fill(plans.iterations.begin(), plans.iterations.end(), iterations);

  // What recording takes says nothing about what replaying takes.
  if (++bucket.runs[iterations] <= kRunsToRecord) return plans;
  const absl::Duration each = (inputs.clock->Now() - start) / iterations;
  bucket.iteration =
      bucket.iteration == absl::ZeroDuration() ? each : bucket.iteration * 0.75 + each * 0.25;
  return plans;
}

void DevicePlanner::WarmUp(const WorldModel& model, int64_t max_batch) {
  const proto::EnvSpec& spec = model.config().env().spec();
  for (int64_t size = 1; size < 2 * max_batch; size *= 2) {
    PlanInputs inputs;
    inputs.observations = at::zeros({std::min(size, max_batch), spec.observation_size()});
    inputs.seeds.assign(static_cast<size_t>(inputs.observations.size(0)), 0);
    // One more than record: what replaying takes is then known.
    for (int i = 0; i <= kRunsToRecord; ++i) Plan(model, inputs);
  }
}

int64_t DevicePlanner::replays() const {
  MutexLock lock(&mu_);
  int64_t replays = 0;
  for (const auto& [size, bucket] : buckets_) replays += bucket.recorder->replays();
  return replays;
}

DevicePlanner::Bucket& DevicePlanner::BucketFor(int64_t size) {
  Bucket& bucket = buckets_[size];
  if (bucket.recorder == nullptr) bucket.recorder = make_recorder_();
  return bucket;
}

int DevicePlanner::AffordableIterations(const Bucket& bucket, absl::Duration finish_by,
                                        absl::Duration now) const {
  const int all = static_cast<int>(config_.planner().iterations());
  if (finish_by == absl::InfiniteDuration() || bucket.iteration == absl::ZeroDuration()) return all;
  const double affordable = absl::FDivDuration(finish_by - now, bucket.iteration);
  return static_cast<int>(std::clamp(affordable, 1.0, static_cast<double>(all)));
}

}  // namespace pompc::model
