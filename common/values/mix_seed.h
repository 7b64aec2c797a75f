#ifndef POMPC_COMMON_VALUES_MIX_SEED_H_
#define POMPC_COMMON_VALUES_MIX_SEED_H_

#include <cstdint>

#include "common/values/split_mix.h"

namespace pompc {

// A seed for occasion `n` of something seeded with `seed`; any two occasions' are unrelated.
inline uint64_t MixSeed(uint64_t seed, uint64_t n) {
  return SplitMixBits(seed * kSplitMixStep + n);
}

}  // namespace pompc

#endif  // POMPC_COMMON_VALUES_MIX_SEED_H_
