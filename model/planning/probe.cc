#include "model/planning/probe.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "model/array_inputs.h"
#include "model/planning/pass.h"
#include "model/random.h"

namespace pompc::model {
namespace {

std::vector<bool> Booleans(const at::Tensor& x) {
  const at::Tensor flat = x.contiguous();
  // Braces would make two flags of the two pointers.
  return std::vector<bool>(flat.data_ptr<bool>(), flat.data_ptr<bool>() + flat.numel());
}

absl::StatusOr<PlanInputs> TakeInputs(const proto::RunConfig& config, const NamedTensors& arrays) {
  ArrayInputs inputs(arrays, [](const std::string&, const at::Tensor& x) {
    return at::isfinite(x).all().item<bool>() ? "" : "must be finite";
  });
  const proto::EnvSpec& spec = config.env().spec();
  PlanInputs plans;
  plans.observations = inputs.Take("observations", at::kFloat, {-1, spec.observation_size()});
  if (!inputs.ok()) return inputs.status();
  const int64_t states = plans.observations.size(0);
  const at::Tensor seeds = inputs.Take("seeds", at::kLong, {states});
  if (inputs.Has("warm_start")) {
    plans.warm_start = inputs.Take("warm_start", at::kFloat,
                                   {states, config.planner().horizon(), spec.action_size()});
  }
  for (const auto& [name, flags] :
       {std::pair{"has_warm_start", &plans.has_warm_start}, {"evaluate", &plans.evaluate}}) {
    if (!inputs.Has(name)) continue;
    const at::Tensor given = inputs.Take(name, at::kBool, {states});
    if (given.defined()) *flags = Booleans(given);
  }
  POMPC_RETURN_IF_ERROR(inputs.status());
  const at::Tensor numbers = seeds.contiguous();
  for (int64_t s = 0; s < states; ++s) {
    plans.seeds.push_back(static_cast<uint64_t>(numbers.data_ptr<int64_t>()[s]));
  }
  return plans;
}

// What every plan draws; a plan's own kernels make the same numbers.
NamedTensors DrawsOf(const WorldModel& model, const proto::RunConfig& config,
                     const PlanInputs& inputs) {
  const PassInputs pass = MakePassInputs(model, config, inputs);
  const SearchProblem problem{config.planner(), pass.seeds, pass.guess};
  const int64_t horizon = pass.guess.size(1), actions = pass.guess.size(2);
  const int64_t samples = config.planner().samples();
  const int64_t policy_samples = config.planner().policy_samples();
  NamedTensors draws;
  if (policy_samples > 0) {
    draws.push_back(
        {"noise.policy", Draw(problem, kPolicySequences, 0, {policy_samples, horizon, actions})});
  }
  std::vector<at::Tensor> candidates, last;
  for (int i = 0; i < static_cast<int>(config.planner().iterations()); ++i) {
    candidates.push_back(Draw(problem, kSamples, i, {samples - policy_samples, horizon, actions}));
    last.push_back(Draw(problem, kTerminalAction, i, {samples, actions}));
  }
  draws.push_back({"noise.samples", at::stack(candidates)});
  draws.push_back({"noise.last", at::stack(last)});
  draws.push_back({"noise.members", pass.members.view({-1, pass.size(), 2})});
  draws.push_back(
      {"noise.elite", Uniform(pass.seeds, {kEliteChoice, 0}, {config.planner().elites()})});
  draws.push_back({"noise.exploration", Draw(problem, kExploration, 0, {actions})});
  return draws;
}

}  // namespace

absl::StatusOr<NamedTensors> ProbePlans(const WorldModel& model, const proto::RunConfig& config,
                                        const NamedTensors& inputs) {
  POMPC_CHECK_GE(config.planner().iterations(), 1u, "a config that Derive made");
  at::NoGradGuard no_grad;
  POMPC_ASSIGN_OR_RETURN(const PlanInputs plan_inputs, TakeInputs(config, inputs));
  const Plans plans = Plan(model, config, plan_inputs);
  NamedTensors result = {{"actions", plans.actions},
                         {"mean", plans.mean},
                         {"std", plans.std},
                         {"value", plans.value},
                         {"warm_start", plans.warm_start}};
  for (NamedTensor& draw : DrawsOf(model, config, plan_inputs)) result.push_back(std::move(draw));
  return result;
}

}  // namespace pompc::model
