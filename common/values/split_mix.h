#ifndef POMPC_COMMON_VALUES_SPLIT_MIX_H_
#define POMPC_COMMON_VALUES_SPLIT_MIX_H_

#include <cstdint>

namespace pompc {

// SplitMix64 (Steele, Lea, Flood 2014: "Fast splittable pseudorandom number generators") in its two
// parts: a state that grows by kSplitMixStep with each draw, and the function that makes 64 random
// bits of the state. It gives the same numbers on every machine, unlike the standard library's
// distributions. Any change here changes every run.
inline constexpr uint64_t kSplitMixStep = 0x9e3779b97f4a7c15;

constexpr uint64_t SplitMixBits(uint64_t state) {
  state = (state ^ (state >> 30)) * 0xbf58476d1ce4e5b9;
  state = (state ^ (state >> 27)) * 0x94d049bb133111eb;
  return state ^ (state >> 31);
}

// Returns a seed for occasion `n` of something that is seeded with `seed`. The seeds of any two
// occasions are unrelated.
constexpr uint64_t MixSeed(uint64_t seed, uint64_t n) {
  return SplitMixBits(seed * kSplitMixStep + n);
}

}  // namespace pompc

#endif  // POMPC_COMMON_VALUES_SPLIT_MIX_H_
