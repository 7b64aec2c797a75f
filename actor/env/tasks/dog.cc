// A dog with a real dog's skeleton that stands, walks, trots or runs. Tasks and numbers: DeepMind
// Control Suite (arXiv:2006.12983), domain "dog".
#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "actor/env/assets.h"
#include "actor/env/task.h"
#include "common/base/check.h"

namespace pompc::env {
namespace {

class Dog final : public Task {
 public:
  // `speed` is the forward speed to reach in m/s; 0 means to stand. REQUIRES: speed >= 0.
  Dog(Physics& physics, double speed)
      : torso_(physics.Id(mjOBJ_BODY, "torso")),
        pelvis_(physics.Id(mjOBJ_BODY, "pelvis")),
        skull_(physics.Id(mjOBJ_BODY, "skull")),
        velocity_(physics.SensorAddress("torso_linvel")),
        speed_(speed) {
    POMPC_CHECK_GE(speed, 0);
    for (const char* name : {"accelerometer", "velocimeter", "gyro"}) {
      inertial_sensors_.push_back(physics.SensorAddress(name));
    }
    for (const char* name : {"foot_L", "foot_R", "hand_L", "hand_R"}) {
      foot_forces_.push_back(physics.SensorAddress(name));
    }
    for (const char* name : {"palm_L", "palm_R", "sole_L", "sole_R"}) {
      touch_sensors_.push_back(physics.SensorAddress(name));
    }
    MeasureDefaultPose(physics);
  }

  absl::Status Initialize(Physics& physics, RandomState& random) override {
    mjData& data = physics.data();
    // Any heading: a rotation about the vertical axis, as a quaternion.
    const double azimuth = random.Uniform(0, 2 * kPi);
    mjtNum* orientation = data.qpos + kOrientation;
    orientation[0] = std::cos(azimuth / 2);
    orientation[1] = orientation[2] = 0;
    orientation[3] = std::sin(azimuth / 2);
    // It may slide along the ground and turn about the vertical axis, but not fall.
    for (const int dof : {0, 1, 5}) data.qvel[dof] = 2 * random.Normal();
    const mjModel& model = physics.model();
    for (int i = 0; i < model.na; ++i) {
      const mjtNum* range = model.actuator_ctrlrange + 2 * i;
      data.act[i] = random.Uniform(range[0], range[1]);
    }
    return absl::OkStatus();
  }

  void Observe(const Physics& physics, std::vector<double>& out) const override {
    POMPC_DCHECK_GE(physics.model().nq, kAngles);
    // The observation leaves out its place and its heading: the task is the same everywhere.
    Append(physics.qpos().subspan(kAngles), out);
    Append(physics.qvel().subspan(kAngles - 1), out);
    out.push_back(physics.xpos(torso_, kZ));
    out.push_back(physics.xpos(pelvis_, kZ));
    for (const int body : {skull_, torso_, pelvis_}) {
      for (const MatrixEntry entry : {kZx, kZy, kZz}) out.push_back(physics.xmat(body, entry));
    }
    mjtNum velocity[3];
    TorsoVelocity(physics, velocity);
    Append(velocity, out);
    for (const int sensor : inertial_sensors_) Append(physics.sensor3(sensor), out);
    for (const int sensor : foot_forces_) Append(physics.sensor3(sensor), out);
    for (const int sensor : touch_sensors_) out.push_back(physics.sensor(sensor));
    Append({physics.data().act, static_cast<size_t>(physics.model().na)}, out);
  }

  double Reward(const Physics& physics) const override {
    return Standing(physics) * (speed_ == 0 ? 1 : Moving(physics));
  }

 private:
  // The indices at which the root's orientation and the hinges' angles begin in qpos.
  static constexpr int kOrientation = 3;
  static constexpr int kAngles = 7;

