#ifndef POMPC_COMMON_VALUES_SPLIT_MIX_H_
#define POMPC_COMMON_VALUES_SPLIT_MIX_H_

#include <cstdint>

namespace pompc {

// SplitMix64 (Steele, Lea, Flood 2014: "Fast splittable pseudorandom number generators") in its two
// parts: a state that grows by kSplitMixStep a draw, and the function that makes 64 random bits of
// the state. The same on every machine, unlike the standard library's distributions; what is seeded
// with it changes with any change here.
inline constexpr uint64_t kSplitMixStep = 0x9e3779b97f4a7c15;

constexpr uint64_t SplitMixBits(uint64_t state) {
  state = (state ^ (state >> 30)) * 0xbf58476d1ce4e5b9;
  state = (state ^ (state >> 27)) * 0x94d049bb133111eb;
  return state ^ (state >> 31);
}

}  // namespace pompc

#endif  // POMPC_COMMON_VALUES_SPLIT_MIX_H_
