#include <cmath>

#include "actor/env/task.h"
#include "gtest/gtest.h"

namespace pompc::env {
namespace {

constexpr Sigmoid kAll[] = {Sigmoid::kGaussian,   Sigmoid::kHyperbolic, Sigmoid::kLongTail,
                            Sigmoid::kReciprocal, Sigmoid::kCosine,     Sigmoid::kLinear,
                            Sigmoid::kQuadratic,  Sigmoid::kTanhSquared};

TEST(ToleranceTest, IsOneWithinBoundsAndZeroOutsideWithoutMargin) {
  constexpr Tolerance kBounds{.low = -1, .high = 2};
  for (const double x : {-1.0, 0.0, 2.0}) EXPECT_EQ(kBounds(x), 1);
  for (const double x : {-1.0001, 2.0001, 1e9}) EXPECT_EQ(kBounds(x), 0);
}

TEST(ToleranceTest, InfiniteBoundIsNeverLeft) {
  constexpr Tolerance kAtLeast{.low = 3, .high = kInfinity, .margin = 1};
  EXPECT_EQ(kAtLeast(1e300), 1);
  EXPECT_LT(kAtLeast(2.9), 1);
}

TEST(ToleranceTest, EverySigmoidIsSymmetricFallsAndHasItsValueAtTheMargin) {
  for (const Sigmoid sigmoid : kAll) {
    SCOPED_TRACE(static_cast<int>(sigmoid));
    for (const double value : {0.1, 0.5, 0.9}) {
      const Tolerance tolerance{
          .low = 1, .high = 2, .margin = 0.5, .sigmoid = sigmoid, .value_at_margin = value};
      EXPECT_NEAR(tolerance(2.5), value, 1e-12);
      EXPECT_NEAR(tolerance(0.5), value, 1e-12);
      EXPECT_NEAR(tolerance(2 + 1e-12), 1, 1e-9);
      EXPECT_NEAR(tolerance(0.8), tolerance(2.2), 1e-12);
      EXPECT_GT(tolerance(2.2), tolerance(2.3));
      EXPECT_GE(tolerance(3.5), 0);
    }
  }
}

// One number per formula, at half the margin with 0.1 at the margin, worked out by hand.
TEST(ToleranceTest, HalfwayValues) {
  const auto halfway = [](Sigmoid sigmoid) {
    return Tolerance{.margin = 2, .sigmoid = sigmoid, .value_at_margin = 0.1}(1);
  };
  EXPECT_NEAR(halfway(Sigmoid::kGaussian), std::pow(0.1, 0.25), 1e-12);
  EXPECT_NEAR(halfway(Sigmoid::kHyperbolic), std::sqrt(2 / 11.0), 1e-12);
  EXPECT_NEAR(halfway(Sigmoid::kLongTail), 1 / 3.25, 1e-12);
  EXPECT_NEAR(halfway(Sigmoid::kReciprocal), 1 / 5.5, 1e-12);
  EXPECT_NEAR(halfway(Sigmoid::kCosine), (1 + std::sqrt(0.1)) / 2, 1e-12);
  EXPECT_NEAR(halfway(Sigmoid::kLinear), 0.55, 1e-12);
  EXPECT_NEAR(halfway(Sigmoid::kQuadratic), 0.775, 1e-12);
  EXPECT_NEAR(halfway(Sigmoid::kTanhSquared), 2 * std::sqrt(0.1) / (1 + std::sqrt(0.1)), 1e-12);
}

TEST(ToleranceTest, SigmoidsThatReachZeroStayThere) {
  for (const Sigmoid sigmoid : {Sigmoid::kCosine, Sigmoid::kLinear, Sigmoid::kQuadratic}) {
    const Tolerance tolerance{.margin = 1, .sigmoid = sigmoid, .value_at_margin = 0};
    EXPECT_NEAR(tolerance(1), 0, 1e-12);
    EXPECT_EQ(tolerance(1.5), 0);
    EXPECT_EQ(tolerance(-100), 0);
  }
}

}  // namespace
}  // namespace pompc::env
