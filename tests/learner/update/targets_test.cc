#include <gtest/gtest.h>

#include "learner/update/losses.h"
#include "tests/model/testing.h"

namespace pompc::update {
namespace {

using model::AllClose;

// Two windows of three steps; the second one terminates at its second step.
WindowRewards Example() {
  WindowRewards window;
  window.rewards = at::tensor({1.0, 10.0, 2.0, 20.0, 3.0, 30.0}).view({3, 2});
  window.terminated = at::tensor({0.0, 0.0, 0.0, 1.0, 0.0, 0.0}).view({3, 2});
  window.discount = 0.5;
  return window;
}

TEST(TargetsTest, OneStepTargetsBootstrapAtEveryState) {
  const at::Tensor next = at::tensor({4.0, 40.0, 5.0, 50.0, 6.0, 60.0}).view({3, 2});
  const at::Tensor expected = at::tensor({3.0, 30.0, 4.5, 20.0, 6.0, 60.0}).view({3, 2});
  EXPECT_TRUE(AllClose(OneStepTargets(Example(), next), expected, 1e-12));
}

TEST(TargetsTest, OneStepPenaltiesAreTakenOffTheNextValue) {
  WindowRewards window = Example();
  window.penalties = at::tensor({1.0, 1.0, 2.0, 2.0, 3.0, 3.0}).view({3, 2});
  const at::Tensor next = at::tensor({4.0, 40.0, 5.0, 50.0, 6.0, 60.0}).view({3, 2});
  // r + gamma (1 - d) (V - penalty): a penalty after a terminal state does not count.
  const at::Tensor expected = at::tensor({2.5, 29.5, 3.5, 20.0, 4.5, 58.5}).view({3, 2});
  EXPECT_TRUE(AllClose(OneStepTargets(window, next), expected, 1e-12));
}

TEST(TargetsTest, WindowEndTargetsSumTheRewardsLeft) {
  const at::Tensor last = at::tensor({8.0, 80.0});
  // First window: 3 + 4; 2 + 3.5; 1 + 2.75. Second: the third step is another episode's, 30 + 40;
  // then cut; 10 + 10.
  const at::Tensor expected = at::tensor({3.75, 20.0, 5.5, 20.0, 7.0, 70.0}).view({3, 2});
  EXPECT_TRUE(AllClose(WindowEndTargets(Example(), last), expected, 1e-12));
}

TEST(TargetsTest, WindowEndPenaltiesAreDiscountedAndCut) {
  WindowRewards window = Example();
  window.penalties = at::tensor({1.0, 1.0, 2.0, 2.0, 4.0, 4.0}).view({3, 2});
  const at::Tensor last = at::tensor({8.0, 80.0});
  // First window: 3 + (8 - 4) / 2 = 5; 2 + (5 - 2) / 2 = 3.5; 1 + (3.5 - 1) / 2 = 2.25.
  // Second: 30 + (80 - 4) / 2 = 68; 20, cut; 10 + (20 - 1) / 2 = 19.5.
  const at::Tensor expected = at::tensor({2.25, 19.5, 3.5, 20.0, 5.0, 68.0}).view({3, 2});
  EXPECT_TRUE(AllClose(WindowEndTargets(window, last), expected, 1e-12));
}

TEST(TargetsTest, WindowsOfOneStepHaveEqualTargets) {
  WindowRewards window = Example();
  window.rewards = window.rewards.narrow(0, 0, 1);
  window.terminated = window.terminated.narrow(0, 0, 1);
  const at::Tensor next = at::tensor({4.0, 40.0});
  EXPECT_TRUE(
      AllClose(OneStepTargets(window, next.unsqueeze(0)), WindowEndTargets(window, next), 1e-12));
}

}  // namespace
}  // namespace pompc::update
