#include "learner/engine/update_settings.h"

#include <string>

#include "common/config/run_config.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pompc::learner {
namespace {

using ::testing::HasSubstr;
using PoMpc = proto::PoMpcConfig;

proto::RunConfig Config() {
  proto::RunConfig config = config::Resolve(proto::RunConfig());
  config.mutable_env()->mutable_spec()->set_episode_decisions(500);
  return config;
}

TEST(UpdateSettingsTest, DefaultsOfTheConfigAreThoseOfTheUpdate) {
  EXPECT_EQ(*UpdateConfigFrom(Config()), update::UpdateConfig());
}

TEST(UpdateSettingsTest, EveryFieldOfPoMpcArrives) {
  proto::RunConfig config = Config();
  PoMpc* from = config.mutable_po_mpc();
  from->set_lambda(3);
  from->set_prior(PoMpc::REPLAY);
  from->set_prior_kl(PoMpc::REVERSE);
  from->set_policy_kl(PoMpc::CROSS_ENTROPY);
  from->set_actor_weights(PoMpc::LITERAL);
  from->set_scale_kl(false);
  from->set_kl_threshold(2);
  from->set_kl_reduction(PoMpc::SUM);
  from->set_target_horizon(PoMpc::WINDOW_END);
  from->set_target_value_reduction(PoMpc::AVERAGE);
  from->set_policy_values(PoMpc::PLAIN);
  from->set_policy_value_reduction(PoMpc::MIN);
  from->set_policy_at_window_end(true);
  from->set_entropy_coefficient(0.1);
  from->set_planner_std_floor(0.2);
  from->set_regularized_value_gradient(true);
  config.mutable_planner()->set_max_std(3);
  update::UpdateConfig expected;
  expected.alpha = 0.75;
  expected.prior = update::Prior::kReplay;
  expected.prior_kl = update::PriorKl::kReverse;
  expected.policy_kl = update::PolicyKl::kCrossEntropy;
  expected.actor_weights = update::ActorWeights::kLiteral;
  expected.scale_kl = false;
  expected.kl_threshold = 2;
  expected.kl_reduction = update::KlReduction::kSum;
  expected.target_horizon = update::TargetHorizon::kWindowEnd;
  expected.target_value_reduction = update::ValueReduction::kAverage;
  expected.policy_values = update::PolicyValues::kPlain;
  expected.policy_value_reduction = update::ValueReduction::kMin;
  expected.policy_at_window_end = true;
  expected.entropy_coefficient = 0.1;
  expected.planner_std_floor = 0.2;
  expected.planner_std_ceiling = 3;
  expected.regularized_value_gradient = true;
  EXPECT_EQ(*UpdateConfigFrom(config), expected);
  from->set_policy_kl(PoMpc::MASS_COVERING);
  EXPECT_EQ(UpdateConfigFrom(config)->policy_kl, update::PolicyKl::kMassCovering);
}

TEST(UpdateSettingsTest, AlphaReplacesLambda) {
  proto::RunConfig config = Config();
  config.mutable_po_mpc()->set_lambda(3);
  config.mutable_po_mpc()->set_alpha(1);
  EXPECT_EQ(UpdateConfigFrom(config)->alpha, 1);
}

TEST(UpdateSettingsTest, RefusalNamesTheSections) {
  proto::RunConfig config = Config();
  config.mutable_po_mpc()->set_planner_std_floor(5);
  EXPECT_THAT(std::string(UpdateConfigFrom(config).status().message()),
              HasSubstr("learner, po_mpc: planner_std_ceiling = 2"));
}

}  // namespace
}  // namespace pompc::learner
