// The losses of the PO-MPC update as functions of networks, data and given targets: no randomness,
// no state. Every per-row tensor has one row per (step, window) of Windows, step first; T is the
// number of states at which prior and policy learn, Windows::policy_rows = T B.
#ifndef POMPC_LEARNER_UPDATE_LOSSES_H_
#define POMPC_LEARNER_UPDATE_LOSSES_H_

#include "learner/update/batch.h"
#include "model/mlp.h"
#include "model/torch_compat.h"
#include "model/world_model.h"
#include "proto/config.pb.h"

namespace pompc::update {

// What the losses of the model and of the values compare predictions with; constants.
struct Targets {
  at::Tensor next_latents;        // [H * B, L]: encodings of the states after each step
  at::Tensor values;              // [H * B]: of the plain ensemble
  at::Tensor regularized_values;  // [H * B]: of the regularised ensemble; undefined without one
};

// One value out of those of several members, [M, ...] -> [...].
at::Tensor ReduceMembers(const at::Tensor& values, proto::PoMpcConfig::ValueReduction reduction);

struct ModelLosses {
  at::Tensor consistency;        // (1/H) sum_t rho^t mean (zhat_{t+1} - next_latent_t)^2
  at::Tensor reward;             // (1/H) sum_t rho^t mean CE(R(zhat_t, a_t), r_t)
  at::Tensor value;              // (1/(H N)) sum_t sum_i rho^t mean CE(Q_i(zhat_t, a_t), y_t)
  at::Tensor regularized_value;  // the same for the regularised ensemble; undefined without one
  at::Tensor termination;  // mean BCE(D(zhat_{t+1}), d_t); undefined if episodes never terminate
  at::Tensor latents;      // [T * B, L]: zhat_0..zhat_{T-1}, rolled out from the first observation
  at::Tensor reward_logits;             // [H * B, bins]
  at::Tensor value_logits;              // [N, H * B, bins]
  at::Tensor regularized_value_logits;  // the same; undefined without one

  // The sum that is minimised, with the configured coefficients.
  at::Tensor Total(const proto::RunConfig& config) const;
};

// `regularized` may be nullptr. `dropout` multiplies the first layer of both ensembles' members,
// [N, H * B, mlp_dim], or undefined: none. Gradients flow into the networks' parameters; those of
// the regularised values reach the latents only if po_mpc.regularized_value_gradient.
ModelLosses ComputeModelLosses(const model::WorldModel& model, const model::Mlp* regularized,
                               const Windows& windows, const Targets& targets,
                               const at::Tensor& dropout, const proto::RunConfig& config);

struct PriorLoss {
  // sum of row weights times KL over the rows with plans, over the sum of their weights times T /
  // sum_t rho^t: the mean does not shrink with the share of rows that have plans.
  at::Tensor loss;
  at::Tensor kl;             // [T * B], of every row
  model::Gaussian gaussian;  // of the prior
};

// KL between planner and prior in the configured direction; `noise` [T * B, A] is for a squashed
// prior alone. REQUIRES: windows.any_plan.
PriorLoss ComputePriorLoss(const model::Mlp& prior, const Windows& windows,
                           const at::Tensor& latents, const at::Tensor& noise,
                           const proto::RunConfig& config);

// One evaluation of the policy at `latents`, on the way to its loss.
struct PolicyTerms {
  model::Gaussian gaussian;
  at::Tensor actions;  // [T * B, A], sampled with given noise
  at::Tensor values;   // [T * B]: over members, reduced as configured; undefined for alpha = 1
  // [T * B]: between policy and prior as configured, 0 in rows without a plan; undefined for alpha
  // = 0.
  at::Tensor kl;
  at::Tensor entropy;  // [T * B]
};

// What the policy is judged by; constants to its gradient.
struct PolicyJudges {
  const model::Mlp* values = nullptr;  // nullptr: alpha = 1
  at::Tensor members;                  // of the ensemble to reduce, int64; undefined: all
  at::Tensor dropout;                  // as in Mlp::Options
  // [T * B, A], a policy's for a LEARNED prior, of actions for REPLAY; nullptr: no row has a plan,
  // or alpha = 0.
  const model::Gaussian* prior = nullptr;
};

PolicyTerms EvaluatePolicy(const model::WorldModel& model, const PolicyJudges& judges,
                           const Windows& windows, const at::Tensor& latents,
                           const at::Tensor& noise, const proto::RunConfig& config);

// (1/T) sum_t rho^t mean_batch [-w_q value / value_scale + w_k kl / kl_scale - c A entropy], with
// (w_q, w_k) = (1 - alpha, alpha) and two scales for MIX, (1, lambda) and the value's scale for
// LITERAL. For alpha = 1 both are pure imitation, (0, 1) over the KL's scale. Without
// po_mpc.scale_kl the KL is divided by 1; w_k is 0 unless value_scale > po_mpc.kl_threshold.
at::Tensor PolicyLoss(const PolicyTerms& terms, const Windows& windows,
                      const at::Tensor& value_scale, const at::Tensor& kl_scale,
                      const proto::RunConfig& config);

}  // namespace pompc::update

#endif  // POMPC_LEARNER_UPDATE_LOSSES_H_
