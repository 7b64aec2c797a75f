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
    const double kl = GaussianKl(p, q, KlReduction::kSum).item<double>();
    EXPECT_NEAR(ratio.mean().item<double>(), kl, error) << "seed " << seed;
    EXPECT_GT(kl, 10 * error);
    EXPECT_NEAR(GaussianKl(p, q, KlReduction::kMean).item<double>(), kl / 3, 1e-12);
  }
}

TEST(GaussianTest, KlIsZeroForEqualAndKnownForSimpleOnes) {
  const Gaussian p = Example(1, {4, 3});
  EXPECT_TRUE(AllClose(GaussianKl(p, p, KlReduction::kSum), at::zeros({4}), 1e-12));
  // Means one standard deviation apart; and twice the standard deviation.
  const Gaussian a{at::zeros({1}), at::zeros({1})};
  EXPECT_NEAR(GaussianKl({at::ones({1}), at::zeros({1})}, a, KlReduction::kSum).item<double>(), 0.5,
              1e-6);
  EXPECT_NEAR(GaussianKl({at::zeros({1}), at::full({1}, std::log(2.0))}, a, KlReduction::kSum)
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

TEST(GaussianTest, PlannerStdIsClamped) {
  UpdateConfig config;
  const Gaussian planner = PlannerGaussian(at::zeros({3}), at::tensor({0.001, 0.5, 7.0}), config);
  EXPECT_TRUE(AllClose(planner.log_std.exp(), at::tensor({0.05, 0.5, 2.0}), 1e-9));
}

}  // namespace
}  // namespace pompc::update
