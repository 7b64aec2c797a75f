#ifndef POMPC_LEARNER_CONTROL_MIX_SEED_H_
#define POMPC_LEARNER_CONTROL_MIX_SEED_H_

#include <cstdint>

namespace pompc::learner {

// A seed for occasion `n` of something seeded with `seed`; any two occasions' are unrelated
// (SplitMix64: Steele, Lea, Flood 2014).
inline uint64_t MixSeed(uint64_t seed, uint64_t n) {
  uint64_t x = seed * 0x9e3779b97f4a7c15u + n;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_CONTROL_MIX_SEED_H_
