// A ball on a string, to be swung into the cup it hangs from, or round it. Tasks and numbers:
// DeepMind Control Suite (arXiv:1801.00690), domain "ball_in_cup"; spin: TD-MPC2
// (arXiv:2310.16828).
#include <cmath>
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

// One attempt in fifty finds the ball in the cup.
constexpr int kMaxAttempts = 10000;

enum class Goal { kCatch, kSpin };

class BallInCup final : public Task {
 public:
  BallInCup(Physics& physics, Goal goal)
      : ball_(physics.Id(mjOBJ_BODY, "ball")),
        ball_geom_(physics.Id(mjOBJ_GEOM, "ball")),
        target_(physics.Id(mjOBJ_SITE, "target")),
        goal_(goal) {}

  // The ball touches nothing; to be spun it begins, nine times in ten, in the cup.
  absl::Status Initialize(Physics& physics, RandomState& random) override {
    const bool anywhere = goal_ == Goal::kCatch || random.Uniform() < 0.1;
    for (int attempt = 0; attempt < kMaxAttempts; ++attempt) {
      physics.data().qpos[kBallX] = random.Uniform(-0.2, 0.2);
      physics.data().qpos[kBallZ] = random.Uniform(0.2, 0.5);
      POMPC_RETURN_IF_ERROR(physics.Forward(Actuation::kDisabled));
      const bool valid = anywhere || InTarget(physics);
      if (valid && physics.data().ncon == 0) return absl::OkStatus();
    }
    return absl::AbortedError("no start without contact was found");
  }

  void Observe(const Physics& physics, std::vector<double>& out) const override {
    Append(physics.qpos(), out);
    Append(physics.qvel(), out);
  }

  double Reward(const Physics& physics) const override {
    if (goal_ == Goal::kCatch) return InTarget(physics) ? 1 : 0;
    return InTarget(physics) ? 0 : Spinning(physics);
  }

 private:
  // Indices in qpos and qvel.
  static constexpr int kBallX = 2;
  static constexpr int kBallZ = 3;

  double ToTarget(const Physics& physics, Axis axis) const {
    return physics.data().site_xpos[3 * target_ + axis] - physics.xpos(ball_, axis);
  }

  bool InTarget(const Physics& physics) const {
    const mjModel& model = physics.model();
    for (const Axis axis : {kX, kZ}) {
      const double room = model.site_size[3 * target_ + axis] - model.geom_size[3 * ball_geom_];
      if (std::abs(ToTarget(physics, axis)) >= room) return false;
    }
    return true;
  }

  double Spinning(const Physics& physics) const {
    static constexpr Tolerance kFar{.low = 0.5,
                                    .high = kInfinity,
                                    .margin = 0.25,
                                    .sigmoid = Sigmoid::kLinear,
                                    .value_at_margin = 0.5};
    static constexpr Tolerance kFast{.low = 6,
                                     .high = kInfinity,
                                     .margin = 3,
                                     .sigmoid = Sigmoid::kLinear,
                                     .value_at_margin = 0.5};
    const std::span<const double> velocity = physics.qvel();
    const double distance = std::hypot(ToTarget(physics, kX), ToTarget(physics, kZ));
    const double speed = std::hypot(velocity[kBallX], velocity[kBallZ]);
    return (kFar(distance) + 2 * kFast(speed)) / 3;
  }

  const int ball_;
  const int ball_geom_;
  const int target_;
  const Goal goal_;
};

TaskDefinition Define(std::string name, Goal goal) {
  return {.name = std::move(name),
          .mjcf = assets::kBallInCup,
          .control_seconds = 0.02,
          .episode_seconds = 20,
          .make = [=](Physics& physics) { return std::make_unique<BallInCup>(physics, goal); }};
}

}  // namespace

std::vector<TaskDefinition> BallInCupTasks() {
  return {Define("cup-catch", Goal::kCatch), Define("cup-spin", Goal::kSpin)};
}

}  // namespace pompc::env
