#ifndef POMPC_LEARNER_FEED_IMPORTANCE_H_
#define POMPC_LEARNER_FEED_IMPORTANCE_H_

#include <span>
#include <vector>

#include "replay/client/window_batch.h"

namespace pompc::learner {

// The importance weight p^-beta of each window of a batch, in the order of `shares`, where p is the
// probability with which a draw of the batch gave the window: that of its shard, chosen with
// `shard_probabilities` [shares], times that of the window within its shard. It is the weight
// (1 / (N p))^beta of Schaul et al. (2016) without N^beta, which is the same for the whole batch
// and goes when weights are divided by the largest one. REQUIRES: a probability in (0, 1] for each
// share.
std::vector<float> ImportanceWeights(const std::vector<replay::WindowBatch>& shares,
                                     std::span<const double> shard_probabilities, double beta);

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_FEED_IMPORTANCE_H_
