#include "learner/update/losses.h"

#include <cmath>
#include <utility>
#include <vector>

#include "learner/update/gaussian.h"
#include "model/ops.h"

namespace pompc::update {
namespace {

using model::Gaussian;
using model::Mlp;

Mlp::Options Training(const at::Tensor& dropout = at::Tensor()) {
  Mlp::Options options;
  options.train = true;
  options.dropout = dropout;
  return options;
}

struct Rollout {
  at::Tensor latents;      // [H * B, L]: zhat_0..zhat_{H-1}
  at::Tensor predictions;  // [H * B, L]: zhat_1..zhat_H
};

// Latents along the actions of the windows; gradients flow through the whole chain.
Rollout RollOut(const model::WorldModel& model, const Windows& windows) {
  std::vector<at::Tensor> latents = {model.encoder().Forward(windows.observations[0], Training())};
  for (int64_t t = 0; t < windows.horizon; ++t) {
    const at::Tensor actions = windows.actions.narrow(0, t * windows.batch, windows.batch);
    latents.push_back(model.dynamics().Forward(at::cat({latents.back(), actions}, 1), Training()));
  }
  const at::Tensor predictions = at::cat(at::TensorList(latents).slice(1));
  latents.pop_back();
  return {at::cat(latents), predictions};
}

}  // namespace

at::Tensor ModelLosses::Total(const UpdateConfig& config) const {
  at::Tensor total = consistency * config.consistency_coefficient +
                     reward * config.reward_coefficient + value * config.value_coefficient;
  if (regularized_value.defined()) total = total + regularized_value * config.value_coefficient;
  if (termination.defined()) total = total + termination * config.termination_coefficient;
  return total;
}

ModelLosses ComputeModelLosses(const model::WorldModel& model, const Mlp* regularized,
                               const Windows& windows, const Targets& targets,
                               const at::Tensor& dropout, const UpdateConfig& config) {
  const model::Bins bins = model::BinsOf(model.config());
  const Rollout rollout = RollOut(model, windows);
  const at::Tensor input = at::cat({rollout.latents, windows.actions}, 1);

  ModelLosses losses;
  losses.latents = rollout.latents.detach();
  losses.consistency =
      model::WeightedSquaredError(rollout.predictions, targets.next_latents, windows.weights);
  losses.reward = model::TwoHotCrossEntropy(model.reward().Forward(input, Training()),
                                            windows.rewards.flatten(), windows.weights, bins);
  losses.value_logits = model.q().Forward(input, Training(dropout));
  losses.value =
      model::TwoHotCrossEntropy(losses.value_logits, targets.values, windows.weights, bins);
  if (regularized != nullptr) {
    const at::Tensor own_input = config.regularized_value_gradient ? input : input.detach();
    losses.regularized_value =
        model::TwoHotCrossEntropy(regularized->Forward(own_input, Training(dropout)),
                                  targets.regularized_values, windows.weights, bins);
  }
  if (model.config().terminates) {
    const at::Tensor logits =
        model.termination().Forward(rollout.predictions, Training()).squeeze(1);
    losses.termination = at::binary_cross_entropy_with_logits(logits, windows.terminated.flatten());
  }
  return losses;
}

PriorLoss ComputePriorLoss(const Mlp& prior, const model::ModelConfig& model_config,
                           const Windows& windows, const at::Tensor& latents,
                           const UpdateConfig& config) {
  PriorLoss result;
  result.gaussian = model::PolicyFromRaw(prior.Forward(latents, Training()), model_config);
  const Gaussian planner = PlannerGaussian(windows.plan_mean, windows.plan_std, config);
  result.kl = config.prior_kl == PriorKl::kForward
                  ? GaussianKl(planner, result.gaussian, config.kl_reduction)
                  : GaussianKl(result.gaussian, planner, config.kl_reduction);
  const at::Tensor masked = windows.weights * windows.has_plan;
  result.loss = (result.kl * (masked * (windows.weights.sum() / masked.sum()))).sum();
  return result;
}

PolicyTerms EvaluatePolicy(const model::WorldModel& model, const PolicyJudges& judges,
                           const Windows& windows, const at::Tensor& latents,
                           const at::Tensor& noise, const UpdateConfig& config) {
  PolicyTerms terms;
  terms.gaussian =
      model::PolicyFromRaw(model.policy().Forward(latents, Training()), model.config());
  terms.actions = model::SampleActions(terms.gaussian, noise);
  terms.entropy = Entropy(terms.gaussian);
  if (judges.regularized != nullptr) {
    Mlp::Options options;
    options.members = judges.members;
    options.dropout = judges.dropout;
    const at::Tensor logits =
        judges.regularized->Forward(at::cat({latents, terms.actions}, 1), options);
    terms.values = model::TwoHotDecode(logits, model::BinsOf(model.config())).mean(0);
  }
  if (judges.prior != nullptr) {
    terms.kl = GaussianKl(terms.gaussian, *judges.prior, config.kl_reduction) * windows.has_plan;
  }
  return terms;
}

at::Tensor PolicyLoss(const PolicyTerms& terms, const Windows& windows,
                      const at::Tensor& value_scale, const at::Tensor& kl_scale,
                      const UpdateConfig& config) {
  const double action_size = static_cast<double>(terms.actions.size(1));
  at::Tensor loss = terms.entropy * (-config.entropy_coefficient * action_size);
  const bool mix = config.actor_weights == ActorWeights::kMix || config.alpha >= 1;
  if (terms.values.defined()) {
    const double weight = mix ? 1 - config.alpha : 1;
    loss = loss - terms.values * (weight / value_scale);
  }
  if (terms.kl.defined()) {
    loss = loss + terms.kl * (mix ? config.alpha / kl_scale : config.Lambda() / value_scale);
  }
  return (loss * windows.weights).sum();
}

}  // namespace pompc::update
