// A ball on a string that is to be swung into the cup it hangs from, or around it. Tasks and
// numbers: DeepMind Control Suite (arXiv:1801.00690), domain "ball_in_cup"; spin: TD-MPC2
// (arXiv:2310.16828).
#include <cmath>
#include <vector>

#include "actor/env/assets.h"
#include "actor/env/task.h"
#include "common/base/check.h"

namespace pompc::env {
namespace {

// About one attempt in fifty finds the ball in the cup: so many never fail in practice.
constexpr int kMaxAttempts = 10000;

enum class Goal { kCatch, kSpin };

class BallInCup final : public Task {
 public:
  BallInCup(Physics& physics, Goal goal)
      : ball_(physics.Id(mjOBJ_BODY, "ball")),
        ball_geom_(physics.Id(mjOBJ_GEOM, "ball")),
        target_(physics.Id(mjOBJ_SITE, "target")),
        goal_(goal) {}

  // Draws positions until the ball touches nothing. For spinning it starts in the cup nine times in
  // ten, because swinging it out of there is the harder part.
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
  // The ball's coordinates in qpos and qvel.
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

  // The suite has no such task; the numbers are those of TD-MPC2's task file.
  double Spinning(const Physics& physics) const {
    static constexpr Tolerance kFar = AtLeast(0.5, 0.25, 0.5);
    static constexpr Tolerance kFast = AtLeast(6, 3, 0.5);
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

}  // namespace

std::vector<TaskDefinition> BallInCupTasks() {
  const Domain cup{assets::kBallInCup, 0.02, 20};
  return {cup.Define<BallInCup>("cup-catch", Goal::kCatch),
          cup.Define<BallInCup>("cup-spin", Goal::kSpin)};
}

}  // namespace pompc::env
