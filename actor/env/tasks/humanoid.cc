// A simplified human body that stands, walks or runs. Tasks and numbers: DeepMind Control Suite
// (arXiv:1801.00690), domain "humanoid".
#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "actor/env/task.h"
#include "common/base/check.h"

namespace pompc::env {
namespace {

class Humanoid final : public Task {
 public:
  // `speed` is the speed to reach in m/s, in any horizontal direction; 0 means to stand still.
  // REQUIRES: speed >= 0.
  Humanoid(Physics& physics, double speed)
      : torso_(physics.Id(mjOBJ_BODY, "torso")),
        head_(physics.Id(mjOBJ_BODY, "head")),
        limbs_{physics.Id(mjOBJ_BODY, "left_hand"), physics.Id(mjOBJ_BODY, "left_foot"),
               physics.Id(mjOBJ_BODY, "right_hand"), physics.Id(mjOBJ_BODY, "right_foot")},
        velocity_(physics.SensorAddress("torso_subtreelinvel")),
        speed_(speed) {
    POMPC_CHECK_GE(speed, 0);
  }

  // Draws poses until one touches nothing.
  absl::Status Initialize(Physics& physics, RandomState& random) override {
    for (int attempt = 0; attempt < kMaxAttempts; ++attempt) {
      // The suite draws no negative numbers here, so not all orientations are equally likely. That
      // is kept, because published returns depend on it.
      mjtNum* orientation = physics.data().qpos + kOrientation;
      for (int i = 0; i < 4; ++i) orientation[i] = random.Uniform();
      mju_normalize4(orientation);
      RandomizeJoints(physics, random);
      POMPC_RETURN_IF_ERROR(physics.Forward(Actuation::kDisabled));
      if (physics.data().ncon == 0) return absl::OkStatus();
    }
    return absl::AbortedError("no pose without contacts was found");
  }

  void Observe(const Physics& physics, std::vector<double>& out) const override {
    POMPC_DCHECK_GE(physics.model().nq, kAngles);
    Append(physics.qpos().subspan(kAngles), out);
    out.push_back(physics.xpos(head_, kZ));
    const mjData& data = physics.data();
    // Hands and feet as seen from the torso, in its frame.
    for (const int limb : limbs_) {
      mjtNum position[3], seen[3];
      mju_sub3(position, data.xpos + 3 * limb, data.xpos + 3 * torso_);
      InFrame(seen, position, data.xmat + 9 * torso_);
      Append(seen, out);
    }
    for (const MatrixEntry entry : {kZx, kZy, kZz}) out.push_back(physics.xmat(torso_, entry));
    Append(physics.sensor3(velocity_), out);
    Append(physics.qvel(), out);
  }

  double Reward(const Physics& physics) const override {
    static constexpr Tolerance kTall{.low = 1.4, .high = kInfinity, .margin = 0.35};
    static constexpr Tolerance kUpright = AtLeast(0.9, 1.9, 0);
    const double standing = kTall(physics.xpos(head_, kZ)) * kUpright(physics.xmat(torso_, kZz));
    return SmallControl(physics) * standing * (speed_ == 0 ? Still(physics) : Moving(physics));
  }

 private:
  static constexpr int kMaxAttempts = 10'000;
  // The indices at which the root's orientation and the hinges' angles begin in qpos.
  static constexpr int kOrientation = 3;
  static constexpr int kAngles = 7;

  // Stands still: the two horizontal velocities are small.
  double Still(const Physics& physics) const {
    static constexpr Tolerance kStill{.margin = 2};
    return (kStill(physics.sensor(velocity_)) + kStill(physics.sensor(velocity_ + 1))) / 2;
  }

  double Moving(const Physics& physics) const {
    const Tolerance fast = AtLeast(speed_, speed_, 0);
    const double speed = std::hypot(physics.sensor(velocity_), physics.sensor(velocity_ + 1));
    return (5 * fast(speed) + 1) / 6;
  }

  const int torso_;
  const int head_;
  const int limbs_[4];
  const int velocity_;
  const double speed_;
};

TaskDefinition Define(std::string name, double speed) {
  return {.name = std::move(name),
          .control_seconds = 0.025,
          .episode_seconds = 25,
          .make = [=](Physics& physics) { return std::make_unique<Humanoid>(physics, speed); },
          .asset = {.file = "humanoid.xml", .sizes = {28, 21, 66}}};
}

}  // namespace

std::vector<TaskDefinition> HumanoidTasks() {
  return {Define("humanoid-stand", 0), Define("humanoid-walk", 1), Define("humanoid-run", 10)};
}

}  // namespace pompc::env
