#ifndef POMPC_ACTOR_ENV_PHYSICS_SCENERY_H_
#define POMPC_ACTOR_ENV_PHYSICS_SCENERY_H_

#include <array>
#include <cstdint>

#include "mujoco/mujoco.h"

namespace pompc::env {

// What surrounds a model in its pictures, the same for all models: a sun whose light comes from
// above and beside the camera, a floor without end whose squares show how things move over it, haze
// and a sky.
//
// Used by one thread at a time; nothing blocks. The scenes that it is given have just been filled
// by MuJoCo.
class Scenery {
 public:
  // Geoms that a scene needs beside the model's own, for the squares of the floor.
  static constexpr int kGeoms = 2300;

  Scenery() = default;
  // Derives all sizes from the distance between the scene's camera and the centre of mass.
  Scenery(const mjData& data, const mjvScene& scene);

  // Sets the ranges of what is drawn and of the haze, its colour and the width of shadows. They
  // take effect in a context that is made afterwards.
  void Prepare(mjModel& model) const;
  // Replaces the lights and the looks of the model's floor.
  void Arrange(const mjModel& model, mjvScene& scene) const;
  // Returns red, green and blue of the sky at `height`, from -1 at the picture's lower edge to 1 at
  // the upper one. REQUIRES: -1 <= height <= 1.
  static std::array<uint8_t, 3> Sky(const mjvScene& scene, double height);

 private:
  void AddLights(mjvScene& scene) const;
  void AddFloor(mjvScene& scene, mjvGeom& floor) const;

  double distance_ = 1;
  double square_ = 1;
};

}  // namespace pompc::env

#endif  // POMPC_ACTOR_ENV_PHYSICS_SCENERY_H_
