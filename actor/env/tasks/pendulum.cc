// A pole on a hinge, too heavy for its motor to lift in one go. Tasks and numbers: DeepMind Control
// Suite (arXiv:1801.00690), domain "pendulum"; spin: TD-MPC2 (arXiv:2310.16828).
#include <cmath>
#include <memory>
#include <numbers>
#include <string>
#include <utility>
#include <vector>

#include "actor/env/assets.h"
#include "actor/env/tasks/domains.h"
#include "actor/env/tolerance.h"

namespace pompc::env {
namespace {

constexpr double kPi = std::numbers::pi;

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
    static constexpr Tolerance kFast{.low = 9,
                                     .high = kInfinity,
                                     .margin = 4.5,
                                     .sigmoid = Sigmoid::kLinear,
                                     .value_at_margin = 0.5};
    if (goal_ == Goal::kSpin) return kFast(std::abs(physics.data().qvel[0]));
    return kUpright(physics.xmat(pole_, kZz));
  }

 private:
  const int pole_;
  const Goal goal_;
};

TaskDefinition Define(std::string name, Goal goal) {
  return {.name = std::move(name),
          .mjcf = assets::kPendulum,
          .control_seconds = 0.02,
          .episode_seconds = 20,
          .make = [=](Physics& physics) { return std::make_unique<Pendulum>(physics, goal); }};
}

}  // namespace

std::vector<TaskDefinition> PendulumTasks() {
  return {Define("pendulum-swingup", Goal::kUpright), Define("pendulum-spin", Goal::kSpin)};
}

}  // namespace pompc::env
