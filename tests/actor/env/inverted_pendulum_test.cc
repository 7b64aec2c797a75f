#include <cmath>
#include <memory>
#include <vector>

#include "actor/env/registry.h"
#include "gtest/gtest.h"

namespace pompc::env {
namespace {

constexpr char kTask[] = "inverted-pendulum-balance";

StepResult StepFrom(double slider, double hinge) {
  const auto simulation = *MakeSimulation(kTask, 1);
  EXPECT_TRUE(simulation->Place({.qpos = {slider, hinge}}, Actuation::kEnabled).ok());
  return *simulation->Step(std::vector<double>{0});
}

TEST(InvertedPendulumTest, EndsWhereThePoleLeansOrTheRailEnds) {
  EXPECT_FALSE(StepFrom(0, 0.19).terminated);
  EXPECT_TRUE(StepFrom(0, 0.21).terminated);
  EXPECT_TRUE(StepFrom(0, -0.21).terminated);
  EXPECT_FALSE(StepFrom(0.99, 0).terminated);
  EXPECT_TRUE(StepFrom(1.01, 0).terminated);
  EXPECT_TRUE(StepFrom(-1.01, 0).terminated);
  EXPECT_EQ(StepFrom(0, 0.21).reward, 1);
}

// A uniform rod on a cart that nobody pushes: (4/3) l theta'' = g theta + ... for small angles; the
// cart's reaction makes the effective length 4/3 l - l m / (m + M), l being half the rod.
TEST(InvertedPendulumTest, FallsAtTheRateOfALinearisedRod) {
  const auto simulation = *MakeSimulation(kTask, 1);
  const double angle = 1e-4;
  ASSERT_TRUE(simulation->Place({.qpos = {0, angle}}, Actuation::kDisabled).ok());
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(simulation->Step(std::vector<double>{0}).ok());
  const double half = 0.3;
  const double share = 0.2 / 1.2;
  const double rate = std::sqrt(9.81 / (half * (4.0 / 3 - share)));
  // The capsule's round ends add to its length, and there is some friction.
  EXPECT_NEAR(simulation->observation()[1], angle * std::cosh(0.2 * rate), 0.03 * angle);
}

// Through all wrappers: with actions at random it falls within a second or two, which is no time
// limit.
TEST(InvertedPendulumTest, FallingIsTerminal) {
  auto environment = *MakeFloatEnvironment(kTask, 7, 2);
  ASSERT_TRUE(environment->spec().terminates);
  for (int episode = 0; episode < 5; ++episode) {
    ASSERT_TRUE(environment->Reset().ok());
    double total = 0;
    int decisions = 0;
    while (true) {
      const float push[] = {decisions % 7 < 4 ? 1.0f : -1.0f};
      const StepResult result = *environment->Step(push);
      total += result.reward;
      ++decisions;
      ASSERT_LT(decisions, environment->spec().episode_steps);
      if (!result.done()) continue;
      EXPECT_TRUE(result.terminated);
      EXPECT_FALSE(result.truncated);
      break;
    }
    // The last decision ends where the state does, after one or both of its control steps.
    EXPECT_LE(total, 2 * decisions);
    EXPECT_GE(total, 2 * decisions - 1);
  }
}

}  // namespace
}  // namespace pompc::env
