#include "planner/torch_engine.h"

#include <algorithm>
#include <cstddef>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/occasionally.h"
#include "common/base/threads.h"
#include "common/config/fields.h"
#include "common/config/run_config.h"
#include "common/process/freed_memory.h"
#include "common/process/log.h"
#include "common/process/program.h"
#include "model/device.h"
#include "model/parameters.h"
#include "model/planning/device_planner.h"
#include "model/planning/plan.h"
#include "model/torch_compat.h"
#include "model/world_model.h"

namespace pompc::planner {
namespace {

// A published version on the device.
class TorchModel final : public PlannerModel {
 public:
  TorchModel(ParameterVersion version, std::string run_id, const PlanSpec& spec,
             model::WorldModel world, proto::RunConfig config,
             std::shared_ptr<model::DevicePlanner> device_planner, bool policy_alone)
      : PlannerModel(version, std::move(run_id), spec),
        config(std::move(config)),
        device_planner(std::move(device_planner)) {
    if (!policy_alone && this->device_planner == nullptr) {
      planner.emplace(std::move(world), this->config);
    } else {
      this->world.emplace(std::move(world));
    }
  }

  model::Plans Plan(const model::PlanInputs& inputs) const {
    if (planner.has_value()) return planner->Plan(inputs);
    if (device_planner != nullptr) return device_planner->Plan(*world, inputs);
    return model::ActByPolicy(*world, config, inputs);
  }

  const proto::RunConfig config;
  // Nothing where `planner` has the parameters.
  std::optional<const model::WorldModel> world;
  // Plans with all versions of the run, on other devices than a CPU; null on a CPU.
  const std::shared_ptr<model::DevicePlanner> device_planner;
  // Plans with this version on a CPU. Without either the policy acts alone.
  std::optional<const model::Planner> planner;
};

// LibTorch reports by exception, out of device memory for example; they end here.
template <typename Function>
std::invoke_result_t<Function> CatchTorchErrors(Function function) {
  try {
    return function();
  } catch (const std::exception& error) {
    return absl::InternalError(absl::StrCat("LibTorch: ", error.what()));
  }
}

std::vector<model::TensorEntry> Table(const proto::ParametersDescription& description) {
  std::vector<model::TensorEntry> table;
  for (const proto::TensorDescription& tensor : description.tensors()) {
    table.push_back({tensor.name(),
                     tensor.dtype(),
                     {tensor.shape().begin(), tensor.shape().end()},
                     tensor.offset(),
                     tensor.bytes()});
  }
  return table;
}

PlanSpec MakeSpec(const proto::RunConfig& config) {
  PlanSpec spec;
  spec.observation_size = static_cast<int>(config.env().spec().observation_size());
  spec.action_size = static_cast<int>(config.env().spec().action_size());
  spec.horizon = static_cast<int>(config.planner().horizon());
  spec.max_batch = static_cast<int>(config.planner().max_batch());
  spec.max_queue = static_cast<int>(config.planner().max_queue());
  spec.iterations = static_cast<int>(config.planner().iterations());
  if (const double budget_ms = config.planner().budget_ms(); budget_ms > 0) {
    spec.budget = absl::Milliseconds(budget_ms);
  }
  return spec;
}

// True if models of both configs have the same layout and compute the same.
bool SameModel(const proto::RunConfig& a, const proto::RunConfig& b) {
  return config::Differences(a.model(), b.model(), "").empty() &&
         config::Differences(a.env().spec(), b.env().spec(), "").empty();
}

// Copies the requests of a batch into tensors. Items without a warm start have zeros there, which
// has_warm_start tells the search to ignore.
model::PlanInputs MakeInputs(absl::Span<const PlanItem* const> items, const PlanSpec& spec) {
  const auto batch = static_cast<int64_t>(items.size());
  model::PlanInputs inputs;
  inputs.observations = at::empty({batch, spec.observation_size}, at::kFloat);
  inputs.warm_start = at::zeros({batch, spec.horizon, spec.action_size}, at::kFloat);
  float* observation = inputs.observations.data_ptr<float>();
  float* warm_start = inputs.warm_start.data_ptr<float>();
  for (const PlanItem* item : items) {
    POMPC_DCHECK(CheckItem(*item, spec).ok());
    observation = std::copy(item->observation.begin(), item->observation.end(), observation);
    std::copy(item->warm_start.begin(), item->warm_start.end(), warm_start);
    warm_start += static_cast<ptrdiff_t>(spec.horizon) * spec.action_size;
    inputs.has_warm_start.push_back(!item->warm_start.empty());
    inputs.seeds.push_back(item->seed);
    inputs.evaluate.push_back(item->evaluate);
    inputs.finish_by.push_back(item->finish_by);
  }
  return inputs;
}

// Row `row` of a contiguous tensor.
std::vector<float> Row(const at::Tensor& tensor, int64_t row) {
  POMPC_DCHECK(tensor.is_contiguous());
  POMPC_DCHECK_LT(row, tensor.size(0));
  const int64_t size = tensor.numel() / tensor.size(0);
  const float* begin = tensor.data_ptr<float>() + row * size;
  return std::vector<float>(begin, begin + size);
}

std::vector<Plan> SplitPlans(model::Plans plans, int64_t batch) {
  POMPC_CHECK_EQ(plans.actions.size(0), batch);
  for (at::Tensor* tensor :
       {&plans.actions, &plans.mean, &plans.std, &plans.value, &plans.warm_start}) {
    *tensor = tensor->contiguous();
  }
  std::vector<Plan> split(batch);
  for (int64_t i = 0; i < batch; ++i) {
    split[i] = {Row(plans.actions, i),  Row(plans.mean, i),       Row(plans.std, i),
                Row(plans.value, i)[0], Row(plans.warm_start, i), plans.iterations.at(i)};
  }
  return split;
}

std::string ArithmeticOn(at::Device device) {
  return absl::StrCat("pompc ", Version(), ", ", model::ArithmeticText(device));
}

class TorchEngine final : public PlanEngine {
 public:
  TorchEngine(at::Device device, int threads, bool policy_alone)
      : device_(device), threads_(threads), policy_alone_(policy_alone) {}

