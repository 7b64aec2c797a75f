// A pole on a hinge, too heavy for its motor to lift in one go. Tasks and numbers: DeepMind Control
// Suite (arXiv:1801.00690), domain "pendulum".
#include <cmath>
#include <memory>
#include <numbers>
#include <vector>

#include "actor/env/assets.h"
#include "actor/env/tasks/domains.h"
#include "actor/env/tolerance.h"

namespace pompc::env {
namespace {

constexpr double kPi = std::numbers::pi;

class Pendulum final : public Task {
 public:
  explicit Pendulum(Physics& physics) : pole_(physics.Id(mjOBJ_BODY, "pole")) {}

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
    return kUpright(physics.xmat(pole_, kZz));
  }

 private:
  const int pole_;
};

}  // namespace

std::vector<TaskDefinition> PendulumTasks() {
  return {{.name = "pendulum-swingup",
           .mjcf = assets::kPendulum,
           .control_seconds = 0.02,
           .episode_seconds = 20,
           .make = [](Physics& physics) { return std::make_unique<Pendulum>(physics); }}};
}

}  // namespace pompc::env
