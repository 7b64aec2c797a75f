#include "actor/seeds.h"

namespace pompc::actor {
namespace {

constexpr uint64_t kGolden = 0x9e3779b97f4a7c15;

uint64_t SplitMix(uint64_t x) {
  uint64_t z = x + kGolden;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

}  // namespace

uint64_t MixSeeds(std::initializer_list<uint64_t> values) {
  uint64_t state = kGolden;
  for (uint64_t value : values) state = SplitMix(state ^ SplitMix(value));
  return state;
}

void UniformAction(std::mt19937_64* rng, std::span<float> action) {
  for (float& a : action) {
    a = static_cast<float>((*rng)() >> 40) * 0x1p-23f - 1.0f;
  }
}

}  // namespace pompc::actor
