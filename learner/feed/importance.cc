#include "learner/feed/importance.h"

#include <cmath>
#include <cstddef>

#include "common/base/check.h"

namespace pompc::learner {

std::vector<float> ImportanceWeights(const std::vector<replay::WindowBatch>& shares,
                                     std::span<const double> shard_probabilities, double beta) {
  POMPC_CHECK_EQ(shares.size(), shard_probabilities.size());
  std::vector<float> weights;
  for (size_t i = 0; i < shares.size(); ++i) {
    POMPC_CHECK(shard_probabilities[i] > 0 && shard_probabilities[i] <= 1);
    for (const float probability : shares[i].Numbers<float>("probabilities")) {
      const double of_draw = shard_probabilities[i] * probability;
      weights.push_back(static_cast<float>(std::pow(of_draw, -beta)));
    }
  }
  return weights;
}

}  // namespace pompc::learner
