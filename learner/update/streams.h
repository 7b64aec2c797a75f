// What an update draws at random.
#ifndef POMPC_LEARNER_UPDATE_STREAMS_H_
#define POMPC_LEARNER_UPDATE_STREAMS_H_

#include <cstdint>

namespace pompc::update {

// Names of the random streams of one update (model::RandomStream); their index is the number of
// updates made before it.
enum Stream : uint32_t {
  kTargetAction = 101,   // noise of the actions that targets look at
  kTargetMembers = 102,  // pair of members in targets
  kFitDropout = 103,     // of both ensembles
  kPolicyNoise = 104,
  kPolicyMembers = 105,
  kPolicyDropout = 106,
  kPriorNoise = 107,  // of a squashed prior
};

}  // namespace pompc::update

#endif  // POMPC_LEARNER_UPDATE_STREAMS_H_
