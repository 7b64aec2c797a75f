// A four-legged robot that walks or runs forward. Tasks and numbers: DeepMind Control Suite
// (arXiv:1801.00690), domain "quadruped".
#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "actor/env/physics/mujoco_call.h"
#include "actor/env/physics/random_orientation.h"
#include "actor/env/tasks/domains.h"
#include "actor/env/tolerance.h"
#include "common/base/status_macros.h"

namespace pompc::env {
namespace {

class Move final : public Task {
 public:
  // `speed` in m/s, forward.
  Move(Physics& physics, double speed)
      : torso_(physics.Id(mjOBJ_BODY, "torso")),
        velocity_(physics.SensorAddress("velocimeter")),
        acceleration_(physics.SensorAddress("imu_accel")),
        rotation_(physics.SensorAddress("imu_gyro")),
        speed_(speed) {
    for (const char* quantity : {"force_toe_", "torque_toe_"}) {
      for (const char* leg : {"front_left", "front_right", "back_right", "back_left"}) {
        toes_.push_back(physics.SensorAddress((std::string(quantity) + leg).c_str()));
      }
    }
  }

  // In any orientation, and as low above the origin as touches nothing.
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
      // What follows from a height beside its contacts takes many times as long, and is not asked.
      POMPC_RETURN_IF_ERROR(CallMujoco([&] {
        mj_kinematics(&model, &data);
        mj_collision(&model, &data);
      }));
      if (data.ncon > 0) continue;
      // Deep in the floor there may have been more contacts than there is room for: that is over.
      POMPC_RETURN_IF_ERROR(physics.Reset());
      place(height);
      return physics.Forward(Actuation::kDisabled);
    }
    return absl::AbortedError("no height without contacts was found");
  }

  void Observe(const Physics& physics, std::vector<double>& out) const override {
    Append(physics.qpos().subspan(kAngles), out);
    Append(physics.qvel().subspan(kAngles - 1), out);
    Append({physics.data().act, static_cast<size_t>(physics.model().na)}, out);
    Append3(physics, velocity_, out);
    out.push_back(physics.xmat(torso_, kZz));
    Append3(physics, acceleration_, out);
    Append3(physics, rotation_, out);
    for (const int toe : toes_) {
      for (int i = 0; i < 3; ++i) out.push_back(std::asinh(physics.sensor(toe + i)));
    }
  }

  double Reward(const Physics& physics) const override {
    static constexpr Tolerance kUpright{.low = 1,
                                        .high = kInfinity,
                                        .margin = 2,
                                        .sigmoid = Sigmoid::kLinear,
                                        .value_at_margin = 0};
    const Tolerance fast{.low = speed_,
                         .high = kInfinity,
                         .margin = speed_,
                         .sigmoid = Sigmoid::kLinear,
                         .value_at_margin = 0.5};
    return kUpright(physics.xmat(torso_, kZz)) * fast(physics.sensor(velocity_));
  }

 private:
  static constexpr int kMaxAttempts = 10'000;
  // Where the root's orientation and the hinges' angles begin in qpos.
  static constexpr int kOrientation = 3;
  static constexpr int kAngles = 7;

  static void Append3(const Physics& physics, int sensor, std::vector<double>& out) {
    for (int i = 0; i < 3; ++i) out.push_back(physics.sensor(sensor + i));
  }

  const int torso_;
  const int velocity_;
  const int acceleration_;
  const int rotation_;
  const double speed_;
  std::vector<int> toes_;
};

// Without walls, ball, target, terrain and what would see them; planes have no end, so the floor's
// size is for looks.
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
                    // Close enough to see it.
                    .set = {{{"geom", "floor"}, "size", std::move(floor_size)},
                            {{"camera", "global"}, "pos", "-2.5 2.5 2.5"}}}};
}

}  // namespace

std::vector<TaskDefinition> QuadrupedTasks() {
  return {Define("quadruped-walk", 0.5, "10 10 .5"), Define("quadruped-run", 5, "100 100 .5")};
}

}  // namespace pompc::env
