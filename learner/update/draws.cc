#include "learner/update/draws.h"

#include <array>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "learner/update/losses.h"
#include "model/random.h"

namespace pompc::update {
namespace {

using proto::PoMpcConfig;

// Number of rows of the target noise: one for each state whose value is looked at. The KL of a
// squashed policy to a stored plan is that of its action, and so is its entropy: there every later
// state has one.
int64_t TargetRows(const proto::RunConfig& config, BatchSize size) {
  const bool acts = HasRegularizedValues(config.po_mpc()) && config.po_mpc().alpha() > 0 &&
                    (config.po_mpc().prior() == PoMpcConfig::REPLAY ||
                     config.po_mpc().policy_kl() == PoMpcConfig::CROSS_ENTROPY) &&
                    config.model().policy_form() == proto::ModelConfig::TANH_GAUSSIAN;
  const bool all = acts || config.po_mpc().target_horizon() == PoMpcConfig::ONE_STEP;
  return all ? size.horizon * size.batch : size.batch;
}

int64_t PolicyRows(const proto::RunConfig& config, BatchSize size) {
  return (size.horizon + (config.po_mpc().policy_at_window_end() ? 1 : 0)) * size.batch;
}

bool DrawsPriorNoise(const proto::RunConfig& config) {
  return HasLearnedPrior(config.po_mpc()) &&
         config.model().policy_form() == proto::ModelConfig::TANH_GAUSSIAN;
}

absl::Status CheckMembers(const char* name, const at::Tensor& members, int64_t count) {
  if (!members.defined() || members.scalar_type() != at::kLong || members.dim() != 1 ||
      members.numel() == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("draws.", name, " must be int64 [M] with M >= 1"));
  }
  const at::Tensor on_host = members.cpu();
  for (int64_t i = 0; i < on_host.numel(); ++i) {
    const auto member = on_host[i].item<int64_t>();
    if (member >= 0 && member < count) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("draws.", name, " has ", member, "; allowed: 0 to ", count - 1));
  }
  return absl::OkStatus();
}

}  // namespace

DrawShapes ShapesOf(const proto::RunConfig& config, BatchSize size) {
  return {TargetRows(config, size) / size.batch, PolicyRows(config, size) / size.batch,
          DrawsPriorNoise(config), config.po_mpc().alpha() < 1};
}

absl::Status Draws::Validate(const proto::RunConfig& config, BatchSize size) const {
  const proto::ModelConfig& model = config.model();
  const int64_t actions = config.env().spec().action_size();
  const int64_t policy_rows = PolicyRows(config, size);
  absl::Status status =
      CheckShape("draws.target_noise", target_noise, {TargetRows(config, size), actions});
  status.Update(CheckMembers("target_members", target_members, model.num_q()));
  if (fit_dropout.defined()) {
    status.Update(CheckShape("draws.fit_dropout", fit_dropout,
                             {model.num_q(), size.horizon * size.batch, model.mlp_dim()}));
  }
  if (DrawsPriorNoise(config))
    status.Update(CheckShape("draws.prior_noise", prior_noise, {policy_rows, actions}));
  status.Update(CheckShape("draws.policy_noise", policy_noise, {policy_rows, actions}));
  if (config.po_mpc().alpha() >= 1) return status;
  status.Update(CheckMembers("policy_members", policy_members, model.num_q()));
  if (status.ok() && policy_dropout.defined()) {
    status = CheckShape("draws.policy_dropout", policy_dropout,
                        {policy_members.numel(), policy_rows, model.mlp_dim()});
  }
  return status;
}

std::vector<at::Tensor*> TensorsOf(RandomNumbers& numbers) {
  return {&numbers.target_noise,   &numbers.prior_noise,    &numbers.policy_noise,
          &numbers.target_members, &numbers.policy_members, &numbers.fit_zeros,
          &numbers.policy_zeros};
}

