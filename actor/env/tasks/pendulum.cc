// A pole on a hinge that is too heavy for its motor to lift in one go. Tasks and numbers: DeepMind
// Control Suite (arXiv:1801.00690), domain "pendulum"; spinning: TD-MPC2 (arXiv:2310.16828).
#include <cmath>
#include <vector>

#include "actor/env/assets.h"
#include "actor/env/task.h"

namespace pompc::env {
namespace {

enum class Goal { kUpright, kSpin };

class Pendulum final : public Task {
 public:
  Pendulum(Physics& physics, Goal goal) : pole_(physics.Id(mjOBJ_BODY, "pole")), goal_(goal) {}

  absl::Status Initialize(Physics& physics, RandomState& random) override {
    physics.data().qpos[0] = random.Uniform(-kPi, kPi);
    return absl::OkStatus();
  }

  void Observe(const Physics& physics, std::vector<double>& out) const override {
    out.insert(out.end(),
               {physics.xmat(pole_, kZz), physics.xmat(pole_, kXz), physics.data().qvel[0]});
  }

  double Reward(const Physics& physics) const override {
    static const Tolerance kUpright{.low = std::cos(8 * kPi / 180), .high = 1};
    static constexpr Tolerance kFast = AtLeast(9, 4.5, 0.5);
    if (goal_ == Goal::kSpin) return kFast(std::abs(physics.data().qvel[0]));
    return kUpright(physics.xmat(pole_, kZz));
  }

 private:
  const int pole_;
  const Goal goal_;
};

}  // namespace

std::vector<TaskDefinition> PendulumTasks() {
  const Domain pendulum{assets::kPendulum, 0.02, 20};
  return {pendulum.Define<Pendulum>("pendulum-swingup", Goal::kUpright),
          pendulum.Define<Pendulum>("pendulum-spin", Goal::kSpin)};
}

}  // namespace pompc::env
