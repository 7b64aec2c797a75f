#include "model/planning/plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <tuple>
#include <vector>

#include "model/ops.h"
#include "tests/model/planning/plan_inputs.h"

namespace pompc::model {
namespace {

proto::RunConfig SmallPlan(proto::PlannerConfig::Method method = proto::PlannerConfig::MPPI) {
  proto::RunConfig config = SmallConfig();
  config.mutable_planner()->set_method(method);
  config.mutable_planner()->set_iterations(3);
  config.mutable_planner()->set_samples(64);
  config.mutable_planner()->set_policy_samples(8);
  config.mutable_planner()->set_elites(12);
  config.mutable_learner()->set_discount(0.97);
  return config;
}

void ExpectSamePlan(const Plans& plans, int64_t b, const Plans& one, double tolerance) {
  EXPECT_TRUE(AllClose(plans.actions[b], one.actions[0], tolerance)) << b;
  EXPECT_TRUE(AllClose(plans.mean[b], one.mean[0], tolerance)) << b;
  EXPECT_TRUE(AllClose(plans.std[b], one.std[0], tolerance)) << b;
  EXPECT_TRUE(AllClose(plans.value[b], one.value[0], tolerance * 10)) << b;
  EXPECT_TRUE(AllClose(plans.warm_start[b], one.warm_start[0], tolerance)) << b;
}

constexpr proto::PlannerConfig::Method kMethods[] = {proto::PlannerConfig::MPPI,
                                                     proto::PlannerConfig::CEM};

class PlanInvarianceTest
    : public ::testing::TestWithParam<std::tuple<proto::PlannerConfig::Method, int>> {};

// The second parameter is states_per_pass. Elites could in principle differ where two sequences tie
// to the last bits; the seeds here are fixed, so the test is not flaky.
TEST_P(PlanInvarianceTest, PlanAloneEqualsPlanInABatch) {
  const auto [method, states_per_pass] = GetParam();
  for (const bool terminates : {false, true}) {
    proto::RunConfig model_config = SmallConfig();
    model_config.mutable_model()->set_num_q(5);
    model_config.mutable_env()->mutable_spec()->set_terminates(terminates);
    const WorldModel model = ModelWithValues(model_config);
    const proto::RunConfig config = SmallPlan(method);
    PlanInputs inputs = SomePlanInputs(config, 6, 3);
    inputs.states_per_pass = states_per_pass;
    const Plans plans = Plan(model, config, inputs);
    for (int64_t b = 0; b < 6; ++b) {
      ExpectSamePlan(plans, b, Plan(model, config, OneOf(inputs, b)),
                     states_per_pass <= 1 ? 0 : 1e-5);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(MethodAndStatesPerPass, PlanInvarianceTest,
                         ::testing::Combine(::testing::ValuesIn(kMethods),
                                            ::testing::Values(0, 1, 4, 64)));

// What holds for every method.
class EveryMethodTest : public ::testing::TestWithParam<proto::PlannerConfig::Method> {};

INSTANTIATE_TEST_SUITE_P(Methods, EveryMethodTest, ::testing::ValuesIn(kMethods),
                         [](const auto& info) {
                           return proto::PlannerConfig::Method_Name(info.param);
                         });

TEST_P(EveryMethodTest, PlansInFloat64AgreeWithFloat32) {
  const proto::RunConfig model_config = SmallConfig();
  const WorldModel model = ModelWithValues(model_config);
  WorldModel wide = WorldModel::Create(model_config, at::kCPU, 1, at::kDouble);
  wide.flat().copy_(model.flat());
  proto::RunConfig config = SmallPlan(GetParam());
  config.mutable_planner()->set_iterations(1);
  const PlanInputs inputs = SomePlanInputs(config, 3, 5);
  const Plans single = Plan(model, config, inputs);
  const Plans plans = Plan(wide, config, inputs);
  EXPECT_EQ(plans.actions.scalar_type(), at::kFloat);
  for (int64_t b = 0; b < 3; ++b)
    ExpectSamePlan(plans, b, Plan(model, config, OneOf(inputs, b)), 1e-4);
}

TEST_P(EveryMethodTest, PlansOnCudaAgreeWithTheCpus) {
  if (!at::hasCUDA()) GTEST_SKIP() << "no CUDA device";
  const proto::RunConfig model_config = SmallConfig();
  const WorldModel model = ModelWithValues(model_config);
  const WorldModel there = model.Clone(at::kCUDA);
  proto::RunConfig config = SmallPlan(GetParam());
  config.mutable_planner()->set_iterations(1);
  const PlanInputs inputs = SomePlanInputs(config, 3, 5);
  const Plans plans = Plan(there, config, inputs);
  EXPECT_TRUE(plans.actions.is_cpu());
  for (int64_t b = 0; b < 3; ++b)
    ExpectSamePlan(plans, b, Plan(model, config, OneOf(inputs, b)), 1e-3);
}

TEST_P(EveryMethodTest, ShapesAndRanges) {
  const proto::RunConfig model_config = SmallConfig();
  const WorldModel model = ModelWithValues(model_config);
  const proto::RunConfig config = SmallPlan(GetParam());
  const Plans plans = Plan(model, config, SomePlanInputs(config, 4, 7));
  EXPECT_EQ(plans.actions.sizes(), (std::vector<int64_t>{4, 2}));
  EXPECT_EQ(plans.warm_start.sizes(), (std::vector<int64_t>{4, 3, 2}));
  EXPECT_LE(plans.actions.abs().max().item<float>(), 1);
  EXPECT_GE(plans.std.min().item<float>(), static_cast<float>(config.planner().min_std()));
  EXPECT_LE(plans.std.max().item<float>(), static_cast<float>(config.planner().max_std()));
  EXPECT_TRUE(at::equal(plans.mean, plans.warm_start.select(1, 0)));
  EXPECT_FALSE(plans.actions.requires_grad());
}

TEST_P(EveryMethodTest, SeedsDecideAndEvaluationTakesTheNoiseAway) {
  const proto::RunConfig model_config = SmallConfig();
  const WorldModel model = ModelWithValues(model_config);
  const proto::RunConfig config = SmallPlan(GetParam());
  PlanInputs inputs = OneOf(SomePlanInputs(config, 1, 7), 0);
  inputs.evaluate = {true};
  const Plans quiet = Plan(model, config, inputs);
  ExpectSamePlan(quiet, 0, Plan(model, config, inputs), 0);
  inputs.evaluate = {false};
  const Plans noisy = Plan(model, config, inputs);
  EXPECT_TRUE(at::equal(noisy.mean, quiet.mean));
  EXPECT_TRUE(at::equal(noisy.value, quiet.value));
  EXPECT_FALSE(at::equal(noisy.actions, quiet.actions));
  inputs.seeds = {inputs.seeds[0] + 1};
  EXPECT_FALSE(at::equal(Plan(model, config, inputs).mean, quiet.mean));
}

// A clock on which a millisecond passes between any two looks at it.
class SteppingClock : public FakeClock {
 public:
  absl::Duration Now() const override { return absl::Milliseconds(++looks_); }

 private:
  mutable int looks_ = 0;
};

TEST_P(EveryMethodTest, PlansMakeTheIterationsThatTheyHaveTimeFor) {
  const WorldModel model = ModelWithValues(SmallConfig());
  proto::RunConfig config = SmallPlan(GetParam());
  config.mutable_planner()->set_iterations(6);
  PlanInputs inputs = SomePlanInputs(config, 4, 7);
  EXPECT_EQ(Plan(model, config, inputs).iterations, (std::vector<int>{6, 6, 6, 6}));
  EXPECT_EQ(ActByPolicy(model, config, inputs).iterations, (std::vector<int>{0, 0, 0, 0}));
  // A look at the beginning of a plan, and one after each iteration.
  const SteppingClock clock;
  inputs.clock = &clock;
  inputs.finish_by = {absl::Milliseconds(4), absl::InfiniteDuration(), absl::Milliseconds(9),
                      absl::ZeroDuration()};
  const Plans plans = Plan(model, config, inputs);
  EXPECT_EQ(plans.iterations, (std::vector<int>{3, 6, 4, 1}));
  for (int64_t b = 0; b < 4; ++b) {
    config.mutable_planner()->set_iterations(
        static_cast<uint32_t>(plans.iterations[static_cast<size_t>(b)]));
    ExpectSamePlan(plans, b, Plan(model, config, OneOf(inputs, b)), 0);
  }
  // In one pass all stop by the earliest time.
  config.mutable_planner()->set_iterations(6);
  const SteppingClock other_clock;
  inputs.clock = &other_clock;
  inputs.finish_by = {absl::Milliseconds(4), absl::InfiniteDuration(), absl::Milliseconds(3),
                      absl::Seconds(1)};
  inputs.states_per_pass = 4;
  EXPECT_EQ(Plan(model, config, inputs).iterations, (std::vector<int>{2, 2, 2, 2}));
}

TEST(MppiTest, TheStatisticIsAllThatChangesWithItsSetting) {
  const proto::RunConfig model_config = SmallConfig();
  const WorldModel model = ModelWithValues(model_config);
  proto::RunConfig config = SmallPlan();
  const PlanInputs inputs = SomePlanInputs(config, 6, 7);
  const Plans mean = Plan(model, config, inputs);
  config.mutable_planner()->set_statistic(proto::PlannerConfig::ELITE);
  const Plans elite = Plan(model, config, inputs);
  config.mutable_planner()->set_statistic(proto::PlannerConfig::BEST);
  const Plans best = Plan(model, config, inputs);
  for (const Plans& other : {elite, best}) {
    EXPECT_TRUE(at::equal(other.actions, mean.actions));
    EXPECT_TRUE(at::equal(other.value, mean.value));
    EXPECT_TRUE(at::equal(other.warm_start, mean.warm_start));
    EXPECT_FALSE(at::equal(other.mean, mean.mean));
  }
  EXPECT_TRUE(at::equal(elite.std, mean.std));
  // Without noise the action is the drawn elite's.
  for (int64_t b = 0; b < 6; b += 2) EXPECT_TRUE(at::equal(elite.mean[b], elite.actions[b]));
  // A weighted deviation from any point is the one from the mean and the distance to it. The clamp
  // of the mean's deviation does not show here.
  ASSERT_GT(mean.std.min().item<float>(), config.planner().min_std());
  ASSERT_LT(mean.std.max().item<float>(), config.planner().max_std());
  const at::Tensor expected = (mean.std.square() + (best.mean - mean.mean).square() + 1e-6).sqrt();
  EXPECT_TRUE(AllClose(best.std, expected, 1e-4));
}

TEST(MppiTest, TheBestEliteIsTheOneOfHighestValue) {
  const proto::RunConfig model_config = SmallConfig();
  const WorldModel model = ModelWithValues(model_config);
  proto::RunConfig config = SmallPlan();
  config.mutable_planner()->set_iterations(1);
  const PlanInputs inputs = SomePlanInputs(config, 4, 7);
  config.mutable_planner()->set_statistic(proto::PlannerConfig::BEST);
  const Plans best = Plan(model, config, inputs);
  // With a single elite every statistic is its action.
  config.mutable_planner()->set_elites(1);
  for (const proto::PlannerConfig::Statistic statistic :
       {proto::PlannerConfig::ELITE, proto::PlannerConfig::MEAN, proto::PlannerConfig::BEST}) {
    config.mutable_planner()->set_statistic(statistic);
    const Plans plans = Plan(model, config, inputs);
    EXPECT_TRUE(AllClose(plans.mean, best.mean, 1e-6));
    if (statistic == proto::PlannerConfig::BEST) {
      EXPECT_TRUE(AllClose(plans.std, at::full({4, 2}, 1e-3), 1e-6));
    } else {
      EXPECT_TRUE(AllClose(plans.std, at::full({4, 2}, config.planner().min_std()), 1e-6));
    }
  }
}

TEST(CemTest, ExecutesTheMeanOfElitesThatCountAlike) {
  const WorldModel model = ModelWithValues(SmallConfig());
  proto::RunConfig config = SmallPlan(proto::PlannerConfig::CEM);
  PlanInputs inputs = SomePlanInputs(config, 6, 7);
  std::fill(inputs.evaluate.begin(), inputs.evaluate.end(), true);
  const Plans cem = Plan(model, config, inputs);
  EXPECT_TRUE(at::equal(cem.actions, cem.mean));
  config.mutable_planner()->set_statistic(proto::PlannerConfig::ELITE);
  EXPECT_TRUE(at::equal(Plan(model, config, inputs).mean, cem.mean));
  config.mutable_planner()->set_statistic(proto::PlannerConfig::BEST);
  EXPECT_FALSE(at::equal(Plan(model, config, inputs).mean, cem.mean));
  // MPPI's elites count alike at temperature 0; at others they do not.
  config = SmallPlan();
  EXPECT_FALSE(AllClose(Plan(model, config, inputs).mean, cem.mean, 1e-3));
  config.mutable_planner()->set_temperature(0);
  const Plans mppi = Plan(model, config, inputs);
  EXPECT_TRUE(AllClose(mppi.mean, cem.mean, 1e-5));
  EXPECT_TRUE(AllClose(mppi.std, cem.std, 1e-5));
  EXPECT_FALSE(AllClose(mppi.actions, cem.actions, 1e-3));
}

TEST(ActByPolicyTest, TakesTheMeanWhereEvaluatingAndADrawElsewhere) {
  for (const proto::ModelConfig::PolicyForm form :
       {proto::ModelConfig::CLIPPED_GAUSSIAN, proto::ModelConfig::TANH_GAUSSIAN}) {
    proto::RunConfig model_config = SmallConfig();
    model_config.mutable_model()->set_policy_form(form);
    const WorldModel model = ModelWithValues(model_config);
    const proto::RunConfig config = SmallPlan();
    PlanInputs inputs = SomePlanInputs(config, 200, 3);
    std::fill(inputs.evaluate.begin(), inputs.evaluate.end(), true);
    const Plans quiet = ActByPolicy(model, config, inputs);
    const at::Tensor latents = model.Encode(inputs.observations);
    const Gaussian policy = model.Policy(latents);
    const at::Tensor mean =
        form == proto::ModelConfig::TANH_GAUSSIAN ? policy.mean.tanh() : policy.mean.clamp(-1, 1);
    EXPECT_TRUE(AllClose(quiet.actions, mean, 1e-6));
    EXPECT_TRUE(AllClose(quiet.mean, mean, 1e-6));
    EXPECT_TRUE(AllClose(quiet.std, policy.log_std.exp(), 1e-6));
    EXPECT_EQ(quiet.warm_start.abs().max().item<float>(), 0);
    const at::Tensor values =
        TwoHotDecode(model.q().Forward(at::cat({latents, mean}, 1)), BinsOf(model_config.model()));
    EXPECT_TRUE(AllClose(quiet.value, values.mean(0), 1e-4));

    std::fill(inputs.evaluate.begin(), inputs.evaluate.end(), false);
    const Plans noisy = ActByPolicy(model, config, inputs);
    EXPECT_TRUE(AllClose(noisy.mean, mean, 1e-6));
    EXPECT_LE(noisy.actions.abs().max().item<float>(), 1);
    const at::Tensor inside = noisy.actions.abs().lt(1);
    const at::Tensor drawn =
        form == proto::ModelConfig::TANH_GAUSSIAN ? noisy.actions.atanh() : noisy.actions;
    const at::Tensor standard =
        ((drawn - policy.mean) / policy.log_std.exp()).masked_select(inside);
    EXPECT_GT(standard.numel(), 100);
    EXPECT_LT(standard.abs().max().item<float>(), 5);
    EXPECT_GT(standard.std().item<float>(), 0.3);
    // One request gives the same action alone.
    ExpectSamePlan(noisy, 7, ActByPolicy(model, config, OneOf(inputs, 7)), 1e-5);
  }
}

TEST_P(EveryMethodTest, SquashedPoliciesProposeSquashedActions) {
  proto::RunConfig model_config = SmallConfig();
  const WorldModel clipped = ModelWithValues(model_config);
  model_config.mutable_model()->set_policy_form(proto::ModelConfig::TANH_GAUSSIAN);
  model_config.mutable_model()->set_log_std_min(-10);
  model_config.mutable_model()->set_log_std_max(-9);
  WorldModel squashed = WorldModel::Create(model_config, at::kCPU, 1);
  squashed.flat().copy_(clipped.flat());
  // Nearly all sequences are the policy's, and all are elites.
  proto::RunConfig config = SmallPlan(GetParam());
  config.mutable_planner()->set_horizon(1);
  config.mutable_planner()->set_iterations(1);
  config.mutable_planner()->set_samples(64);
  config.mutable_planner()->set_policy_samples(63);
  config.mutable_planner()->set_elites(63);
  config.mutable_planner()->set_temperature(0);
  PlanInputs inputs = OneOf(SomePlanInputs(config, 1, 7), 0);
  inputs.warm_start = at::Tensor();
  inputs.has_warm_start = {};
  at::NoGradGuard no_grad;
  const at::Tensor raw = squashed.policy().Forward(squashed.Encode(inputs.observations));
  const at::Tensor expected = at::tanh(raw.narrow(1, 0, model_config.env().spec().action_size()));
  EXPECT_TRUE(AllClose(Plan(squashed, config, inputs).mean, expected, 0.05));
}

TEST_P(EveryMethodTest, WarmStartIsShiftedByOneDecision) {
  const proto::RunConfig model_config = SmallConfig();
  const WorldModel model = ModelWithValues(model_config);
  proto::RunConfig config = SmallPlan(GetParam());
  // Samples stay within a few thousandths of the first guess, and all are elites.
  config.mutable_planner()->set_iterations(1);
  config.mutable_planner()->set_policy_samples(0);
  config.mutable_planner()->set_elites(config.planner().samples());
  config.mutable_planner()->set_min_std(1e-3);
  config.mutable_planner()->set_max_std(1e-3);
  PlanInputs inputs = OneOf(SomePlanInputs(config, 2, 7), 1);
  inputs.warm_start = at::tensor({0.1f, 0.2f, 0.3f, 0.4f, 0.5f, 0.6f}).view({1, 3, 2});
  const at::Tensor expected = at::tensor({0.3f, 0.4f, 0.5f, 0.6f, 0.0f, 0.0f}).view({1, 3, 2});
  EXPECT_TRUE(AllClose(Plan(model, config, inputs).warm_start, expected, 2e-3));
  // Without one the search starts at zero, whatever the tensor holds.
  inputs.has_warm_start = {false};
  inputs.warm_start.fill_(std::numeric_limits<float>::quiet_NaN());
  EXPECT_TRUE(AllClose(Plan(model, config, inputs).warm_start, at::zeros({1, 3, 2}), 2e-3));
  inputs.has_warm_start = {};
  inputs.warm_start = at::Tensor();
  EXPECT_TRUE(AllClose(Plan(model, config, inputs).warm_start, at::zeros({1, 3, 2}), 2e-3));
}

TEST_P(EveryMethodTest, MoreIterationsFindBetterPlans) {
  const proto::RunConfig model_config = SmallConfig();
  const WorldModel model = ModelWithValues(model_config);
  proto::RunConfig config = SmallPlan(GetParam());
  config.mutable_planner()->set_policy_samples(0);
  config.mutable_planner()->set_horizon(5);
  const PlanInputs inputs = SomePlanInputs(config, 16, 9);
  config.mutable_planner()->set_iterations(1);
  const double once = Plan(model, config, inputs).value.mean().item<double>();
  config.mutable_planner()->set_iterations(6);
  const double often = Plan(model, config, inputs).value.mean().item<double>();
  EXPECT_GT(often, once);
}

// With one sample drawn at almost no spread, the value is that of the guess itself: the discounted
// rewards and the terminal value of the zero plan, recomputed here step by step.
TEST_P(EveryMethodTest, ValueIsTheDiscountedModelReturn) {
  for (const bool terminates : {false, true}) {
    proto::RunConfig model_config = SmallConfig();
    model_config.mutable_model()->set_num_q(2);
    model_config.mutable_env()->mutable_spec()->set_terminates(terminates);
    model_config.mutable_model()->set_log_std_max(-9);
    model_config.mutable_model()->set_log_std_min(-10);
    const WorldModel model = ModelWithValues(model_config);
    proto::RunConfig config = SmallPlan(GetParam());
    config.mutable_planner()->set_iterations(1);
    config.mutable_planner()->set_policy_samples(0);
    config.mutable_planner()->set_min_std(1e-4);
    config.mutable_planner()->set_max_std(1e-4);
    const PlanInputs inputs = SomePlanInputs(config, 8, 13);
    if (terminates) {
      // Half of the states end at some decision of the zero plan, the others go on.
      at::NoGradGuard no_grad;
      const at::Tensor a = at::zeros({8, model_config.env().spec().action_size()});
      at::Tensor z = model.Encode(inputs.observations);
      at::Tensor highest = at::full({8}, -1e9f);
      for (int t = 0; t < 3; ++t) {
        z = model.Next(z, a);
        highest = at::maximum(highest, model.TerminationLogits(z));
      }
      const at::Tensor& flat = model.termination().flat();
      flat.narrow(0, flat.size(0) - 1, 1).sub_(highest.median());
    }
    PlanInputs cold = inputs;
    cold.warm_start = at::Tensor();
    cold.has_warm_start = {};
    const at::Tensor value = Plan(model, config, cold).value;

    at::NoGradGuard no_grad;
    const Bins bins = BinsOf(model_config.model());
    const at::Tensor a = at::zeros({8, model_config.env().spec().action_size()});
    at::Tensor z = model.Encode(inputs.observations);
    at::Tensor expected = at::zeros({8});
    at::Tensor alive = at::ones({8});
    double discount = 1;
    for (int t = 0; t < 3; ++t) {
      expected += discount * alive * TwoHotDecode(model.reward().Forward(at::cat({z, a}, 1)), bins);
      z = model.Next(z, a);
      discount *= config.learner().discount();
      if (terminates) alive = alive * model.TerminationLogits(z).sigmoid().le(0.5);
    }
    const at::Tensor last =
        TwoHotDecode(model.q().Forward(at::cat({z, model.Policy(z).mean}, 1)), bins).mean(0);
    expected += discount * alive * last;
    EXPECT_TRUE(AllClose(value, expected, 2e-3)) << terminates;
    if (terminates) {
      EXPECT_GT(alive.sum().item<double>(), 0);
      EXPECT_LT(alive.sum().item<double>(), 8);
    }
  }
}

TEST_P(EveryMethodTest, NanValuesCountAsZero) {
  const proto::RunConfig model_config = SmallConfig();
  const WorldModel model = ModelWithValues(model_config);
  model.reward().flat().fill_(std::numeric_limits<float>::quiet_NaN());
  const proto::RunConfig config = SmallPlan(GetParam());
  const Plans plans = Plan(model, config, SomePlanInputs(config, 2, 3));
  EXPECT_TRUE(plans.actions.isfinite().all().item<bool>());
  EXPECT_TRUE(at::equal(plans.value, at::zeros({2})));
}

}  // namespace
}  // namespace pompc::model
