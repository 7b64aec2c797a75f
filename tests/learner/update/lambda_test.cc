// What lambda means (docs/algorithm.md): one-step problems whose KL-regularised optimum is known in
// closed form, solved by minimising the policy's loss itself.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "learner/update/gaussian.h"
#include "learner/update/losses.h"
#include "learner/update/optimizer.h"
#include "tests/model/testing.h"

namespace pompc::update {
namespace {

using model::AllClose;
using model::Gaussian;
using PoMpc = proto::PoMpcConfig;

// value(a, b) = scale (offset_b - sum_i curvature_i (a_i - goal_i)^2 / 2) in contexts with offsets
// from 0 to `spread`; the prior is N(prior_mean, prior_std^2).
struct Bandit {
  std::vector<double> curvature, goal, prior_mean, prior_std;
  double scale = 1;
  double spread = 40;

  int64_t numbers() const { return static_cast<int64_t>(goal.size()); }
  Gaussian prior() const { return {Tensor(prior_mean), Tensor(prior_std).log()}; }
  at::Tensor Values(const at::Tensor& actions) const {
    const at::Tensor offsets = at::linspace(0, spread, actions.size(0), at::kDouble);
    const at::Tensor costs = Tensor(curvature) * (actions - Tensor(goal)).square() / 2;
    return (offsets - costs.sum(-1)) * scale;
  }
  static at::Tensor Tensor(const std::vector<double>& numbers) {
    return at::tensor(numbers, at::kDouble);
  }
};

// The policy that maximises E value - price KL(policy || prior), number by number:
//   mean = (c g + price m / s^2) / (c + price / s^2),  1 / std^2 = 1 / s^2 + c / price.
Gaussian Optimum(const Bandit& bandit, double price) {
  const at::Tensor c = Bandit::Tensor(bandit.curvature) * bandit.scale;
  const Gaussian prior = bandit.prior();
  const at::Tensor pull = price * (-2 * prior.log_std).exp();
  return {(c * Bandit::Tensor(bandit.goal) + pull * prior.mean) / (c + pull),
          -0.5 * ((-2 * prior.log_std).exp() + c / price).log()};
}

proto::RunConfig Config(double lambda, PoMpc::ActorWeights weights,
                        PoMpc::KlReduction reduction = PoMpc::SUM) {
  proto::RunConfig config;
  *config.mutable_env()->mutable_spec() = model::SmallConfig().env().spec();
  config.mutable_learner()->set_discount(0.9);
  config.mutable_po_mpc()->set_lambda(lambda);
  config.mutable_po_mpc()->set_actor_weights(weights);
  config.mutable_po_mpc()->set_kl_reduction(reduction);
  config.mutable_po_mpc()->set_entropy_coefficient(0);
  return *config::Derive(config);
}

// What minimising the policy's loss comes to, and the running scales it ends with.
struct Solution {
  Gaussian policy;
  at::Tensor value_scale, kl_scale;
};

Solution Solve(const Bandit& bandit, const proto::RunConfig& config) {
  // Noise of +-1 in turn has the first two moments of a normal one: means of a quadratic are exact.
  constexpr int64_t kRows = 40;
  const at::Tensor noise = at::ones({kRows, bandit.numbers()}, at::kDouble);
  noise.slice(0, 1, kRows, 2).fill_(-1);
  Windows windows;
  windows.policy_weights = at::full({kRows}, 1.0 / kRows, at::kDouble);
  // They follow a batch at once, so that they are those of the solution.
  const at::TensorOptions options(at::kDouble);
  RunningScale value_scale(1, options), kl_scale(1, options);
  at::Tensor mean = bandit.prior().mean.clone();
  at::Tensor log_std = bandit.prior().log_std.clone();
  for (int i = 0; i < 3000; ++i) {
    mean = mean.detach().requires_grad_(true);
    log_std = log_std.detach().requires_grad_(true);
    PolicyTerms terms;
    terms.gaussian = {mean, log_std};
    terms.actions = mean + log_std.exp() * noise;
    terms.values = bandit.Values(terms.actions);
    terms.kl =
        GaussianKl(terms.gaussian, bandit.prior(), config.po_mpc().kl_reduction()).expand({kRows});
    terms.entropy = Entropy(terms.gaussian).expand({kRows});
    value_scale.Update(terms.values.detach(), at::Tensor());
    kl_scale.Update(terms.kl.detach(), at::Tensor());
    const at::Tensor loss =
        PolicyLoss(terms, windows, value_scale.value(), kl_scale.value(), config);
    loss.backward();
    // Steps of the size that the two curvatures ask for, whatever the loss is divided by.
    at::NoGradGuard no_grad;
    const at::Tensor& scale = value_scale.value();
    const at::Tensor of_kl = config.po_mpc().actor_weights() == PoMpc::MIX
                                 ? config.po_mpc().alpha() / kl_scale.value()
                                 : NatPrice(config, scale) / scale;
    const double unit = 0.1 / (bandit.scale / scale + of_kl).item<double>();
    mean = mean - mean.grad() * unit;
    log_std = log_std - log_std.grad() * unit;
  }
  return {{mean.detach(), log_std.detach()}, value_scale.value(), kl_scale.value()};
}

void ExpectPolicy(const Gaussian& policy, const Gaussian& expected) {
  EXPECT_TRUE(AllClose(policy.mean, expected.mean, 1e-6)) << policy.mean << expected.mean;
  EXPECT_TRUE(AllClose(policy.log_std, expected.log_std, 1e-6))
      << policy.log_std << expected.log_std;
}

Bandit Example() {
  return {.curvature = {1.5, 0.8},
          .goal = {0.6, -0.2},
          .prior_mean = {-0.1, 0.3},
          .prior_std = {0.9, 1.2}};
}

TEST(LambdaTest, ThePolicyPaysWhatTargetsPay) {
  for (const PoMpc::ActorWeights weights : {PoMpc::LITERAL, PoMpc::RELATIVE}) {
    for (const double lambda : {0.1, 0.3, 1.0}) {
      const proto::RunConfig config = Config(lambda, weights);
      const Solution solution = Solve(Example(), config);
      const double price = NatPrice(config, solution.value_scale).item<double>();
      EXPECT_NEAR(
          price,
          weights == PoMpc::LITERAL ? lambda : lambda * 0.1 * solution.value_scale.item<double>(),
          1e-9);
      EXPECT_GT(solution.value_scale.item<double>(), 30);
      ExpectPolicy(solution.policy, Optimum(Example(), price));
    }
  }
}

// What targets, as the values' fixed point under a policy, say of it: the discounted rewards and
// penalties of acting by it for ever.
double RegularizedReturn(const Bandit& bandit, const Gaussian& policy, double price,
                         double discount) {
  const at::Tensor noise = at::tensor({1.0, -1.0}, at::kDouble).unsqueeze(1);
  const at::Tensor reward =
      bandit.Values(policy.mean + policy.log_std.exp() * noise).mean().view({1, 1});
  const at::Tensor kl = GaussianKl(policy, bandit.prior(), PoMpc::SUM).view({1, 1});
  const WindowRewards window{reward, at::zeros_like(reward), kl * price, discount};
  at::Tensor value = at::zeros_like(reward);
  for (int i = 0; i < 300; ++i) value = OneStepTargets(window, value);
  return (value - kl * price).item<double>();
}

TEST(LambdaTest, ThePolicyMaximisesTheReturnOfTheTargetsUnlessWeightsAreMixed) {
  for (const PoMpc::ActorWeights weights : {PoMpc::LITERAL, PoMpc::RELATIVE, PoMpc::MIX}) {
    const proto::RunConfig config = Config(0.5, weights);
    const Solution solution = Solve(Example(), config);
    const double price = NatPrice(config, solution.value_scale).item<double>();
    const auto value = [&](const Gaussian& policy) {
      return RegularizedReturn(Example(), policy, price, 0.9);
    };
    const double best = value(Optimum(Example(), price));
    if (weights == PoMpc::MIX) {
      EXPECT_LT(value(solution.policy), best - 0.1);
    } else {
      EXPECT_NEAR(value(solution.policy), best, 1e-6);
    }
  }
}

TEST(LambdaTest, TenTimesTheRewardsIsTheSameProblemIfLambdaIsRelative) {
  Bandit tenfold = Example();
  tenfold.scale = 10;
  const auto solve = [](const Bandit& bandit, double lambda, PoMpc::ActorWeights weights) {
    return Solve(bandit, Config(lambda, weights)).policy;
  };
  ExpectPolicy(solve(tenfold, 0.3, PoMpc::RELATIVE), solve(Example(), 0.3, PoMpc::RELATIVE));
  // LITERAL counts lambda in units of reward: a tenth of it.
  ExpectPolicy(solve(tenfold, 3, PoMpc::LITERAL), solve(Example(), 0.3, PoMpc::LITERAL));
}

TEST(LambdaTest, RangesOfValuesBelowOneCountAsOne) {
  Bandit small = Example();
  small.spread = 0.1;
  small.scale = 0.1;
  const proto::RunConfig config = Config(0.3, PoMpc::RELATIVE);
  const Solution solution = Solve(small, config);
  EXPECT_EQ(solution.value_scale.item<double>(), 1);
  ExpectPolicy(solution.policy, Optimum(small, 0.3 * 0.1));
}

// A second number of the action that values do not look at, and one that counts like the first.
TEST(LambdaTest, OneMoreNumberOfAnActionLeavesTheOthersAsTheyAre) {
  const Bandit one{.curvature = {1.5}, .goal = {0.6}, .prior_mean = {-0.1}, .prior_std = {0.9}};
  Bandit ignored = one;
  ignored.curvature.push_back(0);
  ignored.goal.push_back(0);
  ignored.prior_mean.push_back(0.3);
  ignored.prior_std.push_back(1.2);
  Bandit twice = one;
  for (auto* numbers : {&twice.curvature, &twice.goal, &twice.prior_mean, &twice.prior_std})
    numbers->push_back(numbers->front());

  // The range of values is that of the contexts: the same in all three.
  const proto::RunConfig literal = Config(0.5, PoMpc::LITERAL);
  const Gaussian alone = Solve(one, literal).policy;
  const auto number = [](const Gaussian& policy, int64_t i) {
    return Gaussian{policy.mean.narrow(0, i, 1), policy.log_std.narrow(0, i, 1)};
  };
  const Gaussian with_ignored = Solve(ignored, literal).policy;
  ExpectPolicy(number(with_ignored, 0), alone);
  ExpectPolicy(number(with_ignored, 1), number(ignored.prior(), 1));
  const Gaussian with_twin = Solve(twice, literal).policy;
  ExpectPolicy(number(with_twin, 0), alone);
  ExpectPolicy(number(with_twin, 1), alone);

  // MEAN would have halved lambda: with MIX, where it is allowed, it does.
  const proto::RunConfig mean = Config(0.5, PoMpc::MIX, PoMpc::MEAN);
  const Solution halved = Solve(ignored, mean);
  EXPECT_EQ(halved.kl_scale.item<double>(), 1);
  const double price = 0.5 * halved.value_scale.item<double>();
  ExpectPolicy(number(halved.policy, 0), Optimum(one, price / 2));
}

// The actor pays lambda S_q / S_k a nat, the target lambda.
TEST(LambdaTest, MixedWeightsChargeThePolicyAnotherPriceThanTheTargets) {
  const proto::RunConfig config = Config(1, PoMpc::MIX);
  const Solution solution = Solve(Example(), config);
  EXPECT_EQ(NatPrice(config, solution.value_scale).item<double>(), 1);
  const double price = solution.value_scale.item<double>() / solution.kl_scale.item<double>();
  EXPECT_GT(price, 30);
  ExpectPolicy(solution.policy, Optimum(Example(), price));
}

TEST(LambdaTest, TheCodeOfTdMpcSquareWeighsASquaredOver61) {
  const Gaussian policy{at::zeros({38}, at::kDouble), at::zeros({38}, at::kDouble)};
  const Gaussian prior{at::ones({38}, at::kDouble), at::zeros({38}, at::kDouble)};
  EXPECT_NEAR(GaussianKl(policy, prior, PoMpc::TD_MPC_SQUARE).item<double>(), 19.0 * 38 * 38 / 61,
              1e-9);
}

}  // namespace
}  // namespace pompc::update
