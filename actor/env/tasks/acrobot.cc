// Two arms in a plane, with a motor at the elbow only. Tasks and numbers: DeepMind Control Suite
// (arXiv:1801.00690), domain "acrobot".
#include <vector>

#include "actor/env/assets.h"
#include "actor/env/task.h"

namespace pompc::env {
namespace {

class Acrobot final : public Task {
 public:
  explicit Acrobot(Physics& physics)
      : upper_arm_(physics.Id(mjOBJ_BODY, "upper_arm")),
        lower_arm_(physics.Id(mjOBJ_BODY, "lower_arm")),
        tip_(physics.Id(mjOBJ_SITE, "tip")),
        target_(physics.Id(mjOBJ_SITE, "target")) {}

  // Both arms begin at any angle, at rest.
  absl::Status Initialize(Physics& physics, RandomState& random) override {
    for (int joint : {kShoulder, kElbow}) physics.data().qpos[joint] = random.Uniform(-kPi, kPi);
    return absl::OkStatus();
  }

  // Sine and cosine of both arms instead of their angles: an angle jumps where it passes pi.
  void Observe(const Physics& physics, std::vector<double>& out) const override {
    out.insert(out.end(), {physics.xmat(upper_arm_, kXz), physics.xmat(lower_arm_, kXz),
                           physics.xmat(upper_arm_, kZz), physics.xmat(lower_arm_, kZz)});
    Append(physics.qvel(), out);
  }

  double Reward(const Physics& physics) const override {
    const Tolerance in_target{.high = physics.model().site_size[3 * target_], .margin = 1};
    const mjtNum* sites = physics.data().site_xpos;
    return in_target(mju_dist3(sites + 3 * target_, sites + 3 * tip_));
  }

 private:
  // Indices of the joints in qpos.
  static constexpr int kShoulder = 0;
  static constexpr int kElbow = 1;

  const int upper_arm_;
  const int lower_arm_;
  const int tip_;
  const int target_;
};

}  // namespace

std::vector<TaskDefinition> AcrobotTasks() {
  return {Domain{assets::kAcrobot, 0.01, 10}.Define<Acrobot>("acrobot-swingup")};
}

}  // namespace pompc::env
