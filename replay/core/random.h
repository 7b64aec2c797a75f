#ifndef POMPC_REPLAY_CORE_RANDOM_H_
#define POMPC_REPLAY_CORE_RANDOM_H_

#include <cstdint>

#include "common/base/check.h"
#include "common/values/split_mix.h"

namespace pompc::replay {

// SplitMix64: 64 random bits a call from a seed, the same on every machine. Not thread-safe.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t Next() { return SplitMixBits(state_ += kSplitMixStep); }

  // Exactly uniform over 0 .. n-1 (Lemire 2019: multiply, reject the short bucket). REQUIRES: n >
  // 0.
  uint64_t Below(uint64_t n) {
    POMPC_DCHECK_GT(n, 0u);
    unsigned __int128 product = static_cast<unsigned __int128>(Next()) * n;
    if (static_cast<uint64_t>(product) < n) {
      const uint64_t threshold = -n % n;
      while (static_cast<uint64_t>(product) < threshold) {
        product = static_cast<unsigned __int128>(Next()) * n;
      }
    }
    return static_cast<uint64_t>(product >> 64);
  }

 private:
  uint64_t state_;
};

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_CORE_RANDOM_H_
