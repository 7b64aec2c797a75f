#ifndef POMPC_ACTOR_CORE_SEEDS_H_
#define POMPC_ACTOR_CORE_SEEDS_H_

#include <cstdint>
#include <initializer_list>
#include <random>
#include <span>

namespace pompc::actor {

// What a seed is used for. The use is one of the inputs of a seed, so that no two uses share one.
enum class SeedUse : uint64_t {
  kEnvironment = 1,
  kRandomActions = 2,
  kPlans = 3,
  kRetries = 4,
};

// Returns one number made of several, such that sequences that differ anywhere give unrelated
// numbers. The state starts at 0x9e3779b97f4a7c15 and takes in one value after the other: state =
// F(state ^ F(value)), where F(x) is the first output of SplitMix64 (common/values/split_mix.h)
// seeded with x. This definition is part of what makes runs repeatable: changing it changes every
// run.
uint64_t MixSeeds(std::initializer_list<uint64_t> values);

// The origin of an environment's random numbers: run, lease and environment. An evaluation uses its
// own seed as `run_seed` and the number of the episode as `environment`.
struct SeedSource {
  uint64_t run_seed = 0;
  uint64_t actor_index = 0;
  uint64_t incarnation = 0;
  uint64_t environment = 0;

  uint64_t For(SeedUse use) const {
    return MixSeeds({run_seed, actor_index, incarnation, environment, static_cast<uint64_t>(use)});
  }
};

// Fills `action` with numbers uniform in [-1, 1), 24 random bits each.
void UniformAction(std::mt19937_64* rng, std::span<float> action);

}  // namespace pompc::actor

#endif  // POMPC_ACTOR_CORE_SEEDS_H_
