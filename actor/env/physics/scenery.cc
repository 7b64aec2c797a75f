#include "actor/env/physics/scenery.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "common/base/check.h"

namespace pompc::env {
namespace {

constexpr std::array<float, 3> kZenith = {0.42f, 0.60f, 0.82f};
constexpr std::array<float, 3> kHorizon = {0.84f, 0.90f, 0.95f};
// Sine of the elevation above which the sky is as blue as it gets.
constexpr double kZenithSine = 0.5;
constexpr float kDarkSquare[4] = {0.30f, 0.36f, 0.42f, 1};
constexpr float kLightSquare[4] = {0.37f, 0.44f, 0.51f, 1};

// Metres: a camera closer than this to the centre of mass is treated as if it stood this far away.
constexpr double kMinDistance = 0.1;
// At least this many squares fit between the camera and what it looks at.
constexpr double kMinSquares = 3;
// In units of that distance: the range that is drawn, how far squares are laid, the range over
// which things vanish in haze, and how far away the sun is.
constexpr double kNear = 0.02;
constexpr double kFar = 20;
constexpr double kReach = 4.5;
constexpr double kHazeStart = 2.5;
constexpr double kHazeEnd = 6;
constexpr double kSunDistance = 4;
// Degrees between the sun's axis and the edge of its light, and the part of them that casts
// shadows.
constexpr float kSunCutoff = 80;
constexpr float kShadowScale = 0.4f;

using Vector = std::array<double, 3>;

struct View {
  Vector position;
  Vector forward;
  Vector up;
};

View CameraView(const mjvScene& scene) {
  View view;
  mjv_cameraInModel(view.position.data(), view.forward.data(), view.up.data(), &scene);
  return view;
}

Vector Along(const Vector& start, const Vector& direction, double length) {
  Vector end;
  mju_addScl3(end.data(), start.data(), direction.data(), length);
  return end;
}

// Returns the largest number of the form 1, 2 or 5 times a power of ten that is at most `x`.
// REQUIRES: x > 0.
double RoundDown(double x) {
  POMPC_DCHECK_GT(x, 0);
  const double power = std::pow(10, std::floor(std::log10(x)));
  const double digit = x / power;
  return power * (digit >= 5 ? 5 : digit >= 2 ? 2 : 1);
}

bool IsFloor(const mjModel& model, const mjvGeom& geom) {
  return geom.type == mjGEOM_PLANE && geom.objtype == mjOBJ_GEOM &&
         model.geom_bodyid[geom.objid] == 0 && geom.mat[8] > 0.99f;
}

// Returns a light that shines everywhere in front of it.
mjvLight MakeLight(const Vector& position, const Vector& direction) {
  mjvLight light;
  std::memset(&light, 0, sizeof(light));
  for (int i = 0; i < 3; ++i) {
    light.pos[i] = static_cast<float>(position[i]);
    light.dir[i] = static_cast<float>(direction[i]);
  }
  light.attenuation[0] = 1;
  light.cutoff = kSunCutoff;
  return light;
}

void SetAll(float* rgb, float value) { std::fill(rgb, rgb + 3, value); }

}  // namespace

Scenery::Scenery(const mjData& data, const mjvScene& scene) {
  const View view = CameraView(scene);
  Vector to_center;
  // The world is body 0, and its subtree is everything.
  mju_sub3(to_center.data(), data.subtree_com, view.position.data());
  distance_ = std::max(mju_dot3(to_center.data(), view.forward.data()), kMinDistance);
  square_ = RoundDown(distance_ / kMinSquares);
}

void Scenery::Prepare(mjModel& model) const {
  // MuJoCo multiplies these by the model's extent, which grows with the size of the floor. Dividing
  // by it first makes pictures of all models alike.
  const double unit = distance_ / model.stat.extent;
  model.vis.map.znear = static_cast<float>(kNear * unit);
  model.vis.map.zfar = static_cast<float>(kFar * unit);
  model.vis.map.fogstart = static_cast<float>(kHazeStart * unit);
  model.vis.map.fogend = static_cast<float>(kHazeEnd * unit);
  model.vis.map.shadowscale = kShadowScale;
  std::copy(kHorizon.begin(), kHorizon.end(), model.vis.rgba.fog);
}

void Scenery::Arrange(const mjModel& model, mjvScene& scene) const {
  scene.flags[mjRND_FOG] = 1;
  scene.flags[mjRND_SKYBOX] = 0;
  scene.flags[mjRND_REFLECTION] = 0;
  AddLights(scene);
  const auto floor = std::find_if(scene.geoms, scene.geoms + scene.ngeom,
                                  [&](const mjvGeom& geom) { return IsFloor(model, geom); });
  if (floor != scene.geoms + scene.ngeom) AddFloor(scene, *floor);
}

void Scenery::AddLights(mjvScene& scene) const {
  const View view = CameraView(scene);
  // The horizontal direction in which the camera looks or, if it looks straight down, in which its
  // upper edge points.
  Vector ahead = {view.forward[0], view.forward[1], 0};
  if (mju_norm3(ahead.data()) < 0.1) ahead = {view.up[0], view.up[1], 0};
  mju_normalize3(ahead.data());
  const Vector right = {ahead[1], -ahead[0], 0};
  Vector to_sun = Along(Along({0, 0, 1}, right, -0.35), ahead, -0.45);
  mju_normalize3(to_sun.data());
  const Vector focus = Along(view.position, view.forward, distance_);
  const Vector from_sun = {-to_sun[0], -to_sun[1], -to_sun[2]};

  // What lies in shadow is lit by the lamp at the camera alone.
  mjvLight lamp = MakeLight(view.position, view.forward);
  SetAll(lamp.ambient, 0.35f);
  SetAll(lamp.diffuse, 0.30f);
  mjvLight sun = MakeLight(Along(focus, to_sun, kSunDistance * distance_), from_sun);
  SetAll(sun.diffuse, 0.65f);
  SetAll(sun.specular, 0.25f);
  sun.castshadow = 1;
  scene.lights[0] = lamp;
  scene.lights[1] = sun;
  scene.nlight = 2;
}

void Scenery::AddFloor(mjvScene& scene, mjvGeom& floor) const {
  const View view = CameraView(scene);
  const Vector focus = Along(view.position, view.forward, distance_);
  const double height = floor.pos[2];
  const auto lay = [height](mjvGeom& geom, double x, double y, double half, const float* rgba) {
    const double size[3] = {half, half, 1};
    const double position[3] = {x, y, height};
    mjv_initGeom(&geom, mjGEOM_PLANE, size, position, nullptr, rgba);
    geom.emission = geom.specular = geom.reflectance = 0;
  };
  // The light squares lie on a dark plane that is a thousandth of the distance deeper: too close to
  // be seen as two levels, far enough for the depth buffer to tell them apart.
  lay(floor, focus[0], focus[1], kHazeEnd * distance_, kDarkSquare);
  floor.pos[2] -= static_cast<float>(1e-3 * distance_);

  const int reach = static_cast<int>(kReach * distance_ / square_);
  const int middle_x = static_cast<int>(std::floor(focus[0] / square_));
  const int middle_y = static_cast<int>(std::floor(focus[1] / square_));
  for (int i = middle_x - reach; i <= middle_x + reach; ++i) {
    for (int j = middle_y - reach; j <= middle_y + reach; ++j) {
      if ((i + j) % 2 != 0 || scene.ngeom == scene.maxgeom) continue;
      mjvGeom& square = scene.geoms[scene.ngeom++];
      lay(square, (i + 0.5) * square_, (j + 0.5) * square_, square_ / 2, kLightSquare);
      square.category = mjCAT_DECOR;
      square.objtype = mjOBJ_UNKNOWN;
      square.objid = -1;
      square.segid = -1;
    }
  }
}

std::array<uint8_t, 3> Scenery::Sky(const mjvScene& scene, double height) {
  POMPC_DCHECK(height >= -1 && height <= 1);
  const View view = CameraView(scene);
  const mjvGLCamera& camera = scene.camera[0];
  Vector direction =
      Along(view.forward, view.up, height * camera.frustum_top / camera.frustum_near);
  mju_normalize3(direction.data());
  const double share = std::clamp(direction[2] / kZenithSine, 0.0, 1.0);
  std::array<uint8_t, 3> rgb;
  for (int i = 0; i < 3; ++i) {
    rgb[i] =
        static_cast<uint8_t>(std::lround(255 * (kHorizon[i] + share * (kZenith[i] - kHorizon[i]))));
  }
  return rgb;
}

}  // namespace pompc::env
