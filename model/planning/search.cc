#include "model/planning/search.h"

#include <tuple>

#include "common/base/check.h"
#include "model/planning/methods.h"
#include "model/random.h"

namespace pompc::model {
namespace {

// Mean and standard deviation of the elites by their weights. The lower bound keeps the search from
// collapsing onto a few sequences before the later iterations have looked around.
void Refit(const proto::PlannerConfig& settings, SearchResult& result) {
  const at::Tensor weights = result.weights.unsqueeze(-1).unsqueeze(-1);
  result.mean = (weights * result.elites.sequences).sum(1);
  result.std = (weights * (result.elites.sequences - result.mean.unsqueeze(1)).square())
                   .sum(1)
                   .sqrt()
                   .clamp(settings.min_std(), settings.max_std());
}

}  // namespace

at::Tensor Draw(const SearchProblem& problem, PlanStream stream, int index, at::IntArrayRef shape) {
  return Normal(problem.seeds, {stream, static_cast<uint32_t>(index)}, shape)
      .to(problem.guess.scalar_type());
}

Elites DrawElites(const SearchProblem& problem, const at::Tensor& mean, const at::Tensor& std,
                  int iteration) {
  const int64_t states = mean.size(0), horizon = mean.size(1), actions = mean.size(2);
  const int64_t drawn = problem.settings.samples() - problem.settings.policy_samples();
  const int64_t kept = problem.settings.elites();
  POMPC_DCHECK_EQ(states, problem.seeds.size(0));
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
  return {candidates.gather(1, rows), best, index};
}

SearchResult Search(const SearchProblem& problem) {
  const proto::PlannerConfig& settings = problem.settings;
  return CallMethod(settings.method(), [&](auto method) {
    SearchResult result;
    result.mean = problem.guess;
    result.std = at::full_like(result.mean, settings.max_std());
    result.iterations = Iterate(settings, problem.finish_by, problem.clock, [&](int iteration) {
      result.elites = DrawElites(problem, result.mean, result.std, iteration);
      result.weights = method.Weights(settings, result.elites.values);
      Refit(settings, result);
    });
    const Choice choice = method.Choose(problem, result);
    result.action = choice.action;
    result.value = choice.value;
    return result;
  });
}

}  // namespace pompc::model
