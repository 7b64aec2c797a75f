#include "learner/update/targets.h"

#include <utility>
#include <vector>

namespace pompc::update {

at::Tensor OneStepTargets(const WindowRewards& window, const at::Tensor& next_values) {
  const at::Tensor values =
      window.penalties.defined() ? next_values - window.penalties : next_values;
  return at::addcmul(window.rewards, 1 - window.terminated, values, window.discount);
}

at::Tensor WindowEndTargets(const WindowRewards& window, const at::Tensor& last_values) {
  const int64_t horizon = window.rewards.size(0);
  const at::Tensor alive = 1 - window.terminated;
  std::vector<at::Tensor> targets(static_cast<size_t>(horizon));
  at::Tensor value = last_values;
  for (int64_t t = horizon - 1; t >= 0; --t) {
    if (window.penalties.defined()) value = value - window.penalties[t];
    value = at::addcmul(window.rewards[t], alive[t], value, window.discount);
    targets[static_cast<size_t>(t)] = value;
  }
  return at::stack(targets);
}

}  // namespace pompc::update
