#include "learner/update/metrics.h"

#include <array>

namespace pompc::update {
namespace {

struct Field {
  std::string_view name;
  double UpdateMetrics::*number;
  // A mean over the rows with plans alone.
  bool of_planned = false;
};

#define POMPC_METRIC(field) #field, &UpdateMetrics::field
constexpr Field kFields[] = {
    {POMPC_METRIC(total_loss)},
    {POMPC_METRIC(consistency_loss)},
    {POMPC_METRIC(reward_loss)},
    {POMPC_METRIC(termination_loss)},
    {POMPC_METRIC(value_loss)},
    {POMPC_METRIC(regularized_value_loss)},
    {POMPC_METRIC(prior_loss)},
    {POMPC_METRIC(policy_loss)},
    {POMPC_METRIC(model_gradient_norm)},
    {POMPC_METRIC(regularized_value_gradient_norm)},
    {POMPC_METRIC(prior_gradient_norm)},
    {POMPC_METRIC(policy_gradient_norm)},
    {POMPC_METRIC(policy_prior_kl), true},
    {POMPC_METRIC(prior_planner_kl), true},
    {POMPC_METRIC(policy_std)},
    {POMPC_METRIC(prior_std)},
    {POMPC_METRIC(planner_std), true},
    {POMPC_METRIC(policy_entropy)},
    {POMPC_METRIC(clipped_actions)},
    {POMPC_METRIC(value_scale)},
    {POMPC_METRIC(kl_scale)},
    {POMPC_METRIC(value)},
    {POMPC_METRIC(regularized_value)},
    {POMPC_METRIC(value_target)},
    {POMPC_METRIC(regularized_value_target)},
    {POMPC_METRIC(clamped_targets)},
    {POMPC_METRIC(clamped_regularized_targets)},
    {POMPC_METRIC(planned_share)},
};
#undef POMPC_METRIC

}  // namespace

std::vector<std::pair<std::string_view, double>> UpdateMetrics::Named() const {
  std::vector<std::pair<std::string_view, double>> named;
  for (const Field& field : kFields) named.emplace_back(field.name, this->*field.number);
  return named;
}

at::Tensor MetricTensors::Pack(const at::TensorOptions& options) const {
  at::NoGradGuard no_grad;
  std::vector<at::Tensor> numbers(std::size(kFields), at::zeros({}, options.dtype(at::kDouble)));
  for (const auto& [number, scalar] : scalars_) {
    size_t i = 0;
    while (kFields[i].number != number) ++i;
    numbers[i] = scalar.to(at::kDouble);
  }
  return at::stack(numbers);
}

UpdateMetrics Unpack(const at::Tensor& packed) {
  const at::Tensor on_host = packed.cpu();
  UpdateMetrics metrics;
  for (size_t i = 0; i < std::size(kFields); ++i)
    metrics.*kFields[i].number = on_host.data_ptr<double>()[i];
  return metrics;
}

UpdateMetrics UpdateMetrics::OfParts(const std::vector<UpdateMetrics>& parts) {
  UpdateMetrics whole;
  double planned = 0;
  for (const UpdateMetrics& part : parts) planned += part.planned_share;
  for (const Field& field : kFields) {
    double& value = whole.*field.number;
    for (const UpdateMetrics& part : parts) {
      value += part.*field.number * (field.of_planned ? part.planned_share : 1);
    }
    const double weight = field.of_planned ? planned : static_cast<double>(parts.size());
    value = weight > 0 ? value / weight : 0;
  }
  return whole;
}

}  // namespace pompc::update
