// Diagonal Gaussians: what the losses need of policies, priors and plans.
#ifndef POMPC_LEARNER_UPDATE_GAUSSIAN_H_
#define POMPC_LEARNER_UPDATE_GAUSSIAN_H_

#include "model/policy.h"
#include "model/torch_compat.h"
#include "proto/config.pb.h"

namespace pompc::update {

// What the sum of the KLs over the `numbers` numbers of an action is multiplied by.
double ReductionFactor(proto::PoMpcConfig::KlReduction reduction, int64_t numbers);

// KL(p || q) over the last dimension, [..., A] -> [...]; per number of an action
// ln(s_q / s_p) + (s_p^2 + (m_p - m_q)^2) / (2 s_q^2) - 1/2. Also the KL of two squashed Gaussians,
// since tanh has an inverse.
at::Tensor GaussianKl(const model::Gaussian& p, const model::Gaussian& q,
                      proto::PoMpcConfig::KlReduction reduction);

// Entropy before clipping or squashing, summed over the last dimension. Its gradient is that of
// TD-MPC2's "scaled entropy" over the number of numbers in an action.
at::Tensor Entropy(const model::Gaussian& gaussian);

// ln density at x, [..., A] -> [...], reduced as a KL.
at::Tensor LogDensity(const model::Gaussian& gaussian, const at::Tensor& x,
                      proto::PoMpcConfig::KlReduction reduction);

// ln density of a squashed policy's action tanh(u), u = mean + std noise: that of the Gaussian at
// u, minus ln(1 - tanh(u)^2). Differentiable in the policy.
at::Tensor SquashedLogDensity(const model::Gaussian& policy, const at::Tensor& noise,
                              proto::PoMpcConfig::KlReduction reduction);

// KL(policy || planner), where the planner's Gaussian is one of actions: closed for a clipped
// policy (clipping ignored), ln policy(a) - ln planner(a) at the action of `noise` for a squashed
// one.
at::Tensor KlToPlanner(const model::Gaussian& policy, proto::ModelConfig::PolicyForm form,
                       const at::Tensor& noise, const model::Gaussian& planner,
                       proto::PoMpcConfig::KlReduction reduction);

// KL(planner || policy): closed for a clipped policy, for a squashed one -H(planner) - ln policy(a)
// at the planner's action a of `noise`, clamped to +-0.999 (maximum likelihood). Differentiable in
// the policy.
at::Tensor KlFromPlanner(const model::Gaussian& planner, const model::Gaussian& policy,
                         proto::ModelConfig::PolicyForm form, const at::Tensor& noise,
                         proto::PoMpcConfig::KlReduction reduction);

// The planner's Gaussian with its standard deviation clamped to the configured range.
model::Gaussian PlannerGaussian(const at::Tensor& mean, const at::Tensor& std,
                                const proto::RunConfig& config);

}  // namespace pompc::update

#endif  // POMPC_LEARNER_UPDATE_GAUSSIAN_H_
