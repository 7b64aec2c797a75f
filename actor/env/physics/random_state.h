#ifndef POMPC_ACTOR_ENV_PHYSICS_RANDOM_STATE_H_
#define POMPC_ACTOR_ENV_PHYSICS_RANDOM_STATE_H_

#include <array>
#include <cstdint>
#include <optional>
#include <random>

namespace pompc::env {

class Physics;

// The random stream of numpy.random.RandomState(seed), number by number, so that episodes start in
// the states that the published Python environments start in. Not thread-safe.
class RandomState {
 public:
  explicit RandomState(uint32_t seed) : engine_(seed) {}

  // Uniform in [0, 1) with 53 random bits, as rand() draws.
  double Uniform();
  // Uniform in [low, high), as uniform(low, high) draws.
  double Uniform(double low, double high) { return low + (high - low) * Uniform(); }
  // Standard normal, as randn() draws. Draws come in pairs; the second is kept for the next call.
  double Normal();

 private:
  std::mt19937 engine_;
  std::optional<double> spare_normal_;
};

// Draws a unit quaternion, every orientation being equally likely, from four normal numbers.
std::array<double, 4> RandomOrientation(RandomState& random);

// Draws the positions of all hinges and slides, in the order of the joints: uniform within the
// limits; an unlimited hinge anywhere in [-pi, pi); an unlimited slide stays where it is. Many
// tasks of the DeepMind Control Suite start like this, with the same draws.
void RandomizeJoints(Physics& physics, RandomState& random);

}  // namespace pompc::env

#endif  // POMPC_ACTOR_ENV_PHYSICS_RANDOM_STATE_H_
