// The planning methods on problems whose answers are known, without a model.
#include "model/planning/search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "common/base/threads.h"
#include "tests/model/testing.h"

namespace pompc::model {
namespace {

constexpr int64_t kStates = 3, kHorizon = 4, kActions = 2;

proto::PlannerConfig Settings(proto::PlannerConfig::Method method = proto::PlannerConfig::MPPI) {
  proto::PlannerConfig settings;
  settings.set_method(method);
  settings.set_horizon(kHorizon);
  settings.set_iterations(12);
  settings.set_samples(256);
  settings.set_policy_samples(0);
  settings.set_elites(24);
  settings.set_min_std(0.01);
  settings.set_temperature(2);
  return settings;
}

at::Tensor Seeds() { return at::tensor({11, 12, 13}, at::kLong); }

// The best sequence of each state; some actions of it lie beyond what may be executed.
at::Tensor Target() { return Draw(5, {kStates, kHorizon, kActions}) * 0.7; }

// Values are minus the squared distance from the target.
SearchProblem Quadratic(const proto::PlannerConfig& settings) {
  SearchProblem problem{settings, Seeds(), at::zeros({kStates, kHorizon, kActions}), {}, {}};
  problem.values = [](const at::Tensor& sequences, int) {
    return -(sequences - Target().unsqueeze(1)).square().flatten(2).sum(2);
  };
  return problem;
}

class MethodTest : public ::testing::TestWithParam<proto::PlannerConfig::Method> {};

INSTANTIATE_TEST_SUITE_P(Methods, MethodTest,
                         ::testing::Values(proto::PlannerConfig::MPPI, proto::PlannerConfig::CEM),
                         [](const auto& info) {
                           return proto::PlannerConfig::Method_Name(info.param);
                         });

TEST_P(MethodTest, FindsTheTopOfAQuadraticWithinTheBox) {
  const proto::PlannerConfig settings = Settings(GetParam());
  const SearchResult result = Search(Quadratic(settings));
  const at::Tensor best = Target().clamp(-1, 1);
  ASSERT_FALSE(AllClose(best, Target(), 0.1)) << "no action of the target lies outside";
  EXPECT_TRUE(AllClose(result.mean, best, 0.05));
  EXPECT_TRUE(AllClose(result.action, best.select(1, 0), 0.08));
  EXPECT_LT(result.std.max().item<float>(), 0.1);
  EXPECT_GE(result.std.min().item<float>(), 0.01f);
  // What it says the plan is worth: nearly the value of the top.
  const at::Tensor top = -(best - Target()).square().flatten(1).sum(1);
  EXPECT_TRUE(AllClose(result.value, top, 0.05));
  EXPECT_TRUE(AllClose(result.weights.sum(1), at::ones({kStates}), 1e-5));
}

TEST_P(MethodTest, StartsAtTheGuess) {
  proto::PlannerConfig settings = Settings(GetParam());
  settings.set_iterations(1);
  settings.set_min_std(1e-3);
  settings.set_max_std(1e-3);
  SearchProblem problem = Quadratic(settings);
  problem.guess = Draw(8, {kStates, kHorizon, kActions}).clamp(-0.9, 0.9);
  EXPECT_TRUE(AllClose(Search(problem).mean, problem.guess, 5e-3));
}

TEST_P(MethodTest, TakesWhatThePolicyProposes) {
  proto::PlannerConfig settings = Settings(GetParam());
  settings.set_iterations(1);
  settings.set_samples(34);
  settings.set_policy_samples(2);
  settings.set_elites(2);
  SearchProblem problem = Quadratic(settings);
  // Both better than anything that 32 draws with a deviation of 2 find.
  problem.policy_sequences = Target().clamp(-1, 1).unsqueeze(1).repeat({1, 2, 1, 1});
  EXPECT_TRUE(AllClose(Search(problem).mean, Target().clamp(-1, 1), 1e-5));
}

TEST_P(MethodTest, AStateIsSearchedAloneAsAmongOthers) {
  const proto::PlannerConfig settings = Settings(GetParam());
  const SearchProblem all = Quadratic(settings);
  const SearchResult together = Search(all);
  for (int64_t s = 0; s < kStates; ++s) {
    SearchProblem one = all;
    one.seeds = all.seeds.narrow(0, s, 1);
    one.guess = all.guess.narrow(0, s, 1);
    one.values = [s](const at::Tensor& sequences, int) {
      return -(sequences - Target().narrow(0, s, 1).unsqueeze(1)).square().flatten(2).sum(2);
    };
    const SearchResult alone = Search(one);
    EXPECT_TRUE(AllClose(alone.mean[0], together.mean[s], 1e-5)) << s;
    EXPECT_TRUE(AllClose(alone.action[0], together.action[s], 1e-5)) << s;
  }
}

TEST_P(MethodTest, StopsWhenAnotherIterationWouldEndTooLate) {
  const proto::PlannerConfig settings = Settings(GetParam());
  FakeClock clock;
  clock.Advance(absl::Seconds(100));
  SearchProblem problem = Quadratic(settings);
  problem.clock = &clock;
  const auto search = [&](absl::Duration budget, std::vector<int> iteration_ms) {
    problem.values = [&, iteration_ms](const at::Tensor& sequences, int iteration) {
      const auto i = std::min(static_cast<size_t>(iteration), iteration_ms.size() - 1);
      clock.Advance(absl::Milliseconds(iteration_ms[i]));
      return Quadratic(settings).values(sequences, iteration);
    };
    problem.finish_by = clock.Now() + budget;
    return Search(problem);
  };
  EXPECT_EQ(search(absl::Milliseconds(30), {10}).iterations, 3) << "the last ends just in time";
  EXPECT_EQ(search(absl::Milliseconds(29), {10}).iterations, 2);
  EXPECT_EQ(search(absl::Milliseconds(100), {50, 10}).iterations, 2) << "the longest counts";
  EXPECT_EQ(search(absl::Milliseconds(100), {10, 45}).iterations, 3);
  EXPECT_EQ(search(-absl::Seconds(1), {10}).iterations, 1) << "one is made even if it is late";
  EXPECT_EQ(search(absl::Seconds(9), {10}).iterations, 12);
  EXPECT_EQ(search(absl::InfiniteDuration(), {10}).iterations, 12);
  // What is found is what a search of as many iterations finds.
  const SearchResult stopped = search(absl::Milliseconds(30), {10});
  proto::PlannerConfig fewer = settings;
  fewer.set_iterations(3);
  const SearchResult whole = Search(Quadratic(fewer));
  EXPECT_TRUE(at::equal(stopped.action, whole.action));
  EXPECT_TRUE(at::equal(stopped.mean, whole.mean));
  EXPECT_TRUE(at::equal(stopped.std, whole.std));
  EXPECT_TRUE(at::equal(stopped.value, whole.value));
}

// One iteration recomputed by sorting: the elites are the best candidates, best first, and CEM's
// Gaussian is their mean and deviation.
TEST(CemTest, FitsTheElites) {
  proto::PlannerConfig settings = Settings(proto::PlannerConfig::CEM);
  settings.set_iterations(1);
  const SearchProblem problem = Quadratic(settings);
  const SearchResult result = Search(problem);
  const at::Tensor candidates =
      (Draw(problem, kSamples, 0, {256, kHorizon, kActions}) * settings.max_std()).clamp(-1, 1);
  const at::Tensor values = problem.values(candidates, 0);
  for (int64_t s = 0; s < kStates; ++s) {
    const at::Tensor order = values[s].argsort(0, /*descending=*/true).narrow(0, 0, 24);
    const at::Tensor elites = candidates[s].index_select(0, order);
    EXPECT_TRUE(at::equal(result.elites.sequences[s], elites));
    EXPECT_TRUE(at::equal(result.elites.values[s], values[s].index_select(0, order)));
    EXPECT_TRUE(AllClose(result.mean[s], elites.mean(0), 1e-5));
    EXPECT_TRUE(AllClose(result.std[s], (elites - elites.mean(0)).square().mean(0).sqrt(), 1e-5));
  }
}

TEST(DrawElitesTest, ANanIsNotTheBest) {
  proto::PlannerConfig settings = Settings();
  SearchProblem problem = Quadratic(settings);
  problem.values = [](const at::Tensor& sequences, int) {
    at::Tensor values = at::full({kStates, sequences.size(1)}, 1.0f);
    values.select(1, 7).fill_(std::numeric_limits<float>::quiet_NaN());
    return values;
  };
  const at::Tensor std = at::ones_like(problem.guess);
  EXPECT_TRUE(at::equal(DrawElites(problem, problem.guess, std, 0).values,
                        at::ones({kStates, settings.elites()})));
}

}  // namespace
}  // namespace pompc::model