RandomNumbers DrawNumbers(const proto::RunConfig& config, BatchSize size, uint64_t seed,
                          uint32_t update) {
  const proto::ModelConfig& model = config.model();
  const int64_t actions = config.env().spec().action_size();
  const auto noise = [&](Stream stream, int64_t rows) {
    return model::Normal({seed}, {stream, update}, {rows, actions}, at::kCPU)[0];
  };
  // One pair for all rows, as in TD-MPC2: the members are evaluated as one product.
  const auto members = [&](Stream stream) {
    const std::array<int, 2> pair = model::RandomPair(seed, {stream, update}, model.num_q());
    return at::tensor(at::ArrayRef<int>(pair), at::kLong);
  };
  const auto zeros = [&](Stream stream, int64_t count, int64_t rows) {
    if (model.dropout() == 0) return at::Tensor();
    return model::DropoutZeros(seed, {stream, update}, count * rows * model.mlp_dim(),
                               model.dropout());
  };
  // A stream for each use, so that a setting which drops one leaves the others' numbers as they
  // are.
  RandomNumbers numbers;
  numbers.target_noise = noise(kTargetAction, TargetRows(config, size));
  numbers.target_members = members(kTargetMembers);
  numbers.fit_zeros = zeros(kFitDropout, model.num_q(), size.horizon * size.batch);
  const int64_t policy_rows = PolicyRows(config, size);
  if (DrawsPriorNoise(config)) numbers.prior_noise = noise(kPriorNoise, policy_rows);
  numbers.policy_noise = noise(kPolicyNoise, policy_rows);
  if (config.po_mpc().alpha() >= 1) return numbers;
  numbers.policy_members = members(kPolicyMembers);
  numbers.policy_zeros = zeros(kPolicyDropout, numbers.policy_members.numel(), policy_rows);
  return numbers;
}

// Operations on tensors alone, so that they can be part of a recording: the dropout mask is made on
// the device out of the places of its zeros, which take far fewer bytes to copy.
Draws MakeDraws(const RandomNumbers& numbers, const proto::RunConfig& config, BatchSize size,
                const at::TensorOptions& options) {
  const proto::ModelConfig& model = config.model();
  const auto on_device = [&](const at::Tensor& x) {
    return x.defined() ? x.to(options.device()) : x;
  };
  const auto noise = [&](const at::Tensor& x) { return x.defined() ? x.to(options) : x; };
  const auto dropout = [&](const at::Tensor& zeros, int64_t count, int64_t rows) {
    if (!zeros.defined()) return zeros;
    return model::DropoutMask(on_device(zeros), {count, rows, model.mlp_dim()}, model.dropout())
        .to(options);
  };
  Draws draws;
  draws.target_noise = noise(numbers.target_noise);
  draws.target_members = on_device(numbers.target_members);
  draws.fit_dropout = dropout(numbers.fit_zeros, model.num_q(), size.horizon * size.batch);
  draws.prior_noise = noise(numbers.prior_noise);
  draws.policy_noise = noise(numbers.policy_noise);
  draws.policy_members = on_device(numbers.policy_members);
  if (numbers.policy_zeros.defined()) {
    draws.policy_dropout =
        dropout(numbers.policy_zeros, numbers.policy_members.numel(), PolicyRows(config, size));
  }
  return draws;
}

Draws DrawsOf(const Draws& whole, int64_t batch, int64_t begin, int64_t count) {
  // Members are drawn for the whole batch; noise and dropout are those of the rows.
  POMPC_CHECK(begin >= 0 && count >= 1 && begin + count <= batch);
  // Rows are the dimension before the last; windows vary fastest in it.
  const auto part = [&](const at::Tensor& x) {
    if (!x.defined()) return x;
    const int64_t steps = x.size(-2) / batch;
    const at::Tensor by_window = x.unflatten(-2, {steps, batch});
    return by_window.narrow(-2, begin, count).flatten(-3, -2).contiguous();
  };
  Draws draws = whole;
  draws.target_noise = part(whole.target_noise);
  draws.fit_dropout = part(whole.fit_dropout);
  draws.prior_noise = part(whole.prior_noise);
  draws.policy_noise = part(whole.policy_noise);
  draws.policy_dropout = part(whole.policy_dropout);
  return draws;
}

}  // namespace pompc::update
