// A pole that is hinged to a cart on rails. Tasks and numbers: DeepMind Control Suite
// (arXiv:1801.00690), domain "cartpole".
#include <vector>

#include "actor/env/assets.h"
#include "actor/env/task.h"

namespace pompc::env {
namespace {

enum class Start { kBalanced, kHanging };
enum class Shape { kDense, kSparse };

class Cartpole final : public Task {
 public:
  Cartpole(Physics& physics, Start start, Shape shape)
      : pole_(physics.Id(mjOBJ_BODY, "pole")), start_(start), shape_(shape) {}

  absl::Status Initialize(Physics& physics, RandomState& random) override {
    mjData& data = physics.data();
    if (start_ == Start::kHanging) {
      data.qpos[kSlider] = 0.01 * random.Normal();
      data.qpos[kHinge] = kPi + 0.01 * random.Normal();
    } else {
      data.qpos[kSlider] = random.Uniform(-0.1, 0.1);
      data.qpos[kHinge] = random.Uniform(-0.034, 0.034);
    }
    data.qvel[kSlider] = 0.01 * random.Normal();
    data.qvel[kHinge] = 0.01 * random.Normal();
    return absl::OkStatus();
  }

  void Observe(const Physics& physics, std::vector<double>& out) const override {
    const mjData& data = physics.data();
    out.insert(out.end(), {data.qpos[kSlider], physics.xmat(pole_, kZz), physics.xmat(pole_, kXz),
                           data.qvel[kSlider], data.qvel[kHinge]});
  }

  double Reward(const Physics& physics) const override {
    return shape_ == Shape::kSparse ? SparseReward(physics) : DenseReward(physics);
  }

 private:
  // Indices of the joints in qpos and qvel.
  static constexpr int kSlider = 0;
  static constexpr int kHinge = 1;

  // A product, so that none of the four can be traded for another: an upright pole on a cart that
  // drifts away earns less and less.
  double DenseReward(const Physics& physics) const {
    static constexpr Tolerance kSmallControl{
        .margin = 1, .sigmoid = Sigmoid::kQuadratic, .value_at_margin = 0};
    static constexpr Tolerance kSmallVelocity{.margin = 5};
    static constexpr Tolerance kCentered{.margin = 2};
    const mjData& data = physics.data();
    const double upright = (physics.xmat(pole_, kZz) + 1) / 2;
    return upright * (4 + kSmallControl(data.ctrl[0])) / 5 *
           (1 + kSmallVelocity(data.qvel[kHinge])) / 2 * (1 + kCentered(data.qpos[kSlider])) / 2;
  }

  double SparseReward(const Physics& physics) const {
    static constexpr Tolerance kCentered{.low = -0.25, .high = 0.25};
    static constexpr Tolerance kUpright{.low = 0.995, .high = 1};
    return kCentered(physics.data().qpos[kSlider]) * kUpright(physics.xmat(pole_, kZz));
  }

  const int pole_;
  const Start start_;
  const Shape shape_;
};

}  // namespace

std::vector<TaskDefinition> CartpoleTasks() {
  const Domain cartpole{assets::kCartpole, 0.01, 10};
  return {cartpole.Define<Cartpole>("cartpole-balance", Start::kBalanced, Shape::kDense),
          cartpole.Define<Cartpole>("cartpole-balance-sparse", Start::kBalanced, Shape::kSparse),
          cartpole.Define<Cartpole>("cartpole-swingup", Start::kHanging, Shape::kDense),
          cartpole.Define<Cartpole>("cartpole-swingup-sparse", Start::kHanging, Shape::kSparse)};
}

}  // namespace pompc::env
