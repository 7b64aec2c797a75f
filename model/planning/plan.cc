#include "model/planning/plan.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "common/base/check.h"
#include "model/ops.h"
#include "model/planning/cpu_planner.h"
#include "model/planning/pass.h"
#include "model/planning/search.h"
#include "model/random.h"

namespace pompc::model {

namespace {

Plans PlanByOperations(const WorldModel& model, const proto::RunConfig& config,
                       const PlanInputs& inputs) {
  at::NoGradGuard no_grad;
  POMPC_CHECK_GE(inputs.states_per_pass, 0);
  const int64_t batch = inputs.observations.size(0);
  Plans plans = EmptyPlans(config, batch);
  const PassInputs all = MakePassInputs(model, config, inputs);
  // On a CPU one state's samples fill a pass through the networks, and a state planned by itself
  // does not depend on the batch. A GPU needs all states at once to be busy.
  int64_t per_pass = inputs.states_per_pass;
  if (per_pass == 0) per_pass = model.device().is_cpu() ? 1 : batch;
  for (int64_t begin = 0; begin < batch; begin += per_pass) {
    const int64_t count = std::min(per_pass, batch - begin);
    int iterations = 0;
    const at::Tensor packed =
        PlanPass(model, config, all.States(begin, count).To(model.device()),
                 EarliestEnd(inputs, begin, count), inputs.clock, &iterations);
    Unpack(packed.cpu(), begin, plans);
    std::fill_n(plans.iterations.begin() + begin, count, iterations);
  }
  return plans;
}

void PlanOneByOne(const CpuPlanner& planner, const PlanInputs& inputs, const Plans& plans,
                  int* iterations) {
  const auto row = [](const at::Tensor& x, int64_t b) {
    return x.data_ptr<float>() + b * x.stride(0);
  };
  const auto floats = [](const at::Tensor& x) {
    return x.defined() ? x.to(at::kCPU, at::kFloat).contiguous() : x;
  };
  const at::Tensor observations = floats(inputs.observations);
  const at::Tensor warm_start = floats(inputs.warm_start);
  for (int64_t b = 0; b < observations.size(0); ++b) {
    const auto i = static_cast<size_t>(b);
    CpuPlanRequest request;
    request.observation = row(observations, b);
    if (warm_start.defined() && (inputs.has_warm_start.empty() || inputs.has_warm_start[i]))
      request.warm_start = row(warm_start, b);
    request.seed = inputs.seeds[i];
    request.evaluate = !inputs.evaluate.empty() && inputs.evaluate[i];
    request.finish_by = EarliestEnd(inputs, b, 1);
    request.clock = inputs.clock;
    planner.Plan(request, {row(plans.actions, b), row(plans.mean, b), row(plans.std, b),
                           row(plans.value, b), row(plans.warm_start, b), iterations + b});
  }
}

}  // namespace

Planner::Planner(WorldModel model, proto::RunConfig config)
    : config_(std::move(config)),
      cpu_planner_(ReferenceScope::active() ? nullptr : CpuPlanner::Create(model, config_)),
      model_(cpu_planner_ != nullptr ? std::nullopt : std::optional(std::move(model))) {}

Planner::~Planner() = default;

Plans Planner::Plan(const PlanInputs& inputs) const {
  if (cpu_planner_ == nullptr) return PlanByOperations(*model_, config_, inputs);
  POMPC_CHECK(inputs.states_per_pass == 0 || inputs.states_per_pass == 1,
              "kernels plan from one state at a time");
  CheckInputs(config_, inputs);
  Plans plans = EmptyPlans(config_, inputs.observations.size(0));
  PlanOneByOne(*cpu_planner_, inputs, plans, plans.iterations.data());
  return plans;
}

Plans Plan(const WorldModel& model, const proto::RunConfig& config, const PlanInputs& inputs) {
  if (inputs.states_per_pass > 1) return PlanByOperations(model, config, inputs);
  return Planner(model, config).Plan(inputs);
}

Plans ActByPolicy(const WorldModel& model, const proto::RunConfig& config,
                  const PlanInputs& inputs) {
  at::NoGradGuard no_grad;
  const proto::ModelConfig& model_config = model.config().model();
  const int64_t actions = model.config().env().spec().action_size();
  Plans plans = EmptyPlans(config, inputs.observations.size(0));
  const at::TensorOptions options = at::TensorOptions(model.dtype()).device(model.device());
  const at::Tensor latents = model.Encode(inputs.observations.to(options));
  const Gaussian policy = model.Policy(latents);
  const at::Tensor noise =
      Normal(inputs.seeds, {kExploration, 0}, {actions}, model.device()).to(options);
  const at::Tensor explore = ExploringStates(inputs).to(options).unsqueeze(1);
  const at::Tensor mean = SampleActions(policy, at::zeros_like(noise), model_config.policy_form());
  plans.actions.copy_(SampleActions(policy, explore * noise, model_config.policy_form()));
  plans.mean.copy_(mean);
  plans.std.copy_(policy.log_std.exp());
  const at::Tensor values =
      TwoHotDecode(model.q().Forward(model.ValueInput(latents, mean)), BinsOf(model_config));
  plans.value.copy_(values.mean(0));
  plans.warm_start.zero_();
  return plans;
}

}  // namespace pompc::model
