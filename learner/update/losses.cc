#include "learner/update/losses.h"

#include <utility>

#include "common/base/check.h"
#include "learner/update/gaussian.h"
#include "model/ops.h"

namespace pompc::update {
namespace {

using M = UpdateMetrics;
using model::Gaussian;
using model::Mlp;
using proto::PoMpcConfig;

Mlp::Options Training(const at::Tensor& dropout = at::Tensor()) {
  Mlp::Options options;
  options.train = true;
  options.dropout = dropout;
  return options;
}

// One value out of those of several members, [M, ...] -> [...].
at::Tensor ReduceMembers(const at::Tensor& values, PoMpcConfig::ValueReduction reduction) {
  return reduction == PoMpcConfig::MIN ? values.amin(0) : values.mean(0);
}

// V: decoded values of some members, reduced as configured, [rows].
at::Tensor TargetValues(const Mlp& ensemble, const at::Tensor& input, const at::Tensor& members,
                        const proto::RunConfig& config) {
  Mlp::Options options;
  options.members = members;
  const at::Tensor logits = ensemble.Forward(input, options);
  return ReduceMembers(model::TwoHotDecode(logits, model::BinsOf(config.model())),
                       config.po_mpc().target_value_reduction());
}

// K of steps 1 and 4 in each row, as po_mpc.policy_kl says. `prior` is a policy's Gaussian if it is
// learned, else one of actions.
at::Tensor Divergence(const Gaussian& policy, const at::Tensor& noise, const Gaussian& prior,
                      const proto::RunConfig& config) {
  const PoMpcConfig& po_mpc = config.po_mpc();
  const PoMpcConfig::KlReduction reduction = po_mpc.kl_reduction();
  const proto::ModelConfig::PolicyForm form = config.model().policy_form();
  const bool stored = po_mpc.prior() == PoMpcConfig::REPLAY;
  if (po_mpc.policy_kl() == PoMpcConfig::MASS_COVERING) {
    return stored ? KlFromPlanner(prior, policy, form, noise, reduction)
                  : GaussianKl(prior, policy, reduction);
  }
  const at::Tensor kl = stored ? KlToPlanner(policy, form, noise, prior, reduction)
                               : GaussianKl(policy, prior, reduction);
  if (po_mpc.policy_kl() == PoMpcConfig::MODE_SEEKING) return kl;
  // CROSS_ENTROPY: -E_pi ln p = KL(pi || p) + the entropy of pi, which a squashed policy has at the
  // one action that was drawn alone.
  if (form == proto::ModelConfig::TANH_GAUSSIAN) {
    return kl - SquashedLogDensity(policy, noise, reduction);
  }
  return kl + Entropy(policy) * ReductionFactor(reduction, policy.mean.size(-1));
}

// nat_price K at states 1..H, [H, B]; 0 where a stored prior is wanted and there is none.
at::Tensor Penalties(const TargetSources& sources, const Windows& windows,
                     const at::Tensor& latents, const Gaussian& policy, const at::Tensor& noise) {
  const proto::RunConfig& config = sources.model->config();
  at::Tensor kl;
  if (sources.prior != nullptr) {
    const Gaussian prior = model::PolicyFromRaw(sources.prior->Forward(latents), config.model());
    kl = Divergence(policy, noise, prior, config);
  } else {
    // The state after step t is the window's row t + 1.
    const auto later = [&](const at::Tensor& x) {
      return x.narrow(0, windows.batch, latents.size(0));
    };
    const Gaussian planner =
        PlannerGaussian(later(windows.plan_mean), later(windows.plan_std), config);
    kl = Divergence(policy, noise, planner, config) * later(windows.plan_weight);
  }
  return (kl * sources.nat_price).view_as(windows.rewards);
}

// The world model's own prediction of a window: it sees the first observation, then only actions.
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

// Mean over the rows whose mask is 1; 0 if there are none.
at::Tensor MaskedMean(const at::Tensor& x, const at::Tensor& mask) {
  return (x * mask).sum() / mask.sum().clamp_min(1);
}

// Share of values that the two-hot range cannot hold.
at::Tensor Clamped(const at::Tensor& values, const model::Bins& bins) {
  const at::Tensor symlog = model::Symlog(values);
  return symlog.lt(bins.low).logical_or(symlog.gt(bins.high)).to(at::kDouble).mean();
}

// Targets of state values (BMPC): of each real state, by the model's own next decision. Neither the
// reward nor the state that followed the stored action matters to them.
Targets MakeStateTargets(const TargetSources& sources, const Windows& windows, const Draws& draws) {
  const model::WorldModel& model = *sources.model;
  const proto::RunConfig& config = model.config();
  const int64_t rows = windows.horizon * windows.batch;
  const at::Tensor latents = model.Encode(windows.observations.flatten(0, 1));
  Targets targets;
  targets.next_latents = latents.narrow(0, windows.batch, rows);
  const at::Tensor states = latents.narrow(0, 0, rows);
  const at::Tensor actions =
      model::SampleActions(model.Policy(states), draws.target_noise, config.model().policy_form());
  const at::Tensor rewards = model::TwoHotDecode(
      model.reward().Forward(at::cat({states, actions}, 1)), model::BinsOf(config.model()));
  const at::Tensor next = model.Next(states, actions);
  // Plans see it so too: a logit above 0 ends the episode.
  const at::Tensor terminated = config.env().spec().terminates()
                                    ? model.TerminationLogits(next).gt(0).to(rewards.scalar_type())
                                    : at::zeros_like(rewards);
  const WindowRewards window{rewards, terminated, at::Tensor(), config.learner().discount()};
  for (const ValueHead& head : sources.heads) {
    targets.values.push_back(
        OneStepTargets(window, TargetValues(head.target, next, draws.target_members, config)));
  }
  return targets;
}

// What judges.scale gives for the policy's actions at the first states, with the members and the
// dropout of the values that the policy follows: with lambda = 0 both are the same bits.
at::Tensor ScaleValues(const PolicyJudges& judges, const at::Tensor& latents,
                       const at::Tensor& actions, int64_t batch, const proto::RunConfig& config) {
  at::NoGradGuard no_grad;
  Mlp::Options options;
  options.members = judges.members;
  if (judges.dropout.defined()) options.dropout = judges.dropout.narrow(1, 0, batch).contiguous();
  const at::Tensor input = at::cat({latents, actions}, 1).narrow(0, 0, batch);
  return ReduceMembers(
      model::TwoHotDecode(judges.scale->Forward(input, options), model::BinsOf(config.model())),
      config.po_mpc().policy_value_reduction());
}

// 1 where the ensemble puts the plan's mean above the prior's, else 0, [rows].
at::Tensor PlansAbovePrior(const Mlp& values, const at::Tensor& latents, const at::Tensor& plans,
                           const Gaussian& prior, const proto::RunConfig& config) {
  at::NoGradGuard no_grad;
  const at::Tensor means =
      model::SampleActions(prior, at::zeros_like(prior.mean), config.model().policy_form());
  const auto value = [&](const at::Tensor& actions) {
    const at::Tensor logits = values.Forward(at::cat({latents, actions}, 1));
    return model::TwoHotDecode(logits, model::BinsOf(config.model())).mean(0);
  };
  return value(plans).gt(value(means)).to(latents.scalar_type());
}

}  // namespace

at::Tensor OneStepTargets(const WindowRewards& window, const at::Tensor& next_values) {
  const at::Tensor values =
      window.penalties.defined() ? next_values - window.penalties : next_values;
  return at::addcmul(window.rewards, 1 - window.terminated, values, window.discount);
}

at::Tensor WindowEndTargets(const WindowRewards& window, const at::Tensor& last_values) {
  const int64_t horizon = window.rewards.size(0);
  const at::Tensor alive = 1 - window.terminated;
  std::vector<at::Tensor> targets(static_cast<size_t>(horizon));
  at::Tensor value = last_values;
  for (int64_t t = horizon - 1; t >= 0; --t) {
    if (window.penalties.defined()) value = value - window.penalties[t];
    value = at::addcmul(window.rewards[t], alive[t], value, window.discount);
    targets[static_cast<size_t>(t)] = value;
  }
  return at::stack(targets);
}

at::Tensor NatPrice(const proto::RunConfig& config, const at::Tensor& value_scale) {
  const PoMpcConfig& po_mpc = config.po_mpc();
  const double lambda = Lambda(po_mpc);
  if (po_mpc.actor_weights() != PoMpcConfig::RELATIVE) return at::full_like(value_scale, lambda);
  return value_scale * (lambda * (1 - config.learner().discount()));
}

Targets MakeTargets(const TargetSources& sources, const Windows& windows, const Draws& draws) {
  at::NoGradGuard no_grad;
  const model::WorldModel& model = *sources.model;
  if (model.HasStateValues()) return MakeStateTargets(sources, windows, draws);
  const proto::RunConfig& config = model.config();
  const int64_t rows = windows.horizon * windows.batch;
  const bool one_step = config.po_mpc().target_horizon() == PoMpcConfig::ONE_STEP;
  // Before a learned prior has been trained once its Gaussian means nothing: no penalty then.
  const bool has_prior = sources.prior != nullptr || config.po_mpc().prior() == PoMpcConfig::REPLAY;
  bool penalized = false;
  for (const ValueHead& head : sources.heads) penalized |= head.penalized;
  penalized &= config.po_mpc().alpha() > 0 && has_prior;
  // Penalties are those of every later state; a value is needed at the last one alone if the
  // targets bootstrap there. What is not needed is not computed.
  const int64_t value_rows = one_step ? rows : windows.batch;
  const int64_t policy_rows = penalized ? rows : value_rows;
  const auto last = [&](const at::Tensor& x) {
    return x.narrow(0, x.size(0) - value_rows, value_rows);
  };

  // z'_t = h(o_{t+1}), a' ~ pi(z').
  Targets targets;
  targets.next_latents =
      model.Encode(windows.observations.narrow(0, 1, windows.horizon).flatten(0, 1));
  const at::Tensor latents = targets.next_latents.narrow(0, rows - policy_rows, policy_rows);
  const Gaussian policy = model.Policy(latents);
  const at::Tensor actions =
      model::SampleActions({last(policy.mean), last(policy.log_std)}, last(draws.target_noise),
                           config.model().policy_form());
  const at::Tensor input = at::cat({last(latents), actions}, 1);

  WindowRewards window{windows.rewards, windows.terminated, at::Tensor(),
                       config.learner().discount()};
  at::Tensor penalties;
  if (penalized) penalties = Penalties(sources, windows, latents, policy, draws.target_noise);
  for (const ValueHead& head : sources.heads) {
    window.penalties = head.penalized ? penalties : at::Tensor();
    const at::Tensor values = TargetValues(head.target, input, draws.target_members, config);
    targets.values.push_back((one_step ? OneStepTargets(window, values.view_as(windows.rewards))
                                       : WindowEndTargets(window, values))
                                 .flatten());
  }
  return targets;
}

at::Tensor ModelLosses::Total() const {
  POMPC_CHECK(!terms.empty());
  at::Tensor total;
  for (const LossTerm& term : terms) {
    const at::Tensor weighted = term.loss * term.coefficient;
    total = total.defined() ? total + weighted : weighted;
  }
  return total;
}

ModelLosses ComputeModelLosses(const model::WorldModel& model, std::span<const ValueHead> heads,
                               const Windows& windows, const Targets& targets,
                               const at::Tensor& dropout, const proto::RunConfig& config) {
  POMPC_CHECK_EQ(targets.values.size(), heads.size());
  const model::Bins bins = model::BinsOf(model.config().model());
  const proto::LearnerConfig& learner = config.learner();
  const at::Tensor& weights = windows.weights;
  const Rollout rollout = RollOut(model, windows);
  const at::Tensor input = at::cat({rollout.latents, windows.actions}, 1);

  ModelLosses losses;
  const auto add = [&](const char* name, Metric column, double coefficient,
                       const at::Tensor& loss) {
    losses.terms.push_back({name, column, coefficient, loss});
  };
  // The predicted latent against the encoding of what was observed; sg(h(o)) is in the targets.
  add("consistency", &M::consistency_loss, learner.consistency_coefficient(),
      model::WeightedSquaredError(rollout.predictions, targets.next_latents, weights));

  losses.reward_logits = model.reward().Forward(input, Training());
  add("reward", &M::reward_loss, learner.reward_coefficient(),
      model::TwoHotCrossEntropy(losses.reward_logits, windows.rewards.flatten(), weights, bins));

  // Q teaches the latents what matters to values. Qt does not by default: its targets follow the
  // policy's KL, and with lambda = 0 it must leave the model as it is without it.
  const at::Tensor& value_input = model.HasStateValues() ? rollout.latents : input;
  for (size_t i = 0; i < heads.size(); ++i) {
    const at::Tensor own_input = heads[i].trains_latents ? value_input : value_input.detach();
    losses.value_logits.push_back(heads[i].online.Forward(own_input, Training(dropout)));
    add(heads[i].name, heads[i].columns.loss, learner.value_coefficient(),
        model::TwoHotCrossEntropy(losses.value_logits[i], targets.values[i], weights, bins));
  }

  if (model.config().env().spec().terminates()) {
    const at::Tensor logits =
        model.termination().Forward(rollout.predictions, Training()).squeeze(1);
    // Not weighted by rho: a mean over all states alike.
    const at::Tensor importance =
        windows.importance.defined() ? windows.importance.repeat(windows.horizon) : at::Tensor();
    add("termination", &M::termination_loss, learner.termination_coefficient(),
        at::binary_cross_entropy_with_logits(logits, windows.terminated.flatten(), importance));
  }

  // Prior and policy learn at sg(zhat).
  losses.latents = rollout.latents.detach();
  if (config.po_mpc().policy_at_window_end()) {
    const at::Tensor last = rollout.predictions.detach().narrow(
        0, (windows.horizon - 1) * windows.batch, windows.batch);
    losses.latents = at::cat({losses.latents, last});
  }
  return losses;
}

void Report(const ModelLosses& losses, const Targets& targets, std::span<const ValueHead> heads,
            const proto::ModelConfig& config, MetricTensors& metrics) {
  at::NoGradGuard no_grad;
  const model::Bins bins = model::BinsOf(config);
  for (const LossTerm& term : losses.terms) metrics.Set(term.column, term.loss);
  for (size_t i = 0; i < heads.size(); ++i) {
    const ValueHead::Columns& columns = heads[i].columns;
    metrics.Set(columns.target, targets.values[i].mean());
    metrics.Set(columns.clamped, Clamped(targets.values[i], bins));
    if (columns.prediction == nullptr) continue;
    metrics.Set(columns.prediction, model::TwoHotDecode(losses.value_logits[i], bins).mean());
  }
}

at::Tensor WindowPriorities(const ModelLosses& losses, const Targets& targets,
                            const Windows& windows, const proto::RunConfig& config) {
  at::NoGradGuard no_grad;
  // The first head is the plain Q: the others' targets follow the policy, not the window alone.
  const at::Tensor values =
      model::TwoHotDecode(losses.value_logits.front(), model::BinsOf(config.model()));
  const at::Tensor errors =
      (values - targets.values.front()).abs().mean(0).view({windows.horizon, windows.batch});
  at::Tensor sum = errors[0].clone();
  double weight = 1;
  for (int64_t t = 1; t < windows.horizon; ++t) {
    weight *= config.learner().rho();
    sum.add_(errors[t], weight);
  }
  return sum.div_(static_cast<double>(windows.horizon));
}

PriorLoss ComputePriorLoss(const Mlp& prior, const PriorTeacher& teacher, const Windows& windows,
                           const at::Tensor& latents, const proto::RunConfig& config) {
  POMPC_CHECK(windows.any_plan);
  PriorLoss result;
  result.gaussian = model::PolicyFromRaw(prior.Forward(latents, Training()), config.model());
  const Gaussian planner = PlannerGaussian(windows.OfPolicy(windows.plan_mean),
                                           windows.OfPolicy(windows.plan_std), config);
  const proto::ModelConfig::PolicyForm form = config.model().policy_form();
  const PoMpcConfig::KlReduction reduction = config.po_mpc().kl_reduction();
  result.kl = config.po_mpc().prior_kl() == PoMpcConfig::FORWARD
                  ? KlFromPlanner(planner, result.gaussian, form, teacher.noise, reduction)
                  : KlToPlanner(result.gaussian, form, teacher.noise, planner, reduction);
  result.followed = windows.OfPolicy(windows.plan_weight);
  if (teacher.gate != nullptr) {
    result.followed = result.followed * PlansAbovePrior(*teacher.gate, latents, planner.mean,
                                                        result.gaussian, config);
  }
  // Both scalars are those of the whole batch: with several ranks each sums its own rows over the
  // same weight, and the average of their gradients is the gradient of the whole batch's loss.
  const at::Tensor masked = windows.policy_weights * result.followed;
  result.loss = (result.kl * (masked * (windows.policy_weight / windows.planned_weight))).sum();
  return result;
}

void Report(const PriorLoss& loss, const Windows& windows, MetricTensors& metrics) {
  at::NoGradGuard no_grad;
  const at::Tensor has_plan = windows.OfPolicy(windows.has_plan);
  metrics.Set(&M::prior_loss, loss.loss);
  metrics.Set(&M::prior_planner_kl, MaskedMean(loss.kl, has_plan));
  metrics.Set(&M::prior_std, loss.gaussian.log_std.exp().mean());
  metrics.Set(&M::distilled_share, MaskedMean(loss.followed, has_plan));
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
    terms.scale_values = judges.scale == nullptr
                             ? terms.values.detach().narrow(0, 0, windows.batch)
                             : ScaleValues(judges, latents, terms.actions, windows.batch, config);
  }
  if (judges.prior != nullptr) {
    const bool stored = config.po_mpc().prior() == PoMpcConfig::REPLAY;
    terms.kl = Divergence(terms.gaussian, noise, *judges.prior, config) *
               windows.OfPolicy(stored ? windows.plan_weight : windows.has_plan);
  }
  return terms;
}