  // Takes the heights and the weight from the model's default pose. If that cannot be computed,
  // Simulation::Make fails for the same reason, and nobody uses what is missing here.
  void MeasureDefaultPose(Physics& physics) {
    if (!physics.Reset().ok()) return;
    // The model is a file that anybody may have edited: a dog that lies below the ground must not
    // lead to negative margins.
    torso_height_ = std::max(0.0, 0.9 * physics.xpos(torso_, kZ));
    pelvis_height_ = std::max(0.0, 0.9 * physics.xpos(pelvis_, kZ));
    const mjModel& model = physics.model();
    weight_ = std::max(0.0, -model.opt.gravity[2] * model.body_subtreemass[torso_]);
  }

  // A product of three parts: heights, uprightness, and the share of the weight that the paws bear.
  double Standing(const Physics& physics) const {
    static const Tolerance kUpright =
        AtLeast(std::cos(30 * kPi / 180), 1 + std::cos(30 * kPi / 180), 0);
    const Tolerance high_torso{.low = torso_height_, .high = kInfinity, .margin = torso_height_};
    const Tolerance high_pelvis{.low = pelvis_height_, .high = kInfinity, .margin = pelvis_height_};
    const Tolerance on_feet = AtLeast(weight_, weight_, 0.9);
    double reward = high_torso(physics.xpos(torso_, kZ)) * high_pelvis(physics.xpos(pelvis_, kZ));
    for (const int body : {skull_, torso_, pelvis_}) reward *= kUpright(physics.xmat(body, kZz));
    double touch = 0;
    for (const int sensor : touch_sensors_) touch += physics.sensor(sensor);
    return reward * on_feet(touch);
  }

  double Moving(const Physics& physics) const {
    const Tolerance fast{.low = speed_,
                         .high = 2 * speed_,
                         .margin = std::max(1.0, speed_),
                         .sigmoid = Sigmoid::kLinear,
                         .value_at_margin = 0};
    mjtNum velocity[3];
    TorsoVelocity(physics, velocity);
    return (4 * fast(velocity[0]) + 1) / 5;
  }

  // Writes the velocity of the whole body's centre of mass, in the torso's frame.
  void TorsoVelocity(const Physics& physics, mjtNum* out) const {
    const mjData& data = physics.data();
    InFrame(out, data.sensordata + velocity_, data.xmat + 9 * torso_);
  }

  const int torso_;
  const int pelvis_;
  const int skull_;
  const int velocity_;
  const double speed_;
  std::vector<int> inertial_sensors_;
  std::vector<int> foot_forces_;
  std::vector<int> touch_sensors_;
  double torso_height_ = 0;
  double pelvis_height_ = 0;
  // In newtons.
  double weight_ = 0;
};

// Ball, target and walls belong to the suite's fetching task and are removed. Planes have no end in
// MuJoCo: the floor's size is for looks.
TaskDefinition Define(std::string name, double speed, std::string floor_size) {
  return {.name = std::move(name),
          .control_seconds = 0.015,
          .episode_seconds = 15,
          .make = [=](Physics& physics) { return std::make_unique<Dog>(physics, speed); },
          .asset = {.file = "dog.xml",
                    .sizes = {80, 38, 31},
                    .removed = {{"body", "ball"},
                                {"geom", "target"},
                                {"camera", "ball"},
                                {"camera", "head"},
                                {"geom", "wall_px"},
                                {"geom", "wall_py"},
                                {"geom", "wall_nx"},
                                {"geom", "wall_ny"}},
                    .set = {{{"geom", "floor"}, "size", std::move(floor_size)}},
                    .inertials = assets::kDogInertials}};
}

}  // namespace

std::vector<TaskDefinition> DogTasks() {
  return {Define("dog-stand", 0, "15 15 .1"), Define("dog-walk", 1, "15 15 .1"),
          Define("dog-trot", 3, "45 45 .1"), Define("dog-run", 9, "135 135 .1")};
}

}  // namespace pompc::env
