#include "learner/update/metrics.h"

namespace pompc::update {

std::vector<std::pair<std::string_view, double>> UpdateMetrics::Named() const {
#define POMPC_METRIC(field) \
  { #field, field }
  return {
      POMPC_METRIC(total_loss),
      POMPC_METRIC(consistency_loss),
      POMPC_METRIC(reward_loss),
      POMPC_METRIC(termination_loss),
      POMPC_METRIC(value_loss),
      POMPC_METRIC(regularized_value_loss),
      POMPC_METRIC(prior_loss),
      POMPC_METRIC(policy_loss),
      POMPC_METRIC(model_gradient_norm),
      POMPC_METRIC(regularized_value_gradient_norm),
      POMPC_METRIC(prior_gradient_norm),
      POMPC_METRIC(policy_gradient_norm),
      POMPC_METRIC(policy_prior_kl),
      POMPC_METRIC(prior_planner_kl),
      POMPC_METRIC(policy_std),
      POMPC_METRIC(prior_std),
      POMPC_METRIC(planner_std),
      POMPC_METRIC(policy_entropy),
      POMPC_METRIC(clipped_actions),
      POMPC_METRIC(value_scale),
      POMPC_METRIC(kl_scale),
      POMPC_METRIC(value),
      POMPC_METRIC(regularized_value),
      POMPC_METRIC(value_target),
      POMPC_METRIC(regularized_value_target),
      POMPC_METRIC(clamped_targets),
      POMPC_METRIC(clamped_regularized_targets),
      POMPC_METRIC(planned_share),
  };
#undef POMPC_METRIC
}

}  // namespace pompc::update
