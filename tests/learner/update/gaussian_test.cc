#include "learner/update/gaussian.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/model/testing.h"

namespace pompc::update {
namespace {

using model::AllClose;
using model::Draw;
using model::Gaussian;

Gaussian Example(uint64_t seed, at::IntArrayRef shape) {
  return {at::tanh(Draw(seed, shape, at::kDouble)), Draw(seed + 1, shape, at::kDouble) * 0.5 - 1};
}

at::Tensor LogDensity(const Gaussian& gaussian, const at::Tensor& x) {
  const at::Tensor standard = (x - gaussian.mean) / gaussian.log_std.exp();
  return (-0.5 * standard.square() - gaussian.log_std - 0.5 * std::log(2 * M_PI)).sum(-1);
}

TEST(GaussianTest, KlAgreesWithMonteCarlo) {
  const int64_t samples = 200000;
  for (uint64_t seed = 0; seed < 3; ++seed) {
    const Gaussian p = Example(10 * seed, {3});
    const Gaussian q = Example(10 * seed + 5, {3});
    const at::Tensor x = p.mean + p.log_std.exp() * Draw(99 + seed, {samples, 3}, at::kDouble);
    const at::Tensor ratio = LogDensity(p, x) - LogDensity(q, x);
    const double error = 5 * ratio.std().item<double>() / std::sqrt(static_cast<double>(samples));
    const double kl = GaussianKl(p, q, proto::PoMpcConfig::SUM).item<double>();
    EXPECT_NEAR(ratio.mean().item<double>(), kl, error) << "seed " << seed;
    EXPECT_GT(kl, 10 * error);
    EXPECT_NEAR(GaussianKl(p, q, proto::PoMpcConfig::MEAN).item<double>(), kl / 3, 1e-12);
  }
}

TEST(GaussianTest, KlIsZeroForEqualAndKnownForSimpleOnes) {
  const Gaussian p = Example(1, {4, 3});
  EXPECT_TRUE(AllClose(GaussianKl(p, p, proto::PoMpcConfig::SUM), at::zeros({4}), 1e-12));
  // Means one standard deviation apart; and twice the standard deviation.
  const Gaussian a{at::zeros({1}), at::zeros({1})};
  EXPECT_NEAR(
      GaussianKl({at::ones({1}), at::zeros({1})}, a, proto::PoMpcConfig::SUM).item<double>(), 0.5,
      1e-6);
  EXPECT_NEAR(GaussianKl({at::zeros({1}), at::full({1}, std::log(2.0))}, a, proto::PoMpcConfig::SUM)
                  .item<double>(),
              1.5 - std::log(2.0), 1e-6);
}

TEST(GaussianTest, EntropyIsTheExpectedNegativeLogDensity) {
  const int64_t samples = 200000;
  const Gaussian p = Example(3, {2});
  const at::Tensor x = p.mean + p.log_std.exp() * Draw(7, {samples, 2}, at::kDouble);
  EXPECT_NEAR(Entropy(p).item<double>(), -LogDensity(p, x).mean().item<double>(),
              5 / std::sqrt(samples));
}

TEST(GaussianTest, LogDensityIsThatOfTheFormula) {
  const Gaussian p = Example(3, {4, 2});
  const at::Tensor x = Draw(8, {4, 2}, at::kDouble);
  EXPECT_TRUE(AllClose(update::LogDensity(p, x, proto::PoMpcConfig::SUM), LogDensity(p, x), 1e-12));
  EXPECT_TRUE(
      AllClose(update::LogDensity(p, x, proto::PoMpcConfig::MEAN), LogDensity(p, x) / 2, 1e-12));
}

// The numbers of a grid as one row each, and standard normal noise that lands on them.
struct Grid {
  explicit Grid(const Gaussian& policy)
      : actions(at::linspace(-1 + 5e-6, 1 - 5e-6, 200000, at::kDouble).unsqueeze(1)),
        noise((actions.atanh() - policy.mean) / policy.log_std.exp()) {}
  double Integral(const at::Tensor& x) const { return x.sum().item<double>() * 1e-5; }
  at::Tensor actions, noise;
};

TEST(GaussianTest, SquashedDensityIntegratesToOne) {
  for (const double mean : {-1.0, 0.0, 0.7}) {
    const Gaussian policy{at::full({1}, mean, at::kDouble), at::full({1}, -0.8, at::kDouble)};
    const Grid grid(policy);
    const at::Tensor density =
        SquashedLogDensity(policy, grid.noise, proto::PoMpcConfig::SUM).exp();
    EXPECT_NEAR(grid.Integral(density), 1, 1e-4);
  }
}

TEST(GaussianTest, SquashedDensityIsFiniteFarOut) {
  const Gaussian policy{at::full({1}, 40.0), at::full({1}, 0.0)};
  const double density =
      SquashedLogDensity(policy, at::zeros({1}), proto::PoMpcConfig::SUM).item<double>();
  EXPECT_NEAR(density, -0.5 * std::log(2 * M_PI) + 2 * (40 - std::log(2.0)), 1e-4);
}

TEST(GaussianTest, KlOfASquashedPolicyToThePlannerIsRightOnAverage) {
  const int64_t samples = 200000;
  const Gaussian policy{at::full({1}, 0.4, at::kDouble), at::full({1}, -0.7, at::kDouble)};
  const Gaussian planner{at::full({1}, -0.2, at::kDouble), at::full({1}, -0.3, at::kDouble)};
  const Grid grid(policy);
  const at::Tensor log_density = SquashedLogDensity(policy, grid.noise, proto::PoMpcConfig::SUM);
  const double expected =
      grid.Integral(log_density.exp() * (log_density - LogDensity(planner, grid.actions)));
  const at::Tensor drawn =
      KlToPlanner(policy, proto::ModelConfig::TANH_GAUSSIAN, Draw(9, {samples, 1}, at::kDouble),
                  planner, proto::PoMpcConfig::SUM);
  const double error = 5 * drawn.std().item<double>() / std::sqrt(static_cast<double>(samples));
  EXPECT_NEAR(drawn.mean().item<double>(), expected, error);
  EXPECT_GT(expected, 10 * error);
  // Between two squashed policies it is that of their Gaussians.
  const Grid other(planner);
  const at::Tensor at_same =
      SquashedLogDensity(planner, (grid.actions.atanh() - planner.mean) / planner.log_std.exp(),
                         proto::PoMpcConfig::SUM);
  EXPECT_NEAR(grid.Integral(log_density.exp() * (log_density - at_same)),
              GaussianKl(policy, planner, proto::PoMpcConfig::SUM).item<double>(), 1e-4);
}

TEST(GaussianTest, KlOfThePlannerToASquashedPolicyIsRightOnAverage) {
  const int64_t samples = 400000;
  const Gaussian policy{at::full({1}, 0.4, at::kDouble), at::full({1}, -0.7, at::kDouble)};
  // Narrow, so that none of it reaches the border.
  const Gaussian planner{at::full({1}, -0.2, at::kDouble), at::full({1}, -2.3, at::kDouble)};
  const Grid grid(policy);
  const at::Tensor log_planner = LogDensity(planner, grid.actions);
  const double expected = grid.Integral(
      log_planner.exp() *
      (log_planner - SquashedLogDensity(policy, grid.noise, proto::PoMpcConfig::SUM)));
  const at::Tensor drawn =
      KlFromPlanner(planner, policy, proto::ModelConfig::TANH_GAUSSIAN,
                    Draw(9, {samples, 1}, at::kDouble), proto::PoMpcConfig::SUM);
  const double error = 5 * drawn.std().item<double>() / std::sqrt(static_cast<double>(samples));
  EXPECT_NEAR(drawn.mean().item<double>(), expected, error);
  EXPECT_GT(expected, 10 * error);
}

TEST(GaussianTest, KlOfAPlannerBeyondTheBorderIsFinite) {
  const Gaussian policy{at::zeros({2}, at::kDouble), at::zeros({2}, at::kDouble)};
  const Gaussian planner{at::tensor({1.0, -1.0}, at::kDouble), at::zeros({2}, at::kDouble)};
  const at::Tensor kl =
      KlFromPlanner(planner, policy, proto::ModelConfig::TANH_GAUSSIAN,
                    at::tensor({5.0, -5.0}, at::kDouble), proto::PoMpcConfig::SUM);
  // -H(planner) - ln N(atanh(0.999)) + ln(1 - 0.999^2), in both numbers alike.
  const double u = std::atanh(0.999);
  EXPECT_NEAR(kl.item<double>(), 2 * (-0.5 + 0.5 * u * u + std::log(1 - 0.999 * 0.999)), 1e-9);
}

TEST(GaussianTest, KlOfAClippedPolicyToThePlannerIsClosed) {
  const Gaussian policy = Example(1, {4, 3});
  const Gaussian planner = Example(5, {4, 3});
  EXPECT_TRUE(at::equal(KlToPlanner(policy, proto::ModelConfig::CLIPPED_GAUSSIAN, at::Tensor(),
                                    planner, proto::PoMpcConfig::MEAN),
                        GaussianKl(policy, planner, proto::PoMpcConfig::MEAN)));
  EXPECT_TRUE(at::equal(KlFromPlanner(planner, policy, proto::ModelConfig::CLIPPED_GAUSSIAN,
                                      at::Tensor(), proto::PoMpcConfig::SUM),
                        GaussianKl(planner, policy, proto::PoMpcConfig::SUM)));
}

// TD-MPC2 scales its entropy estimate by g / ln pi(a), g the density before tanh; its gradient is
// that of the closed entropy times the number of numbers in an action.
TEST(GaussianTest, EntropyHasTheGradientOfTdMpc2sScaledEntropy) {
  const at::Tensor noise = Draw(4, {5, 3}, at::kDouble);
  at::Tensor gradients[2];
  for (const bool closed : {true, false}) {
    Gaussian policy = Example(2, {5, 3});
    policy.log_std.set_requires_grad(true);
    policy.mean.set_requires_grad(true);
    if (closed) {
      (3 * Entropy(policy)).sum().backward();
    } else {
      const at::Tensor g =
          (-0.5 * noise.square() - policy.log_std).sum(-1) - 1.5 * std::log(2 * M_PI);
      const at::Tensor action = at::tanh(policy.mean + policy.log_std.exp() * noise);
      const at::Tensor log_probability = g - (at::relu(1 - action.square()) + 1e-6).log().sum(-1);
      (-log_probability * (3 * g / (log_probability + 1e-8))).sum().backward();
    }
    gradients[closed] = policy.log_std.grad().clone();
  }
  EXPECT_TRUE(AllClose(gradients[0], gradients[1], 1e-5));
}

TEST(GaussianTest, PlannerStdIsClamped) {
  proto::RunConfig config = model::SmallConfig();
  const Gaussian planner = PlannerGaussian(at::zeros({3}), at::tensor({0.001, 0.5, 7.0}), config);
  EXPECT_TRUE(AllClose(planner.log_std.exp(), at::tensor({0.05, 0.5, 2.0}), 1e-9));
}

}  // namespace
}  // namespace pompc::update
