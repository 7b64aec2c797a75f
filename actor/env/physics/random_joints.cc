#include "actor/env/physics/random_joints.h"

#include <numbers>

namespace pompc::env {

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
