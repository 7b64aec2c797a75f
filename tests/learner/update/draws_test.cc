#include "learner/update/draws.h"

#include "gtest/gtest.h"
#include "tests/learner/update/testing.h"

namespace pompc::update {
namespace {

constexpr BatchSize kSize{.horizon = 3, .batch = 5};

Draws Draw(proto::RunConfig config, uint64_t seed, uint32_t update, double dropout = 0.1) {
  config.mutable_model()->set_dropout(dropout);
  config.mutable_model()->set_num_q(5);
  return DrawUpdate(config, kSize, seed, update);
}

TEST(DrawsTest, AreAFunctionOfSeedAndUpdate) {
  const Draws one = Draw(model::SmallConfig(), 7, 3);
  const Draws same = Draw(model::SmallConfig(), 7, 3);
  EXPECT_TRUE(one.target_noise.equal(same.target_noise));
  EXPECT_TRUE(one.fit_dropout.equal(same.fit_dropout));
  EXPECT_TRUE(one.policy_noise.equal(same.policy_noise));
  EXPECT_TRUE(one.policy_dropout.equal(same.policy_dropout));
  EXPECT_TRUE(one.target_members.equal(same.target_members));
  EXPECT_TRUE(one.policy_members.equal(same.policy_members));
  for (const Draws& other : {Draw(model::SmallConfig(), 8, 3), Draw(model::SmallConfig(), 7, 4)}) {
    EXPECT_FALSE(one.target_noise.equal(other.target_noise));
    EXPECT_FALSE(one.fit_dropout.equal(other.fit_dropout));
    EXPECT_FALSE(one.policy_noise.equal(other.policy_noise));
    EXPECT_FALSE(one.policy_dropout.equal(other.policy_dropout));
  }
}

TEST(DrawsTest, OneStepTargetsNeedARowForEveryStateWindowEndsOneForEachWindow) {
  proto::RunConfig config = model::SmallConfig();
  config.mutable_po_mpc()->set_target_horizon(proto::PoMpcConfig::ONE_STEP);
  EXPECT_EQ(Draw(config, 1, 0).target_noise.size(0), 15);
  config.mutable_po_mpc()->set_target_horizon(proto::PoMpcConfig::WINDOW_END);
  EXPECT_EQ(Draw(config, 1, 0).target_noise.size(0), 5);
  EXPECT_EQ(Draw(config, 1, 0).policy_noise.size(0), 15);
}

TEST(DrawsTest, WithoutDropoutThereAreNoMasks) {
  EXPECT_FALSE(Draw(model::SmallConfig(), 1, 0, 0).fit_dropout.defined());
  EXPECT_FALSE(Draw(model::SmallConfig(), 1, 0, 0).policy_dropout.defined());
}

TEST(DrawsTest, ImitationDrawsNothingForTheEnsembleItDoesNotHave) {
  proto::RunConfig config = model::SmallConfig();
  config.mutable_po_mpc()->set_alpha(1);
  const Draws draws = Draw(config, 1, 0);
  EXPECT_FALSE(draws.policy_members.defined());
  EXPECT_FALSE(draws.policy_dropout.defined());
  EXPECT_TRUE(draws.policy_noise.defined());
}

}  // namespace
}  // namespace pompc::update
