#include "model/ops.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "tests/model/testing.h"

namespace pompc::model {
namespace {

const Bins kBins{101, -10, 10};

at::Tensor Numbers(std::vector<double> values, at::ScalarType dtype) {
  return at::tensor(values, at::kDouble).to(dtype);
}

// Values up to symexp(10) = 22025.47.
at::Tensor TestValues(at::ScalarType dtype) {
  return Numbers({-22025, -1000.5, -3, -1, -1e-3, 0, 1e-6, 0.5, 1, 2.718, 10, 999, 22025, 22025.4},
                 dtype);
}

TEST(TwoHotTest, EncodingAndDecodingAreInverse) {
  const at::Tensor values = TestValues(at::kDouble);
  const at::Tensor two_hot = TwoHotEncode(values, kBins);
  EXPECT_TRUE(AllClose(two_hot.sum(-1), at::ones_like(values), 1e-12));
  EXPECT_LE(two_hot.gt(0).sum(-1).max().item<int64_t>(), 2);
  // The logarithm of a two-hot vector has it as its softmax.
  const at::Tensor decoded = TwoHotDecode(two_hot.log().clamp_min(-1e4), kBins);
  EXPECT_TRUE(AllClose(decoded / (1 + values.abs()), values / (1 + values.abs()), 1e-9));
}

TEST(TwoHotTest, EncodingClampsAtTheEnds) {
  const at::Tensor two_hot = TwoHotEncode(Numbers({1e9, -1e9}, at::kDouble), kBins);
  EXPECT_DOUBLE_EQ(two_hot[0][100].item<double>(), 1);
  EXPECT_DOUBLE_EQ(two_hot[1][0].item<double>(), 1);
  EXPECT_DOUBLE_EQ(two_hot.sum().item<double>(), 2);
}

TEST(TwoHotTest, KernelDecodesLikeTheReference) {
  for (const int count : {3, 21, 101, 104}) {
    const Bins bins{count, -10, 10};
    const at::Tensor logits = Draw(1, {2, 33, count}) * 3;
    const at::Tensor expected = reference::TwoHotDecode(logits.to(at::kDouble), bins);
    const at::Tensor actual = TwoHotDecode(logits, bins).to(at::kDouble);
    EXPECT_TRUE(AllClose(actual / (1 + expected.abs()), expected / (1 + expected.abs()), 1e-5))
        << count;
  }
}

TEST(TwoHotTest, KernelDifferentiatesDecodingLikeTheReference) {
  const at::Tensor logits = Draw(1, {2, 33, 101}) * 3;
  const at::Tensor upstream = Draw(2, {2, 33});
  at::Tensor single = logits.clone().requires_grad_(true);
  (TwoHotDecode(single, kBins) * upstream).sum().backward();
  at::Tensor expected = logits.to(at::kDouble).requires_grad_(true);
  (reference::TwoHotDecode(expected, kBins) * upstream).sum().backward();
  EXPECT_TRUE(AllClose(single.grad().to(at::kDouble), expected.grad(),
                       1e-5 * expected.grad().abs().max().item<double>()));
}

TEST(TwoHotTest, KernelComputesCrossEntropyAndItsGradientLikeTheReference) {
  const at::Tensor values = TestValues(at::kFloat);
  const int64_t rows = values.size(0);
  const at::Tensor weights = Draw(3, {rows}).abs();
  const at::Tensor logits = Draw(1, {2, rows, 101}) * 3;
  at::Tensor single = logits.clone().requires_grad_(true);
  const at::Tensor loss = TwoHotCrossEntropy(single, values, weights, kBins);
  (2 * loss).backward();
  at::Tensor expected = logits.to(at::kDouble).requires_grad_(true);
  const at::Tensor expected_loss = reference::TwoHotCrossEntropy(expected, values.to(at::kDouble),
                                                                 weights.to(at::kDouble), kBins);
  (2 * expected_loss).backward();
  EXPECT_NEAR(loss.item<double>() / expected_loss.item<double>(), 1, 1e-6);
  EXPECT_TRUE(AllClose(single.grad().to(at::kDouble), expected.grad(), 1e-5));
}

TEST(TwoHotTest, CrossEntropyIsLeastAtTheTwoHotVector) {
  const at::Tensor values = Numbers({-7.3, 0.2, 55}, at::kFloat);
  const at::Tensor weights = at::ones({3});
  const at::Tensor best = TwoHotEncode(values, kBins).clamp_min(1e-8).log();
  const double least = TwoHotCrossEntropy(best, values, weights, kBins).item<double>();
  for (uint64_t seed = 0; seed < 5; ++seed) {
    EXPECT_GT(
        TwoHotCrossEntropy(best + Draw(seed, {3, 101}), values, weights, kBins).item<double>(),
        least);
  }
}

TEST(TwoHotTest, NanReachesLossesAndValues) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  at::Tensor logits = at::zeros({2, 101});
  const at::Tensor weights = at::ones({2});
  EXPECT_TRUE(std::isnan(
      TwoHotCrossEntropy(logits, Numbers({nan, 0}, at::kFloat), weights, kBins).item<double>()));
  logits[0][50] = nan;
  EXPECT_TRUE(
      std::isnan(TwoHotCrossEntropy(logits, at::zeros({2}), weights, kBins).item<double>()));
  const at::Tensor values = TwoHotDecode(logits, kBins);
  EXPECT_TRUE(std::isnan(values[0].item<double>()));
  EXPECT_NEAR(values[1].item<double>(), 0, 1e-6);
}

TEST(WeightedSquaredErrorTest, AgreesWithTheFormulaAndItsGradient) {
  const at::Tensor target = Draw(2, {5, 7}, at::kDouble);
  const at::Tensor weights = Draw(3, {5}, at::kDouble).abs();
  at::Tensor a = Draw(1, {5, 7}, at::kDouble).requires_grad_(true);
  at::Tensor b = Draw(1, {5, 7}, at::kDouble).requires_grad_(true);
  const at::Tensor loss = WeightedSquaredError(a, target, weights);
  const at::Tensor expected = ((b - target).square().mean(1) * weights).sum();
  EXPECT_NEAR(loss.item<double>(), expected.item<double>(), 1e-12);
  (3 * loss).backward();
  (3 * expected).backward();
  EXPECT_TRUE(AllClose(a.grad(), b.grad(), 1e-12));
}

TEST(SymlogTest, SymexpIsItsInverse) {
  const at::Tensor values = TestValues(at::kDouble);
  EXPECT_TRUE(AllClose(Symexp(Symlog(values)), values, 1e-9));
  EXPECT_DOUBLE_EQ(Symlog(Numbers({std::exp(1.0) - 1}, at::kDouble)).item<double>(), 1);
  EXPECT_DOUBLE_EQ(Symlog(Numbers({1 - std::exp(2.0)}, at::kDouble)).item<double>(), -2);
}

}  // namespace
}  // namespace pompc::model
