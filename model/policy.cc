#include "model/policy.h"

namespace pompc::model {

Gaussian PolicyFromRaw(const at::Tensor& raw, const ModelConfig& config) {
  const at::Tensor squashed = at::tanh(raw);
  const double half = 0.5 * (config.log_std_max - config.log_std_min);
  return {squashed.narrow(-1, 0, config.action_size),
          squashed.narrow(-1, config.action_size, config.action_size) * half +
              (config.log_std_min + half)};
}

at::Tensor SampleActions(const Gaussian& policy, const at::Tensor& noise) {
  return at::addcmul(policy.mean, policy.log_std.exp(), noise).clamp(-1, 1);
}

}  // namespace pompc::model
