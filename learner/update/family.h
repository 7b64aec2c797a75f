// What a place in the PO-MPC family means, from section po_mpc with its alpha.
#ifndef POMPC_LEARNER_UPDATE_FAMILY_H_
#define POMPC_LEARNER_UPDATE_FAMILY_H_

#include <limits>

#include "proto/config.pb.h"

namespace pompc::update {

// Weight of the KL over that of the values; infinite for pure imitation.
inline double Lambda(const proto::PoMpcConfig& config) {
  const double alpha = config.alpha();
  return alpha >= 1 ? std::numeric_limits<double>::infinity() : alpha / (1 - alpha);
}

// Pure imitation (alpha = 1) needs no regularised values, alpha = 0 no prior.
inline bool HasRegularizedValues(const proto::PoMpcConfig& config) {
  return config.alpha() < 1 && config.policy_values() == proto::PoMpcConfig::REGULARIZED;
}
inline bool HasLearnedPrior(const proto::PoMpcConfig& config) {
  return config.alpha() > 0 && config.prior() == proto::PoMpcConfig::LEARNED;
}

}  // namespace pompc::update

#endif  // POMPC_LEARNER_UPDATE_FAMILY_H_
