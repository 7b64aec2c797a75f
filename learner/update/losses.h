// The formulas of the PO-MPC update (docs/algorithm.md, Update, steps 1 to 4) as functions of
// networks, data and draws: no randomness of their own, no state. Every per-row tensor has one row
// per (step, window) of Windows, step first; T is the number of states at which prior and policy
// learn, Windows::policy_rows = T B. A Report puts what a step computed into the metrics.
#ifndef POMPC_LEARNER_UPDATE_LOSSES_H_
#define POMPC_LEARNER_UPDATE_LOSSES_H_

#include <limits>
#include <span>
#include <vector>

#include "learner/update/batch.h"
#include "learner/update/draws.h"
#include "learner/update/metrics.h"
#include "model/mlp.h"
#include "model/torch_compat.h"
#include "model/world_model.h"
#include "proto/config.pb.h"

namespace pompc::update {

// Weight of the KL over that of the values; infinite for pure imitation (alpha = 1).
inline double Lambda(const proto::PoMpcConfig& config) {
  const double alpha = config.alpha();
  return alpha >= 1 ? std::numeric_limits<double>::infinity() : alpha / (1 - alpha);
}

// Pure imitation needs no regularised values, alpha = 0 no prior.
inline bool HasRegularizedValues(const proto::PoMpcConfig& config) {
  return config.alpha() < 1 && config.policy_values() == proto::PoMpcConfig::REGULARIZED;
}
// What the penalties weigh must not follow from them: a range of regularised values would grow with
// its own price.
inline bool ScalesByPlainValues(const proto::PoMpcConfig& config) {
  return HasRegularizedValues(config) && config.alpha() > 0 &&
         config.actor_weights() == proto::PoMpcConfig::RELATIVE;
}
inline bool HasLearnedPrior(const proto::PoMpcConfig& config) {
  return config.alpha() > 0 && config.prior() == proto::PoMpcConfig::LEARNED;
}

// An ensemble of action values with its target network: the plain Q, which planners use, or the
// regularised Qt. A handle, as its networks are. Learnables lists those of a config; everything
// else loops over that list.
struct ValueHead {
  // Its loss is reported under this name.
  const char* name;
  // The loss whose optimiser steps it (kLosses).
  const char* loss;
  model::Mlp online, target;
  // Its targets subtract lambda KL(pi || p) from the value of each later state.
  bool penalized = false;
  // The gradient of its loss reaches the latents.
  bool trains_latents = true;
  // The policy's loss uses its values; this is true of one head.
  bool judges_policy = false;
  struct Columns {
    Metric loss, target, clamped;
    Metric prediction = nullptr;  // nullptr: not reported
  } columns;
};

// ---- Step 1: targets

// H decisions in B windows, time first. Step t goes from state t to state t+1.
struct WindowRewards {
  at::Tensor rewards;     // [H, B]
  at::Tensor terminated;  // [H, B], 1 where state t+1 is terminal, else 0
  // What is subtracted from the value of state t+1, t = 0..H-1: the price of a nat times K there.
  // [H, B], or undefined: 0.
  at::Tensor penalties;
  double discount = 0;
};

// y_t = r_t + gamma (1 - d_t) (V(s_{t+1}) - penalty_t), from next_values [H, B].
at::Tensor OneStepTargets(const WindowRewards& window, const at::Tensor& next_values);

// The same recursion with y_{t+1} for V(s_{t+1}), from last_values [B] at the window's last state:
// the window's remaining discounted rewards and penalties, everything after a terminal state cut
// off, and a bootstrap at the end.
at::Tensor WindowEndTargets(const WindowRewards& window, const at::Tensor& last_values);

// The constants that the losses of the model and of the values compare predictions with.
struct Targets {
  at::Tensor next_latents;         // [H * B, L]: encodings of the states after each step
  std::vector<at::Tensor> values;  // [H * B], one for each value head
};

// What a nat of divergence from the prior costs, in units of reward (docs/algorithm.md, What lambda
// means): lambda, with RELATIVE lambda (1 - gamma) times `value_scale`. A scalar like it.
at::Tensor NatPrice(const proto::RunConfig& config, const at::Tensor& value_scale);

struct TargetSources {
  const model::WorldModel* model = nullptr;
  std::span<const ValueHead> heads;
  // nullptr where there is no learned prior, or it was never trained.
  const model::Mlp* prior = nullptr;
  at::Tensor nat_price;
};

// Computes step 1, without gradients. The targets of state values are those of the model's own next
// decisions.
Targets MakeTargets(const TargetSources& sources, const Windows& windows, const Draws& draws);

// ---- Step 2: the world model and the values

// One term of a sum that is minimised.
struct LossTerm {
  const char* name;
  Metric column;
  double coefficient = 0;
  at::Tensor loss;  // a scalar, without the coefficient
};

struct ModelLosses {
  // In the order in which they are summed. sum_t stands for (1/H) sum_t rho^t mean_batch w, with
  // the weight w of each window (Windows::importance):
  //   consistency        sum_t (zhat_{t+1} - next_latent_t)^2
  //   reward             sum_t CE(R(zhat_t, a_t), r_t)
  //   value              sum_t (1/N) sum_i CE(Q_i(zhat_t, a_t), y_t)
  //   regularized_value  the same for Qt, if there is one
  //   termination        (1/H) sum_t mean_batch w BCE(D(zhat_{t+1}), d_t), if episodes can
  //   terminate
  std::vector<LossTerm> terms;
  at::Tensor latents;  // [T * B, L]: zhat_0..zhat_{T-1}, rolled out from the first observation
  at::Tensor reward_logits;              // [H * B, bins]
  std::vector<at::Tensor> value_logits;  // [N, H * B, bins], one for each value head

