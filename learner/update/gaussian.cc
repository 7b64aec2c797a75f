#include "learner/update/gaussian.h"

#include <cmath>
#include <numbers>

namespace pompc::update {

at::Tensor GaussianKl(const model::Gaussian& p, const model::Gaussian& q, KlReduction reduction) {
  const at::Tensor log_ratio = p.log_std - q.log_std;
  const at::Tensor distance = (p.mean - q.mean) * (-q.log_std).exp();
  // s_p^2 / s_q^2 = e^(2 log_ratio)
  const at::Tensor kl = 0.5 * ((2 * log_ratio).exp() + distance.square() - 1) - log_ratio;
  return reduction == KlReduction::kMean ? kl.mean(-1) : kl.sum(-1);
}

at::Tensor SampleClipped(const model::Gaussian& gaussian, const at::Tensor& noise) {
  return at::addcmul(gaussian.mean, gaussian.log_std.exp(), noise).clamp(-1, 1);
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
