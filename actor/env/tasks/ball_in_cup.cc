// A ball on a string, to be swung into the cup it hangs from. Tasks and numbers: DeepMind Control
// Suite (arXiv:1801.00690), domain "ball_in_cup".
#include <cmath>
#include <memory>
#include <vector>

#include "actor/env/assets.h"
#include "actor/env/tasks/domains.h"
#include "common/status_macros.h"

namespace pompc::env {
namespace {

// The probability that all of them fail is below 1e-9.
constexpr int kMaxAttempts = 1000;

class BallInCup final : public Task {
 public:
  explicit BallInCup(Physics& physics)
      : ball_(physics.Id(mjOBJ_BODY, "ball")),
        ball_geom_(physics.Id(mjOBJ_GEOM, "ball")),
        target_(physics.Id(mjOBJ_SITE, "target")) {}

  absl::Status Initialize(Physics& physics, RandomState& random) override {
    for (int attempt = 0; attempt < kMaxAttempts; ++attempt) {
      physics.data().qpos[kBallX] = random.Uniform(-0.2, 0.2);
      physics.data().qpos[kBallZ] = random.Uniform(0.2, 0.5);
      POMPC_RETURN_IF_ERROR(physics.Forward(Actuation::kDisabled));
      if (physics.data().ncon == 0) return absl::OkStatus();
    }
    return absl::AbortedError("no start without contact was found");
  }

  void Observe(const Physics& physics, std::vector<double>& out) const override {
    Append(physics.qpos(), out);
    Append(physics.qvel(), out);
  }

  double Reward(const Physics& physics) const override { return InTarget(physics) ? 1 : 0; }

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

  const int ball_;
  const int ball_geom_;
  const int target_;
};

}  // namespace

std::vector<TaskDefinition> BallInCupTasks() {
  return {{.name = "cup-catch",
           .mjcf = assets::kBallInCup,
           .control_seconds = 0.02,
           .episode_seconds = 20,
           .make = [](Physics& physics) { return std::make_unique<BallInCup>(physics); }}};
}

}  // namespace pompc::env
