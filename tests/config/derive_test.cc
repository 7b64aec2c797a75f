
#include <cmath>
#include <string>

#include "common/config/fields.h"
#include "common/config/run_config.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pompc::config {
namespace {

using ::testing::HasSubstr;

proto::RunConfig Config() {
  proto::RunConfig config = Resolve(proto::RunConfig());
  proto::EnvSpec* spec = config.mutable_env()->mutable_spec();
  spec->set_observation_size(5);
  spec->set_action_size(1);
  spec->set_episode_decisions(500);
  return config;
}

std::string ErrorOf(const proto::RunConfig& config) {
  const absl::Status status = Derive(config).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  return std::string(status.message());
}

TEST(Derive, FillsInWhatTheConfigLeavesToRulesAndNothingElse) {
  const proto::RunConfig given = Config();
  const auto derived = Derive(given);
  ASSERT_TRUE(derived.ok()) << derived.status();
  std::string changes;
  for (const FieldDifference& difference : Differences(given, *derived, "")) {
    changes += difference.path + "=" + difference.now + " ";
  }
  EXPECT_EQ(changes,
            "model.encoder_dim=256 model.mlp_dim=512 model.latent_dim=512 model.encoder_layers=2 "
            "model.num_q=5 planner.iterations=6 po_mpc.alpha=0.5 learner.discount=0.99 ");
  EXPECT_TRUE(Differences(*derived, *Derive(*derived), "").empty());
}

TEST(Derive, DefaultsNeedNotBeSet) {
  proto::RunConfig config;
  *config.mutable_env()->mutable_spec() = Config().env().spec();
  EXPECT_TRUE(Differences(*Derive(config), *Derive(Config()), "").empty());
}

TEST(Derive, WhatIsGivenStays) {
  proto::RunConfig config = Config();
  config.mutable_model()->set_size("tiny");
  config.mutable_model()->set_latent_dim(32);
  config.mutable_planner()->set_iterations(4);
  config.mutable_learner()->set_discount(0.9);
  config.mutable_po_mpc()->set_alpha(0.25);
  const proto::RunConfig derived = *Derive(config);
  EXPECT_EQ(derived.model().mlp_dim(), 128u);
  EXPECT_EQ(derived.model().latent_dim(), 32u);
  EXPECT_EQ(derived.planner().iterations(), 4u);
  EXPECT_EQ(derived.learner().discount(), 0.9);
  EXPECT_EQ(derived.po_mpc().alpha(), 0.25);
}

TEST(Derive, ActionsOfTwentyNumbersTakeMoreIterations) {
  proto::RunConfig config = Config();
  config.mutable_env()->mutable_spec()->set_action_size(19);
  EXPECT_EQ(Derive(config)->planner().iterations(), 6u);
  config.mutable_env()->mutable_spec()->set_action_size(20);
  EXPECT_EQ(Derive(config)->planner().iterations(), 8u);
}

TEST(Derive, DiscountIsThatOfTdMpc2) {
  const auto discount = [](uint32_t decisions) {
    proto::RunConfig config = Config();
    config.mutable_env()->mutable_spec()->set_episode_decisions(decisions);
    return Derive(config)->learner().discount();
  };
  EXPECT_DOUBLE_EQ(discount(500), 0.99);
  EXPECT_DOUBLE_EQ(discount(1000), 0.995);
  EXPECT_DOUBLE_EQ(discount(100000), 0.995);
  EXPECT_DOUBLE_EQ(discount(100), 0.95);
  EXPECT_DOUBLE_EQ(discount(3), 0.95);
  EXPECT_NEAR(discount(250), 0.98, 1e-12);
}

TEST(Derive, AlphaIsLambdasShare) {
  proto::RunConfig config = Config();
  config.mutable_po_mpc()->set_lambda(9);
  EXPECT_DOUBLE_EQ(Derive(config)->po_mpc().alpha(), 0.9);
  config.mutable_po_mpc()->set_lambda(0);
  EXPECT_EQ(Derive(config)->po_mpc().alpha(), 0);
}

TEST(Derive, ALockstepRunPlansOneByOne) {
  proto::RunConfig config = Config();
  EXPECT_EQ(Derive(config)->planner().max_batch(), 64u);
  config.set_schedule(proto::RunConfig::LOCKSTEP);
  EXPECT_EQ(Derive(config)->planner().max_batch(), 1u);
}

TEST(Derive, ANumberOutOfRangeIsRefused) {
  proto::RunConfig config = Config();
  config.mutable_learner()->set_discount(std::nan(""));
  EXPECT_THAT(ErrorOf(config), HasSubstr("learner.discount"));
  config = Config();
  config.mutable_planner()->set_elites(600);
  EXPECT_THAT(ErrorOf(config), HasSubstr("planner.elites: 600"));
}

TEST(Derive, TheSpecMustBeThere) {
  proto::RunConfig config = Config();
  config.mutable_env()->clear_spec();
  EXPECT_THAT(ErrorOf(config), HasSubstr("env.spec"));
}

}  // namespace
}  // namespace pompc::config
