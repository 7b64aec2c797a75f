// A two-legged walker in a vertical plane. Tasks and numbers: DeepMind Control Suite
// (arXiv:1801.00690), domain "walker"; walking and running backwards: TD-MPC2 (arXiv:2310.16828).
#include <cmath>
#include <vector>

#include "actor/env/assets.h"
#include "actor/env/task.h"

namespace pompc::env {
namespace {

class Walker final : public Task {
 public:
  // `speed` is the speed to reach in m/s: 0 means to stand, a negative one to go backwards.
  Walker(Physics& physics, double speed)
      : torso_(physics.Id(mjOBJ_BODY, "torso")),
        velocity_(physics.SensorAddress("velocity")),
        speed_(speed) {}

  absl::Status Initialize(Physics& physics, RandomState& random) override {
    RandomizeJoints(physics, random);
    return absl::OkStatus();
  }

  // The orientations of all bodies in the plane say what the joint angles would, without a jump at
  // pi.
  void Observe(const Physics& physics, std::vector<double>& out) const override {
    for (int body = 1; body < physics.model().nbody; ++body) {
      out.insert(out.end(), {physics.xmat(body, kXx), physics.xmat(body, kXz)});
    }
    out.push_back(physics.xpos(torso_, kZ));
    Append(physics.qvel(), out);
  }

  double Reward(const Physics& physics) const override {
    if (speed_ == 0) return Standing(physics);
    const Tolerance moving = AtLeast(std::abs(speed_), std::abs(speed_) / 2, 0.5);
    const double velocity = std::copysign(1, speed_) * physics.sensor(velocity_ + kX);
    return Standing(physics) * (5 * moving(velocity) + 1) / 6;
  }

 private:
  double Standing(const Physics& physics) const {
    static constexpr Tolerance kHigh{.low = 1.2, .high = kInfinity, .margin = 0.6};
    const double upright = (1 + physics.xmat(torso_, kZz)) / 2;
    return (3 * kHigh(physics.xpos(torso_, kZ)) + upright) / 4;
  }

  const int torso_;
  const int velocity_;
  const double speed_;
};

}  // namespace

std::vector<TaskDefinition> WalkerTasks() {
  const Domain walker{assets::kWalker, 0.025, 25};
  return {walker.Define<Walker>("walker-stand", 0.0), walker.Define<Walker>("walker-walk", 1.0),
          walker.Define<Walker>("walker-run", 8.0),
          walker.Define<Walker>("walker-walk-backwards", -1.0),
          walker.Define<Walker>("walker-run-backwards", -8.0)};
}

}  // namespace pompc::env
