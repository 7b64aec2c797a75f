#include "model/policy.h"

#include "common/base/check.h"

namespace pompc::model {

Gaussian PolicyFromRaw(const at::Tensor& raw, const proto::ModelConfig& config) {
  POMPC_CHECK_EQ(raw.size(-1) % 2, 0);
  const int64_t numbers = raw.size(-1) / 2;
  // One tanh over both halves is one pass; the mean of the squashed form does not need its half.
  const at::Tensor squashed = at::tanh(raw);
  const double half = 0.5 * (config.log_std_max() - config.log_std_min());
  const at::Tensor& means =
      config.policy_form() == proto::ModelConfig::TANH_GAUSSIAN ? raw : squashed;
  return {means.narrow(-1, 0, numbers),
          squashed.narrow(-1, numbers, numbers) * half + (config.log_std_min() + half)};
}

at::Tensor SampleActions(const Gaussian& policy, const at::Tensor& noise,
                         proto::ModelConfig::PolicyForm form) {
  POMPC_DCHECK_EQ(noise.size(-1), policy.mean.size(-1));
  // The clipped form acts on the border with positive probability, the squashed one never does.
  const at::Tensor drawn = at::addcmul(policy.mean, policy.log_std.exp(), noise);
  return form == proto::ModelConfig::TANH_GAUSSIAN ? drawn.tanh() : drawn.clamp(-1, 1);
}

}  // namespace pompc::model
