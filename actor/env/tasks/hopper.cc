// A one-legged hopper in a vertical plane. Tasks and numbers: DeepMind Control Suite
// (arXiv:1801.00690), domain "hopper"; hopping backwards: TD-MPC2 (arXiv:2310.16828).
#include <cmath>
#include <vector>

#include "actor/env/assets.h"
#include "actor/env/task.h"

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

  // The distance hopped is left out; contact forces are observed by their logarithm.
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
  // The height of the torso's centre of mass above the foot's.
  double Height(const Physics& physics) const {
    const mjtNum* centres = physics.data().xipos;
    return centres[3 * torso_ + kZ] - centres[3 * foot_ + kZ];
  }

  double Hopping(const Physics& physics) const {
    static constexpr Tolerance kForward = AtLeast(2, 1, 0.5);
    static constexpr Tolerance kBackward = AtLeast(1, 0.5, 0.5);
    const double velocity = physics.sensor(velocity_ + kX);
    return goal_ == Goal::kHop ? kForward(velocity) : kBackward(-velocity);
  }

  const int torso_;
  const int foot_;
  // The index at which the sensors' numbers begin in sensordata.
  const int velocity_;
  const int toe_;
  const int heel_;
  const Goal goal_;
};

}  // namespace

std::vector<TaskDefinition> HopperTasks() {
  const Domain hopper{assets::kHopper, 0.02, 20};
  return {hopper.Define<Hopper>("hopper-stand", Goal::kStand),
          hopper.Define<Hopper>("hopper-hop", Goal::kHop),
          hopper.Define<Hopper>("hopper-hop-backwards", Goal::kHopBackwards)};
}

}  // namespace pompc::env
