#ifndef POMPC_MODEL_PLANNING_CEM_H_
#define POMPC_MODEL_PLANNING_CEM_H_

#include <algorithm>
#include <cstdint>
#include <numeric>

#include "model/planning/search.h"

namespace pompc::model {

// The cross-entropy method (de Boer et al., "A tutorial on the cross-entropy method", 2005; as a
// planner Chua et al., 2018): every iteration refits the Gaussian to the elites, all counted alike,
// so that planner.temperature means nothing here. What is executed is the first action of the mean,
// and the plan's value is the mean of the elites'.
struct Cem {
  static at::Tensor Weights(const proto::PlannerConfig&, const at::Tensor& values) {
    return at::full_like(values, 1.0 / static_cast<double>(values.size(1)));
  }

  static Choice Choose(const SearchProblem&, const SearchResult& result) {
    return {result.mean.select(1, 0), result.elites.values.mean(1)};
  }

  static void Weigh(const proto::PlannerConfig&, int64_t elites, const float*, float* weights) {
    std::fill_n(weights, elites, 1.0f / static_cast<float>(elites));
  }

  static FlatChoice Choose(const FlatSearch& search) {
    const float sum = std::accumulate(search.values, search.values + search.elites, 0.0f);
    return {search.mean, sum / static_cast<float>(search.elites)};
  }
};

}  // namespace pompc::model

#endif  // POMPC_MODEL_PLANNING_CEM_H_
