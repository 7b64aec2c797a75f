#ifndef POMPC_ACTOR_ENV_PHYSICS_RANDOM_STATE_H_
#define POMPC_ACTOR_ENV_PHYSICS_RANDOM_STATE_H_

#include <cstdint>
#include <optional>
#include <random>

namespace pompc::env {

// The random stream of numpy.random.RandomState(seed), number by number, so that episodes start in
// the states that the published Python environments start in. Not thread-safe.
class RandomState {
 public:
  explicit RandomState(uint32_t seed) : engine_(seed) {}

  // In [0, 1), 53 random bits: rand().
  double Uniform();
  // In [low, high): uniform(low, high).
  double Uniform(double low, double high) { return low + (high - low) * Uniform(); }
  // Standard normal: randn(). Draws come in pairs; the second is kept for the next call.
  double Normal();

 private:
  std::mt19937 engine_;
  std::optional<double> spare_normal_;
};

}  // namespace pompc::env

#endif  // POMPC_ACTOR_ENV_PHYSICS_RANDOM_STATE_H_
