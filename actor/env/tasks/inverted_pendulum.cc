// A pole on a cart that is to be kept from falling. Each control step earns 1, and the episode ends
// in a terminal state when the pole leans over or the cart comes near the end of its rail. This is
// the example of docs/new-task.md.
#include <cmath>
#include <memory>
#include <vector>

#include "actor/env/assets.h"
#include "actor/env/task.h"

namespace pompc::env {
namespace {

// Indices of the joints in qpos and qvel, in the order of the model's text.
constexpr int kSlider = 0;
constexpr int kHinge = 1;
// The bounds at which an episode ends: radians from upright, metres from the middle.
constexpr double kLean = 0.2;
constexpr double kRail = 1.0;

class Balance final : public Task {
 public:
  absl::Status Initialize(Physics& physics, RandomState& random) override {
    mjData& data = physics.data();
    for (const int joint : {kSlider, kHinge}) {
      data.qpos[joint] = random.Uniform(-0.05, 0.05);
      data.qvel[joint] = random.Uniform(-0.05, 0.05);
    }
    return absl::OkStatus();
  }

  void Observe(const Physics& physics, std::vector<double>& out) const override {
    const mjData& data = physics.data();
    out.insert(out.end(),
               {data.qpos[kSlider], data.qpos[kHinge], data.qvel[kSlider], data.qvel[kHinge]});
  }

  double Reward(const Physics& physics) const override { return 1; }

  bool Terminated(const Physics& physics) const override {
    const mjData& data = physics.data();
    return std::abs(data.qpos[kHinge]) > kLean || std::abs(data.qpos[kSlider]) > kRail;
  }
};

}  // namespace

std::vector<TaskDefinition> InvertedPendulumTasks() {
  return {{.name = "inverted-pendulum-balance",
           .mjcf = assets::kInvertedPendulum,
           .control_seconds = 0.01,
           .episode_seconds = 10,
           .make = [](Physics&) { return std::make_unique<Balance>(); },
           .terminates = true}};
}

}  // namespace pompc::env
