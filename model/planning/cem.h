#ifndef POMPC_MODEL_PLANNING_CEM_H_
#define POMPC_MODEL_PLANNING_CEM_H_

#include "model/planning/search.h"

namespace pompc::model {

// The cross-entropy method (de Boer et al., "A tutorial on the cross-entropy method", 2005; as a
// planner Chua et al., 2018): every iteration refits the Gaussian to the elites, all counted alike,
// so that planner.temperature means nothing here. What is executed is the first action of the mean,
// and the plan's value is the mean of the elites'.
inline SearchResult Cem(const SearchProblem& problem) {
  const proto::PlannerConfig& settings = problem.settings;
  SearchResult result;
  result.mean = problem.guess;
  result.std = at::full_like(result.mean, settings.max_std());
  for (int i = 0; i < static_cast<int>(settings.iterations()); ++i) {
    result.elites = DrawElites(problem, result.mean, result.std, i);
    result.mean = result.elites.sequences.mean(1);
    // The maximum-likelihood fit. The lower bound keeps the search from collapsing onto a few
    // sequences before the later iterations have looked around.
    result.std = (result.elites.sequences - result.mean.unsqueeze(1))
                     .square()
                     .mean(1)
                     .sqrt()
                     .clamp(settings.min_std(), settings.max_std());
  }
  const at::Tensor& values = result.elites.values;
  result.weights = at::full_like(values, 1.0 / static_cast<double>(values.size(1)));
  result.action = result.mean.select(1, 0);
  result.value = values.mean(1);
  return result;
}

}  // namespace pompc::model

#endif  // POMPC_MODEL_PLANNING_CEM_H_
