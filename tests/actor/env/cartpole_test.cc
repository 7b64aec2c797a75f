#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "actor/env/registry.h"
#include "gtest/gtest.h"

namespace pompc::env {
namespace {

double RewardAt(const std::string& task, double slider, double hinge) {
  const auto simulation = *MakeSimulation(task, 1);
  EXPECT_TRUE(simulation->Place({.qpos = {slider, hinge}}, Actuation::kEnabled).ok());
  return simulation->reward();
}

// The sum of rewards over 200 control steps of a_t = sin(0.1 t), from slider 0.05, hinge 0.02 and
// velocities (0.01, -0.02), as recorded with the suite's own model.
TEST(CartpoleTest, BalanceReturnsAgreeWithTheRecordedOnes) {
  const auto total = [](const std::string& task) {
    const auto simulation = *MakeSimulation(task, 1);
    EXPECT_TRUE(
        simulation->Place({.qpos = {0.05, 0.02}, .qvel = {0.01, -0.02}}, Actuation::kDisabled)
            .ok());
    double sum = 0;
    for (int t = 0; t < 200; ++t) sum += simulation->Step(std::vector{std::sin(0.1 * t)})->reward;
    return sum;
  };
  EXPECT_NEAR(total("cartpole-balance"), 57.7163931, 1e-6);
  EXPECT_EQ(total("cartpole-balance-sparse"), 18);
}

TEST(CartpoleTest, SparseRewardIsOneOnlyUprightNearTheCentre) {
  const double limit = std::acos(0.995);
  for (const char* task : {"cartpole-balance-sparse", "cartpole-swingup-sparse"}) {
    SCOPED_TRACE(task);
    EXPECT_EQ(RewardAt(task, 0, 0), 1);
    EXPECT_EQ(RewardAt(task, -0.25, limit - 1e-6), 1);
    EXPECT_EQ(RewardAt(task, 0, limit + 1e-6), 0);
    EXPECT_EQ(RewardAt(task, 0.2501, 0), 0);
  }
}

TEST(CartpoleTest, BalanceStartsUprightAndSwingupHanging) {
  for (const char* shape : {"", "-sparse"}) {
    auto balance = *MakeSimulation(std::string("cartpole-balance") + shape, 1);
    auto swingup = *MakeSimulation(std::string("cartpole-swingup") + shape, 1);
    for (int episode = 0; episode < 20; ++episode) {
      ASSERT_TRUE(balance->Reset().ok() && swingup->Reset().ok());
      EXPECT_LE(std::abs(balance->observation()[0]), 0.1);
      EXPECT_GE(balance->observation()[1], std::cos(0.034));
      EXPECT_LT(swingup->observation()[1], -0.99);
    }
  }
}

}  // namespace
}  // namespace pompc::env
