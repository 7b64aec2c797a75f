// The policies' distribution over actions.
#ifndef POMPC_MODEL_POLICY_H_
#define POMPC_MODEL_POLICY_H_

#include "model/config.h"
#include "model/torch_compat.h"

namespace pompc::model {

// Diagonal Gaussian in action space (the clipped-Gaussian form): actions are clip(mean + std *
// noise, -1, 1).
struct Gaussian {
  at::Tensor mean;     // in (-1, 1)
  at::Tensor log_std;  // in (log_std_min, log_std_max)
};

// Reads a policy network's raw output [..., 2A] as mean = tanh(m) and log_std = lo + (hi - lo) / 2
// (tanh(l) + 1).
Gaussian PolicyFromRaw(const at::Tensor& raw, const ModelConfig& config);

// clip(mean + std noise, -1, 1), for standard normal noise of the mean's shape.
at::Tensor SampleActions(const Gaussian& policy, const at::Tensor& noise);

}  // namespace pompc::model

#endif  // POMPC_MODEL_POLICY_H_
