#ifndef POMPC_ACTOR_ENV_PHYSICS_IN_FRAME_H_
#define POMPC_ACTOR_ENV_PHYSICS_IN_FRAME_H_

#include "mujoco/mujoco.h"

namespace pompc::env {

// Writes to `out` the three numbers of `vector` as seen in a frame: R^T v, with R the frame's
// orientation `rotation`, row-major. MuJoCo's own function has another name from version 3 on.
// `out` and `vector` must not overlap.
inline void InFrame(mjtNum* out, const mjtNum* vector, const mjtNum* rotation) {
  for (int i = 0; i < 3; ++i) {
    out[i] = rotation[i] * vector[0] + rotation[3 + i] * vector[1] + rotation[6 + i] * vector[2];
  }
}

}  // namespace pompc::env

#endif  // POMPC_ACTOR_ENV_PHYSICS_IN_FRAME_H_
