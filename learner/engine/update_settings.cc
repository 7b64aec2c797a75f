#include "learner/engine/update_settings.h"

#include "common/base/status_macros.h"

namespace pompc::learner {
namespace {

update::PolicyKl PolicyKlFrom(proto::PoMpcConfig::PolicyKl from) {
  switch (from) {
    case proto::PoMpcConfig::MASS_COVERING:
      return update::PolicyKl::kMassCovering;
    case proto::PoMpcConfig::CROSS_ENTROPY:
      return update::PolicyKl::kCrossEntropy;
    default:
      return update::PolicyKl::kModeSeeking;
  }
}

update::ValueReduction ValueReductionFrom(proto::PoMpcConfig::ValueReduction from) {
  return from == proto::PoMpcConfig::MIN ? update::ValueReduction::kMin
                                         : update::ValueReduction::kAverage;
}

void SetPoMpc(const proto::PoMpcConfig& from, update::UpdateConfig* to) {
  to->alpha = from.has_alpha() ? from.alpha() : update::AlphaOfLambda(from.lambda());
  to->prior =
      from.prior() == proto::PoMpcConfig::REPLAY ? update::Prior::kReplay : update::Prior::kLearned;
  to->prior_kl = from.prior_kl() == proto::PoMpcConfig::REVERSE ? update::PriorKl::kReverse
                                                                : update::PriorKl::kForward;
  to->policy_kl = PolicyKlFrom(from.policy_kl());
  to->actor_weights = from.actor_weights() == proto::PoMpcConfig::LITERAL
                          ? update::ActorWeights::kLiteral
                          : update::ActorWeights::kMix;
  to->scale_kl = from.scale_kl();
  to->kl_threshold = from.kl_threshold();
  to->kl_reduction = from.kl_reduction() == proto::PoMpcConfig::SUM ? update::KlReduction::kSum
                                                                    : update::KlReduction::kMean;
  to->target_horizon = from.target_horizon() == proto::PoMpcConfig::WINDOW_END
                           ? update::TargetHorizon::kWindowEnd
                           : update::TargetHorizon::kOneStep;
  to->target_value_reduction = ValueReductionFrom(from.target_value_reduction());
  to->policy_values = from.policy_values() == proto::PoMpcConfig::PLAIN
                          ? update::PolicyValues::kPlain
                          : update::PolicyValues::kRegularized;
  to->policy_value_reduction = ValueReductionFrom(from.policy_value_reduction());
  to->policy_at_window_end = from.policy_at_window_end();
  to->entropy_coefficient = from.entropy_coefficient();
  to->planner_std_floor = from.planner_std_floor();
  to->regularized_value_gradient = from.regularized_value_gradient();
}

void SetLearner(const proto::LearnerConfig& from, update::UpdateConfig* to) {
  to->rho = from.rho();
  to->tau = from.tau();
  to->learning_rate = from.learning_rate();
  to->encoder_lr_scale = from.encoder_lr_scale();
  to->max_grad_norm = from.max_grad_norm();
  to->consistency_coefficient = from.consistency_coefficient();
  to->reward_coefficient = from.reward_coefficient();
  to->value_coefficient = from.value_coefficient();
  to->termination_coefficient = from.termination_coefficient();
}

}  // namespace

absl::StatusOr<update::UpdateConfig> UpdateConfigFrom(const proto::RunConfig& config) {
  update::UpdateConfig update;
  SetPoMpc(config.po_mpc(), &update);
  SetLearner(config.learner(), &update);
  update.planner_std_ceiling = config.planner().max_std();
  update.discount = config.learner().discount() > 0
                        ? config.learner().discount()
                        : update::DiscountHeuristic(config.env().spec().episode_decisions());
  POMPC_RETURN_IF_ERROR(Annotate(update.Validate(), "learner, po_mpc"));
  return update;
}

}  // namespace pompc::learner
