// A two-legged runner in a vertical plane. Tasks and numbers: DeepMind Control Suite
// (arXiv:1801.00690), domain "cheetah"; running backwards or on one foot, and jumping: TD-MPC2
// (arXiv:2310.16828).
#include <vector>

#include "actor/env/assets.h"
#include "actor/env/task.h"
#include "common/base/check.h"

namespace pompc::env {
namespace {

enum class Goal { kRun, kRunBackwards, kRunOnFrontFoot, kRunOnBackFoot, kJump };

// The reward for a speed of `speed` (in m/s, positive) or more.
constexpr Tolerance AtSpeed(double speed) { return AtLeast(speed, speed, 0); }

class Cheetah final : public Task {
 public:
  Cheetah(Physics& physics, Goal goal)
      : torso_(physics.Id(mjOBJ_BODY, "torso")),
        front_foot_(physics.Id(mjOBJ_BODY, "ffoot")),
        back_foot_(physics.Id(mjOBJ_BODY, "bfoot")),
        velocity_(physics.SensorAddress("velocity")),
        goal_(goal) {}

  // Draws a pose and steps the physics without control until the body has come to rest.
  absl::Status Initialize(Physics& physics, RandomState& random) override {
    const mjModel& model = physics.model();
    for (int joint = 0; joint < model.njnt; ++joint) {
      if (!model.jnt_limited[joint]) continue;
      const mjtNum* range = model.jnt_range + 2 * joint;
      physics.data().qpos[model.jnt_qposadr[joint]] = random.Uniform(range[0], range[1]);
    }
    POMPC_RETURN_IF_ERROR(physics.Advance(kSettlingSteps));
    physics.data().time = 0;
    return absl::OkStatus();
  }

  // The distance run is left out: it says nothing about what to do next.
  void Observe(const Physics& physics, std::vector<double>& out) const override {
    Append(physics.qpos().subspan(1), out);
    Append(physics.qvel(), out);
  }

  double Reward(const Physics& physics) const override {
    const double speed = physics.sensor(velocity_ + kX);
    switch (goal_) {
      case Goal::kRun:
        return AtSpeed(10)(speed);
      case Goal::kRunBackwards:
        return AtSpeed(8)(-speed);
      case Goal::kRunOnFrontFoot:
        return RunOnOneFoot(physics, speed, back_foot_);
      case Goal::kRunOnBackFoot:
        return RunOnOneFoot(physics, speed, front_foot_);
      case Goal::kJump:
        return (InTheAir(physics, speed, back_foot_) + InTheAir(physics, speed, front_foot_)) / 2;
    }
    return 0;
  }

 private:
  static constexpr int kSettlingSteps = 200;
  // The reward for a height in metres.
  static constexpr Tolerance kUp{.low = 1.2, .high = kInfinity, .margin = 0.6};

  // The foot `lifted` is to be held up while the body runs on the other one.
  double RunOnOneFoot(const Physics& physics, double speed, int lifted) const {
    const double up = (3 * kUp(physics.xpos(lifted, kZ)) + 2 * kUp(physics.xpos(torso_, kZ))) / 5;
    return up * (5 * AtSpeed(6)(speed) + 1) / 6;
  }

  // The side of `foot` is to be high in the air, without the body going anywhere.
  double InTheAir(const Physics& physics, double speed, int foot) const {
    static constexpr Tolerance kSlow{
        .low = -0.5, .high = 0.5, .margin = 0.5, .sigmoid = Sigmoid::kLinear, .value_at_margin = 0};
    const double height = (physics.xpos(torso_, kZ) + physics.xpos(foot, kZ)) / 2;
    return (5 * kUp(height) + kSlow(speed)) / 6;
  }

  const int torso_;
  const int front_foot_;
  const int back_foot_;
  // Address of the sensor of the torso's velocity.
  const int velocity_;
  const Goal goal_;
};

}  // namespace

std::vector<TaskDefinition> CheetahTasks() {
  const Domain cheetah{assets::kCheetah, 0.01, 10};
  return {cheetah.Define<Cheetah>("cheetah-run", Goal::kRun),
          cheetah.Define<Cheetah>("cheetah-run-backwards", Goal::kRunBackwards),
          cheetah.Define<Cheetah>("cheetah-run-front", Goal::kRunOnFrontFoot),
          cheetah.Define<Cheetah>("cheetah-run-back", Goal::kRunOnBackFoot),
          cheetah.Define<Cheetah>("cheetah-jump", Goal::kJump)};
}

}  // namespace pompc::env
