// A fish in a tank that swims to a target with its tail and fins. Tasks and numbers: DeepMind
// Control Suite (arXiv:1801.00690), domain "fish".
#include <algorithm>
#include <memory>
#include <vector>

#include "actor/env/task.h"
#include "common/base/check.h"

namespace pompc::env {
namespace {

class Swim final : public Task {
 public:
  explicit Swim(Physics& physics)
      : torso_(physics.Id(mjOBJ_BODY, "torso")),
        mouth_(physics.Id(mjOBJ_GEOM, "mouth")),
        target_(physics.Id(mjOBJ_GEOM, "target")) {}

  absl::Status Initialize(Physics& physics, RandomState& random) override {
    mjData& data = physics.data();
    const std::array<double, 4> orientation = RandomOrientation(random);
    std::copy(orientation.begin(), orientation.end(), data.qpos + kOrientation);
    for (int i = kAngles; i < physics.model().nq; ++i) data.qpos[i] = random.Uniform(-0.2, 0.2);
    const std::span<double> target = Target(physics);
    target[0] = random.Uniform(-0.4, 0.4);
    target[1] = random.Uniform(-0.4, 0.4);
    target[2] = random.Uniform(0.1, 0.3);
    return absl::OkStatus();
  }

  void Observe(const Physics& physics, std::vector<double>& out) const override {
    POMPC_DCHECK_GE(physics.model().nq, kAngles);
    Append(physics.qpos().subspan(kAngles), out);
    out.push_back(physics.xmat(torso_, kZz));
    // The target as seen from the mouth, in the mouth's frame.
    mjtNum target[3], seen[3];
    MouthToTarget(physics, target);
    InFrame(seen, target, physics.data().geom_xmat + 9 * mouth_);
    Append(seen, out);
    Append(physics.qvel(), out);
  }

  double Reward(const Physics& physics) const override {
    const mjModel& model = physics.model();
    const double radii = model.geom_size[3 * mouth_] + model.geom_size[3 * target_];
    const Tolerance at_target{.low = 0, .high = radii, .margin = 2 * radii};
    mjtNum target[3];
    MouthToTarget(physics, target);
    const double upright = (physics.xmat(torso_, kZz) + 1) / 2;
    return (7 * at_target(mju_norm3(target)) + upright) / 8;
  }

  std::span<double> Target(Physics& physics) const override {
    return {physics.model().geom_pos + 3 * target_, 3};
  }

 private:
  // The indices at which the root's orientation and the angles of tail and fins begin in qpos.
  static constexpr int kOrientation = 3;
  static constexpr int kAngles = 7;

  // Writes the vector from the mouth to the target, in world coordinates.
  void MouthToTarget(const Physics& physics, mjtNum* out) const {
    const mjtNum* positions = physics.data().geom_xpos;
    mju_sub3(out, positions + 3 * target_, positions + 3 * mouth_);
  }

  const int torso_;
  const int mouth_;
  const int target_;
};

}  // namespace

std::vector<TaskDefinition> FishTasks() {
  return {{.name = "fish-swim",
           .control_seconds = 0.04,
           .episode_seconds = 40,
           .make = [](Physics& physics) { return std::make_unique<Swim>(physics); },
           .asset = {.file = "fish.xml", .sizes = {14, 5, 6}}}};
}

}  // namespace pompc::env
