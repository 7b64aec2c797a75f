#include "learner/update/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "model/ops.h"
#include "tests/model/testing.h"

namespace pompc::update {
namespace {

using model::AllClose;
using model::Draw;

Adam::Options TwoSegments() { return {{{3, 0.1}, {5, 0.01}}, 1e-8, 20}; }

TEST(AdamTest, FollowsThePublishedRecursion) {
  // Kingma & Ba, algorithm 1, in plain doubles; no clipping.
  const at::Tensor start = Draw(1, {8}, at::kDouble);
  at::Tensor parameters = start.clone();
  Adam adam(parameters, TwoSegments());
  std::vector<double> p(8), m(8, 0), v(8, 0);
  for (int i = 0; i < 8; ++i) p[static_cast<size_t>(i)] = start[i].item<double>();
  for (int step = 1; step <= 5; ++step) {
    adam.gradients().copy_(Draw(static_cast<uint64_t>(step) + 10, {8}, at::kDouble));
    for (size_t i = 0; i < 8; ++i) {
      const double g = adam.gradients()[static_cast<int64_t>(i)].item<double>();
      m[i] = 0.9 * m[i] + 0.1 * g;
      v[i] = 0.999 * v[i] + 0.001 * g * g;
      const double rate = i < 3 ? 0.1 : 0.01;
      p[i] -= rate * (m[i] / (1 - std::pow(0.9, step))) /
              (std::sqrt(v[i] / (1 - std::pow(0.999, step))) + 1e-8);
    }
    adam.CountStep();
    adam.Step(adam.GradientNorm());
  }
  EXPECT_EQ(adam.steps(), 5u);
  EXPECT_TRUE(AllClose(parameters, at::tensor(p), 1e-9));
}

TEST(AdamTest, KernelAgreesWithTensorOperations) {
  at::Tensor single = Draw(1, {8});
  at::Tensor wide = single.to(at::kDouble);
  Adam::Options options = TwoSegments();
  options.max_grad_norm = 0.5;  // clips
  Adam a(single, options);
  Adam b(wide, options);
  for (uint64_t step = 1; step <= 20; ++step) {
    a.gradients().copy_(Draw(step + 10, {8}));
    b.gradients().copy_(a.gradients());
    a.CountStep();
    b.CountStep();
    a.Step(a.GradientNorm());
    b.Step(b.GradientNorm());
  }
  EXPECT_TRUE(AllClose(single.to(at::kDouble), wide, 1e-5));
}

TEST(AdamTest, ClippingScalesTheWholeGradient) {
  at::Tensor parameters = at::zeros({8}, at::kDouble);
  Adam adam(parameters, TwoSegments());
  adam.gradients().fill_(100);
  adam.CountStep();
  adam.Step(adam.GradientNorm());
  const at::Tensor clipped = adam.Moments("x")[0].tensor / 0.1;
  EXPECT_NEAR(clipped.norm().item<double>(), 20, 1e-6);
  EXPECT_TRUE(AllClose(clipped, at::full({8}, 20 / std::sqrt(8.0), at::kDouble), 1e-6));
}

TEST(AdamDeathTest, StepsAreCountedFirstAndSegmentsCoverTheParameters) {
  Adam adam(at::zeros({8}), TwoSegments());
  EXPECT_DEATH(adam.Step(adam.GradientNorm()), "steps_ > 0u");
  EXPECT_DEATH(Adam(at::zeros({9}), TwoSegments()), "8 against 9");
}

TEST(RunningScaleTest, FollowsTheSpreadBetweenPercentiles) {
  RunningScale scale(0.5, at::TensorOptions(at::kDouble));
  EXPECT_EQ(scale.value().item<double>(), 1);
  // 0..100: the 5th percentile is 5, the 95th is 95.
  scale.Update(at::arange(101, at::kDouble).flip(0), at::Tensor());
  EXPECT_NEAR(scale.value().item<double>(), 1 + 0.5 * 89, 1e-9);
  // Two numbers: interpolated, 10 + 0.05 * 20 and 10 + 0.95 * 20.
  scale.Update(at::tensor({30.0, 10.0}), at::Tensor());
  EXPECT_NEAR(scale.value().item<double>(), 45.5 + 0.5 * (18 - 45.5), 1e-9);
}

TEST(RunningScaleTest, NeverAimsBelowOne) {
  RunningScale scale(0.5, at::TensorOptions(at::kDouble));
  scale.Update(at::full({10}, 3.0, at::kDouble), at::Tensor());
  EXPECT_EQ(scale.value().item<double>(), 1);
}

TEST(RunningScaleTest, LeavesOutMaskedNumbers) {
  RunningScale masked(0.5, at::TensorOptions(at::kDouble));
  RunningScale plain(0.5, at::TensorOptions(at::kDouble));
  masked.Update(at::tensor({1e9, 5.0, -1e9, 1.0, 3.0}), at::tensor({0.0, 1.0, 0.0, 1.0, 1.0}));
  plain.Update(at::tensor({1.0, 3.0, 5.0}), at::Tensor());
  EXPECT_NEAR(masked.value().item<double>(), plain.value().item<double>(), 1e-12);
  EXPECT_GT(plain.value().item<double>(), 1);
  // One number has no spread, and none has none either.
  const double before = masked.value().item<double>();
  masked.Update(at::tensor({1.0, 2.0}), at::tensor({0.0, 1.0}));
  masked.Update(at::tensor({1.0, 2.0}), at::tensor({0.0, 0.0}));
  EXPECT_EQ(masked.value().item<double>(), before);
}

TEST(RunningScaleTest, InFloat32OnTheCpuEqualsItsTensorOperations) {
  for (const int64_t count : {1, 2, 3, 20, 128}) {
    RunningScale scale(0.3, at::TensorOptions(at::kFloat));
    RunningScale reference(0.3, at::TensorOptions(at::kFloat));
    for (uint64_t i = 0; i < 5; ++i) {
      const at::Tensor x = Draw(100 * static_cast<uint64_t>(count) + i, {count}) * 20;
      const at::Tensor mask = i % 2 == 0 ? at::Tensor() : Draw(i, {count}).gt(0).to(at::kFloat);
      scale.Update(x, mask);
      const model::ReferenceScope scope;
      reference.Update(x, mask);
    }
    EXPECT_NEAR(scale.value().item<float>(), reference.value().item<float>(), 1e-4) << count;
  }
  RunningScale scale(0.3, at::TensorOptions(at::kFloat));
  scale.Update(at::full({10}, std::numeric_limits<float>::quiet_NaN()), at::Tensor());
  EXPECT_TRUE(std::isnan(scale.value().item<float>()));
}

}  // namespace
}  // namespace pompc::update
