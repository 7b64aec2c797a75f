#include "model/world_model.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace pompc::model {
namespace {

// All networks but the encoder have two hidden layers of one width, as in TD-MPC2.
MlpSpec TwoLayers(const char* name, const proto::ModelConfig& config, uint32_t input,
                  uint32_t output) {
  MlpSpec spec;
  spec.name = name;
  spec.input = static_cast<int>(input);
  spec.hidden.assign(2, static_cast<int>(config.mlp_dim()));
  spec.output = static_cast<int>(output);
  spec.matmul_dtype = config.matmul_dtype();
  return spec;
}

// Numbers of a latent and an action together.
uint32_t StepSize(const proto::RunConfig& config) {
  return config.model().latent_dim() + config.env().spec().action_size();
}

// Every network, in the order in which their parameters lie in the flat vector. The policy is the
// last one, so that what the model's optimiser trains is one piece.
std::vector<MlpSpec> Specs(const proto::RunConfig& config) {
  std::vector<MlpSpec> specs = {EncoderSpec(config), DynamicsSpec(config), RewardSpec(config)};
  if (config.env().spec().terminates()) specs.push_back(TerminationSpec(config));
  specs.push_back(QSpec(config));
  specs.push_back(PolicySpec(config));
  return specs;
}

int64_t CountParameters(const proto::RunConfig& config) {
  POMPC_CHECK_GT(config.model().latent_dim(), 0u, "a config that Derive made");
  int64_t total = 0;
  for (const MlpSpec& spec : Specs(config)) total += spec.NumParameters();
  return total;
}

}  // namespace

MlpSpec EncoderSpec(const proto::RunConfig& config) {
  const proto::ModelConfig& model = config.model();
  MlpSpec spec;
  spec.name = "encoder";
  spec.input = static_cast<int>(config.env().spec().observation_size());
  // encoder_layers counts the output layer. TD-MPC2 builds one hidden layer at least, also for 1.
  spec.hidden.assign(std::max(model.encoder_layers(), 2u) - 1,
                     static_cast<int>(model.encoder_dim()));
  spec.output = static_cast<int>(model.latent_dim());
  spec.simnorm_dim = static_cast<int>(model.simnorm_dim());
  spec.matmul_dtype = model.matmul_dtype();
  return spec;
}

MlpSpec DynamicsSpec(const proto::RunConfig& config) {
  const proto::ModelConfig& model = config.model();
  MlpSpec spec = TwoLayers("dynamics", model, StepSize(config), model.latent_dim());
  spec.simnorm_dim = static_cast<int>(model.simnorm_dim());
  return spec;
}

MlpSpec RewardSpec(const proto::RunConfig& config) {
  const proto::ModelConfig& model = config.model();
  MlpSpec spec = TwoLayers("reward", model, StepSize(config), model.num_bins());
  // Equal logits are the value in the middle of the bins, 0 by default: a fresh model expects
  // nothing. The Q ensemble starts likewise, so first targets are no random numbers.
  spec.zero_last = true;
  return spec;
}

MlpSpec TerminationSpec(const proto::RunConfig& config) {
  return TwoLayers("termination", config.model(), config.model().latent_dim(), 1);
}

MlpSpec QSpec(const proto::RunConfig& config) {
  const proto::ModelConfig& model = config.model();
  const bool states = model.value_form() == proto::ModelConfig::STATE_VALUES;
  MlpSpec spec =
      TwoLayers("q", model, states ? model.latent_dim() : StepSize(config), model.num_bins());
  spec.members = static_cast<int>(model.num_q());
  spec.zero_last = true;
  spec.uniform_start = model.q_initialization() == proto::ModelConfig::UNIFORM;
  return spec;
}

MlpSpec PolicySpec(const proto::RunConfig& config) {
  return TwoLayers("policy", config.model(), config.model().latent_dim(),
                   2 * config.env().spec().action_size());
}

WorldModel::WorldModel(const proto::RunConfig& config, at::Tensor flat)
    : config_(config), flat_(std::move(flat)) {
  int64_t offset = 0;
  // One vector holds everything, so that an optimiser, a gradient norm, a checksum or a copy of the
  // model is one pass over contiguous memory. The networks are views of its slices.
  for (MlpSpec& spec : Specs(config)) {
    const int64_t count = spec.NumParameters();
    networks_.emplace_back(std::move(spec), flat_.narrow(0, offset, count));
    offset += count;
  }
  POMPC_CHECK_EQ(offset, flat_.numel());
}

WorldModel WorldModel::Create(const proto::RunConfig& config, at::Device device, uint64_t seed,
                              at::ScalarType dtype) {
  WorldModel model(config,
                   at::empty({CountParameters(config)}, at::TensorOptions(dtype).device(device)));
  for (const Mlp& mlp : model.networks_) mlp.Initialize(seed);
  return model;
}

WorldModel WorldModel::Zeros(const proto::RunConfig& config, at::Device device) {
  return WorldModel(
      config, at::zeros({CountParameters(config)}, at::TensorOptions(at::kFloat).device(device)));
}

WorldModel WorldModel::Clone() const { return Clone(device()); }

WorldModel WorldModel::Clone(at::Device device) const {
  at::NoGradGuard no_grad;
  return WorldModel(config_,
                    flat_.to(device, flat_.scalar_type(), /*non_blocking=*/false, /*copy=*/true));
}

WorldModel WorldModel::WithLogStdMin(double log_std_min) const {
  WorldModel handle = *this;
  handle.config_.mutable_model()->set_log_std_min(log_std_min);
  return handle;
}

absl::Status WorldModel::CopyFrom(const NamedTensors& parameters) {
  return CopyTensors(parameters, Parameters());
}

NamedTensors WorldModel::Parameters() const {
  NamedTensors all;
  for (const Mlp& mlp : networks_) {
    NamedTensors own = mlp.Parameters();
    all.insert(all.end(), std::make_move_iterator(own.begin()), std::make_move_iterator(own.end()));
  }
  return all;
}

int64_t WorldModel::NumParameters() const { return flat_.numel(); }

void WorldModel::EnableGradients(const at::Tensor& model_gradient,
                                 const at::Tensor& policy_gradient) {
  POMPC_CHECK_EQ(model_gradient.numel(), NumParameters() - policy().flat().numel());
  // Two optimisers train a model: one has all networks but the policy, the last in the flat order.
  int64_t offset = 0;
  for (Mlp& mlp : networks_) {
    if (&mlp == &networks_.back()) break;
    const int64_t count = mlp.flat().numel();
    mlp.EnableGradients(model_gradient.narrow(0, offset, count));
    offset += count;
  }
  networks_.back().EnableGradients(policy_gradient);
}

at::Tensor WorldModel::Encode(const at::Tensor& observations) const {
  return encoder().Forward(observations);
}

at::Tensor WorldModel::Next(const at::Tensor& latents, const at::Tensor& actions) const {
  return dynamics().Forward(at::cat({latents, actions}, -1));
}

at::Tensor WorldModel::TerminationLogits(const at::Tensor& latents) const {
  return termination().Forward(latents).squeeze(-1);
}

Gaussian WorldModel::Policy(const at::Tensor& latents) const {
  return PolicyFromRaw(policy().Forward(latents), config_.model());
}

}  // namespace pompc::model
