// A one-legged hopper in a vertical plane. Tasks and numbers: DeepMind Control Suite
// (arXiv:1801.00690), domain "hopper"; backwards: TD-MPC2 (arXiv:2310.16828).
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

enum class Goal { kStand, kHop, kHopBackwards };

class Hopper final : public Task {
 public:
  Hopper(Physics& physics, Goal goal)
      : torso_(physics.Id(mjOBJ_BODY, "torso")),
        foot_(physics.Id(mjOBJ_BODY, "foot")),
        velocity_(physics.SensorAddress("velocity")),
        toe_(physics.SensorAddress("touch_toe")),
        heel_(physics.SensorAddress("touch_heel")),
        goal_(goal) {}

  absl::Status Initialize(Physics& physics, RandomState& random) override {
    RandomizeJoints(physics, random);
    return absl::OkStatus();
  }

  // Without the distance hopped.
  void Observe(const Physics& physics, std::vector<double>& out) const override {
    Append(physics.qpos().subspan(1), out);
    Append(physics.qvel(), out);
    out.insert(out.end(), {std::log1p(physics.sensor(toe_)), std::log1p(physics.sensor(heel_))});
  }

  double Reward(const Physics& physics) const override {
    static constexpr Tolerance kStanding{.low = 0.6, .high = 2};
    const double standing = kStanding(Height(physics));
    return standing * (goal_ == Goal::kStand ? SmallControl(physics) : Hopping(physics));
  }

 private:
  // Of the torso's centre of mass above the foot's.
  double Height(const Physics& physics) const {
    const mjtNum* centres = physics.data().xipos;
    return centres[3 * torso_ + kZ] - centres[3 * foot_ + kZ];
  }

  double Hopping(const Physics& physics) const {
    static constexpr Tolerance kForward{.low = 2,
                                        .high = kInfinity,
                                        .margin = 1,
                                        .sigmoid = Sigmoid::kLinear,
                                        .value_at_margin = 0.5};
    static constexpr Tolerance kBackward{.low = -kInfinity,
                                         .high = -1,
                                         .margin = 0.5,
                                         .sigmoid = Sigmoid::kLinear,
                                         .value_at_margin = 0.5};
    const double velocity = physics.sensor(velocity_ + kX);
    return goal_ == Goal::kHop ? kForward(velocity) : kBackward(velocity);
  }

  static double SmallControl(const Physics& physics) {
    static constexpr Tolerance kSmall{
        .margin = 1, .sigmoid = Sigmoid::kQuadratic, .value_at_margin = 0};
    double sum = 0;
    for (const double control : physics.ctrl()) sum += kSmall(control);
    return (4 + sum / physics.ctrl().size()) / 5;
  }

  const int torso_;
  const int foot_;
  // Addresses of sensors.
  const int velocity_;
  const int toe_;
  const int heel_;
  const Goal goal_;
};

TaskDefinition Define(std::string name, Goal goal) {
  return {.name = std::move(name),
          .mjcf = assets::kHopper,
          .control_seconds = 0.02,
          .episode_seconds = 20,
          .make = [=](Physics& physics) { return std::make_unique<Hopper>(physics, goal); }};
}

}  // namespace

std::vector<TaskDefinition> HopperTasks() {
  return {Define("hopper-stand", Goal::kStand), Define("hopper-hop", Goal::kHop),
          Define("hopper-hop-backwards", Goal::kHopBackwards)};
}

}  // namespace pompc::env