  int threads() const override { return threads_; }
  std::string arithmetic() const override { return ArithmeticOn(device_); }
  // The policy alone is so cheap that a batch of it gains.
  bool plans_one_by_one() const override { return device_.is_cpu() && !policy_alone_; }

  absl::StatusOr<std::vector<Plan>> PlanBatch(const PlannerModel& model,
                                              absl::Span<const PlanItem* const> items) override {
    POMPC_CHECK(dynamic_cast<const TorchModel*>(&model) != nullptr, "a model of another backend");
    UseOneThread();
    return CatchTorchErrors([&]() -> absl::StatusOr<std::vector<Plan>> {
      const auto& torch_model = static_cast<const TorchModel&>(model);
      return SplitPlans(torch_model.Plan(MakeInputs(items, model.spec())),
                        static_cast<int64_t>(items.size()));
    });
  }

  absl::StatusOr<std::shared_ptr<const PlannerModel>> Load(
      const parameters::ParameterSnapshot& snapshot) override {
    UseOneThread();
    return CatchTorchErrors([&] { return LoadOrThrow(snapshot); });
  }

 private:
  absl::StatusOr<std::shared_ptr<const PlannerModel>> LoadOrThrow(
      const parameters::ParameterSnapshot& snapshot) {
    const proto::ParametersDescription& description = snapshot.description;
    POMPC_CHECK(snapshot.data != nullptr);
    POMPC_ASSIGN_OR_RETURN(const proto::RunConfig config, config::Derive(description.config()));
    POMPC_ASSIGN_OR_RETURN(const model::NamedTensors tensors,
                           model::Unpack(Table(description), *snapshot.data));
    // Published bfloat16 parameters become float32 here: the networks compute with one dtype, and
    // model.matmul_dtype alone decides about rounding.
    TellOfMatmul(config);
    model::WorldModel world = model::WorldModel::Zeros(config, device_);
    POMPC_RETURN_IF_ERROR(world.CopyFrom(model::Convert(tensors, at::kBFloat16, at::kFloat)));
    std::shared_ptr<model::DevicePlanner> device_planner = PlannerOn(world, config);
    auto loaded = std::make_shared<const TorchModel>(snapshot.version(), description.run_id(),
                                                     MakeSpec(config), std::move(world), config,
                                                     std::move(device_planner), policy_alone_);
    // Every version is as large as the model, and every thread's heap keeps the most it ever held;
    // that goes back to the system now and then (ReturnFreedMemory says why not always).
    bool return_memory = false;
    {
      MutexLock lock(&mu_);
      newest_[loaded->run_id()] = loaded;
      return_memory = return_memory_.Count(Clock::Real()->Now()) > 0;
    }
    if (return_memory) ReturnFreedMemory();
    return std::shared_ptr<const PlannerModel>(std::move(loaded));
  }

