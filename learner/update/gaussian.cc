#include "learner/update/gaussian.h"

#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <numbers>

#include "model/ops.h"

namespace pompc::update {
namespace {

using proto::PoMpcConfig;
using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

at::Tensor Reduce(const at::Tensor& x, PoMpcConfig::KlReduction reduction) {
  if (reduction == PoMpcConfig::MEAN) return x.mean(-1);
  const at::Tensor sum = x.sum(-1);
  return reduction == PoMpcConfig::SUM ? sum : sum * ReductionFactor(reduction, x.size(-1));
}

// KL(p || q) as one node of the autograd graph: the graph of the formula would cost more than its
// numbers. With l = ln s, r = s_p^2 / s_q^2 and d = (m_p - m_q)^2 / s_q^2, a number of an action
// has
//   KL = (r + d - 1) / 2 - (l_p - l_q),
//   dKL/dm_p = (m_p - m_q) / s_q^2 = -dKL/dm_q,  dKL/dl_p = r - 1,  dKL/dl_q = 1 - r - d.
struct KlFunction : public torch::autograd::Function<KlFunction> {
  static Variable forward(AutogradContext* ctx, const Variable& p_mean, const Variable& p_log_std,
                          const Variable& q_mean, const Variable& q_log_std, int64_t reduction) {
    const at::Tensor log_ratio = p_log_std - q_log_std;
    const at::Tensor variance_ratio = (2 * log_ratio).exp_();
    const at::Tensor precision = (-2 * q_log_std).exp_();
    const at::Tensor difference = p_mean - q_mean;
    const at::Tensor scaled = difference * precision;
    const at::Tensor distance = difference * scaled;
    ctx->save_for_backward({variance_ratio, scaled, distance});
    ctx->saved_data["reduction"] = reduction;
    const at::Tensor kl = ((variance_ratio + distance) - 1).mul_(0.5).sub_(log_ratio);
    return Reduce(kl, static_cast<PoMpcConfig::KlReduction>(reduction));
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const variable_list saved = ctx->get_saved_variables();
    const auto reduction =
        static_cast<PoMpcConfig::KlReduction>(ctx->saved_data["reduction"].toInt());
    const at::Tensor upstream =
        gradients[0].unsqueeze(-1) * ReductionFactor(reduction, saved[0].size(-1));
    variable_list result(5);
    if (ctx->needs_input_grad(0)) result[0] = saved[1] * upstream;
    if (ctx->needs_input_grad(1)) result[1] = (saved[0] - 1) * upstream;
    if (ctx->needs_input_grad(2)) result[2] = -saved[1] * upstream;
    if (ctx->needs_input_grad(3)) result[3] = (1 - saved[0] - saved[2]) * upstream;
    return result;
  }
};

const double kLogSqrtTwoPi = 0.5 * std::log(2 * std::numbers::pi);
// A planner's Gaussian gives a probability to actions at and beyond the border, where a squashed
// policy has none: what is drawn there counts as this action.
constexpr double kBorder = 0.999;

}  // namespace

double ReductionFactor(PoMpcConfig::KlReduction reduction, int64_t numbers) {
  const double a = static_cast<double>(numbers);
  if (reduction == PoMpcConfig::MEAN) return 1 / a;
  // Its code multiplies the weight by A / 61, 61 being the size of its largest task's actions, and
  // the sum of the log density by A (docs/algorithm.md, The family).
  return reduction == PoMpcConfig::TD_MPC_SQUARE ? a * a / 61 : 1;
}

at::Tensor GaussianKl(const model::Gaussian& p, const model::Gaussian& q,
                      PoMpcConfig::KlReduction reduction) {
  // The formula once more, for autograd to differentiate: tests compare the node above with it.
  if (model::ReferenceScope::active()) {
    const at::Tensor kl =
        q.log_std - p.log_std - 0.5 +
        ((2 * p.log_std).exp() + (p.mean - q.mean).square()) / (2 * (2 * q.log_std).exp());
    return Reduce(kl, reduction);
  }
  return KlFunction::apply(p.mean, p.log_std, q.mean, q.log_std, int64_t{reduction});
}

at::Tensor Entropy(const model::Gaussian& gaussian) {
  const double constant = 0.5 * std::log(2 * std::numbers::pi * std::numbers::e);
  return gaussian.log_std.sum(-1) + constant * static_cast<double>(gaussian.log_std.size(-1));
}

at::Tensor LogDensity(const model::Gaussian& gaussian, const at::Tensor& x,
                      PoMpcConfig::KlReduction reduction) {
  const at::Tensor standard = (x - gaussian.mean) * (-gaussian.log_std).exp();
  return Reduce(standard.square() * -0.5 - gaussian.log_std - kLogSqrtTwoPi, reduction);
}

at::Tensor SquashedLogDensity(const model::Gaussian& policy, const at::Tensor& noise,
                              PoMpcConfig::KlReduction reduction) {
  // At the number drawn, (u - m) / s is the noise itself.
  const at::Tensor drawn = at::addcmul(policy.mean, policy.log_std.exp(), noise);
  // ln(1 - tanh(u)^2) without the difference that vanishes for large u.
  const at::Tensor log_slope = (std::numbers::ln2 - drawn - at::softplus(drawn * -2)) * 2;
  return Reduce(noise.square() * -0.5 - policy.log_std - kLogSqrtTwoPi - log_slope, reduction);
}

at::Tensor KlToPlanner(const model::Gaussian& policy, proto::ModelConfig::PolicyForm form,
                       const at::Tensor& noise, const model::Gaussian& planner,
                       PoMpcConfig::KlReduction reduction) {
  if (form == proto::ModelConfig::CLIPPED_GAUSSIAN) return GaussianKl(policy, planner, reduction);
  // The planner's Gaussian is one of actions, the policy's one of numbers before tanh: there is no
  // closed form between the two, so the KL is estimated by the one action that was drawn.
  return SquashedLogDensity(policy, noise, reduction) -
         LogDensity(planner, model::SampleActions(policy, noise, form), reduction);
}

at::Tensor KlFromPlanner(const model::Gaussian& planner, const model::Gaussian& policy,
                         proto::ModelConfig::PolicyForm form, const at::Tensor& noise,
                         PoMpcConfig::KlReduction reduction) {
  if (form == proto::ModelConfig::CLIPPED_GAUSSIAN) return GaussianKl(planner, policy, reduction);
  const at::Tensor actions =
      at::addcmul(planner.mean, planner.log_std.exp(), noise).clamp(-kBorder, kBorder);
  const at::Tensor standard = (actions.atanh() - policy.mean) * (-policy.log_std).exp();
  const at::Tensor log_policy =
      standard.square() * -0.5 - policy.log_std - kLogSqrtTwoPi - (1 - actions.square()).log();
  // The planner's entropy is closed, and less noisy than its density at the action drawn.
  return -Reduce(planner.log_std + (kLogSqrtTwoPi + 0.5) + log_policy, reduction);
}

model::Gaussian PlannerGaussian(const at::Tensor& mean, const at::Tensor& std,
                                const proto::RunConfig& config) {
  return {mean, std.clamp(config.po_mpc().planner_std_floor(), config.planner().max_std()).log()};
}

}  // namespace pompc::update
