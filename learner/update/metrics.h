// The numbers that one update reports.
#ifndef POMPC_LEARNER_UPDATE_METRICS_H_
#define POMPC_LEARNER_UPDATE_METRICS_H_

#include <string_view>
#include <utility>
#include <vector>

#include "model/torch_compat.h"

namespace pompc::update {

// Every number that an update reports, in the order of the columns of metrics.csv, with the rows
// that it is a mean over: ALL, or PLANNED for those with plans alone (0 if there are none).
//
// Losses come as they are summed or minimised: with the weights of the steps, without coefficients
// (total_loss, of the world model and the values, has them in). Gradient norms are those before
// clipping. policy_prior_kl is as in the policy's loss, prior_planner_kl in the configured
// direction. The entropy is that of the Gaussian before clipping, summed over the numbers of an
// action. clipped_actions is the share of the policy's sampled numbers at -1 or 1. `value` is plain
// Q at the batch's actions; regularized_value is of the ensemble in the policy's loss, at the
// policy's actions. Clamped targets are beyond the two-hot range. planned_share is of the states at
// which the policy learns; distilled_share is how much the prior follows each plan there.
#define POMPC_UPDATE_METRICS(METRIC)           \
  METRIC(total_loss, ALL)                      \
  METRIC(consistency_loss, ALL)                \
  METRIC(reward_loss, ALL)                     \
  METRIC(termination_loss, ALL)                \
  METRIC(value_loss, ALL)                      \
  METRIC(regularized_value_loss, ALL)          \
  METRIC(prior_loss, ALL)                      \
  METRIC(policy_loss, ALL)                     \
  METRIC(model_gradient_norm, ALL)             \
  METRIC(regularized_value_gradient_norm, ALL) \
  METRIC(prior_gradient_norm, ALL)             \
  METRIC(policy_gradient_norm, ALL)            \
  METRIC(policy_prior_kl, PLANNED)             \
  METRIC(prior_planner_kl, PLANNED)            \
  METRIC(policy_std, ALL)                      \
  METRIC(prior_std, ALL)                       \
  METRIC(planner_std, PLANNED)                 \
  METRIC(policy_entropy, ALL)                  \
  METRIC(clipped_actions, ALL)                 \
  METRIC(value_scale, ALL)                     \
  METRIC(kl_scale, ALL)                        \
  METRIC(value, ALL)                           \
  METRIC(regularized_value, ALL)               \
  METRIC(value_target, ALL)                    \
  METRIC(regularized_value_target, ALL)        \
  METRIC(clamped_targets, ALL)                 \
  METRIC(clamped_regularized_targets, ALL)     \
  METRIC(planned_share, ALL)                   \
  METRIC(distilled_share, PLANNED)

// One double for each of them, named as above. All are zero unless metrics were wanted.
struct UpdateMetrics {
#define POMPC_METRIC(name, rows) double name = 0;
  POMPC_UPDATE_METRICS(POMPC_METRIC)
#undef POMPC_METRIC

  // The same with their names.
  std::vector<std::pair<std::string_view, double>> Named() const;
  // The metrics of a batch, from those of its equally large parts. REQUIRES: there is a part.
  static UpdateMetrics OfParts(const std::vector<UpdateMetrics>& parts);
};

// One of the numbers above.
using Metric = double UpdateMetrics::*;

// The metrics of one update while they are scalars on its device. Not thread-safe.
class MetricTensors {
 public:
  // `scalar` has no dimensions and any real dtype. REQUIRES: the metric was not set before.
  void Set(Metric metric, const at::Tensor& scalar);

  // All metrics in their order, zeros where none was set: float64 [n] on the device of `options`.
  at::Tensor Pack(const at::TensorOptions& options) const;

 private:
  std::vector<std::pair<Metric, at::Tensor>> scalars_;
};

// Brings what was packed to the host; waits for the device.
UpdateMetrics Unpack(const at::Tensor& packed);

}  // namespace pompc::update

#endif  // POMPC_LEARNER_UPDATE_METRICS_H_
