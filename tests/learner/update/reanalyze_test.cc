#include "learner/update/reanalyze.h"

#include <gtest/gtest.h>

#include <vector>

#include "model/planning/plan.h"
#include "tests/learner/update/testing.h"

namespace pompc::update {
namespace {

using model::AllClose;

proto::RunConfig SmallPlan() {
  proto::RunConfig config = model::SmallConfig();
  config.mutable_planner()->set_iterations(2);
  config.mutable_planner()->set_samples(32);
  config.mutable_planner()->set_policy_samples(4);
  config.mutable_planner()->set_elites(8);
  return config;
}

model::WorldModel MakeModel() {
  const model::WorldModel world_model =
      model::WorldModel::Create(model::SmallConfig(), at::kCPU, 1);
  world_model.flat().add_(model::Draw(21, {world_model.NumParameters()}) * 0.3);
  return world_model;
}

// Flags as a shard sends them.
Batch ExampleBatch() {
  Batch batch = MakeBatch(model::SmallConfig(), 5, 7);
  batch.has_plan = batch.has_plan.to(at::kByte);
  batch.has_plan[3].zero_();
  return batch;
}

TEST(ReanalyzeTest, ReplacesThePlansOfItsStatesAndNothingElse) {
  const model::WorldModel world_model = MakeModel();
  const Batch before = ExampleBatch();
  Batch batch = ExampleBatch();
  const Reanalyzed plans = Reanalyze(world_model, SmallPlan(), 2, 11, batch);
  EXPECT_EQ(plans.windows, (std::vector<int64_t>{0, 3}));
  ASSERT_EQ(plans.plan_mean.sizes(), (std::vector<int64_t>{2, 3, 2}));
  for (int64_t b = 0; b < 7; ++b) {
    for (int64_t t = 0; t < 4; ++t) {
      const bool planned = (b == 0 || b == 3) && t < 3;
      const int64_t i = b == 3 ? 1 : 0;
      EXPECT_TRUE(at::equal(batch.plan_mean[b][t],
                            planned ? plans.plan_mean[i][t] : before.plan_mean[b][t]));
      EXPECT_TRUE(
          at::equal(batch.plan_std[b][t], planned ? plans.plan_std[i][t] : before.plan_std[b][t]));
      EXPECT_EQ(batch.has_plan[b][t].item<bool>(), planned || before.has_plan[b][t].item<bool>());
    }
  }
  EXPECT_TRUE(at::equal(batch.observations, before.observations));
  EXPECT_TRUE(at::equal(batch.actions, before.actions));
}

TEST(ReanalyzeTest, PlansAreThoseOfAFreshSearchFromEachState) {
  const model::WorldModel world_model = MakeModel();
  Batch batch = ExampleBatch();
  const Reanalyzed plans = Reanalyze(world_model, SmallPlan(), 2, 11, batch);
  model::PlanInputs inputs;
  inputs.observations = batch.observations[3][1].unsqueeze(0);
  inputs.seeds = {11 + 4};
  const model::Plans plan = model::Plan(world_model, SmallPlan(), inputs);
  EXPECT_TRUE(AllClose(plans.plan_mean[1][1], plan.mean[0], 1e-6));
  EXPECT_TRUE(AllClose(plans.plan_std[1][1], plan.std[0], 1e-6));
}

// BMPC's widened policy: the plans are those of a policy whose log std begins higher.
TEST(ReanalyzeTest, PlansProposeWithTheWidenedPolicyIfGiven) {
  const model::WorldModel world_model = MakeModel();
  proto::RunConfig wide = SmallPlan();
  wide.mutable_learner()->mutable_reanalyze()->set_log_std_min(0.5);
  Batch batch = ExampleBatch(), expected = ExampleBatch(), narrow = ExampleBatch();
  Reanalyze(world_model, wide, 2, 11, batch);
  Reanalyze(world_model.WithLogStdMin(0.5), SmallPlan(), 2, 11, expected);
  Reanalyze(world_model, SmallPlan(), 2, 11, narrow);
  EXPECT_TRUE(at::equal(batch.plan_mean, expected.plan_mean));
  EXPECT_FALSE(at::equal(batch.plan_mean, narrow.plan_mean));
  EXPECT_EQ(world_model.config().model().log_std_min(), -3);
}

TEST(ReanalyzeTest, NewPlansHaveNoAge) {
  Batch batch = ExampleBatch();
  batch.plan_age = at::arange(1, 8, at::kFloat);
  Reanalyze(MakeModel(), SmallPlan(), 2, 11, batch);
  EXPECT_TRUE(at::equal(batch.plan_age, at::tensor({0.0f, 2.0f, 3.0f, 0.0f, 5.0f, 6.0f, 7.0f})));
}

TEST(ReanalyzeTest, StatesBehindATerminalOneGetNoPlan) {
  Batch batch = ExampleBatch();
  batch.terminated[1][0] = 1;
  batch.terminated[1][1] = 1;
  batch.terminated[1][2] = 1;
  batch.has_plan[1].zero_();
  batch.terminated[2][1] = 1;
  Reanalyze(MakeModel(), SmallPlan(), 100, 11, batch);
  const auto flags = [&](int64_t b) {
    std::vector<int> planned;
    for (int64_t t = 0; t < 3; ++t) planned.push_back(batch.has_plan[b][t].item<int>());
    return planned;
  };
  EXPECT_EQ(flags(0), (std::vector<int>{1, 1, 1}));
  EXPECT_EQ(flags(1), (std::vector<int>{1, 0, 0}));
  EXPECT_EQ(flags(2), (std::vector<int>{1, 1, 0}));
}

TEST(ReanalyzeTest, TakesAllWindowsIfThereAreNoMore) {
  Batch batch = ExampleBatch();
  const Reanalyzed plans = Reanalyze(MakeModel(), SmallPlan(), 100, 11, batch);
  EXPECT_EQ(plans.windows, (std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6}));
  EXPECT_TRUE(batch.has_plan.narrow(1, 0, 3).ne(0).all().item<bool>());
}

}  // namespace
}  // namespace pompc::update
