#include <string>

#include "actor/env/registry.h"
#include "gtest/gtest.h"

namespace pompc::env {
namespace {

// The reward with the ball resting at (x, z) from the centre of the target in the cup.
double RewardAt(const std::string& task, double x, double z) {
  const auto simulation = *MakeSimulation(task, 1);
  constexpr double kHeight = 0.35;
  EXPECT_TRUE(simulation->Place({.qpos = {0, 0, x, kHeight + z}}, Actuation::kEnabled).ok());
  return simulation->reward();
}

TEST(BallInCupTest, BallIsCaughtWhenAllOfItIsInTheTarget) {
  EXPECT_EQ(RewardAt("cup-catch", 0, 0), 1);
  EXPECT_EQ(RewardAt("cup-catch", -0.0249, 0.0249), 1);
  EXPECT_EQ(RewardAt("cup-catch", 0.0251, 0), 0);
  EXPECT_EQ(RewardAt("cup-catch", 0, -0.0251), 0);
}

}  // namespace
}  // namespace pompc::env
