// A two-legged runner in a vertical plane. Tasks and numbers: DeepMind Control Suite
// (arXiv:1801.00690), domain "cheetah"; backwards, on one foot and jump: TD-MPC2
// (arXiv:2310.16828).
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "actor/env/assets.h"
#include "actor/env/tasks/domains.h"
#include "actor/env/tolerance.h"
#include "common/base/status_macros.h"

namespace pompc::env {
namespace {

enum class Goal { kRun, kRunBackwards, kRunOnFrontFoot, kRunOnBackFoot, kJump };

// Being at a speed of `speed` in m/s or more.
constexpr Tolerance AtSpeed(double speed) {
  return {.low = speed,
          .high = kInfinity,
          .margin = speed,
          .sigmoid = Sigmoid::kLinear,
          .value_at_margin = 0};
}

class Cheetah final : public Task {
 public:
  Cheetah(Physics& physics, Goal goal)
      : torso_(physics.Id(mjOBJ_BODY, "torso")),
        front_foot_(physics.Id(mjOBJ_BODY, "ffoot")),
        back_foot_(physics.Id(mjOBJ_BODY, "bfoot")),
        velocity_(physics.SensorAddress("velocity")),
        goal_(goal) {}

  // A random pose, left to itself until it has come to rest.
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

  // Without the distance run.
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
  // Of a height in m.
  static constexpr Tolerance kUp{.low = 1.2, .high = kInfinity, .margin = 0.6};

  // With the other foot, `lifted`, as high as the torso.
  double RunOnOneFoot(const Physics& physics, double speed, int lifted) const {
    const double up = (3 * kUp(physics.xpos(lifted, kZ)) + 2 * kUp(physics.xpos(torso_, kZ))) / 5;
    return up * (5 * AtSpeed(6)(speed) + 1) / 6;
  }

  // High on the side of `foot`, without going anywhere.
  double InTheAir(const Physics& physics, double speed, int foot) const {
    static constexpr Tolerance kSlow{
        .low = -0.5, .high = 0.5, .margin = 0.5, .sigmoid = Sigmoid::kLinear, .value_at_margin = 0};
    const double height = (physics.xpos(torso_, kZ) + physics.xpos(foot, kZ)) / 2;
    return (5 * kUp(height) + kSlow(speed)) / 6;
  }

  const int torso_;
  const int front_foot_;
  const int back_foot_;
  // Address of its sensor.
  const int velocity_;
  const Goal goal_;
};

TaskDefinition Define(std::string name, Goal goal) {
  return {.name = std::move(name),
          .mjcf = assets::kCheetah,
          .control_seconds = 0.01,
          .episode_seconds = 10,
          .make = [=](Physics& physics) { return std::make_unique<Cheetah>(physics, goal); }};
}

}  // namespace

std::vector<TaskDefinition> CheetahTasks() {
  return {Define("cheetah-run", Goal::kRun), Define("cheetah-run-backwards", Goal::kRunBackwards),
          Define("cheetah-run-front", Goal::kRunOnFrontFoot),
          Define("cheetah-run-back", Goal::kRunOnBackFoot), Define("cheetah-jump", Goal::kJump)};
}

}  // namespace pompc::env
