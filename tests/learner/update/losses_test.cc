#include "learner/update/losses.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "learner/update/gaussian.h"
#include "model/ops.h"
#include "tests/learner/update/testing.h"

namespace pompc::update {
namespace {

using model::AllClose;
using model::Draw;
using model::Mlp;
using model::WorldModel;

// Networks with arbitrary parameters in float64, with gradients.
struct Networks {
  explicit Networks(proto::RunConfig config)
      : model(WorldModel::Create(config, at::kCPU, 1, at::kDouble)),
        regularized(MakeMlp(model::QSpec(config), 31)),
        prior(MakeMlp(model::PolicySpec(config), 32)) {
    model.flat().add_(Draw(33, {model.NumParameters()}, at::kDouble) * 0.3);
    const int64_t policy = model.policy().flat().numel();
    model_gradient = at::zeros({model.NumParameters() - policy}, at::kDouble);
    policy_gradient = at::zeros({policy}, at::kDouble);
    regularized_gradient = at::zeros_like(regularized.flat());
    prior_gradient = at::zeros_like(prior.flat());
    model.EnableGradients(model_gradient, policy_gradient);
    regularized.EnableGradients(regularized_gradient);
    prior.EnableGradients(prior_gradient);
  }

  static Mlp MakeMlp(const model::MlpSpec& spec, uint64_t seed) {
    return Mlp(spec, Draw(seed, {spec.NumParameters()}, at::kDouble) * 0.3);
  }

  at::Tensor model_parameters() const { return model.flat().narrow(0, 0, model_gradient.numel()); }

  // The plain values, and the regularised ones, whose loss reaches the latents or not. Nothing here
  // looks at target networks.
  std::vector<ValueHead> Heads(bool shared = false) const {
    return {{.name = "value", .loss = "model", .online = model.q(), .target = model.q()},
            {.name = "regularized_value",
             .loss = "regularized_value",
             .online = regularized,
             .target = regularized,
             .penalized = true,
             .trains_latents = shared}};
  }