at::Tensor PolicyLoss(const PolicyTerms& terms, const Windows& windows,
                      const at::Tensor& value_scale, const at::Tensor& kl_scale,
                      const proto::RunConfig& config) {
  const PoMpcConfig& po_mpc = config.po_mpc();
  const double action_size = static_cast<double>(terms.actions.size(1));
  at::Tensor loss = terms.entropy * (-po_mpc.entropy_coefficient() * action_size);
  // The step size of Adam does not know the loss's scale, but the terms compete: S_q and S_k keep
  // their proportion as rewards and plans change in size.
  const bool mix = po_mpc.actor_weights() == PoMpcConfig::MIX || po_mpc.alpha() >= 1;
  if (terms.values.defined()) {
    const double weight = mix ? 1 - po_mpc.alpha() : 1;
    loss = loss - terms.values * (weight / value_scale);
  }
  if (terms.kl.defined()) {
    // Not MIX: value - price K, as in the targets, over the value's scale.
    at::Tensor weight =
        mix ? po_mpc.alpha() / kl_scale : NatPrice(config, value_scale) / value_scale;
    if (po_mpc.kl_threshold() > 0) weight = weight * value_scale.gt(po_mpc.kl_threshold());
    loss = loss + terms.kl * weight;
  }
  return (loss * windows.policy_weights).sum();
}

void Report(const PolicyTerms& terms, const Windows& windows, MetricTensors& metrics) {
  at::NoGradGuard no_grad;
  metrics.Set(&M::policy_std, terms.gaussian.log_std.exp().mean());
  metrics.Set(&M::policy_entropy, terms.entropy.mean());
  metrics.Set(&M::clipped_actions, terms.actions.abs().ge(1).to(at::kDouble).mean());
  if (terms.values.defined()) metrics.Set(&M::regularized_value, terms.values.mean());
  if (terms.kl.defined()) {
    metrics.Set(&M::policy_prior_kl, MaskedMean(terms.kl, windows.OfPolicy(windows.has_plan)));
  }
}

void Report(const Windows& windows, MetricTensors& metrics) {
  at::NoGradGuard no_grad;
  const at::Tensor has_plan = windows.OfPolicy(windows.has_plan);
  metrics.Set(&M::planned_share, has_plan.mean());
  metrics.Set(&M::planner_std, MaskedMean(windows.OfPolicy(windows.plan_std).mean(1), has_plan));
}

}  // namespace pompc::update
