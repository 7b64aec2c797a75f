#include "parameters/model_config.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pompc::parameters {
namespace {

using ::testing::HasSubstr;

proto::RunConfig Config() {
  proto::RunConfig config;
  proto::EnvSpec* spec = config.mutable_env()->mutable_spec();
  spec->set_observation_size(5);
  spec->set_action_size(2);
  config.mutable_model()->set_size("tiny");
  config.mutable_learner()->set_discount(0.98);
  return config;
}

TEST(ModelConfigTest, ZerosAreFilledInFromTheSize) {
  const auto model = ModelConfigFrom(Config());
  ASSERT_TRUE(model.ok()) << model.status();
  model::ModelConfig expected = *model::ModelSize("tiny");
  expected.observation_size = 5;
  expected.action_size = 2;
  EXPECT_EQ(*model, expected);
}

TEST(ModelConfigTest, EveryFieldOfTheSectionArrives) {
  proto::RunConfig config = Config();
  config.mutable_env()->mutable_spec()->set_terminates(true);
  proto::ModelConfig* from = config.mutable_model();
  from->set_encoder_dim(1);
  from->set_mlp_dim(2);
  from->set_latent_dim(12);
  from->set_encoder_layers(4);
  from->set_num_q(7);
  from->set_simnorm_dim(3);
  from->set_dropout(0.5);
  from->set_num_bins(11);
  from->set_bin_min(-2);
  from->set_bin_max(3);
  from->set_policy_form(proto::ModelConfig::TANH_GAUSSIAN);
  from->set_log_std_min(-4);
  from->set_log_std_max(2);
  from->set_matmul_dtype(proto::ModelConfig::BFLOAT16);
  const auto model = ModelConfigFrom(config);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(*model, (model::ModelConfig{.observation_size = 5,
                                        .action_size = 2,
                                        .terminates = true,
                                        .encoder_dim = 1,
                                        .mlp_dim = 2,
                                        .latent_dim = 12,
                                        .encoder_layers = 4,
                                        .num_q = 7,
                                        .simnorm_dim = 3,
                                        .dropout = 0.5,
                                        .num_bins = 11,
                                        .bin_min = -2,
                                        .bin_max = 3,
                                        .policy_form = model::PolicyForm::kTanhGaussian,
                                        .log_std_min = -4,
                                        .log_std_max = 2,
                                        .matmul_dtype = model::MatmulDtype::kBfloat16}));
}

TEST(ModelConfigTest, DefaultsOfTheConfigAreThoseOfTheModel) {
  proto::RunConfig config = Config();
  config.mutable_model()->clear_size();
  model::ModelConfig expected;
  expected.observation_size = 5;
  expected.action_size = 2;
  EXPECT_EQ(*ModelConfigFrom(config), expected);
  model::MppiConfig mppi;
  mppi.discount = 0.98;
  EXPECT_EQ(*MppiConfigFrom(config), mppi);
}

TEST(ModelConfigTest, UnknownSizeIsRefusedNamingTheAllowedOnes) {
  proto::RunConfig config = Config();
  config.mutable_model()->set_size("huge");
  const absl::Status status = ModelConfigFrom(config).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("model.size: unknown model size \"huge\""));
  EXPECT_THAT(std::string(status.message()), HasSubstr("tiny, small, 1M"));
}

TEST(ModelConfigTest, LatentThatIsNoMultipleOfTheSimplexIsRefused) {
  proto::RunConfig config = Config();
  config.mutable_model()->set_latent_dim(13);
  const absl::Status status = ModelConfigFrom(config).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("model: latent_dim = 13"));
}

TEST(ModelConfigTest, MissingSpecIsRefused) {
  proto::RunConfig config = Config();
  config.mutable_env()->clear_spec();
  EXPECT_EQ(ModelConfigFrom(config).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(MppiConfigFrom(config).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(MppiConfigTest, EveryFieldOfTheSectionArrives) {
  proto::RunConfig config = Config();
  proto::PlannerConfig* from = config.mutable_planner();
  from->set_horizon(2);
  from->set_iterations(3);
  from->set_samples(40);
  from->set_policy_samples(5);
  from->set_elites(6);
  from->set_temperature(0.7);
  from->set_min_std(0.8);
  from->set_max_std(0.9);
  from->set_statistic(proto::PlannerConfig::BEST);
  const auto mppi = MppiConfigFrom(config);
  ASSERT_TRUE(mppi.ok()) << mppi.status();
  EXPECT_EQ(*mppi, (model::MppiConfig{.horizon = 2,
                                      .iterations = 3,
                                      .samples = 40,
                                      .policy_samples = 5,
                                      .elites = 6,
                                      .temperature = 0.7,
                                      .min_std = 0.8,
                                      .max_std = 0.9,
                                      .statistic = model::PlanStatistic::kBest,
                                      .discount = 0.98}));
}

TEST(MppiConfigTest, IterationsFollowTheActionSizeUnlessGiven) {
  proto::RunConfig config = Config();
  EXPECT_EQ(MppiConfigFrom(config)->iterations, 6);
  config.mutable_env()->mutable_spec()->set_action_size(20);
  EXPECT_EQ(MppiConfigFrom(config)->iterations, 8);
  config.mutable_planner()->set_iterations(4);
  EXPECT_EQ(MppiConfigFrom(config)->iterations, 4);
}

TEST(MppiConfigTest, MissingDiscountIsRefused) {
  proto::RunConfig config = Config();
  config.mutable_learner()->clear_discount();
  const absl::Status status = MppiConfigFrom(config).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("learner.discount"));
}

TEST(PlanningSectionsTest, CarryWhatPlanningNeedsAndNothingElse) {
  proto::RunConfig config = Config();
  config.mutable_planner()->set_samples(77);
  config.mutable_replay()->set_slack_rows(5);
  config.mutable_learner()->set_batch_size(8);
  const proto::RunConfig sections = PlanningSections(config, 0.97);
  EXPECT_EQ(sections.env().spec().observation_size(), 5u);
  EXPECT_EQ(sections.model().size(), "tiny");
  EXPECT_EQ(sections.planner().samples(), 77u);
  EXPECT_EQ(sections.learner().discount(), 0.97);
  EXPECT_FALSE(sections.learner().has_batch_size());
  EXPECT_FALSE(sections.has_replay());
  EXPECT_TRUE(ModelConfigFrom(sections).ok());
  EXPECT_TRUE(MppiConfigFrom(sections).ok());
}

}  // namespace
}  // namespace pompc::parameters
