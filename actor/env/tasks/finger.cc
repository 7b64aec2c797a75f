// A finger of two links that turns a spinner on a hinge. Tasks and numbers: DeepMind Control Suite
// (arXiv:1801.00690), domain "finger".
#include <cmath>
#include <vector>

#include "actor/env/assets.h"
#include "actor/env/task.h"
#include "common/base/check.h"

namespace pompc::env {
namespace {

// Poses are drawn until one touches nothing; so many attempts never fail in practice.
constexpr int kMaxAttempts = 1000;

// What both tasks observe. Contact forces range over orders of magnitude, so their logarithm is
// observed.
class Finger : public Task {
 public:
  void Observe(const Physics& physics, std::vector<double>& out) const override {
    out.insert(out.end(),
               {physics.sensor(proximal_), physics.sensor(distal_), TipToSpinner(physics, kX),
                TipToSpinner(physics, kZ), physics.sensor(proximal_velocity_),
                physics.sensor(distal_velocity_), HingeVelocity(physics),
                std::log1p(physics.sensor(touch_top_)), std::log1p(physics.sensor(touch_bottom_))});
  }

 protected:
  explicit Finger(Physics& physics)
      : proximal_(physics.SensorAddress("proximal")),
        distal_(physics.SensorAddress("distal")),
        proximal_velocity_(physics.SensorAddress("proximal_velocity")),
        distal_velocity_(physics.SensorAddress("distal_velocity")),
        hinge_velocity_(physics.SensorAddress("hinge_velocity")),
        tip_(physics.SensorAddress("tip")),
        spinner_(physics.SensorAddress("spinner")),
        touch_top_(physics.SensorAddress("touchtop")),
        touch_bottom_(physics.SensorAddress("touchbottom")) {}

  double HingeVelocity(const Physics& physics) const { return physics.sensor(hinge_velocity_); }
  double TipToSpinner(const Physics& physics, Axis axis) const {
    return physics.sensor(tip_ + axis) - SpinnerPosition(physics, axis);
  }
  double SpinnerPosition(const Physics& physics, Axis axis) const {
    return physics.sensor(spinner_ + axis);
  }

  static absl::Status RandomizeWithoutContact(Physics& physics, RandomState& random) {
    for (int attempt = 0; attempt < kMaxAttempts; ++attempt) {
      RandomizeJoints(physics, random);
      POMPC_RETURN_IF_ERROR(physics.Forward(Actuation::kDisabled));
      if (physics.data().ncon == 0) return absl::OkStatus();
    }
    return absl::AbortedError("no start without contact was found");
  }

 private:
  // The index at which the sensors' numbers begin in sensordata.
  const int proximal_;
  const int distal_;
  const int proximal_velocity_;
  const int distal_velocity_;
  const int hinge_velocity_;
  const int tip_;
  const int spinner_;
  const int touch_top_;
  const int touch_bottom_;
};

// The spinner is to be kept spinning, on a hinge with little friction.
class Spin final : public Finger {
 public:
  explicit Spin(Physics& physics) : Finger(physics) {
    mjModel& model = physics.model();
    model.dof_damping[model.jnt_dofadr[physics.Id(mjOBJ_JOINT, "hinge")]] = 0.03;
  }

  absl::Status Initialize(Physics& physics, RandomState& random) override {
    return RandomizeWithoutContact(physics, random);
  }

  double Reward(const Physics& physics) const override {
    return HingeVelocity(physics) <= -15 ? 1 : 0;
  }
};

// The spinner is to be turned until its tip is in a target.
class Turn final : public Finger {
 public:
  Turn(Physics& physics, double target_radius)
      : Finger(physics),
        hinge_(physics.Id(mjOBJ_JOINT, "hinge")),
        cap_(physics.Id(mjOBJ_GEOM, "cap1")),
        target_site_(physics.Id(mjOBJ_SITE, "target")),
        target_(physics.SensorAddress("target")),
        target_radius_(target_radius) {
    POMPC_CHECK_GT(target_radius, 0);
    physics.model().site_size[3 * target_site_] = target_radius;
  }

  absl::Status Initialize(Physics& physics, RandomState& random) override {
    // The target lies where the tip of the spinner can be: on a circle around the hinge.
    const double angle = random.Uniform(-kPi, kPi);
    const mjtNum* hinge = physics.data().xanchor + 3 * hinge_;
    const mjtNum* cap = physics.model().geom_size + 3 * cap_;
    const double length = cap[0] + cap[1];
    const std::span<double> target = Target(physics);
    target[kX] = hinge[kX] + length * std::sin(angle);
    target[kZ] = hinge[kZ] + length * std::cos(angle);
    return RandomizeWithoutContact(physics, random);
  }

  void Observe(const Physics& physics, std::vector<double>& out) const override {
    Finger::Observe(physics, out);
    out.insert(out.end(), {TargetToSpinner(physics, kX), TargetToSpinner(physics, kZ),
                           DistanceToTarget(physics)});
  }

  double Reward(const Physics& physics) const override {
    return DistanceToTarget(physics) <= 0 ? 1 : 0;
  }

  std::span<double> Target(Physics& physics) const override {
    return {physics.model().site_pos + 3 * target_site_, 3};
  }

 private:
  double TargetToSpinner(const Physics& physics, Axis axis) const {
    return physics.sensor(target_ + axis) - SpinnerPosition(physics, axis);
  }
  // The distance from the spinner's tip to the target's surface; it is negative inside.
  double DistanceToTarget(const Physics& physics) const {
    return std::hypot(TargetToSpinner(physics, kX) - TipToSpinner(physics, kX),
                      TargetToSpinner(physics, kZ) - TipToSpinner(physics, kZ)) -
           target_radius_;
  }

  const int hinge_;
  const int cap_;
  const int target_site_;
  // Address of the sensor of the target's position.
  const int target_;
  const double target_radius_;
};

}  // namespace

std::vector<TaskDefinition> FingerTasks() {
  const Domain finger{assets::kFinger, 0.02, 20};
  return {finger.Define<Spin>("finger-spin"), finger.Define<Turn>("finger-turn-easy", 0.07),
          finger.Define<Turn>("finger-turn-hard", 0.03)};
}

}  // namespace pompc::env
