#include <cmath>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/ops.h"
#include "tests/learner/update/testing.h"

namespace pompc::update {
namespace {

using ::testing::HasSubstr;

constexpr BatchSize kSize{.horizon = 3, .batch = 6};
constexpr uint64_t kSeed = 4;

Draws FirstDraws(const proto::RunConfig& config) { return DrawUpdate(config, kSize, kSeed, 0); }

// Norm over the gradients of parameters whose names begin with one of the prefixes.
double NormOf(const Evaluation& evaluation, const std::vector<std::string>& prefixes) {
  double squares = 0;
  for (const model::NamedTensor& named : evaluation.gradients) {
    for (const std::string& prefix : prefixes) {
      if (named.name.rfind(prefix + ".", 0) == 0)
        squares += named.tensor.to(at::kDouble).square().sum().item<double>();
    }
  }
  return std::sqrt(squares);
}

class EvaluateTest : public ::testing::TestWithParam<double> {
 protected:
  EvaluateTest() {
    config_.mutable_env()->mutable_spec()->set_terminates(true);
    config_.mutable_po_mpc()->set_alpha(GetParam());
  }

  proto::RunConfig config_ = model::SmallConfig();
};

// Losses of the model and the values are sums over windows, so that the weighted ones follow from
// those of each window alone.
TEST_P(EvaluateTest, ImportanceMultipliesTheTermsOfEachWindow) {
  const auto updater = MakeUpdater(config_, kSeed, at::kDouble);
  Batch batch = MakeBatch(config_, 1);
  const int64_t b = batch.actions.size(0);
  const Draws draws = MakeDraws(DrawNumbers(config_, {3, b}, kSeed, 0), config_, {3, b},
                                at::TensorOptions(at::kDouble));
  batch.importance = model::Draw(5, {b}).abs() + 0.1;
  const at::Tensor weights =
      batch.importance.to(at::kDouble) / batch.importance.max().item<double>();
  const auto whole = updater->Evaluate(batch, draws);
  ASSERT_TRUE(whole.ok()) << whole.status();
  double expected = 0;
  for (int64_t i = 0; i < b; ++i) {
    Batch window = batch;
    window.importance = at::Tensor();
    for (at::Tensor* tensor : TensorsOf(window)) *tensor = tensor->narrow(0, i, 1);
    const auto alone = updater->Evaluate(window, DrawsOf(draws, b, i, 1));
    ASSERT_TRUE(alone.ok()) << alone.status();
    EXPECT_FALSE(alone->priorities.defined());
    expected += weights[i].item<double>() * alone->total.item<double>() / static_cast<double>(b);
  }
  EXPECT_NEAR(whole->total.item<double>(), expected, 1e-9 * expected);
}

TEST_P(EvaluateTest, EqualImportanceChangesNothing) {
  const auto plain = MakeUpdater(config_, kSeed);
  const auto weighted = MakeUpdater(config_, kSeed);
  for (uint64_t i = 0; i < 3; ++i) {
    Batch batch = MakeBatch(config_, i);
    ASSERT_TRUE(plain->Step(batch, false).ok());
    batch.importance = at::full({batch.actions.size(0)}, 7);
    ASSERT_TRUE(weighted->Step(batch, false).ok());
  }
  EXPECT_TRUE(at::equal(plain->model().flat(), weighted->model().flat()));
  EXPECT_TRUE(plain->TakePriorities().empty());
  EXPECT_EQ(weighted->TakePriorities().size(), 3u);
}

TEST_P(EvaluateTest, PrioritiesAreTheErrorsOfTheValuesInEachWindow) {
  const auto updater = MakeUpdater(config_, kSeed);
  Batch batch = MakeBatch(config_, 1);
  batch.importance = at::ones({batch.actions.size(0)});
  const auto evaluation = updater->Evaluate(batch, FirstDraws(config_));
  ASSERT_TRUE(evaluation.ok()) << evaluation.status();
  const at::Tensor values = model::reference::TwoHotDecode(evaluation->losses.value_logits[0],
                                                           model::BinsOf(config_.model()));
  const int64_t members = values.size(0), windows = batch.actions.size(0);
  for (int64_t b = 0; b < windows; ++b) {
    double expected = 0;
    for (int64_t t = 0; t < 3; ++t) {
      const double target = evaluation->targets.values[0][t * windows + b].item<double>();
      for (int64_t i = 0; i < members; ++i) {
        const double value = values[i][t * windows + b].item<double>();
        expected += std::pow(config_.learner().rho(), t) * std::abs(value - target) /
                    static_cast<double>(3 * members);
      }
    }
    EXPECT_NEAR(evaluation->priorities[b].item<double>(), expected, 1e-4 * (1 + expected));
  }
}

TEST_P(EvaluateTest, GivesTheLossesAndGradientsThatTheStepReports) {
  const auto updater = MakeUpdater(config_, kSeed);
  const Batch batch = MakeBatch(config_, 1);
  const auto evaluation = updater->Evaluate(batch, FirstDraws(config_));
  ASSERT_TRUE(evaluation.ok()) << evaluation.status();
  const auto metrics = updater->Step(batch, true);
  ASSERT_TRUE(metrics.ok()) << metrics.status();

  EXPECT_EQ(evaluation->total.item<double>(), metrics->total_loss);
  for (const LossTerm& term : evaluation->losses.terms)
    EXPECT_EQ(term.loss.item<double>(), (*metrics).*term.column) << term.name;
  EXPECT_GT(metrics->consistency_loss, 0);
  EXPECT_GT(metrics->termination_loss, 0);
  EXPECT_EQ(evaluation->targets.values[0].mean().item<double>(), metrics->value_target);
  EXPECT_NEAR(NormOf(*evaluation, {"encoder", "dynamics", "reward", "termination", "q"}),
              metrics->model_gradient_norm, 1e-5 * metrics->model_gradient_norm);
  if (config_.po_mpc().alpha() < 1) {
    EXPECT_GT(metrics->regularized_value_loss, 0);
    EXPECT_EQ(evaluation->targets.values[1].mean().item<double>(),
              metrics->regularized_value_target);
    EXPECT_NEAR(NormOf(*evaluation, {"regularized_q"}), metrics->regularized_value_gradient_norm,
                1e-5 * metrics->regularized_value_gradient_norm);
  } else {
    // Nothing the policy's loss depends on has stepped.
    EXPECT_EQ(evaluation->policy_loss.item<double>(), metrics->policy_loss);
    EXPECT_NEAR(NormOf(*evaluation, {"policy"}), metrics->policy_gradient_norm,
                1e-5 * metrics->policy_gradient_norm);
    EXPECT_EQ(evaluation->kl_scale.item<double>(), metrics->kl_scale);
  }
  ASSERT_EQ(evaluation->prior.has_value(), config_.po_mpc().alpha() > 0);
  if (evaluation->prior) {
    EXPECT_EQ(evaluation->prior->loss.item<double>(), metrics->prior_loss);
    EXPECT_NEAR(NormOf(*evaluation, {"prior"}), metrics->prior_gradient_norm,
                1e-5 * metrics->prior_gradient_norm);
  }
}

TEST_P(EvaluateTest, LeavesTheStateAsItIs) {
  const auto updater = MakeUpdater(config_, kSeed);
  const Batch batch = MakeBatch(config_, 1);
  ASSERT_TRUE(updater->Step(batch, false).ok());
  const UpdaterState before = updater->Export();
  ASSERT_TRUE(updater->Evaluate(batch, FirstDraws(config_)).ok());
  const UpdaterState after = updater->Export();
  EXPECT_EQ(before.metadata, after.metadata);
  ASSERT_EQ(before.tensors.size(), after.tensors.size());
  for (size_t i = 0; i < before.tensors.size(); ++i) {
    EXPECT_TRUE(before.tensors[i].tensor.equal(after.tensors[i].tensor)) << before.tensors[i].name;
  }
}

// The whole update once more, out of ATen's operations.
TEST_P(EvaluateTest, KernelsComputeWhatTheReferenceDoes) {
  const auto updater = MakeUpdater(config_, kSeed);
  const Batch batch = MakeBatch(config_, 1);
  // Away from the beginning, where the last layers of the values are zero.
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(updater->Step(batch, false).ok());
  const auto fused = updater->Evaluate(batch, FirstDraws(config_));
  ASSERT_TRUE(fused.ok()) << fused.status();
  const model::ReferenceScope scope;
  const auto eager = updater->Evaluate(batch, FirstDraws(config_));
  ASSERT_TRUE(eager.ok()) << eager.status();
  EXPECT_NEAR(fused->total.item<double>(), eager->total.item<double>(), 1e-5);
  EXPECT_NEAR(fused->policy_loss.item<double>(), eager->policy_loss.item<double>(), 1e-5);
  ASSERT_EQ(fused->gradients.size(), eager->gradients.size());
  for (size_t i = 0; i < fused->gradients.size(); ++i) {
    const at::Tensor& expected = eager->gradients[i].tensor;
    const double largest = expected.abs().max().item<double>();
    EXPECT_TRUE(model::AllClose(fused->gradients[i].tensor, expected, 1e-6 + 1e-4 * largest))
        << fused->gradients[i].name;
  }
}

INSTANTIATE_TEST_SUITE_P(Alpha, EvaluateTest, ::testing::Values(0, 0.5, 1));

TEST(EvaluateDrawsTest, BadDrawsAreNamed) {
  const proto::RunConfig config = model::SmallConfig();
  const auto updater = MakeUpdater(config, kSeed);
  const Batch batch = MakeBatch(config, 1);
  const auto refused = [&](const Draws& draws, const char* text) {
    const absl::Status status = updater->Evaluate(batch, draws).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr(text));
  };
  const Draws good = FirstDraws(config);
  Draws draws = good;
  draws.target_noise = at::zeros({3, 2});
  refused(draws, "target_noise is [3, 2]: must be [18, 2]");
  draws = good;
  draws.target_members = at::tensor({0, 3}, at::kLong);
  refused(draws, "target_members has 3; allowed: 0 to 2");
  draws = good;
  draws.policy_members = at::Tensor();
  refused(draws, "policy_members must be int64 [M]");
  draws = good;
  draws.policy_noise = at::Tensor();
  refused(draws, "policy_noise is undefined");
  draws = good;
  draws.fit_dropout = at::ones({3, 18, 15});
  refused(draws, "fit_dropout");
}

}  // namespace
}  // namespace pompc::update