  WorldModel model;
  Mlp regularized, prior;
  at::Tensor model_gradient, policy_gradient, regularized_gradient, prior_gradient;
};

proto::RunConfig TerminatingConfig() {
  proto::RunConfig config = model::SmallConfig();
  config.mutable_env()->mutable_spec()->set_terminates(true);
  return config;
}

Windows MakeExample(proto::RunConfig config, double rho = 0.5) {
  Batch batch = MakeBatch(config, 5);
  batch.terminated[1][2] = 1;
  batch.has_plan[2][0] = 0;
  batch.has_plan[3].zero_();
  config.mutable_learner()->set_rho(rho);
  return MakeWindows(batch, config, at::TensorOptions(at::kDouble));
}

Targets ExampleTargets(const WorldModel& model, const Windows& windows) {
  at::NoGradGuard no_grad;
  const int64_t rows = windows.horizon * windows.batch;
  return {model.Encode(windows.observations.narrow(0, 1, windows.horizon).flatten(0, 1)),
          {Draw(41, {rows}, at::kDouble) * 3, Draw(42, {rows}, at::kDouble) * 3}};
}

at::Tensor Dropout(const proto::RunConfig& config, int64_t members, const Windows& windows) {
  return model::DrawDropout(
             43, {0, 0}, {members, windows.horizon * windows.batch, config.model().mlp_dim()}, 0.2)
      .to(at::kDouble);
}

// The gradient of `loss` with respect to `parameters` along random directions, against central
// differences.
void ExpectGradient(const std::string& what, const std::function<at::Tensor()>& loss,
                    const at::Tensor& parameters, const at::Tensor& gradient) {
  gradient.zero_();
  loss().backward();
  ASSERT_GT(gradient.norm().item<double>(), 0) << what;
  at::NoGradGuard no_grad;
  constexpr double kStep = 1e-6;
  for (uint64_t seed = 0; seed < 8; ++seed) {
    at::Tensor direction = Draw(seed, {parameters.numel()}, at::kDouble);
    direction /= direction.norm();
    parameters.add_(direction, kStep);
    const double above = loss().item<double>();
    parameters.sub_(direction, 2 * kStep);
    const double below = loss().item<double>();
    parameters.add_(direction, kStep);
    const double expected = (above - below) / (2 * kStep);
    EXPECT_NEAR((gradient * direction).sum().item<double>(), expected,
                1e-7 + 1e-5 * std::abs(expected))
        << what << ", direction " << seed;
  }
}

TEST(ModelLossesTest, GradientsAgreeWithFiniteDifferences) {
  const proto::RunConfig config = TerminatingConfig();
  for (const bool shared : {false, true}) {
    const Networks n(config);
    const Windows windows = MakeExample(config);
    const Targets targets = ExampleTargets(n.model, windows);
    const at::Tensor dropout = Dropout(config, config.model().num_q(), windows);
    const auto losses = [&] {
      return ComputeModelLosses(n.model, n.Heads(shared), windows, targets, dropout, config);
    };
    const std::string suffix = shared ? ", latents shared" : ", latents detached";
    ExpectGradient(
        "regularized ensemble" + suffix, [&] { return losses().Total(); }, n.regularized.flat(),
        n.regularized_gradient);
    // With detached latents the model's gradient is that of the other losses.
    const auto model_loss = [&] {
      ModelLosses l = losses();
      if (!shared) {
        std::erase_if(l.terms, [](const LossTerm& term) {
          return std::string(term.name) == "regularized_value";
        });
      }
      return l.Total();
    };
    ExpectGradient("model" + suffix, model_loss, n.model_parameters(), n.model_gradient);
  }
}

TEST(ModelLossesTest, DetachedRegularizedValuesLeaveTheModelsGradientUntouched) {
  const proto::RunConfig config = model::SmallConfig();
  const Networks n(config);
  const Windows windows = MakeExample(config);
  const Targets targets = ExampleTargets(n.model, windows);
  at::Tensor gradients[3];
  int i = 0;
  for (const auto& [with, shared] : {std::pair{false, false}, {true, false}, {true, true}}) {
    std::vector<ValueHead> heads = n.Heads(shared);
    Targets own = targets;
    if (!with) {
      heads.pop_back();
      own.values.pop_back();
    }
    n.model_gradient.zero_();
    ComputeModelLosses(n.model, heads, windows, own, at::Tensor(), config).Total().backward();
    gradients[i++] = n.model_gradient.clone();
  }
  EXPECT_TRUE(AllClose(gradients[0], gradients[1], 1e-12));
  EXPECT_FALSE(AllClose(gradients[0], gradients[2], 1e-6));
}

TEST(ModelLossesTest, AreTheDocumentedSums) {
  const proto::RunConfig config = TerminatingConfig();
  const Networks n(config);
  const Windows windows = MakeExample(config, 0.7);
  const Targets targets = ExampleTargets(n.model, windows);
  const ModelLosses losses =
      ComputeModelLosses(n.model, n.Heads(), windows, targets, at::Tensor(), config);

  at::NoGradGuard no_grad;
  const model::Bins bins = model::BinsOf(config.model());
  const int64_t batch = windows.batch;
  const auto step = [&](const at::Tensor& x, int64_t t) {
    return x.narrow(x.dim() - (x.dim() > 1 ? 2 : 1), t * batch, batch);
  };
  const auto cross_entropy = [&](const at::Tensor& logits, const at::Tensor& values) {
    return -(model::TwoHotEncode(values, bins) * logits.log_softmax(-1))
                .sum(-1)
                .mean()
                .item<double>();
  };
  double consistency = 0, reward = 0, value = 0, regularized = 0, termination = 0;
  at::Tensor z = n.model.Encode(windows.observations[0]);
  for (int64_t t = 0; t < windows.horizon; ++t) {
    const double weight = std::pow(0.7, t) / static_cast<double>(windows.horizon);
    const at::Tensor a = step(windows.actions, t);
    EXPECT_TRUE(AllClose(step(losses.latents, t), z, 1e-12));
    const at::Tensor za = at::cat({z, a}, 1);
    reward += weight * cross_entropy(n.model.reward().Forward(za), windows.rewards[t]);
    value += weight *
             cross_entropy(n.model.q().Forward(za), targets.values[0].narrow(0, t * batch, batch));
    regularized += weight * cross_entropy(n.regularized.Forward(za),
                                          targets.values[1].narrow(0, t * batch, batch));
    z = n.model.Next(z, a);
    consistency += weight * (z - step(targets.next_latents, t)).square().mean().item<double>();
    const at::Tensor p = n.model.TerminationLogits(z).sigmoid();
    const at::Tensor d = windows.terminated[t];
    termination -= (d * p.log() + (1 - d) * (1 - p).log()).mean().item<double>() /
                   static_cast<double>(windows.horizon);
  }
  const std::pair<const char*, double> expected[] = {{"consistency", consistency},
                                                     {"reward", reward},
                                                     {"value", value},
                                                     {"regularized_value", regularized},
                                                     {"termination", termination}};
  ASSERT_EQ(losses.terms.size(), std::size(expected));
  for (size_t i = 0; i < std::size(expected); ++i) {
    EXPECT_EQ(std::string(losses.terms[i].name), expected[i].first);
    EXPECT_NEAR(losses.terms[i].loss.item<double>(), expected[i].second, 1e-9);
  }
  EXPECT_NEAR(losses.Total().item<double>(),
              20 * consistency + 0.1 * (reward + value + regularized) + termination, 1e-8);
}

TEST(PriorLossTest, GradientsAgreeWithFiniteDifferences) {
  const proto::RunConfig config = model::SmallConfig();
  for (const proto::PoMpcConfig::PriorKl direction :
       {proto::PoMpcConfig::FORWARD, proto::PoMpcConfig::REVERSE}) {
    for (const proto::PoMpcConfig::KlReduction reduction :
         {proto::PoMpcConfig::MEAN, proto::PoMpcConfig::SUM, proto::PoMpcConfig::TD_MPC_SQUARE}) {
      const Networks n(config);
      proto::RunConfig update = model::SmallConfig();
      update.mutable_po_mpc()->set_prior_kl(direction);
      update.mutable_po_mpc()->set_kl_reduction(reduction);
      const Windows windows = MakeExample(config);
      const at::Tensor latents = ExampleTargets(n.model, windows).next_latents;
      ExpectGradient(
          "prior", [&] { return ComputePriorLoss(n.prior, {}, windows, latents, update).loss; },
          n.prior.flat(), n.prior_gradient);
    }
  }
}

TEST(PriorLossTest, IsTheMeanOverRowsWithPlansInTheChosenDirection) {
  const proto::RunConfig config = model::SmallConfig();
  const Networks n(config);
  proto::RunConfig update = config;
  const Windows windows = MakeExample(config, 1);
  const at::Tensor latents = ExampleTargets(n.model, windows).next_latents;
  const at::Tensor kept = windows.OfPolicy(windows.has_plan).nonzero().squeeze(1);
  ASSERT_LT(kept.size(0), windows.policy_rows);
  for (const proto::PoMpcConfig::PriorKl direction :
       {proto::PoMpcConfig::FORWARD, proto::PoMpcConfig::REVERSE}) {
    update.mutable_po_mpc()->set_prior_kl(direction);
    const model::Gaussian prior = model::PolicyFromRaw(n.prior.Forward(latents), config.model());
    const model::Gaussian planner = PlannerGaussian(windows.OfPolicy(windows.plan_mean),
                                                    windows.OfPolicy(windows.plan_std), update);
    const at::Tensor kl = direction == proto::PoMpcConfig::FORWARD
                              ? GaussianKl(planner, prior, proto::PoMpcConfig::SUM)
                              : GaussianKl(prior, planner, proto::PoMpcConfig::SUM);
    EXPECT_NEAR(ComputePriorLoss(n.prior, {}, windows, latents, update).loss.item<double>(),
                kl.index_select(0, kept).mean().item<double>(), 1e-9);
  }
}

TEST(PriorLossDeathTest, WithoutAPlanThereIsNothingToFollow) {
  const proto::RunConfig config = model::SmallConfig();
  const Networks n(config);
  Windows windows = MakeExample(config);
  windows.any_plan = false;
  EXPECT_DEATH(
      ComputePriorLoss(n.prior, {}, windows, ExampleTargets(n.model, windows).next_latents, config),
      "windows.any_plan");
}

model::Gaussian PriorAt(const Networks& n, const at::Tensor& latents) {
  at::NoGradGuard no_grad;
  return model::PolicyFromRaw(n.prior.Forward(latents), n.model.config().model());
}

// Judges of the policy in the different members of the family.
struct Family {
  double alpha;
  proto::PoMpcConfig::ActorWeights weights;
};

class PolicyLossTest : public ::testing::TestWithParam<Family> {
 protected:
  PolicyLossTest() : config_(model::SmallConfig()), n_(config_), windows_(MakeExample(config_)) {
    update_.mutable_po_mpc()->set_alpha(GetParam().alpha);
    update_.mutable_po_mpc()->set_actor_weights(GetParam().weights);
    update_.mutable_po_mpc()->set_entropy_coefficient(0.01);
    latents_ = ExampleTargets(n_.model, windows_).next_latents;
    noise_ = Draw(51, {latents_.size(0), config_.env().spec().action_size()}, at::kDouble) * 0.3;
    if (update_.po_mpc().alpha() < 1) judges_.values = &n_.regularized;
    prior_ = PriorAt(n_, latents_);
    if (update_.po_mpc().alpha() > 0) judges_.prior = &prior_;
    judges_.members = at::tensor({0, 2}, at::kLong);
    judges_.dropout = Dropout(config_, 2, windows_);
  }

