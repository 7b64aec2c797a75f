#ifndef POMPC_MODEL_PLANNING_MPPI_H_
#define POMPC_MODEL_PLANNING_MPPI_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "model/planning/search.h"
#include "model/random.h"

namespace pompc::model {

// Model predictive path integral control as TD-MPC2 plans: every iteration moves the Gaussian to
// the elites, weighted by exp(temperature * value). What is executed is the first action of one
// elite, drawn by its weight, and the plan's value is that elite's.
struct Mppi {
  static at::Tensor Weights(const proto::PlannerConfig& settings, const at::Tensor& values) {
    const at::Tensor scores = Scores(settings, values);
    return scores / (scores.sum(1, true) + 1e-9);
  }

  // Gumbel-max draws an elite with probability proportional to its score.
  static Choice Choose(const SearchProblem& problem, const SearchResult& result) {
    const at::Tensor scores = Scores(problem.settings, result.elites.values);
    const at::Tensor uniform = Uniform(problem.seeds, {kEliteChoice, 0}, {scores.size(1)});
    // Uniform is in [0, 1) in steps of 2^-24; both ends would make an infinity.
    const at::Tensor gumbel = -(-(uniform + 0x1p-25).clamp_max(1 - 0x1p-24).log()).log();
    const at::Tensor choice = (scores.log() + gumbel.to(scores.options())).argmax(1, true);
    const at::Tensor first = result.elites.sequences.select(2, 0);
    const at::Tensor action =
        first.gather(1, choice.unsqueeze(-1).expand({-1, -1, first.size(2)})).squeeze(1);
    return {action, result.elites.values.gather(1, choice).squeeze(1)};
  }

  static void Weigh(const proto::PlannerConfig& settings, int64_t elites, const float* values,
                    float* weights) {
    float sum = 0;
    for (int64_t e = 0; e < elites; ++e) {
      weights[e] = std::exp((values[e] - values[0]) * static_cast<float>(settings.temperature()));
      sum += weights[e];
    }
    for (int64_t e = 0; e < elites; ++e) weights[e] /= sum + 1e-9f;
  }

  static FlatChoice Choose(const FlatSearch& search) {
    int64_t best = 0;
    float highest = -std::numeric_limits<float>::infinity();
    for (int64_t e = 0; e < search.elites; ++e) {
      const float uniform = std::min(search.uniform[e] + 0x1p-25f, 1 - 0x1p-24f);
      const float score =
          (search.values[e] - search.values[0]) * static_cast<float>(search.settings.temperature());
      const float key = score - std::log(-std::log(uniform));
      if (key > highest) {
        highest = key;
        best = e;
      }
    }
    return {search.sequences.From(best).data, search.values[best]};
  }

 private:
  // Differences from the best value keep the exponential within its range; the best one scores 1.
  static at::Tensor Scores(const proto::PlannerConfig& settings, const at::Tensor& values) {
    return ((values - values.narrow(1, 0, 1)) * settings.temperature()).exp();
  }
};

}  // namespace pompc::model

#endif  // POMPC_MODEL_PLANNING_MPPI_H_
