#ifndef POMPC_REPLAY_CORE_RANDOM_H_
#define POMPC_REPLAY_CORE_RANDOM_H_

#include <cstdint>

namespace pompc::replay {

// SplitMix64 (Steele, Lea, Flood 2014): 64 random bits a call from a seed, the same on every
// machine (the standard library's distributions are not). Not thread-safe.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t Next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

  // Exactly uniform over 0 .. n-1 (Lemire 2019: multiply, reject the short bucket). REQUIRES: n >
  // 0.
  uint64_t Below(uint64_t n) {
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
