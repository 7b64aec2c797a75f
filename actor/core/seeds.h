#ifndef POMPC_ACTOR_CORE_SEEDS_H_
#define POMPC_ACTOR_CORE_SEEDS_H_

#include <cstdint>
#include <initializer_list>
#include <random>
#include <span>

namespace pompc::actor {

// What a seed is used for; seeds of different uses never coincide by construction of their inputs.
enum class SeedUse : uint64_t {
  kEnvironment = 1,
  kRandomActions = 2,
  kPlans = 3,
  kRetries = 4,
};

// One number from several, such that sequences differing anywhere give unrelated numbers. The state
// starts at 0x9e3779b97f4a7c15 and takes in one value after the other: state = F(state ^ F(value)),
// F(x) being the first output of SplitMix64 (common/values/split_mix.h) seeded with x.
// This definition is part of what makes runs repeatable: changing it changes every run.
uint64_t MixSeeds(std::initializer_list<uint64_t> values);

// Whose random numbers they are: one environment of one lease of one run. An evaluation uses the
// evaluation's seed as `run_seed` and the episode's number as `environment`.
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
