#include "learner/update/batch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "tests/learner/update/testing.h"

namespace pompc::update {
namespace {

using ::testing::HasSubstr;

TEST(BatchTest, RefusesWrongShapesByName) {
  const proto::RunConfig config = model::SmallConfig();
  EXPECT_TRUE(MakeBatch(config, 1).Validate(config).ok());
  const auto refused = [&](auto change, const char* text) {
    Batch batch = MakeBatch(config, 1);
    change(batch);
    const absl::Status status = batch.Validate(config);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(status.message()), HasSubstr(text));
  };
  refused([](Batch& b) { b.observations = b.observations.narrow(1, 0, 3); },
          "batch.observations is [6, 3, 3]: must be [6, 4, 3]");
  refused([](Batch& b) { b.rewards = at::Tensor(); }, "batch.rewards is undefined: must be [6, 3]");
  refused([](Batch& b) { b.has_plan = b.has_plan.narrow(1, 0, 3); },
          "batch.has_plan is [6, 3]: must be [6, 4]");
  refused([](Batch& b) { b.actions = b.actions.narrow(2, 0, 1); },
          "batch.actions is [6, 3, 1]: must be [6, 3, 2]");
  refused([](Batch& b) { b.actions = at::Tensor(); }, "batch.actions");
}

TEST(BatchTest, WindowsAreTimeMajor) {
  const proto::RunConfig config = model::SmallConfig();
  Batch batch = MakeBatch(config, 1);
  batch.terminated[4][1] = 1;
  batch.has_plan[2][0] = 0;
  const Windows windows = MakeWindows(batch, config, at::TensorOptions(at::kDouble));
  EXPECT_EQ(windows.batch, 6);
  EXPECT_EQ(windows.horizon, 3);
  EXPECT_TRUE(at::equal(windows.observations[2][5], batch.observations[5][2].to(at::kDouble)));
  EXPECT_TRUE(at::equal(windows.actions[2 * 6 + 5], batch.actions[5][2].to(at::kDouble)));
  EXPECT_EQ(windows.rewards[1][3].item<float>(), batch.rewards[3][1].item<float>());
  EXPECT_EQ(windows.terminated.sum().item<double>(), 1);
  EXPECT_EQ(windows.terminated[1][4].item<double>(), 1);
  EXPECT_EQ(windows.has_plan[2].item<double>(), 0);
  EXPECT_EQ(windows.has_plan.sum().item<double>(), 23);
  EXPECT_TRUE(windows.any_plan);
  EXPECT_NEAR(windows.weights.sum().item<double>(), (1 + 0.5 + 0.25) / 3, 1e-12);
  EXPECT_NEAR(windows.weights[6].item<double>(), 0.5 / 18, 1e-12);
}

TEST(BatchTest, TakesBytesForFlags) {
  const proto::RunConfig config = model::SmallConfig();
  Batch batch = MakeBatch(config, 1);
  batch.terminated = batch.terminated.to(at::kByte);
  batch.has_plan = batch.has_plan.to(at::kByte);
  ASSERT_TRUE(batch.Validate(config).ok());
  EXPECT_EQ(MakeWindows(batch, config, at::TensorOptions(at::kFloat)).has_plan.sum().item<float>(),
            24);
}

TEST(BatchTest, RowsWithoutAPlanHoldNothingThatCouldSpread) {
  const proto::RunConfig config = model::SmallConfig();
  Batch batch = MakeBatch(config, 1);
  batch.has_plan.zero_();
  batch.plan_mean.fill_(std::numeric_limits<float>::quiet_NaN());
  batch.plan_std.fill_(0);
  const Windows windows = MakeWindows(batch, config, at::TensorOptions(at::kFloat));
  EXPECT_FALSE(windows.any_plan);
  EXPECT_TRUE(at::equal(windows.plan_mean, at::zeros({24, 2})));
  EXPECT_TRUE(at::equal(windows.plan_std, at::ones({24, 2})));
}

TEST(BatchTest, ImportanceMultipliesTheWeightsOfItsWindowUpToACommonFactor) {
  proto::RunConfig config = model::SmallConfig();
  config.mutable_po_mpc()->set_policy_at_window_end(true);
  Batch batch = MakeBatch(config, 1);
  const Windows plain = MakeWindows(batch, config, at::TensorOptions(at::kDouble));
  EXPECT_FALSE(plain.importance.defined());
  batch.importance = at::tensor({3.0f, 6.0f, 12.0f, 1.5f, 3.0f, 12.0f});
  batch.has_plan[3].zero_();
  const Windows windows = MakeWindows(batch, config, at::TensorOptions(at::kDouble));
  const at::Tensor expected = at::tensor({0.25, 0.5, 1.0, 0.125, 0.25, 1.0}, at::kDouble);
  EXPECT_TRUE(at::equal(windows.importance, expected));
  const auto of_window = [&](const at::Tensor& weights) { return weights.view({-1, 6}); };
  EXPECT_TRUE(at::equal(of_window(windows.weights), of_window(plain.weights) * expected));
  EXPECT_TRUE(
      at::equal(of_window(windows.policy_weights), of_window(plain.policy_weights) * expected));
  EXPECT_NEAR(windows.policy_weight.item<double>(), windows.policy_weights.sum().item<double>(),
              1e-12);
  EXPECT_NEAR(windows.planned_weight.item<double>() / windows.policy_weight.item<double>(),
              3.0 / 3.125, 1e-12);
  batch.importance = at::ones({5});
  EXPECT_THAT(std::string(batch.Validate(config).message()), HasSubstr("batch.importance is [5]"));
}

TEST(BatchTest, APlanCountsHalfForEveryHalfLifeOfItsAge) {
  proto::RunConfig config = model::SmallConfig();
  Batch batch = MakeBatch(config, 1);
  batch.has_plan[3].zero_();
  batch.plan_age = at::tensor({0.0f, 4.0f, 12.0f, 4.0f, 1e9f, 2.0f});
  const auto weights = [&] {
    return MakeWindows(batch, config, at::TensorOptions(at::kDouble)).plan_weight.view({4, 6});
  };
  EXPECT_TRUE(at::equal(weights()[1], at::tensor({1.0, 1.0, 1.0, 0.0, 1.0, 1.0}, at::kDouble)));
  config.mutable_po_mpc()->set_plan_half_life_versions(4);
  const at::Tensor expected =
      at::tensor({1.0, 0.5, 0.125, 0.0, std::exp2(-60.0), std::sqrt(0.5)}, at::kDouble);
  for (int64_t t = 0; t < 4; ++t) EXPECT_TRUE(model::AllClose(weights()[t], expected, 1e-12));
  const Windows windows = MakeWindows(batch, config, at::TensorOptions(at::kDouble));
  EXPECT_NEAR(windows.planned_weight.item<double>() / windows.policy_weight.item<double>(),
              expected.mean().item<double>(), 1e-12);
  batch.plan_age = at::ones({5});
  EXPECT_THAT(std::string(batch.Validate(config).message()), HasSubstr("batch.plan_age is [5]"));
}

TEST(BatchTest, PriorAndPolicyLearnAtTheWindowsEndOnlyIfAskedTo) {
  proto::RunConfig config = model::SmallConfig();
  Batch batch = MakeBatch(config, 1);
  batch.has_plan.zero_();
  batch.has_plan[2][3] = 1;
  Windows windows = MakeWindows(batch, config, at::TensorOptions(at::kDouble));
  EXPECT_EQ(windows.policy_rows, 18);
  EXPECT_TRUE(at::equal(windows.policy_weights, windows.weights));
  EXPECT_FALSE(windows.any_plan);
  config.mutable_po_mpc()->set_policy_at_window_end(true);
  windows = MakeWindows(batch, config, at::TensorOptions(at::kDouble));
  EXPECT_EQ(windows.policy_rows, 24);
  EXPECT_NEAR(windows.policy_weights.sum().item<double>(), (1 + 0.5 + 0.25 + 0.125) / 4, 1e-12);
  EXPECT_NEAR(windows.policy_weights[18].item<double>(), 0.125 / 24, 1e-12);
  EXPECT_TRUE(windows.any_plan);
  EXPECT_EQ(windows.OfPolicy(windows.has_plan)[18 + 2].item<double>(), 1);
}

}  // namespace
}  // namespace pompc::update
