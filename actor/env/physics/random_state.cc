#include "actor/env/physics/random_state.h"

#include <cmath>
#include <numbers>

#include "actor/env/physics/physics.h"

namespace pompc::env {

// numpy makes a double of two 32-bit draws: the upper 27 bits of the first and the upper 26 of the
// second, together divided by 2^53.
double RandomState::Uniform() {
  const uint32_t high = engine_() >> 5;
  const uint32_t low = engine_() >> 6;
  return (high * 67108864.0 + low) / 9007199254740992.0;
}

// The polar Box-Muller method in the order of numpy's legacy generator, which returns the second
// number of a pair first. Sharing that order is what makes episodes start as the published ones do.
double RandomState::Normal() {
  if (spare_normal_) {
    const double normal = *spare_normal_;
    spare_normal_.reset();
    return normal;
  }
  double x1, x2, r2;
  do {
    x1 = 2 * Uniform() - 1;
    x2 = 2 * Uniform() - 1;
    r2 = x1 * x1 + x2 * x2;
  } while (r2 >= 1 || r2 == 0);
  const double scale = std::sqrt(-2 * std::log(r2) / r2);
  spare_normal_ = scale * x1;
  return scale * x2;
}

std::array<double, 4> RandomOrientation(RandomState& random) {
  std::array<double, 4> quaternion;
  double squares = 0;
  for (double& x : quaternion) {
    x = random.Normal();
    squares += x * x;
  }
  for (double& x : quaternion) x /= std::sqrt(squares);
  return quaternion;
}

void RandomizeJoints(Physics& physics, RandomState& random) {
  const mjModel& model = physics.model();
  for (int joint = 0; joint < model.njnt; ++joint) {
    const int type = model.jnt_type[joint];
    if (type != mjJNT_HINGE && type != mjJNT_SLIDE) continue;
    double& position = physics.data().qpos[model.jnt_qposadr[joint]];
    if (model.jnt_limited[joint]) {
      const mjtNum* range = model.jnt_range + 2 * joint;
      position = random.Uniform(range[0], range[1]);
    } else if (type == mjJNT_HINGE) {
      position = random.Uniform(-std::numbers::pi, std::numbers::pi);
    }
  }
}

}  // namespace pompc::env