  // Says in the log how plans with such models multiply, for the first of them.
  void TellOfMatmul(const proto::RunConfig& config) {
    for (const std::shared_ptr<const TorchModel>& other : Newest()) {
      if (SameModel(other->config, config)) return;
    }
    const std::string warning = model::MatmulWarning(config.model().matmul_dtype(), device_);
    if (!warning.empty()) Log().warn("{}", warning);
    Log().info("plans multiply {}", model::MatmulText(config.model().matmul_dtype(), device_));
  }

  // What plans with this model on another device than a CPU: that of the version before, or of
  // another run that plans alike. A new one records its operations here, before the planner serves
  // its first parameters.
  std::shared_ptr<model::DevicePlanner> PlannerOn(const model::WorldModel& world,
                                                  const proto::RunConfig& config) {
    if (device_.is_cpu() || policy_alone_) return nullptr;
    for (const std::shared_ptr<const TorchModel>& other : Newest()) {
      if (SameModel(other->config, config) &&
          config::Differences(other->config.planner(), config.planner(), "").empty() &&
          other->config.learner().discount() == config.learner().discount()) {
        return other->device_planner;
      }
    }
    auto planner = std::make_shared<model::DevicePlanner>(
        config, world, [device = device_] { return model::MakeRecorder(device, true); });
    planner->WarmUp(world, config.planner().max_batch());
    return planner;
  }

  // The newest version of each run, of those that somebody still holds.
  std::vector<std::shared_ptr<const TorchModel>> Newest() {
    std::vector<std::shared_ptr<const TorchModel>> newest;
    MutexLock lock(&mu_);
    for (auto it = newest_.begin(); it != newest_.end();) {
      if (auto model = it->second.lock()) {
        newest.push_back(std::move(model));
        ++it;
      } else {
        it = newest_.erase(it);
      }
    }
    return newest;
  }

  // Requests are planned side by side, operations are not split. LibTorch keeps the count for each
  // thread.
  static void UseOneThread() {
    thread_local bool done = false;
    if (!std::exchange(done, true)) model::SetComputeThreads(1);
  }

  const at::Device device_;
  const int threads_;
  const bool policy_alone_;

  Mutex mu_;
  // The newest version of each run. Held weakly: this must not keep one alive that nobody plans
  // with.
  std::map<std::string, std::weak_ptr<const TorchModel>> newest_ ABSL_GUARDED_BY(mu_);
  Occasionally return_memory_ ABSL_GUARDED_BY(mu_){absl::Seconds(30)};
};

}  // namespace

absl::StatusOr<std::string> TorchArithmetic(const std::string& device) {
  POMPC_ASSIGN_OR_RETURN(const at::Device parsed, model::ParseDevice(device));
  return ArithmeticOn(parsed);
}

absl::StatusOr<std::shared_ptr<PlanEngine>> MakeTorchEngine(const TorchEngineOptions& options) {
  if (options.threads < 0 || options.threads > 1024) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--threads: ", options.threads, "; allowed: 1 to 1024, 0 for as many as there are cores"));
  }
  POMPC_ASSIGN_OR_RETURN(const at::Device device, model::ParseDevice(options.device));
  // Several threads that each plan other requests, not one operation on several threads: the
  // operations are too small to be worth splitting. A GPU is kept busy by one thread.
  const int wanted = options.threads == 0 ? UsableCores() : options.threads;
  const int threads = device.is_cpu() ? wanted : 1;
  if (!options.shares_blas) model::SetBlasThreads(1);
  KeepFreedMemory();
  Log().info("planning on {} with {} thread(s), BLAS: {}", device.str(), threads,
             model::BlasName());
  if (const std::string warning = model::BlasWarning(); !warning.empty()) Log().warn("{}", warning);
  return std::make_shared<TorchEngine>(device, threads, options.policy_alone);
}

}  // namespace pompc::planner
