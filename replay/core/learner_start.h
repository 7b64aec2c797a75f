#ifndef POMPC_REPLAY_CORE_LEARNER_START_H_
#define POMPC_REPLAY_CORE_LEARNER_START_H_

#include <cstdint>

namespace pompc::replay {

// One start of a run's learner. Copies of one run directory have the same run and may have the same
// incarnation; the token, drawn at random, tells their starts apart.
struct LearnerStart {
  uint64_t incarnation = 0;
  uint64_t token = 0;

  bool operator==(const LearnerStart&) const = default;
};

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_CORE_LEARNER_START_H_
