#include "model/policy.h"

namespace pompc::model {

Gaussian PolicyFromRaw(const at::Tensor& raw, const ModelConfig& config) {
  const at::Tensor squashed = at::tanh(raw);
  const double half = 0.5 * (config.log_std_max - config.log_std_min);
  const at::Tensor& means = config.policy_form == PolicyForm::kTanhGaussian ? raw : squashed;
  return {means.narrow(-1, 0, config.action_size),
          squashed.narrow(-1, config.action_size, config.action_size) * half +
              (config.log_std_min + half)};
}

at::Tensor SampleActions(const Gaussian& policy, const at::Tensor& noise, PolicyForm form) {
  const at::Tensor drawn = at::addcmul(policy.mean, policy.log_std.exp(), noise);
  return form == PolicyForm::kTanhGaussian ? drawn.tanh() : drawn.clamp(-1, 1);
}

}  // namespace pompc::model
