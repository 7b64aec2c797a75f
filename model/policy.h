// The policies' distribution over actions.
#ifndef POMPC_MODEL_POLICY_H_
#define POMPC_MODEL_POLICY_H_

#include "model/torch_compat.h"
#include "proto/config.pb.h"

namespace pompc::model {

// Diagonal Gaussian. A policy draws u = mean + std * noise from it and acts by the model's
// policy_form: clip(u, -1, 1) (BMPC), or tanh(u) (TD-MPC2).
struct Gaussian {
  at::Tensor mean;     // of a policy in the clipped form: in (-1, 1)
  at::Tensor log_std;  // of a policy: in (log_std_min, log_std_max)
};

// Reads a policy network's raw output [..., 2A], (m, l), as log_std = lo + (hi - lo) / 2 (tanh(l) +
// 1) and mean = tanh(m) in the clipped form, m in the squashed one.
Gaussian PolicyFromRaw(const at::Tensor& raw, const proto::ModelConfig& config);

// Actions for standard normal noise [..., A], which broadcasts with the mean.
at::Tensor SampleActions(const Gaussian& policy, const at::Tensor& noise,
                         proto::ModelConfig::PolicyForm form);

}  // namespace pompc::model

#endif  // POMPC_MODEL_POLICY_H_
