#ifndef POMPC_ACTOR_ENV_PHYSICS_SCENERY_H_
#define POMPC_ACTOR_ENV_PHYSICS_SCENERY_H_

#include <array>
#include <cstdint>

#include "mujoco/mujoco.h"

namespace pompc::env {

// What is around a model in its pictures, the same for all: a sun whose light comes from above and
// beside the camera, a floor without end whose squares show how things move over it, haze and a
// sky.
//
// Used by one thread at a time; nothing blocks. Scenes are those that MuJoCo has just filled.
class Scenery {
 public:
  // Room in a scene beside the model's own geoms, for all squares.
  static constexpr int kGeoms = 2300;

  Scenery() = default;
  // The distance from the scene's camera to all that has mass gives the sizes.
  Scenery(const mjData& data, const mjvScene& scene);

  // The ranges of what is drawn and of the haze, its colour and the width of shadows, for a context
  // that is made afterwards.
  void Prepare(mjModel& model) const;
  // Replaces the lights, and the looks of the model's floor.
  void Arrange(const mjModel& model, mjvScene& scene) const;
  // Red, green and blue of the sky at `height` in [-1, 1] between the picture's lower and upper
  // edge.
  static std::array<uint8_t, 3> Sky(const mjvScene& scene, double height);

 private:
  void AddLights(mjvScene& scene) const;
  void AddFloor(mjvScene& scene, mjvGeom& floor) const;

  double distance_ = 1;
  double square_ = 1;
};

}  // namespace pompc::env

#endif  // POMPC_ACTOR_ENV_PHYSICS_SCENERY_H_
