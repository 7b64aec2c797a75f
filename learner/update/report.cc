#include "learner/update/report.h"

namespace pompc::update {
namespace {

using M = UpdateMetrics;

at::Tensor MaskedMean(const at::Tensor& x, const at::Tensor& mask) {
  return (x * mask).sum() / mask.sum().clamp_min(1);
}

// Share of values that the two-hot range cannot hold.
at::Tensor Clamped(const at::Tensor& values, const model::Bins& bins) {
  const at::Tensor symlog = model::Symlog(values);
  return symlog.lt(bins.low).logical_or(symlog.gt(bins.high)).to(at::kDouble).mean();
}

}  // namespace

void Report(const ModelLosses& losses, const Targets& targets, const model::Bins& bins,
            MetricTensors& metrics) {
  at::NoGradGuard no_grad;
  metrics.Set(&M::consistency_loss, losses.consistency);
  metrics.Set(&M::reward_loss, losses.reward);
  metrics.Set(&M::value_loss, losses.value);
  metrics.Set(&M::value, model::TwoHotDecode(losses.value_logits, bins).mean());
  metrics.Set(&M::value_target, targets.values.mean());
  metrics.Set(&M::clamped_targets, Clamped(targets.values, bins));
  if (losses.termination.defined()) metrics.Set(&M::termination_loss, losses.termination);
  if (!losses.regularized_value.defined()) return;
  metrics.Set(&M::regularized_value_loss, losses.regularized_value);
  metrics.Set(&M::regularized_value_target, targets.regularized_values.mean());
  metrics.Set(&M::clamped_regularized_targets, Clamped(targets.regularized_values, bins));
}

void Report(const PriorLoss& loss, const Windows& windows, MetricTensors& metrics) {
  at::NoGradGuard no_grad;
  metrics.Set(&M::prior_loss, loss.loss);
  metrics.Set(&M::prior_planner_kl, MaskedMean(loss.kl, windows.OfPolicy(windows.has_plan)));
  metrics.Set(&M::prior_std, loss.gaussian.log_std.exp().mean());
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
