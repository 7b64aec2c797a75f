// Diagonal Gaussians in action space.
#ifndef POMPC_LEARNER_UPDATE_GAUSSIAN_H_
#define POMPC_LEARNER_UPDATE_GAUSSIAN_H_

#include "learner/update/config.h"
#include "model/policy.h"
#include "model/torch_compat.h"

namespace pompc::update {

// KL(p || q) over the last dimension, [..., A] -> [...]; per number of an action
// ln(s_q / s_p) + (s_p^2 + (m_p - m_q)^2) / (2 s_q^2) - 1/2.
at::Tensor GaussianKl(const model::Gaussian& p, const model::Gaussian& q, KlReduction reduction);

// Entropy before clipping, summed over the last dimension.
at::Tensor Entropy(const model::Gaussian& gaussian);

// The planner's Gaussian with its standard deviation clamped to the configured range.
model::Gaussian PlannerGaussian(const at::Tensor& mean, const at::Tensor& std,
                                const UpdateConfig& config);

}  // namespace pompc::update

#endif  // POMPC_LEARNER_UPDATE_GAUSSIAN_H_
