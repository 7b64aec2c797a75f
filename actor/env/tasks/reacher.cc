// An arm in a horizontal plane whose finger is to be in a target. Tasks and numbers: DeepMind
// Control Suite (arXiv:1801.00690), domain "reacher"; three links: TD-MPC2 (arXiv:2310.16828).
#include <cmath>
#include <vector>

#include "actor/env/assets.h"
#include "actor/env/task.h"
#include "common/base/check.h"

namespace pompc::env {
namespace {

// Radii in metres.
constexpr double kBigTarget = 0.05;
constexpr double kSmallTarget = 0.015;

class Reacher final : public Task {
 public:
  Reacher(Physics& physics, double target_radius)
      : target_(physics.Id(mjOBJ_GEOM, "target")), finger_(physics.Id(mjOBJ_GEOM, "finger")) {
    POMPC_CHECK_GT(target_radius, 0);
    physics.model().geom_size[3 * target_] = target_radius;
  }

  absl::Status Initialize(Physics& physics, RandomState& random) override {
    // The arm first, then the target: published episodes draw in this order.
    RandomizeJoints(physics, random);
    const double angle = random.Uniform(0, 2 * kPi);
    const double radius = random.Uniform(0.05, 0.2);
    const std::span<double> target = Target(physics);
    target[kX] = radius * std::sin(angle);
    target[kY] = radius * std::cos(angle);
    return absl::OkStatus();
  }

  void Observe(const Physics& physics, std::vector<double>& out) const override {
    Append(physics.qpos(), out);
    out.insert(out.end(), {ToTarget(physics, kX), ToTarget(physics, kY)});
    Append(physics.qvel(), out);
  }

  double Reward(const Physics& physics) const override {
    const mjtNum* sizes = physics.model().geom_size;
    const Tolerance touching{.high = sizes[3 * target_] + sizes[3 * finger_]};
    return touching(std::hypot(ToTarget(physics, kX), ToTarget(physics, kY)));
  }

  std::span<double> Target(Physics& physics) const override {
    return {physics.model().geom_pos + 3 * target_, 3};
  }

 private:
  double ToTarget(const Physics& physics, Axis axis) const {
    const mjtNum* geoms = physics.data().geom_xpos;
    return geoms[3 * target_ + axis] - geoms[3 * finger_ + axis];
  }

  const int target_;
  const int finger_;
};

}  // namespace

std::vector<TaskDefinition> ReacherTasks() {
  const Domain two_links{assets::kReacher, 0.02, 20}, three_links{assets::kReacherThree, 0.02, 20};
  return {two_links.Define<Reacher>("reacher-easy", kBigTarget),
          two_links.Define<Reacher>("reacher-hard", kSmallTarget),
          three_links.Define<Reacher>("reacher-three-easy", kBigTarget),
          three_links.Define<Reacher>("reacher-three-hard", kSmallTarget)};
}

}  // namespace pompc::env
