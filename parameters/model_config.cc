#include "parameters/model_config.h"

#include <cstdint>

#include "absl/status/status.h"
#include "common/base/status_macros.h"

namespace pompc::parameters {
namespace {

absl::Status CheckSpec(const proto::RunConfig& config) {
  const proto::EnvSpec& spec = config.env().spec();
  if (spec.observation_size() > 0 && spec.action_size() > 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "env.spec: observation_size and action_size must be given, at least 1 each");
}

// A field where 0 stands for what `field` has already.
void Override(uint32_t value, int* field) {
  if (value != 0) *field = static_cast<int>(value);
}

model::PlanStatistic StatisticFrom(proto::PlannerConfig::Statistic from) {
  switch (from) {
    case proto::PlannerConfig::ELITE:
      return model::PlanStatistic::kElite;
    case proto::PlannerConfig::BEST:
      return model::PlanStatistic::kBest;
    default:
      return model::PlanStatistic::kMean;
  }
}

}  // namespace

absl::StatusOr<model::ModelConfig> ModelConfigFrom(const proto::RunConfig& config) {
  POMPC_RETURN_IF_ERROR(CheckSpec(config));
  const proto::ModelConfig& from = config.model();
  absl::StatusOr<model::ModelConfig> sized = model::ModelSize(from.size());
  if (!sized.ok()) return Annotate(sized.status(), "model.size");
  model::ModelConfig model = *sized;
  model.observation_size = static_cast<int>(config.env().spec().observation_size());
  model.action_size = static_cast<int>(config.env().spec().action_size());
  model.terminates = config.env().spec().terminates();
  Override(from.encoder_dim(), &model.encoder_dim);
  Override(from.mlp_dim(), &model.mlp_dim);
  Override(from.latent_dim(), &model.latent_dim);
  Override(from.encoder_layers(), &model.encoder_layers);
  Override(from.num_q(), &model.num_q);
  model.simnorm_dim = static_cast<int>(from.simnorm_dim());
  model.dropout = from.dropout();
  model.num_bins = static_cast<int>(from.num_bins());
  model.bin_min = from.bin_min();
  model.bin_max = from.bin_max();
  model.policy_form = from.policy_form() == proto::ModelConfig::TANH_GAUSSIAN
                          ? model::PolicyForm::kTanhGaussian
                          : model::PolicyForm::kClippedGaussian;
  model.log_std_min = from.log_std_min();
  model.log_std_max = from.log_std_max();
  model.matmul_dtype = from.matmul_dtype() == proto::ModelConfig::BFLOAT16
                           ? model::MatmulDtype::kBfloat16
                           : model::MatmulDtype::kFloat32;
  POMPC_RETURN_IF_ERROR(Annotate(model.Validate(), "model"));
  return model;
}

absl::StatusOr<model::MppiConfig> MppiConfigFrom(const proto::RunConfig& config) {
  POMPC_RETURN_IF_ERROR(CheckSpec(config));
  if (config.learner().discount() <= 0) {
    return absl::InvalidArgumentError("learner.discount: must be given, greater than 0");
  }
  const proto::PlannerConfig& from = config.planner();
  model::MppiConfig mppi;
  mppi.horizon = static_cast<int>(from.horizon());
  mppi.iterations = model::DefaultIterations(static_cast<int>(config.env().spec().action_size()));
  Override(from.iterations(), &mppi.iterations);
  mppi.samples = static_cast<int>(from.samples());
  mppi.policy_samples = static_cast<int>(from.policy_samples());
  mppi.elites = static_cast<int>(from.elites());
  mppi.temperature = from.temperature();
  mppi.min_std = from.min_std();
  mppi.max_std = from.max_std();
  mppi.statistic = StatisticFrom(from.statistic());
  mppi.discount = config.learner().discount();
  POMPC_RETURN_IF_ERROR(Annotate(mppi.Validate(), "planner"));
  return mppi;
}

proto::RunConfig PlanningSections(const proto::RunConfig& config, double discount) {
  proto::RunConfig sections;
  *sections.mutable_env() = config.env();
  *sections.mutable_model() = config.model();
  *sections.mutable_planner() = config.planner();
  // Sums of floating-point numbers depend on the size of the batch, and that on the clock.
  if (config.schedule() == proto::RunConfig::LOCKSTEP) sections.mutable_planner()->set_max_batch(1);
  sections.mutable_learner()->set_discount(discount);
  return sections;
}

}  // namespace pompc::parameters