  // The sum that is minimised.
  at::Tensor Total() const;
};

// `dropout` multiplies the first layer of the members of every value head, [N, H * B, mlp_dim], or
// is undefined: none. Gradients flow into the networks' parameters.
ModelLosses ComputeModelLosses(const model::WorldModel& model, std::span<const ValueHead> heads,
                               const Windows& windows, const Targets& targets,
                               const at::Tensor& dropout, const proto::RunConfig& config);
void Report(const ModelLosses& losses, const Targets& targets, std::span<const ValueHead> heads,
            const proto::ModelConfig& config, MetricTensors& metrics);

// The priority of each window for the replay that it was drawn from: the error of its plain values,
// (1/H) sum_t rho^t (1/N) sum_i |Q_i(zhat_t, a_t) - y_t| in units of returns, [B]. This is the
// priority of TD-MPC (Hansen et al. 2022, tdmpc.py: priority_loss), up to its constant factor. No
// gradient.
at::Tensor WindowPriorities(const ModelLosses& losses, const Targets& targets,
                            const Windows& windows, const proto::RunConfig& config);

// ---- Step 3: the learned prior

struct PriorLoss {
  // sum of row weights times KL over the rows with plans, over the sum of their weights, times the
  // sum of all weights: the mean does not shrink with the share of rows that have plans, nor with
  // their age. Plans behind the gate count as a KL of 0.
  at::Tensor loss;
  at::Tensor kl;             // [T * B], of every row
  model::Gaussian gaussian;  // the prior's
  at::Tensor followed;       // [T * B], how much each plan counts: its weight, 0 behind the gate
};

// What the prior follows beside the plans themselves.
struct PriorTeacher {
  at::Tensor noise;                  // [T * B, A], for a squashed prior alone
  const model::Mlp* gate = nullptr;  // action values of po_mpc.prior_gate VALUE; nullptr: OPEN
};

// KL between planner and prior in the configured direction. REQUIRES: windows.any_plan.
PriorLoss ComputePriorLoss(const model::Mlp& prior, const PriorTeacher& teacher,
                           const Windows& windows, const at::Tensor& latents,
                           const proto::RunConfig& config);
void Report(const PriorLoss& loss, const Windows& windows, MetricTensors& metrics);

// ---- Step 4: the policy

// One evaluation of the policy at `latents`, on the way to its loss.
struct PolicyTerms {
  model::Gaussian gaussian;
  at::Tensor actions;  // [T * B, A], sampled with given noise
  at::Tensor values;   // [T * B]: over members, reduced as configured; undefined for alpha = 1
  // [B]: whose range the values are divided by; undefined for alpha = 1.
  at::Tensor scale_values;
  // [T * B]: between policy and prior as configured, 0 in rows without a plan; undefined for alpha
  // = 0.
  at::Tensor kl;
  at::Tensor entropy;  // [T * B]
};

// The networks and numbers that judge the policy; constants to its gradient.
struct PolicyJudges {
  const model::Mlp* values = nullptr;  // nullptr: alpha = 1
  // The plain ensemble, where the running scale follows it; nullptr: it follows `values`.
  const model::Mlp* scale = nullptr;
  at::Tensor members;                  // of the ensemble to reduce, int64; undefined: all
  at::Tensor dropout;                  // as in Mlp::Options
  // [T * B, A], a policy's for a LEARNED prior, of actions for REPLAY; nullptr: no row has a plan,
  // or alpha = 0.
  const model::Gaussian* prior = nullptr;
};

PolicyTerms EvaluatePolicy(const model::WorldModel& model, const PolicyJudges& judges,
                           const Windows& windows, const at::Tensor& latents,
                           const at::Tensor& noise, const proto::RunConfig& config);

// (1/T) sum_t rho^t mean_batch [-w_q value / value_scale + w_k kl - c A entropy]: w_q = 1 and
// w_k = NatPrice / value_scale; with MIX w_q = 1 - alpha and w_k = alpha / kl_scale. alpha = 1 is
// pure imitation, w_q = 0 and w_k = 1 / kl_scale. w_k is 0 unless value_scale >
// po_mpc.kl_threshold.
at::Tensor PolicyLoss(const PolicyTerms& terms, const Windows& windows,
                      const at::Tensor& value_scale, const at::Tensor& kl_scale,
                      const proto::RunConfig& config);
void Report(const PolicyTerms& terms, const Windows& windows, MetricTensors& metrics);

// Reports how many of the batch's states have plans, and how wide these are.
void Report(const Windows& windows, MetricTensors& metrics);

}  // namespace pompc::update

#endif  // POMPC_LEARNER_UPDATE_LOSSES_H_
