#include "model/planning/search.h"

#include <tuple>

#include "common/base/check.h"
#include "model/random.h"

namespace pompc::model {

at::Tensor Draw(const SearchProblem& problem, PlanStream stream, int index, at::IntArrayRef shape) {
  return Normal(problem.seeds, {stream, static_cast<uint32_t>(index)}, shape,
                problem.guess.device())
      .to(problem.guess.scalar_type());
}

Elites DrawElites(const SearchProblem& problem, const at::Tensor& mean, const at::Tensor& std,
                  int iteration) {
  const int64_t states = mean.size(0), horizon = mean.size(1), actions = mean.size(2);
  const int64_t drawn = problem.settings.samples() - problem.settings.policy_samples();
  const int64_t kept = problem.settings.elites();
  POMPC_DCHECK_EQ(states, static_cast<int64_t>(problem.seeds.size()));
  POMPC_DCHECK_EQ(problem.policy_sequences.defined(), problem.settings.policy_samples() > 0);
  const at::Tensor noise = Draw(problem, kSamples, iteration, {drawn, horizon, actions});
  at::Tensor candidates = at::addcmul(mean.unsqueeze(1), std.unsqueeze(1), noise).clamp_(-1, 1);
  if (problem.policy_sequences.defined()) {
    candidates = at::cat({problem.policy_sequences, candidates}, 1);
  }
  // A model that has diverged says NaN, which topk would take for the best of all.
  const at::Tensor values = at::nan_to_num(problem.values(candidates, iteration), 0.0);
  POMPC_DCHECK(values.sizes() == at::IntArrayRef({states, candidates.size(1)}));
  const auto [best, index] = at::topk(values, kept, 1);
  const at::Tensor rows = index.view({states, kept, 1, 1}).expand({-1, -1, horizon, actions});
  return {candidates.gather(1, rows), best};
}

}  // namespace pompc::model
