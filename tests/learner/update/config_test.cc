#include "learner/update/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

namespace pompc::update {
namespace {

using ::testing::HasSubstr;

TEST(UpdateConfigTest, AlphaAndLambdaAreTheSameWeight) {
  for (const double lambda : {0.0, 0.1, 1.0, 9.0}) {
    UpdateConfig config;
    config.alpha = AlphaOfLambda(lambda);
    EXPECT_NEAR(config.Lambda(), lambda, 1e-12);
  }
  EXPECT_DOUBLE_EQ(AlphaOfLambda(9), 0.9);
  UpdateConfig imitation;
  imitation.alpha = 1;
  EXPECT_TRUE(std::isinf(imitation.Lambda()));
}

TEST(UpdateConfigTest, DiscountHeuristicIsThatOfTdMpc2) {
  EXPECT_DOUBLE_EQ(DiscountHeuristic(500), 0.99);
  EXPECT_DOUBLE_EQ(DiscountHeuristic(1000), 0.995);
  EXPECT_DOUBLE_EQ(DiscountHeuristic(100000), 0.995);
  EXPECT_DOUBLE_EQ(DiscountHeuristic(100), 0.95);
  EXPECT_DOUBLE_EQ(DiscountHeuristic(1), 0.95);
  EXPECT_NEAR(DiscountHeuristic(250), 0.98, 1e-12);
}

TEST(UpdateConfigTest, BuildsOnlyWhatItsPlaceInTheFamilyNeeds) {
  UpdateConfig config;
  EXPECT_TRUE(config.HasRegularizedValues());
  EXPECT_TRUE(config.HasLearnedPrior());
  config.prior = Prior::kReplay;
  EXPECT_TRUE(config.HasRegularizedValues());
  EXPECT_FALSE(config.HasLearnedPrior());
  config.policy_values = PolicyValues::kPlain;
  EXPECT_FALSE(config.HasRegularizedValues());
  config = UpdateConfig();
  config.alpha = 1;
  EXPECT_FALSE(config.HasRegularizedValues());
  EXPECT_TRUE(config.HasLearnedPrior());
  config.alpha = 0;
  EXPECT_TRUE(config.HasRegularizedValues());
  EXPECT_FALSE(config.HasLearnedPrior());
}

TEST(UpdateConfigTest, RefusesInfiniteKlsOfSquashedPolicies) {
  const auto form = model::PolicyForm::kTanhGaussian;
  UpdateConfig config;
  EXPECT_THAT(std::string(config.Validate(form).message()), HasSubstr("prior_kl = FORWARD"));
  EXPECT_TRUE(config.Validate(model::PolicyForm::kClippedGaussian).ok());
  config.prior_kl = PriorKl::kReverse;
  config.policy_kl = PolicyKl::kMassCovering;
  EXPECT_TRUE(config.Validate(form).ok());
  config.prior = Prior::kReplay;
  EXPECT_THAT(std::string(config.Validate(form).message()), HasSubstr("policy_kl = MASS_COVERING"));
  config.alpha = 0;
  EXPECT_TRUE(config.Validate(form).ok());
}

TEST(UpdateConfigTest, RefusesValuesOutOfRangeByName) {
  EXPECT_TRUE(UpdateConfig().Validate().ok());
  const auto refused = [](auto change, const char* text) {
    UpdateConfig config;
    change(config);
    const absl::Status status = config.Validate();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(status.message()), HasSubstr(text));
  };
  refused([](UpdateConfig& c) { c.alpha = 1.5; }, "alpha = 1.5: must be in [0, 1]");
  refused([](UpdateConfig& c) { c.discount = std::numeric_limits<double>::quiet_NaN(); },
          "discount = nan");
  refused(
      [](UpdateConfig& c) {
        c.alpha = 1;
        c.kl_threshold = 2;
      },
      "kl_threshold = 2: must be in [0, 0]");
  refused([](UpdateConfig& c) { c.planner_std_floor = 0; }, "planner_std_floor = 0");
  refused([](UpdateConfig& c) { c.planner_std_ceiling = 0.01; },
          "planner_std_ceiling = 0.01: must be in [0.05");
  refused([](UpdateConfig& c) { c.learning_rate = 0; }, "learning_rate = 0");
  refused([](UpdateConfig& c) { c.tau = -1; }, "tau = -1");
}

}  // namespace
}  // namespace pompc::update
