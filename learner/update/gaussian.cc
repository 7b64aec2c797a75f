#include "learner/update/gaussian.h"

#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <numbers>

namespace pompc::update {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

// A node of its own because the graph of the formula would cost more than its numbers.
struct KlFunction : public torch::autograd::Function<KlFunction> {
  static Variable forward(AutogradContext* ctx, const Variable& p_mean, const Variable& p_log_std,
                          const Variable& q_mean, const Variable& q_log_std, bool mean) {
    const at::Tensor log_ratio = p_log_std - q_log_std;
    const at::Tensor variance_ratio = (2 * log_ratio).exp_();
    const at::Tensor precision = (-2 * q_log_std).exp_();
    const at::Tensor difference = p_mean - q_mean;
    const at::Tensor scaled = difference * precision;
    const at::Tensor distance = difference * scaled;
    ctx->save_for_backward({variance_ratio, scaled, distance});
    ctx->saved_data["mean"] = mean;
    const at::Tensor kl = ((variance_ratio + distance) - 1).mul_(0.5).sub_(log_ratio);
    return mean ? kl.mean(-1) : kl.sum(-1);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const variable_list saved = ctx->get_saved_variables();
    at::Tensor upstream = gradients[0].unsqueeze(-1);
    if (ctx->saved_data["mean"].toBool()) {
      upstream = upstream / static_cast<double>(saved[0].size(-1));
    }
    variable_list result(5);
    if (ctx->needs_input_grad(0)) result[0] = saved[1] * upstream;
    if (ctx->needs_input_grad(1)) result[1] = (saved[0] - 1) * upstream;
    if (ctx->needs_input_grad(2)) result[2] = -saved[1] * upstream;
    if (ctx->needs_input_grad(3)) result[3] = (1 - saved[0] - saved[2]) * upstream;
    return result;
  }
};

}  // namespace

at::Tensor GaussianKl(const model::Gaussian& p, const model::Gaussian& q, KlReduction reduction) {
  return KlFunction::apply(p.mean, p.log_std, q.mean, q.log_std, reduction == KlReduction::kMean);
}

at::Tensor Entropy(const model::Gaussian& gaussian) {
  const double constant = 0.5 * std::log(2 * std::numbers::pi * std::numbers::e);
  return gaussian.log_std.sum(-1) + constant * static_cast<double>(gaussian.log_std.size(-1));
}

model::Gaussian PlannerGaussian(const at::Tensor& mean, const at::Tensor& std,
                                const UpdateConfig& config) {
  return {mean, std.clamp(config.planner_std_floor, config.planner_std_ceiling).log()};
}

}  // namespace pompc::update
