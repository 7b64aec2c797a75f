// A two-legged runner in a vertical plane. Tasks and numbers: DeepMind Control Suite
// (arXiv:1801.00690), domain "cheetah".
#include <memory>
#include <vector>

#include "actor/env/assets.h"
#include "actor/env/tasks/domains.h"
#include "actor/env/tolerance.h"
#include "common/status_macros.h"

namespace pompc::env {
namespace {

class Cheetah final : public Task {
 public:
  explicit Cheetah(Physics& physics) : velocity_(physics.SensorAddress("velocity")) {}

  // A random pose, left to itself until it has come to rest.
  absl::Status Initialize(Physics& physics, RandomState& random) override {
    const mjModel& model = physics.model();
    for (int joint = 0; joint < model.njnt; ++joint) {
      if (!model.jnt_limited[joint]) continue;
      const mjtNum* range = model.jnt_range + 2 * joint;
      physics.data().qpos[model.jnt_qposadr[joint]] = random.Uniform(range[0], range[1]);
    }
    POMPC_RETURN_IF_ERROR(physics.Advance(kSettlingSteps));
    physics.data().time = 0;
    return absl::OkStatus();
  }

  // Without the distance run.
  void Observe(const Physics& physics, std::vector<double>& out) const override {
    Append(physics.qpos().subspan(1), out);
    Append(physics.qvel(), out);
  }

  double Reward(const Physics& physics) const override {
    static constexpr Tolerance kFast{.low = 10,
                                     .high = kInfinity,
                                     .margin = 10,
                                     .sigmoid = Sigmoid::kLinear,
                                     .value_at_margin = 0};
    return kFast(physics.sensor(velocity_ + kX));
  }

 private:
  static constexpr int kSettlingSteps = 200;

  const int velocity_;
};

}  // namespace

std::vector<TaskDefinition> CheetahTasks() {
  return {{.name = "cheetah-run",
           .mjcf = assets::kCheetah,
           .control_seconds = 0.01,
           .episode_seconds = 10,
           .make = [](Physics& physics) { return std::make_unique<Cheetah>(physics); }}};
}

}  // namespace pompc::env
