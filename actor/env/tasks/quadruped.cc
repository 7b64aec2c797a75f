// A four-legged robot that walks or runs forward. Tasks and numbers: DeepMind Control Suite
// (arXiv:1801.00690), domain "quadruped".
#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "actor/env/physics/mujoco_call.h"
#include "actor/env/task.h"
#include "common/base/check.h"

namespace pompc::env {
namespace {

class Move final : public Task {
 public:
  // `speed` is the forward speed to reach in m/s. REQUIRES: speed > 0.
  Move(Physics& physics, double speed)
      : torso_(physics.Id(mjOBJ_BODY, "torso")),
        velocity_(physics.SensorAddress("velocimeter")),
        acceleration_(physics.SensorAddress("imu_accel")),
        rotation_(physics.SensorAddress("imu_gyro")),
        speed_(speed) {
    POMPC_CHECK_GT(speed, 0);
    for (const char* quantity : {"force_toe_", "torque_toe_"}) {
      for (const char* leg : {"front_left", "front_right", "back_right", "back_left"}) {
        toes_.push_back(physics.SensorAddress((std::string(quantity) + leg).c_str()));
      }
    }
  }

  // Draws an orientation and lifts the body, a centimetre at a time, until it touches nothing.
  absl::Status Initialize(Physics& physics, RandomState& random) override {
    const std::array<double, 4> orientation = RandomOrientation(random);
    const mjModel& model = physics.model();
    mjData& data = physics.data();
    const auto place = [&](double height) {
      data.qpos[kX] = data.qpos[kY] = 0;
      data.qpos[kZ] = height;
      std::copy(orientation.begin(), orientation.end(), data.qpos + kOrientation);
    };
    double height = 0;
    for (int attempt = 0; attempt < kMaxAttempts; ++attempt, height += 0.01) {
      place(height);
      // Only the contacts are needed to judge a height; all else that follows from it would take
      // many times as long.
      POMPC_RETURN_IF_ERROR(CallMujoco([&] {
        mj_kinematics(&model, &data);
        mj_collision(&model, &data);
      }));
      if (data.ncon > 0) continue;
      // Deep in the floor there may have been more contacts than MuJoCo has room for; the reset
      // clears that warning.
      POMPC_RETURN_IF_ERROR(physics.Reset());
      place(height);
      return physics.Forward(Actuation::kDisabled);
    }
    return absl::AbortedError("no height without contacts was found");
  }

  void Observe(const Physics& physics, std::vector<double>& out) const override {
    POMPC_DCHECK_GE(physics.model().nq, kAngles);
    Append(physics.qpos().subspan(kAngles), out);
    Append(physics.qvel().subspan(kAngles - 1), out);
    Append({physics.data().act, static_cast<size_t>(physics.model().na)}, out);
    Append(physics.sensor3(velocity_), out);
    out.push_back(physics.xmat(torso_, kZz));
    Append(physics.sensor3(acceleration_), out);
    Append(physics.sensor3(rotation_), out);
    // Forces and torques range over orders of magnitude and have a sign: asinh is linear near 0 and
    // logarithmic beyond.
    for (const int toe : toes_) {
      for (const double x : physics.sensor3(toe)) out.push_back(std::asinh(x));
    }
  }

  double Reward(const Physics& physics) const override {
    static constexpr Tolerance kUpright = AtLeast(1, 2, 0);
    const Tolerance fast = AtLeast(speed_, speed_, 0.5);
    return kUpright(physics.xmat(torso_, kZz)) * fast(physics.sensor(velocity_));
  }

 private:
  static constexpr int kMaxAttempts = 10'000;
  // The indices at which the root's orientation and the hinges' angles begin in qpos.
  static constexpr int kOrientation = 3;
  static constexpr int kAngles = 7;

  const int torso_;
  const int velocity_;
  const int acceleration_;
  const int rotation_;
  const double speed_;
  std::vector<int> toes_;
};

// Walls, ball, target and terrain belong to the suite's other tasks and are removed with the
// sensors that would see them. Planes have no end in MuJoCo: the floor's size is for looks.
TaskDefinition Define(std::string name, double speed, std::string floor_size) {
  return {.name = std::move(name),
          .control_seconds = 0.02,
          .episode_seconds = 20,
          .make = [=](Physics& physics) { return std::make_unique<Move>(physics, speed); },
          .asset = {.file = "quadruped.xml",
                    .sizes = {23, 12, 36},
                    .removed = {{"geom", "wall_px"},
                                {"geom", "wall_py"},
                                {"geom", "wall_nx"},
                                {"geom", "wall_ny"},
                                {"body", "ball"},
                                {"site", "target"},
                                {"geom", "terrain"},
                                {"rangefinder", ""}},
                    // The camera stands close enough to see the robot.
                    .set = {{{"geom", "floor"}, "size", std::move(floor_size)},
                            {{"camera", "global"}, "pos", "-2.5 2.5 2.5"}}}};
}

}  // namespace

std::vector<TaskDefinition> QuadrupedTasks() {
  return {Define("quadruped-walk", 0.5, "10 10 .5"), Define("quadruped-run", 5, "100 100 .5")};
}

}  // namespace pompc::env