  PolicyTerms Terms() const {
    return EvaluatePolicy(n_.model, judges_, windows_, latents_, noise_, update_);
  }
  at::Tensor Loss(double value_scale = 3, double kl_scale = 2) const {
    return PolicyLoss(Terms(), windows_, at::full({}, value_scale, at::kDouble),
                      at::full({}, kl_scale, at::kDouble), update_);
  }

  const proto::RunConfig config_;
  const Networks n_;
  const Windows windows_;
  proto::RunConfig update_ = config_;
  PolicyJudges judges_;
  model::Gaussian prior_;
  at::Tensor latents_, noise_;
};

TEST_P(PolicyLossTest, GradientsAgreeWithFiniteDifferences) {
  ExpectGradient(
      "policy", [&] { return Loss(); }, n_.model.policy().flat(), n_.policy_gradient);
  // Everything else is held fixed.
  EXPECT_EQ(n_.model_gradient.abs().max().item<double>(), 0);
  EXPECT_EQ(n_.regularized_gradient.abs().max().item<double>(), 0);
  EXPECT_EQ(n_.prior_gradient.abs().max().item<double>(), 0);
}

TEST_P(PolicyLossTest, IsTheDocumentedSum) {
  const PolicyTerms terms = Terms();
  const double lambda = Lambda(update_.po_mpc());
  at::Tensor rows = -0.01 * 2 * terms.entropy;
  if (update_.po_mpc().alpha() == 1) {
    rows = rows + terms.kl / 2;
  } else if (update_.po_mpc().alpha() == 0) {
    rows = rows - terms.values / 3;
  } else if (update_.po_mpc().actor_weights() == proto::PoMpcConfig::MIX) {
    rows = rows - (1 - update_.po_mpc().alpha()) * terms.values / 3 +
           update_.po_mpc().alpha() * terms.kl / 2;
  } else if (update_.po_mpc().actor_weights() == proto::PoMpcConfig::LITERAL) {
    rows = rows - terms.values / 3 + lambda * terms.kl / 3;
  } else {
    rows = rows - terms.values / 3 + lambda * (1 - update_.learner().discount()) * terms.kl;
  }
  double expected = 0;
  for (int64_t t = 0; t < 3; ++t) {
    expected +=
        std::pow(update_.learner().rho(), t) * rows.view({3, -1})[t].mean().item<double>() / 3;
  }
  EXPECT_NEAR(Loss().item<double>(), expected, 1e-9);
}

TEST_P(PolicyLossTest, RowsWithoutAPlanHaveNoKl) {
  const PolicyTerms terms = Terms();
  if (update_.po_mpc().alpha() == 0) {
    EXPECT_FALSE(terms.kl.defined());
    return;
  }
  EXPECT_TRUE(at::equal(terms.kl.gt(0), windows_.OfPolicy(windows_.has_plan).gt(0)));
}

TEST_P(PolicyLossTest, FallsWhenMinimized) {
  const double before = Loss().item<double>();
  for (int i = 0; i < 50; ++i) {
    n_.policy_gradient.zero_();
    Loss().backward();
    n_.model.policy().flat().sub_(n_.policy_gradient, 0.05);
  }
  EXPECT_LT(Loss().item<double>(), before);
}

INSTANTIATE_TEST_SUITE_P(Family, PolicyLossTest,
                         ::testing::Values(Family{0, proto::PoMpcConfig::MIX},
                                           Family{0.5, proto::PoMpcConfig::MIX},
                                           Family{0.9, proto::PoMpcConfig::LITERAL},
                                           Family{0.5, proto::PoMpcConfig::RELATIVE},
                                           Family{1, proto::PoMpcConfig::MIX},
                                           Family{1, proto::PoMpcConfig::LITERAL}));

TEST(PolicyWeightsTest, PureImitationIgnoresTheValues) {
  const proto::RunConfig config = model::SmallConfig();
  const Networks n(config);
  const Windows windows = MakeExample(config);
  const at::Tensor latents = ExampleTargets(n.model, windows).next_latents;
  proto::RunConfig update = model::SmallConfig();
  update.mutable_po_mpc()->set_alpha(1);
  const model::Gaussian prior = PriorAt(n, latents);
  PolicyJudges judges;
  judges.prior = &prior;
  const at::Tensor noise =
      at::zeros({latents.size(0), config.env().spec().action_size()}, at::kDouble);
  PolicyTerms terms = EvaluatePolicy(n.model, judges, windows, latents, noise, update);
  const at::Tensor one = at::ones({}, at::kDouble);
  const double without = PolicyLoss(terms, windows, one, one, update).item<double>();
  // Even values that are there have no weight.
  terms.values = terms.actions.sum(1) * 100;
  EXPECT_EQ(PolicyLoss(terms, windows, one, one, update).item<double>(), without);
}

}  // namespace
}  // namespace pompc::update
