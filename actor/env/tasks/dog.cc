// A dog with the skeleton of one, that stands, walks, trots or runs. Tasks and numbers: DeepMind
// Control Suite (arXiv:2006.12983), domain "dog".
#include <algorithm>
#include <cmath>
#include <memory>
#include <numbers>
#include <string>
#include <utility>
#include <vector>

#include "actor/env/physics/in_frame.h"
#include "actor/env/tasks/domains.h"
#include "actor/env/tolerance.h"

namespace pompc::env {
namespace {

constexpr double kPi = std::numbers::pi;

class Dog final : public Task {
 public:
  // `speed` in m/s, forward; 0: to stand.
  Dog(Physics& physics, double speed)
      : torso_(physics.Id(mjOBJ_BODY, "torso")),
        pelvis_(physics.Id(mjOBJ_BODY, "pelvis")),
        skull_(physics.Id(mjOBJ_BODY, "skull")),
        velocity_(physics.SensorAddress("torso_linvel")),
        speed_(speed) {
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
    const double azimuth = random.Uniform(0, 2 * kPi);
    mjtNum* orientation = data.qpos + kOrientation;
    orientation[0] = std::cos(azimuth / 2);
    orientation[1] = orientation[2] = 0;
    orientation[3] = std::sin(azimuth / 2);
    // Along the ground, and about the vertical.
    for (const int dof : {0, 1, 5}) data.qvel[dof] = 2 * random.Normal();
    const mjModel& model = physics.model();
    for (int i = 0; i < model.na; ++i) {
      const mjtNum* range = model.actuator_ctrlrange + 2 * i;
      data.act[i] = random.Uniform(range[0], range[1]);
    }
    return absl::OkStatus();
  }

  void Observe(const Physics& physics, std::vector<double>& out) const override {
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
    Append3(physics, inertial_sensors_, out);
    Append3(physics, foot_forces_, out);
    for (const int sensor : touch_sensors_) out.push_back(physics.sensor(sensor));
    Append({physics.data().act, static_cast<size_t>(physics.model().na)}, out);
  }

  double Reward(const Physics& physics) const override {
    return Standing(physics) * (speed_ == 0 ? 1 : Moving(physics));
  }

 private:
  // Where the root's orientation and the hinges' angles begin in qpos.
  static constexpr int kOrientation = 3;
  static constexpr int kAngles = 7;

  // Heights and weight are asked of the model. If it cannot be computed, nobody will use it.
  void MeasureDefaultPose(Physics& physics) {
    if (!physics.Reset().ok()) return;
    // The model is a file: one that lies below the ground must not ask for negative margins.
    torso_height_ = std::max(0.0, 0.9 * physics.xpos(torso_, kZ));
    pelvis_height_ = std::max(0.0, 0.9 * physics.xpos(pelvis_, kZ));
    const mjModel& model = physics.model();
    weight_ = std::max(0.0, -model.opt.gravity[2] * model.body_subtreemass[torso_]);
  }

  double Standing(const Physics& physics) const {
    static const Tolerance kUpright{.low = std::cos(30 * kPi / 180),
                                    .high = kInfinity,
                                    .margin = 1 + std::cos(30 * kPi / 180),
                                    .sigmoid = Sigmoid::kLinear,
                                    .value_at_margin = 0};
    const Tolerance high_torso{.low = torso_height_, .high = kInfinity, .margin = torso_height_};
    const Tolerance high_pelvis{.low = pelvis_height_, .high = kInfinity, .margin = pelvis_height_};
    const Tolerance on_feet{.low = weight_,
                            .high = kInfinity,
                            .margin = weight_,
                            .sigmoid = Sigmoid::kLinear,
                            .value_at_margin = 0.9};
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

  // Of the body's centre of mass, in the torso's frame.
  void TorsoVelocity(const Physics& physics, mjtNum* out) const {
    const mjData& data = physics.data();
    InFrame(out, data.sensordata + velocity_, data.xmat + 9 * torso_);
  }

  static void Append3(const Physics& physics, const std::vector<int>& sensors,
                      std::vector<double>& out) {
    for (const int sensor : sensors) {
      for (int i = 0; i < 3; ++i) out.push_back(physics.sensor(sensor + i));
    }
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
  // N.
  double weight_ = 0;
};

// Without ball, target and walls; planes have no end, so the floor's size is for looks.
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
                    .set = {{{"geom", "floor"}, "size", std::move(floor_size)}}}};
}

}  // namespace

std::vector<TaskDefinition> DogTasks() {
  return {Define("dog-stand", 0, "15 15 .1"), Define("dog-walk", 1, "15 15 .1"),
          Define("dog-trot", 3, "45 45 .1"), Define("dog-run", 9, "135 135 .1")};
}

}  // namespace pompc::env
