#ifndef POMPC_MODEL_PLANNING_MPPI_H_
#define POMPC_MODEL_PLANNING_MPPI_H_

#include "model/planning/search.h"
#include "model/random.h"

namespace pompc::model {

// Model predictive path integral control as TD-MPC2 plans: every iteration moves the Gaussian to
// the elites, weighted by exp(temperature * value). What is executed is the first action of one
// elite, drawn by its weight, and the plan's value is that elite's.
inline SearchResult Mppi(const SearchProblem& problem) {
  const proto::PlannerConfig& settings = problem.settings;
  SearchResult result;
  result.mean = problem.guess;
  result.std = at::full_like(result.mean, settings.max_std());
  at::Tensor scores;
  for (int i = 0; i < static_cast<int>(settings.iterations()); ++i) {
    result.elites = DrawElites(problem, result.mean, result.std, i);
    const at::Tensor& values = result.elites.values;
    // Differences from the best value keep the exponential within its range; the best one scores 1.
    scores = ((values - values.narrow(1, 0, 1)) * settings.temperature()).exp();
    result.weights = scores / (scores.sum(1, true) + 1e-9);
    const at::Tensor weights = result.weights.unsqueeze(-1).unsqueeze(-1);
    result.mean = (weights * result.elites.sequences).sum(1);
    result.std = (weights * (result.elites.sequences - result.mean.unsqueeze(1)).square())
                     .sum(1)
                     .sqrt()
                     .clamp(settings.min_std(), settings.max_std());
  }
  // Gumbel-max draws an elite with probability proportional to its score.
  const at::Tensor uniform =
      Uniform(problem.seeds, {kEliteChoice, 0}, {scores.size(1)}, scores.device());
  // Uniform is in [0, 1) in steps of 2^-24; both ends would make an infinity.
  const at::Tensor gumbel = -(-(uniform + 0x1p-25).clamp_max(1 - 0x1p-24).log()).log();
  const at::Tensor choice = (scores.log() + gumbel.to(scores.options())).argmax(1, true);
  const at::Tensor first = result.elites.sequences.select(2, 0);
  result.action = first.gather(1, choice.unsqueeze(-1).expand({-1, -1, first.size(2)})).squeeze(1);
  result.value = result.elites.values.gather(1, choice).squeeze(1);
  return result;
}

}  // namespace pompc::model

#endif  // POMPC_MODEL_PLANNING_MPPI_H_
