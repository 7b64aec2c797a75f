#ifndef POMPC_ACTOR_ENV_PHYSICS_RANDOM_ORIENTATION_H_
#define POMPC_ACTOR_ENV_PHYSICS_RANDOM_ORIENTATION_H_

#include <array>

#include "actor/env/physics/random_state.h"

namespace pompc::env {

// A unit quaternion, every orientation as likely: four normal draws.
std::array<double, 4> RandomOrientation(RandomState& random);

}  // namespace pompc::env

#endif  // POMPC_ACTOR_ENV_PHYSICS_RANDOM_ORIENTATION_H_
