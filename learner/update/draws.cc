#include "learner/update/draws.h"

#include <array>

#include "learner/update/streams.h"
#include "model/random.h"

namespace pompc::update {
namespace {

// Rows of the target noise. The KL of a squashed policy to a stored plan is that of its action, so
// there every later state has one.
int64_t TargetRows(const model::ModelConfig& model, const UpdateConfig& config, BatchSize size) {
  const bool acts = config.HasRegularizedValues() && config.alpha > 0 &&
                    config.prior == Prior::kReplay &&
                    model.policy_form == model::PolicyForm::kTanhGaussian;
  const bool all = acts || config.target_horizon == TargetHorizon::kOneStep;
  return all ? size.horizon * size.batch : size.batch;
}

int64_t PolicyRows(const UpdateConfig& config, BatchSize size) {
  return (size.horizon + (config.policy_at_window_end ? 1 : 0)) * size.batch;
}

bool DrawsPriorNoise(const model::ModelConfig& model, const UpdateConfig& config) {
  return config.HasLearnedPrior() && model.policy_form == model::PolicyForm::kTanhGaussian;
}

}  // namespace

Draws DrawUpdate(const model::ModelConfig& model, const UpdateConfig& config, BatchSize size,
                 uint64_t seed, uint32_t update, const at::TensorOptions& options) {
  const auto noise = [&](Stream stream, int64_t rows) {
    return model::Normal({seed}, {stream, update}, {rows, model.action_size}, options.device())[0]
        .to(options);
  };
  // The same pair for all rows.
  const auto members = [&](Stream stream) {
    const std::array<int, 2> pair = model::RandomPair(seed, {stream, update}, model.num_q);
    return std::vector<int64_t>{pair[0], pair[1]};
  };
  const auto dropout = [&](Stream stream, int64_t count, int64_t rows) {
    if (model.dropout == 0) return at::Tensor();
    return model::DropoutMask(seed, {stream, update}, {count, rows, model.mlp_dim}, model.dropout,
                              options.device())
        .to(options);
  };
  const int64_t rows = size.horizon * size.batch;
  Draws draws;
  draws.target_noise = noise(kTargetAction, TargetRows(model, config, size));
  draws.target_members = members(kTargetMembers);
  draws.fit_dropout = dropout(kFitDropout, model.num_q, rows);
  const int64_t policy_rows = PolicyRows(config, size);
  if (DrawsPriorNoise(model, config)) draws.prior_noise = noise(kPriorNoise, policy_rows);
  draws.policy_noise = noise(kPolicyNoise, policy_rows);
  if (config.alpha >= 1) return draws;
  draws.policy_members = members(kPolicyMembers);
  draws.policy_dropout =
      dropout(kPolicyDropout, static_cast<int64_t>(draws.policy_members.size()), policy_rows);
  return draws;
}

}  // namespace pompc::update
