#include "learner/update/losses.h"

#include <cmath>
#include <utility>
#include <vector>

#include "learner/update/family.h"
#include "learner/update/gaussian.h"
#include "model/ops.h"

namespace pompc::update {
namespace {

using model::Gaussian;
using model::Mlp;
using proto::PoMpcConfig;

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

// What the policy pays in each row, as configured.
at::Tensor KlOfPolicy(const Gaussian& policy, proto::ModelConfig::PolicyForm form,
                      const at::Tensor& noise, const Gaussian& prior, const PoMpcConfig& config) {
  const PoMpcConfig::KlReduction reduction = config.kl_reduction();
  if (config.policy_kl() == PoMpcConfig::MASS_COVERING) return GaussianKl(prior, policy, reduction);
  const at::Tensor kl = config.prior() == PoMpcConfig::REPLAY
                            ? KlToPlanner(policy, form, noise, prior, reduction)
                            : GaussianKl(policy, prior, reduction);
  if (config.policy_kl() == PoMpcConfig::MODE_SEEKING) return kl;
  if (form == proto::ModelConfig::TANH_GAUSSIAN) {
    return kl - SquashedLogDensity(policy, noise, reduction);
  }
  const double numbers = static_cast<double>(policy.mean.size(-1));
  return kl + Entropy(policy) / (reduction == PoMpcConfig::MEAN ? numbers : 1);
}

}  // namespace

at::Tensor ReduceMembers(const at::Tensor& values, PoMpcConfig::ValueReduction reduction) {
  return reduction == PoMpcConfig::MIN ? values.amin(0) : values.mean(0);
}

at::Tensor ModelLosses::Total(const proto::RunConfig& config) const {
  const proto::LearnerConfig& learner = config.learner();
  at::Tensor total = consistency * learner.consistency_coefficient() +
                     reward * learner.reward_coefficient() + value * learner.value_coefficient();
  if (regularized_value.defined()) total = total + regularized_value * learner.value_coefficient();
  if (termination.defined()) total = total + termination * learner.termination_coefficient();
  return total;
}

ModelLosses ComputeModelLosses(const model::WorldModel& model, const Mlp* regularized,
                               const Windows& windows, const Targets& targets,
                               const at::Tensor& dropout, const proto::RunConfig& config) {
  const model::Bins bins = model::BinsOf(model.config().model());
  const Rollout rollout = RollOut(model, windows);
  const at::Tensor input = at::cat({rollout.latents, windows.actions}, 1);

  ModelLosses losses;
  losses.latents = rollout.latents.detach();
  if (config.po_mpc().policy_at_window_end()) {
    const at::Tensor last = rollout.predictions.detach().narrow(
        0, (windows.horizon - 1) * windows.batch, windows.batch);
    losses.latents = at::cat({losses.latents, last});
  }
  losses.consistency =
      model::WeightedSquaredError(rollout.predictions, targets.next_latents, windows.weights);
  losses.reward_logits = model.reward().Forward(input, Training());
  losses.reward = model::TwoHotCrossEntropy(losses.reward_logits, windows.rewards.flatten(),
                                            windows.weights, bins);
  losses.value_logits = model.q().Forward(input, Training(dropout));
  losses.value =
      model::TwoHotCrossEntropy(losses.value_logits, targets.values, windows.weights, bins);
  if (regularized != nullptr) {
    const at::Tensor own_input =
        config.po_mpc().regularized_value_gradient() ? input : input.detach();
    losses.regularized_value_logits = regularized->Forward(own_input, Training(dropout));
    losses.regularized_value = model::TwoHotCrossEntropy(
        losses.regularized_value_logits, targets.regularized_values, windows.weights, bins);
  }
  if (model.config().env().spec().terminates()) {
    const at::Tensor logits =
        model.termination().Forward(rollout.predictions, Training()).squeeze(1);
    losses.termination = at::binary_cross_entropy_with_logits(logits, windows.terminated.flatten());
  }
  return losses;
}

PriorLoss ComputePriorLoss(const Mlp& prior, const Windows& windows, const at::Tensor& latents,
                           const at::Tensor& noise, const proto::RunConfig& config) {
  PriorLoss result;
  result.gaussian = model::PolicyFromRaw(prior.Forward(latents, Training()), config.model());
  const Gaussian planner = PlannerGaussian(windows.OfPolicy(windows.plan_mean),
                                           windows.OfPolicy(windows.plan_std), config);
  result.kl = config.po_mpc().prior_kl() == PoMpcConfig::FORWARD
                  ? GaussianKl(planner, result.gaussian, config.po_mpc().kl_reduction())
                  : KlToPlanner(result.gaussian, config.model().policy_form(), noise, planner,
                                config.po_mpc().kl_reduction());
  const at::Tensor& weights = windows.policy_weights;
  const at::Tensor masked = weights * windows.OfPolicy(windows.has_plan);
  result.loss = (result.kl * (masked * (weights.sum() / windows.planned_weight))).sum();
  return result;
}

PolicyTerms EvaluatePolicy(const model::WorldModel& model, const PolicyJudges& judges,
                           const Windows& windows, const at::Tensor& latents,
                           const at::Tensor& noise, const proto::RunConfig& config) {
  PolicyTerms terms;
  terms.gaussian =
      model::PolicyFromRaw(model.policy().Forward(latents, Training()), model.config().model());
  terms.actions = model::SampleActions(terms.gaussian, noise, model.config().model().policy_form());
  terms.entropy = Entropy(terms.gaussian);
  if (judges.values != nullptr) {
    Mlp::Options options;
    options.members = judges.members;
    options.dropout = judges.dropout;
    const at::Tensor logits = judges.values->Forward(at::cat({latents, terms.actions}, 1), options);
    terms.values = ReduceMembers(model::TwoHotDecode(logits, model::BinsOf(model.config().model())),
                                 config.po_mpc().policy_value_reduction());
  }
  if (judges.prior != nullptr) {
    terms.kl = KlOfPolicy(terms.gaussian, model.config().model().policy_form(), noise,
                          *judges.prior, config.po_mpc()) *
               windows.OfPolicy(windows.has_plan);
  }
  return terms;
}

at::Tensor PolicyLoss(const PolicyTerms& terms, const Windows& windows,
                      const at::Tensor& value_scale, const at::Tensor& kl_scale,
                      const proto::RunConfig& config) {
  const PoMpcConfig& po_mpc = config.po_mpc();
  const double action_size = static_cast<double>(terms.actions.size(1));
  at::Tensor loss = terms.entropy * (-po_mpc.entropy_coefficient() * action_size);
  const bool mix = po_mpc.actor_weights() == PoMpcConfig::MIX || po_mpc.alpha() >= 1;
  if (terms.values.defined()) {
    const double weight = mix ? 1 - po_mpc.alpha() : 1;
    loss = loss - terms.values * (weight / value_scale);
  }
  if (terms.kl.defined()) {
    const double factor = mix ? po_mpc.alpha() : Lambda(po_mpc);
    at::Tensor weight = factor / (mix ? kl_scale : value_scale);
    if (!po_mpc.scale_kl()) weight = at::full_like(weight, factor);
    if (po_mpc.kl_threshold() > 0) weight = weight * value_scale.gt(po_mpc.kl_threshold());
    loss = loss + terms.kl * weight;
  }
  return (loss * windows.policy_weights).sum();
}

}  // namespace pompc::update
