#include "model/planning/plan.h"

#include <algorithm>

#include "common/base/check.h"
#include "model/ops.h"
#include "model/planning/pass.h"
#include "model/planning/search.h"
#include "model/random.h"

namespace pompc::model {

Plans Plan(const WorldModel& model, const proto::RunConfig& config, const PlanInputs& inputs) {
  at::NoGradGuard no_grad;
  const int64_t batch = inputs.observations.size(0);
  POMPC_CHECK_GE(inputs.states_per_pass, 0);
  Plans plans = EmptyPlans(model, config, batch);
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

Plans ActByPolicy(const WorldModel& model, const proto::RunConfig& config,
                  const PlanInputs& inputs) {
  at::NoGradGuard no_grad;
  const proto::ModelConfig& model_config = model.config().model();
  const int64_t actions = model.config().env().spec().action_size();
  Plans plans = EmptyPlans(model, config, inputs.observations.size(0));
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
