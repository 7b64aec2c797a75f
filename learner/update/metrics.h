// What one update reports.
#ifndef POMPC_LEARNER_UPDATE_METRICS_H_
#define POMPC_LEARNER_UPDATE_METRICS_H_

#include <string_view>
#include <utility>
#include <vector>

#include "model/torch_compat.h"

namespace pompc::update {

// All zero unless metrics were wanted.
struct UpdateMetrics {
  // Losses as they are summed or minimised: step weights in, coefficients out.
  double total_loss = 0;  // of the world model and the values, coefficients in
  double consistency_loss = 0;
  double reward_loss = 0;
  double termination_loss = 0;
  double value_loss = 0;
  double regularized_value_loss = 0;
  double prior_loss = 0;
  double policy_loss = 0;
  // Norms before clipping.
  double model_gradient_norm = 0;
  double regularized_value_gradient_norm = 0;
  double prior_gradient_norm = 0;
  double policy_gradient_norm = 0;
  // KL between policy and prior as in the policy's loss, and between planner and learned prior (in
  // the configured direction): means over the rows with plans; 0 if there are none.
  double policy_prior_kl = 0;
  double prior_planner_kl = 0;
  double policy_std = 0;   // mean
  double prior_std = 0;    // mean
  double planner_std = 0;  // mean over the rows with plans
  double policy_entropy =
      0;  // of the Gaussian before clipping, summed over the numbers of an action
  double clipped_actions = 0;  // share of the policy's sampled numbers at -1 or 1
  double value_scale = 0;
  double kl_scale = 0;
  // Mean predictions at the policy's actions and mean targets; share of the targets beyond the
  // two-hot range.
  double value = 0;              // plain Q at the batch's actions
  double regularized_value = 0;  // at the policy's actions, of the ensemble its loss asks
  double value_target = 0;
  double regularized_value_target = 0;
  double clamped_targets = 0;
  double clamped_regularized_targets = 0;
  double planned_share = 0;  // of the states at which the policy learns

  // The same in a fixed order, named as the fields: columns of metrics.csv.
  std::vector<std::pair<std::string_view, double>> Named() const;
  // Of a batch, from those of its equally large parts; at least one.
  static UpdateMetrics OfParts(const std::vector<UpdateMetrics>& parts);
};

// The metrics of one update while they are scalars on its device. Not thread-safe.
class MetricTensors {
 public:
  // `scalar` has no dimensions and any real dtype. Each field once.
  void Set(double UpdateMetrics::*field, const at::Tensor& scalar) {
    scalars_.emplace_back(field, scalar.detach());
  }

  // All metrics in their order, zeros where none was set: float64 [n] on the device of `options`.
  at::Tensor Pack(const at::TensorOptions& options) const;

 private:
  std::vector<std::pair<double UpdateMetrics::*, at::Tensor>> scalars_;
};

// What was packed, on the host; waits for the device.
UpdateMetrics Unpack(const at::Tensor& packed);

}  // namespace pompc::update

#endif  // POMPC_LEARNER_UPDATE_METRICS_H_
