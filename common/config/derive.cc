#include "common/config/derive.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "common/config/run_config.h"

namespace pompc::config {
namespace {

struct NamedSize {
  const char* name;
  uint32_t encoder_dim, mlp_dim, latent_dim, encoder_layers, num_q;
};

// tiny and small fit two CPU cores; the others are TD-MPC2's (its model_size 1, 5, 19, 48, 317).
constexpr std::array<NamedSize, 7> kSizes = {{
    {"tiny", 128, 128, 64, 2, 2},
    {"small", 256, 256, 128, 2, 2},
    {"1M", 256, 384, 128, 2, 2},
    {"5M", 256, 512, 512, 2, 5},
    {"19M", 1024, 1024, 768, 3, 5},
    {"48M", 1792, 1792, 768, 4, 5},
    {"317M", 4096, 4096, 1376, 5, 8},
}};

// TD-MPC2's rule: 6 rounds, and 8 where an action has 20 numbers or more.
uint32_t IterationsOf(const proto::EnvSpec& spec) { return spec.action_size() >= 20 ? 8 : 6; }

// TD-MPC2's rule for episodes of T decisions: clip((T/5 - 1) / (T/5), 0.95, 0.995).
double DiscountOf(const proto::EnvSpec& spec) {
  const double fifth = spec.episode_decisions() / 5.0;
  return std::clamp((fifth - 1) / fifth, 0.95, 0.995);
}

}  // namespace

absl::StatusOr<proto::ModelConfig> FillSizes(proto::ModelConfig model) {
  const auto size = std::find_if(kSizes.begin(), kSizes.end(), [&](const NamedSize& named) {
    return named.name == model.size();
  });
  if (size == kSizes.end()) {
    const auto name = [](std::string* out, const NamedSize& named) { out->append(named.name); };
    return absl::InvalidArgumentError(
        absl::StrCat("model.size: \"", model.size(),
                     "\" is no size; allowed: ", absl::StrJoin(kSizes, ", ", name)));
  }
  if (model.encoder_dim() == 0) model.set_encoder_dim(size->encoder_dim);
  if (model.mlp_dim() == 0) model.set_mlp_dim(size->mlp_dim);
  if (model.latent_dim() == 0) model.set_latent_dim(size->latent_dim);
  if (model.encoder_layers() == 0) model.set_encoder_layers(size->encoder_layers);
  if (model.num_q() == 0) model.set_num_q(size->num_q);
  return model;
}

absl::StatusOr<proto::RunConfig> Derive(proto::RunConfig config) {
  POMPC_RETURN_IF_ERROR(Validate(config));
  const proto::EnvSpec& spec = config.env().spec();
  if (spec.observation_size() == 0 || spec.action_size() == 0) {
    return absl::InvalidArgumentError(
        "env.spec: observation_size and action_size must be given, at least 1 each");
  }
  POMPC_ASSIGN_OR_RETURN(*config.mutable_model(), FillSizes(config.model()));
  proto::PlannerConfig& planner = *config.mutable_planner();
  if (planner.iterations() == 0) planner.set_iterations(IterationsOf(spec));
  // Sums of floating-point numbers depend on the size of the batch, and that on the clock.
  if (config.schedule() == proto::RunConfig::LOCKSTEP) planner.set_max_batch(1);
  proto::LearnerConfig& learner = *config.mutable_learner();
  if (learner.discount() == 0) learner.set_discount(DiscountOf(spec));
  proto::PoMpcConfig& po_mpc = *config.mutable_po_mpc();
  if (!po_mpc.has_alpha()) po_mpc.set_alpha(po_mpc.lambda() / (1 + po_mpc.lambda()));
  return config;
}

}  // namespace pompc::config
