#include "learner/update/batch.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/check.h"

namespace pompc::update {
namespace {

// The weight rho^t / (H B) of each row, so that a loss is a plain sum over rows. Importance
// weights, where windows have them, multiply those of all rows of a window. `importance` is
// [batch], or undefined: 1 for all.
at::Tensor RowWeights(int64_t horizon, int64_t batch, double rho, const at::Tensor& importance,
                      const at::TensorOptions& options) {
  const at::Tensor weights = at::empty({horizon, batch}, options);
  double weight = 1 / static_cast<double>(horizon * batch);
  for (int64_t t = 0; t < horizon; ++t) {
    weights[t].fill_(weight);
    weight *= rho;
  }
  return (importance.defined() ? weights * importance : weights).flatten();
}

// Half for every so many versions, [batch]. Not less than 2^-60, so that a batch of old plans alone
// still has a sum to be divided by.
at::Tensor AgeWeights(const at::Tensor& age, double half_life, const at::TensorOptions& options) {
  return (age.to(options) / -half_life).clamp_min_(-60).exp2_();
}

}  // namespace

absl::Status CheckShape(const char* name, const at::Tensor& tensor,
                        const std::vector<int64_t>& shape) {
  if (tensor.defined() && tensor.sizes() == at::IntArrayRef(shape)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      name, " is ",
      tensor.defined() ? absl::StrCat("[", absl::StrJoin(tensor.sizes(), ", "), "]") : "undefined",
      ": must be [", absl::StrJoin(shape, ", "), "]"));
}

absl::Status Batch::Validate(const proto::RunConfig& config) const {
  if (!actions.defined() || actions.dim() != 3 || actions.size(0) < 1 || actions.size(1) < 1) {
    return absl::InvalidArgumentError("batch.actions must be [B, H, action_size] with B, H >= 1");
  }
  const int64_t batch = actions.size(0);
  const int64_t horizon = actions.size(1);
  if (importance.defined()) {
    POMPC_RETURN_IF_ERROR(CheckShape("batch.importance", importance, {batch}));
  }
  if (plan_age.defined()) POMPC_RETURN_IF_ERROR(CheckShape("batch.plan_age", plan_age, {batch}));
  for (const BatchColumn& column : kBatchColumns) {
    const std::string name = absl::StrCat("batch.", replay::kColumns[column.column].name);
    absl::Status status = CheckShape(name.c_str(), this->*column.tensor,
                                     column.Shape(batch, horizon, config.env().spec()));
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

std::vector<int64_t> BatchColumn::Shape(int64_t batch, int64_t horizon,
                                        const proto::EnvSpec& spec) const {
  const replay::Column& of_replay = replay::kColumns[column];
  const replay::RowSpec sizes = {spec.observation_size(), spec.action_size()};
  std::vector<int64_t> shape = {batch, static_cast<int64_t>(of_replay.per_window(horizon))};
  if (of_replay.count != replay::One) shape.push_back(static_cast<int64_t>(of_replay.count(sizes)));
  return shape;
}

std::vector<at::Tensor*> TensorsOf(Batch& batch) {
  std::vector<at::Tensor*> tensors;
  for (const BatchColumn& column : kBatchColumns) tensors.push_back(&(batch.*column.tensor));
  if (batch.importance.defined()) tensors.push_back(&batch.importance);
  if (batch.plan_age.defined()) tensors.push_back(&batch.plan_age);
  return tensors;
}

bool AnyPlan(const Batch& batch, const proto::RunConfig& config) {
  POMPC_CHECK_OK(batch.Validate(config));
  const int64_t states = batch.actions.size(1) + (config.po_mpc().policy_at_window_end() ? 1 : 0);
  return batch.has_plan.narrow(1, 0, states).ne(0).any().item<bool>();
}

Windows MakeWindows(const Batch& batch, const proto::RunConfig& config,
                    const at::TensorOptions& options) {
  return MakeWindows(batch, AnyPlan(batch, config), config, options);
}

Windows MakeWindows(const Batch& batch, bool any_plan, const proto::RunConfig& config,
                    const at::TensorOptions& options) {
  POMPC_CHECK_OK(batch.Validate(config));
  const int64_t horizon = batch.actions.size(1);
  const int64_t states = horizon + 1;
  // Steps come first, as the world model is rolled out step by step: each step is then one piece of
  // memory.
  const auto time_major = [&](const at::Tensor& x, int64_t steps) {
    return x.narrow(1, 0, steps).to(options).transpose(0, 1).contiguous();
  };
  Windows windows;
  windows.horizon = horizon;
  windows.batch = batch.actions.size(0);
  windows.observations = time_major(batch.observations, states);
  windows.actions = time_major(batch.actions, horizon).flatten(0, 1);
  windows.rewards = time_major(batch.rewards, horizon);
  windows.terminated = time_major(batch.terminated.ne(0), horizon);
  // Divided by the largest, as in prioritised replay: weights only ever make a step smaller.
  if (batch.importance.defined()) {
    const at::Tensor importance = batch.importance.to(options);
    windows.largest_importance = importance.max();
    windows.importance = importance / windows.largest_importance;
  }
  const auto row_weights = [&](int64_t steps) {
    return RowWeights(steps, windows.batch, config.learner().rho(), windows.importance, options);
  };
  windows.weights = row_weights(horizon);

  const at::Tensor has_plan = batch.has_plan.ne(0);
  windows.has_plan = time_major(has_plan, states).flatten();
  // Whatever stands in rows without a plan must not reach a gradient, not even times zero.
  const at::Tensor missing = windows.has_plan.eq(0).unsqueeze(1);
  windows.plan_mean = time_major(batch.plan_mean, states).flatten(0, 1).masked_fill_(missing, 0);
  windows.plan_std = time_major(batch.plan_std, states).flatten(0, 1).masked_fill_(missing, 1);

  const double half_life = config.po_mpc().plan_half_life_versions();
  windows.plan_weight =
      half_life > 0 && batch.plan_age.defined()
          ? windows.has_plan * AgeWeights(batch.plan_age, half_life, options).repeat(states)
          : windows.has_plan;

  const int64_t policy_states = config.po_mpc().policy_at_window_end() ? states : horizon;
  windows.policy_rows = policy_states * windows.batch;
  windows.policy_weights =
      config.po_mpc().policy_at_window_end() ? row_weights(states) : windows.weights;
  windows.policy_weight = windows.policy_weights.sum();
  windows.planned_weight = (windows.policy_weights * windows.OfPolicy(windows.plan_weight)).sum();
  windows.any_plan = any_plan;
  return windows;
}

// A rank has divided by the largest weight of its own part. All weights scale with it, so it is
// enough to multiply what was made from them.
void Windows::SetLargestImportance(double largest) {
  POMPC_CHECK(importance.defined());
  const double factor = largest_importance.item<double>() / largest;
  POMPC_CHECK(factor > 0 && factor <= 1, "importance");
  largest_importance = at::full_like(largest_importance, largest);
  for (at::Tensor* tensor :
       {&importance, &weights, &policy_weights, &policy_weight, &planned_weight}) {
    *tensor = *tensor * factor;
  }
}

}  // namespace pompc::update
