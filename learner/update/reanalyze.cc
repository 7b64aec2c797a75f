#include "learner/update/reanalyze.h"

#include <algorithm>

#include "common/base/check.h"
#include "model/planning/plan.h"

namespace pompc::update {

Reanalyzed Reanalyze(const model::WorldModel& model, const proto::RunConfig& config, int64_t count,
                     uint64_t seed, Batch& batch) {
  POMPC_CHECK_OK(batch.Validate(config));
  POMPC_CHECK(batch.observations.scalar_type() == at::kFloat);
  at::NoGradGuard no_grad;
  const int64_t windows = batch.actions.size(0);
  const int64_t horizon = batch.actions.size(1);
  Reanalyzed result;
  count = std::min(count, windows);
  // Spread evenly: with several shards each gives about its share of them.
  for (int64_t i = 0; i < count; ++i) result.windows.push_back(i * windows / count);
  const at::Tensor index = at::tensor(result.windows, at::kLong).to(batch.plan_mean.device());

  // All states in one pass, each with a seed of its own; without warm starts, since the plans that
  // the states were acted by are of older parameters.
  model::PlanInputs inputs;
  inputs.observations =
      batch.observations.index_select(0, index).narrow(1, 0, horizon).flatten(0, 1);
  for (int64_t i = 0; i < count * horizon; ++i)
    inputs.seeds.push_back(seed + static_cast<uint64_t>(i));
  const proto::ReanalyzeConfig& reanalyze = config.learner().reanalyze();
  const model::Plans plans = model::Plan(
      reanalyze.has_log_std_min() ? model.WithLogStdMin(reanalyze.log_std_min()) : model, config,
      inputs);
  result.plan_mean = plans.mean.view({count, horizon, -1});
  result.plan_std = plans.std.view({count, horizon, -1});

  const auto put = [&](const at::Tensor& into, const at::Tensor& values) {
    into.narrow(1, 0, horizon).index_copy_(0, index, values.to(into.options()));
  };
  put(batch.plan_mean, result.plan_mean);
  put(batch.plan_std, result.plan_std);
  if (batch.plan_age.defined()) batch.plan_age.index_fill_(0, index.to(batch.plan_age.device()), 0);
  // States behind a terminal one fill a short window up; nobody acts there, so there is no plan to
  // follow.
  const at::Tensor alive = batch.terminated.index_select(0, index).narrow(1, 0, horizon - 1).eq(0);
  put(batch.has_plan, at::cat({at::ones({count, 1}, alive.options()), alive}, 1));
  return result;
}

}  // namespace pompc::update
