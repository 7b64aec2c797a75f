#include "learner/update_settings.h"

#include "common/status_macros.h"

namespace pompc::learner {
namespace {

void SetPoMpc(const proto::PoMpcConfig& from, update::UpdateConfig* to) {
  to->alpha = from.has_alpha() ? from.alpha() : update::AlphaOfLambda(from.lambda());
  to->prior_kl = from.prior_kl() == proto::PoMpcConfig::REVERSE ? update::PriorKl::kReverse
                                                                : update::PriorKl::kForward;
  to->actor_weights = from.actor_weights() == proto::PoMpcConfig::LITERAL
                          ? update::ActorWeights::kLiteral
                          : update::ActorWeights::kMix;
  to->kl_reduction = from.kl_reduction() == proto::PoMpcConfig::SUM ? update::KlReduction::kSum
                                                                    : update::KlReduction::kMean;
  to->target_horizon = from.target_horizon() == proto::PoMpcConfig::WINDOW_END
                           ? update::TargetHorizon::kWindowEnd
                           : update::TargetHorizon::kOneStep;
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
