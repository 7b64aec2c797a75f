// A two-legged walker in a vertical plane. Tasks and numbers: DeepMind Control Suite
// (arXiv:1801.00690), domain "walker"; backwards: TD-MPC2 (arXiv:2310.16828).
#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "actor/env/assets.h"
#include "actor/env/physics/random_joints.h"
#include "actor/env/tasks/domains.h"
#include "actor/env/tolerance.h"

namespace pompc::env {
namespace {

class Walker final : public Task {
 public:
  // At `speed` in m/s or more; 0 is to stand, below is backwards.
  Walker(Physics& physics, double speed)
      : torso_(physics.Id(mjOBJ_BODY, "torso")),
        velocity_(physics.SensorAddress("velocity")),
        speed_(speed) {}

  absl::Status Initialize(Physics& physics, RandomState& random) override {
    RandomizeJoints(physics, random);
    return absl::OkStatus();
  }

  void Observe(const Physics& physics, std::vector<double>& out) const override {
    for (int body = 1; body < physics.model().nbody; ++body) {
      out.insert(out.end(), {physics.xmat(body, kXx), physics.xmat(body, kXz)});
    }
    out.push_back(physics.xpos(torso_, kZ));
    Append(physics.qvel(), out);
  }

  double Reward(const Physics& physics) const override {
    if (speed_ == 0) return Standing(physics);
    const Tolerance moving{.low = std::abs(speed_),
                           .high = kInfinity,
                           .margin = std::abs(speed_) / 2,
                           .sigmoid = Sigmoid::kLinear,
                           .value_at_margin = 0.5};
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

TaskDefinition Define(std::string name, double speed) {
  return {.name = std::move(name),
          .mjcf = assets::kWalker,
          .control_seconds = 0.025,
          .episode_seconds = 25,
          .make = [=](Physics& physics) { return std::make_unique<Walker>(physics, speed); }};
}

}  // namespace

std::vector<TaskDefinition> WalkerTasks() {
  return {Define("walker-stand", 0), Define("walker-walk", 1), Define("walker-run", 8),
          Define("walker-walk-backwards", -1), Define("walker-run-backwards", -8)};
}

}  // namespace pompc::env
