// The TD-MPC2 world model: encoder, latent dynamics, reward, optional termination head, Q ensemble,
// policy.
#ifndef POMPC_MODEL_WORLD_MODEL_H_
#define POMPC_MODEL_WORLD_MODEL_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "common/base/check.h"
#include "model/mlp.h"
#include "model/parameters.h"
#include "model/policy.h"
#include "model/torch_compat.h"
#include "proto/config.pb.h"

namespace pompc::model {

// Layout of each network, for the world model and for copies of parts of it (targets, second
// ensemble, prior policy).
MlpSpec EncoderSpec(const proto::RunConfig& config);
MlpSpec DynamicsSpec(const proto::RunConfig& config);
MlpSpec RewardSpec(const proto::RunConfig& config);
MlpSpec TerminationSpec(const proto::RunConfig& config);
MlpSpec QSpec(const proto::RunConfig& config);
MlpSpec PolicySpec(const proto::RunConfig& config);

// What a planner needs and a learner trains. A handle: copies share tensors; Clone() does not. All
// parameters lie in one flat tensor in the order encoder, dynamics, reward, termination (if any),
// q, policy. Calls that only read are thread-safe together; CopyFrom and training need exclusion by
// the caller. Latents are [..., latent_dim], actions
// [..., action_size]; leading dimensions must agree.
class WorldModel {
 public:
  // Fresh parameters on `device`, a function of `seed` alone (TD-MPC2's initialisation: weights
  // N(0, 0.02) truncated, biases 0, last layers of reward and Q zero; the Q ensemble's may be
  // uniform, model.q_initialization). float64 serves tests.
  // `config` is one that config::Derive made; sections env.spec and model count.
  static WorldModel Create(const proto::RunConfig& config, at::Device device, uint64_t seed,
                           at::ScalarType dtype = at::kFloat);
  // A model whose parameters are zero, to be overwritten: drawing initial ones takes far longer.
  static WorldModel Zeros(const proto::RunConfig& config, at::Device device);

  // A model with its own copy of the parameters, on this model's device or on another.
  WorldModel Clone() const;
  WorldModel Clone(at::Device device) const;

  // Overwrites the parameters in place. INVALID_ARGUMENT when names, shapes or dtypes differ; then
  // nothing changed.
  absl::Status CopyFrom(const NamedTensors& parameters);

  // The parameters as views, named "<network>.<layer>.{weight,bias,norm.weight,norm.bias}", in the
  // flat order.
  NamedTensors Parameters() const;
  int64_t NumParameters() const;

  // Makes the networks differentiable in their parameters (Mlp::EnableGradients). Gradients of
  // encoder, dynamics, reward, termination and q accumulate into `model_gradient`, those of the
  // policy into `policy_gradient`: vectors of their sizes, shared with the caller.
  void EnableGradients(const at::Tensor& model_gradient, const at::Tensor& policy_gradient);

  at::Tensor Encode(const at::Tensor& observations) const;
  at::Tensor Next(const at::Tensor& latents, const at::Tensor& actions) const;
  // [...]; the probability of termination is its sigmoid. REQUIRES: env.spec.terminates.
  at::Tensor TerminationLogits(const at::Tensor& latents) const;
  Gaussian Policy(const at::Tensor& latents) const;

  // True if the value ensemble knows states alone (model.value_form).
  bool HasStateValues() const {
    return config_.model().value_form() == proto::ModelConfig::STATE_VALUES;
  }
  // What the value ensemble sees of latents and actions; the actions of state values may be
  // undefined.
  at::Tensor ValueInput(const at::Tensor& latents, const at::Tensor& actions) const {
    return HasStateValues() ? latents : at::cat({latents, actions}, -1);
  }

  // A handle on the same parameters whose policy's log standard deviation begins at `log_std_min`.
  WorldModel WithLogStdMin(double log_std_min) const;

  const proto::RunConfig& config() const { return config_; }
  at::Device device() const { return flat_.device(); }
  at::ScalarType dtype() const { return flat_.scalar_type(); }

  // All parameters as one vector [NumParameters()].
  const at::Tensor& flat() const { return flat_; }
  const Mlp& encoder() const { return networks_[0]; }
  const Mlp& dynamics() const { return networks_[1]; }
  const Mlp& reward() const { return networks_[2]; }
  // REQUIRES: env.spec.terminates.
  const Mlp& termination() const {
    POMPC_CHECK(config_.env().spec().terminates(), "there is a termination head");
    return networks_[3];
  }
  const Mlp& q() const { return networks_[networks_.size() - 2]; }
  const Mlp& policy() const { return networks_.back(); }

 private:
  WorldModel(const proto::RunConfig& config, at::Tensor flat);

  proto::RunConfig config_;
  at::Tensor flat_;
  // In the flat order.
  std::vector<Mlp> networks_;
};

}  // namespace pompc::model

#endif  // POMPC_MODEL_WORLD_MODEL_H_
