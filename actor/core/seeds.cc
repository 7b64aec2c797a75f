#include "actor/core/seeds.h"

#include "common/values/split_mix.h"

namespace pompc::actor {
namespace {

// The function F of the header.
uint64_t SplitMix(uint64_t x) { return SplitMixBits(x + kSplitMixStep); }

}  // namespace

uint64_t MixSeeds(std::initializer_list<uint64_t> values) {
  uint64_t state = kSplitMixStep;
  for (uint64_t value : values) state = SplitMix(state ^ SplitMix(value));
  return state;
}

// The upper 24 bits of a draw are as many as a float holds: 0 .. 2^24 - 1, divided by 2^23, less 1.
// The standard library's distribution would differ between libraries.
void UniformAction(std::mt19937_64* rng, std::span<float> action) {
  for (float& a : action) {
    a = static_cast<float>((*rng)() >> 40) * 0x1p-23f - 1.0f;
  }
}

}  // namespace pompc::actor
