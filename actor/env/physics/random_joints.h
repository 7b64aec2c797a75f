#ifndef POMPC_ACTOR_ENV_PHYSICS_RANDOM_JOINTS_H_
#define POMPC_ACTOR_ENV_PHYSICS_RANDOM_JOINTS_H_

#include "actor/env/physics/physics.h"
#include "actor/env/physics/random_state.h"

namespace pompc::env {

// Draws the positions of all hinges and slides, in the order of the joints: uniform within the
// limits; an unlimited hinge anywhere in [-pi, pi); an unlimited slide stays where it is. (The
// start of many of the DeepMind Control Suite's tasks, with its draws.)
void RandomizeJoints(Physics& physics, RandomState& random);

}  // namespace pompc::env

#endif  // POMPC_ACTOR_ENV_PHYSICS_RANDOM_JOINTS_H_
