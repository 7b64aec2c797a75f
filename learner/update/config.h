// Settings of the PO-MPC update.
#ifndef POMPC_LEARNER_UPDATE_CONFIG_H_
#define POMPC_LEARNER_UPDATE_CONFIG_H_

#include "absl/status/status.h"
#include "model/config.h"

namespace pompc::update {

// What the policy is held close to.
enum class Prior {
  kLearned,  // a policy network that follows the planner
  kReplay,   // the planner's own Gaussians, stored with the rows
};

// Direction of the KL that trains the learned prior.
enum class PriorKl {
  kForward,  // KL(planner || prior): maximum likelihood of the planner
  kReverse,  // KL(prior || planner)
};

// How the policy's loss measures its distance from the prior.
enum class PolicyKl {
  kModeSeeking,   // KL(policy || prior)
  kMassCovering,  // KL(prior || policy): maximum likelihood of the prior
  kCrossEntropy,  // KL(policy || prior) + entropy of the policy, the mean of -ln prior(action)
};

// Weights of the policy's loss.
enum class ActorWeights {
  kMix,      // (1 - alpha) value + alpha KL, each over its own running scale
  kLiteral,  // value + lambda KL, both over the value's running scale
};

// How a KL of Gaussians joins the numbers of an action.
enum class KlReduction { kMean, kSum };

// How two random members of an ensemble become one value.
enum class ValueReduction { kMin, kAverage };

// The ensemble that the policy's loss asks.
enum class PolicyValues {
  kRegularized,  // the KL-regularised one
  kPlain,        // the planner's; no regularised one is built
};

// What a value target sees of the window.
enum class TargetHorizon {
  kOneStep,    // r + gamma V(next)
  kWindowEnd,  // the window's remaining rewards, and a bootstrap at its end
};

// Defaults are those of RunConfig's po_mpc and learner sections.
struct UpdateConfig {
  // KL weight as a mixture, alpha = lambda / (1 + lambda): 0 is TD-MPC2's corner, 1 (lambda
  // infinite) pure imitation of the planner, for which no regularised values are built.
  double alpha = 0.5;
  Prior prior = Prior::kLearned;
  PriorKl prior_kl = PriorKl::kForward;
  PolicyKl policy_kl = PolicyKl::kModeSeeking;
  ActorWeights actor_weights = ActorWeights::kMix;
  // Whether the KL of the policy's loss is divided by a running scale.
  bool scale_kl = true;
  // The KL joins the policy's loss while the running scale of the value is above this.
  double kl_threshold = 0;
  KlReduction kl_reduction = KlReduction::kMean;
  TargetHorizon target_horizon = TargetHorizon::kOneStep;
  ValueReduction target_value_reduction = ValueReduction::kMin;
  PolicyValues policy_values = PolicyValues::kRegularized;
  ValueReduction policy_value_reduction = ValueReduction::kAverage;
  // Whether prior and policy learn at the last state of a window too, not only where it has
  // decisions.
  bool policy_at_window_end = false;
  double entropy_coefficient = 1e-4;
  // Planner standard deviations are clamped to [planner_std_floor, planner_std_ceiling] before
  // anything follows them.
  double planner_std_floor = 0.05;
  double planner_std_ceiling = 2;
  // Whether the regularised values train the encoder and the dynamics as well.
  bool regularized_value_gradient = false;

  double discount = 0.99;
  // Weight of step t of a window: rho^t.
  double rho = 0.5;
  // Rate of the target networks and of the running scales.
  double tau = 0.01;
  double learning_rate = 3e-4;
  double encoder_lr_scale = 0.3;
  // Gradients of each optimiser are clipped to this norm.
  double max_grad_norm = 20;
  double consistency_coefficient = 20;
  double reward_coefficient = 0.1;
  double value_coefficient = 0.1;
  double termination_coefficient = 1;

  // alpha / (1 - alpha); infinite for alpha = 1.
  double Lambda() const;
  // Pure imitation (alpha = 1) needs no regularised values, alpha = 0 no prior.
  bool HasRegularizedValues() const {
    return alpha < 1 && policy_values == PolicyValues::kRegularized;
  }
  bool HasLearnedPrior() const { return alpha > 0 && prior == Prior::kLearned; }
  // INVALID_ARGUMENT naming the field, its value and the allowed range.
  absl::Status Validate() const;
  // The same, and whether it has a meaning for policies of this form: a planner's Gaussian gives
  // actions beyond [-1, 1] a probability and a squashed one does not, so that KL(planner || policy)
  // is infinite.
  absl::Status Validate(model::PolicyForm form) const;

  bool operator==(const UpdateConfig&) const = default;
};

// lambda / (1 + lambda). REQUIRES: lambda >= 0.
double AlphaOfLambda(double lambda);

// TD-MPC2's discount for episodes of T decisions: clip((T/5 - 1) / (T/5), 0.95, 0.995).
double DiscountHeuristic(double episode_decisions);

}  // namespace pompc::update

#endif  // POMPC_LEARNER_UPDATE_CONFIG_H_
