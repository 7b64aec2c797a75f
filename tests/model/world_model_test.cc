#include "model/world_model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "model/ops.h"
#include "tests/model/testing.h"

namespace pompc::model {
namespace {

proto::RunConfig OfSize(const char* size) {
  proto::RunConfig config;
  config.mutable_env()->mutable_spec()->set_observation_size(5);
  config.mutable_env()->mutable_spec()->set_action_size(1);
  config.mutable_model()->set_size(size);
  return *config::Derive(config);
}

int64_t CountParameters(proto::RunConfig config) {
  int64_t total = 0;
  for (const MlpSpec& spec : {EncoderSpec(config), DynamicsSpec(config), RewardSpec(config),
                              QSpec(config), PolicySpec(config)}) {
    total += spec.NumParameters();
  }
  return total;
}

struct Count {
  const char* size;
  double cartpole_millions;  // 5 observation numbers, 1 action number
  double dog_millions;       // 223 and 38
  double digit;              // of the table
};

// TD-MPC2's sizes as counted from its layer formulas.
TEST(WorldModelTest, HasTheParameterCountsOfTdMpc2) {
  const Count counts[] = {{"1M", 1.20, 1.34, 0.01},
                          {"5M", 4.93, 5.16, 0.01},
                          {"19M", 18.0, 18.6, 0.1},
                          {"48M", 47.1, 48.1, 0.1},
                          {"317M", 312.3, 315.0, 0.1}};
  for (const Count& count : counts) {
    proto::RunConfig config = OfSize(count.size);
    EXPECT_NEAR(static_cast<double>(CountParameters(config)) / 1e6, count.cartpole_millions,
                count.digit / 2)
        << count.size;
    config.mutable_env()->mutable_spec()->set_observation_size(223);
    config.mutable_env()->mutable_spec()->set_action_size(38);
    EXPECT_NEAR(static_cast<double>(CountParameters(config)) / 1e6, count.dog_millions,
                count.digit / 2)
        << count.size;
  }
}

// State values see no action: BMPC's two of them on the dog.
TEST(WorldModelTest, HasTheParameterCountOfBmpc) {
  proto::RunConfig config = OfSize("5M");
  config.mutable_env()->mutable_spec()->set_observation_size(223);
  config.mutable_env()->mutable_spec()->set_action_size(38);
  config.mutable_model()->set_num_q(2);
  config.mutable_model()->set_value_form(proto::ModelConfig::STATE_VALUES);
  EXPECT_EQ(QSpec(config).input, 512);
  EXPECT_NEAR(static_cast<double>(CountParameters(config)) / 1e6, 3.32, 0.005);
}

// PyTorch's own initialisation in the value ensemble alone, but for the last layer's weights.
TEST(WorldModelTest, TheQEnsembleMayStartUniform) {
  proto::RunConfig config = SmallConfig();
  const WorldModel normal = WorldModel::Create(config, at::kCPU, 1);
  config.mutable_model()->set_q_initialization(proto::ModelConfig::UNIFORM);
  const WorldModel uniform = WorldModel::Create(config, at::kCPU, 1);
  const NamedTensors before = normal.Parameters(), after = uniform.Parameters();
  for (size_t i = 0; i < before.size(); ++i) {
    const std::string& name = before[i].name;
    const bool changes =
        name.rfind("q.", 0) == 0 && name != "q.2.weight" && name.find("norm") == std::string::npos;
    EXPECT_EQ(at::equal(before[i].tensor, after[i].tensor), !changes) << name;
    if (!changes) continue;
    // 18 numbers come into the first layer, 16 into the others.
    const double bound = 1 / std::sqrt(name[2] == '0' ? 18.0 : 16.0);
    const at::Tensor& x = after[i].tensor;
    const double n = static_cast<double>(x.numel());
    EXPECT_LE(x.abs().max().item<double>(), bound) << name;
    EXPECT_NEAR(x.mean().item<double>(), 0, 5 * bound / std::sqrt(3 * n)) << name;
    EXPECT_NEAR(x.square().mean().item<double>(), bound * bound / 3,
                5 * bound * bound / std::sqrt(11.25 * n))
        << name;
  }
}

TEST(WorldModelTest, HasTheParameterCountsOfEachNetworkOfTheDefaultSize) {
  proto::RunConfig config = OfSize("5M");
  EXPECT_EQ(EncoderSpec(config).NumParameters(), 134656);
  EXPECT_EQ(DynamicsSpec(config).NumParameters(), 791552);
  EXPECT_EQ(RewardSpec(config).NumParameters(), 579685);
  EXPECT_EQ(PolicySpec(config).NumParameters(), 528386);
  EXPECT_EQ(QSpec(config).NumParameters(), 2898425);
  config.mutable_env()->mutable_spec()->set_observation_size(67);
  config.mutable_env()->mutable_spec()->set_action_size(21);
  EXPECT_NEAR(static_cast<double>(CountParameters(config)) / 1e6, 5.04, 0.005);
}

TEST(WorldModelTest, CreatedModelHasTheCountedParametersInTheDocumentedOrder) {
  proto::RunConfig config = SmallConfig();
  const WorldModel model = WorldModel::Create(config, at::kCPU, 1);
  EXPECT_EQ(model.NumParameters(), CountParameters(config));
  std::vector<std::string> networks;
  int64_t total = 0;
  for (const NamedTensor& named : model.Parameters()) {
    const std::string network = named.name.substr(0, named.name.find('.'));
    if (networks.empty() || networks.back() != network) networks.push_back(network);
    // Views of the flat vector, one after the other.
    EXPECT_EQ(named.tensor.data_ptr<float>(), model.flat().data_ptr<float>() + total) << named.name;
    total += named.tensor.numel();
  }
  EXPECT_EQ(total, model.NumParameters());
  EXPECT_EQ(networks, (std::vector<std::string>{"encoder", "dynamics", "reward", "q", "policy"}));

  config.mutable_env()->mutable_spec()->set_terminates(true);
  const WorldModel terminating = WorldModel::Create(config, at::kCPU, 1);
  EXPECT_EQ(terminating.NumParameters(),
            model.NumParameters() + TerminationSpec(config).NumParameters());
}

TEST(WorldModelTest, EveryNetworkMultipliesAsTheConfigSays) {
  proto::RunConfig config = SmallConfig();
  config.mutable_env()->mutable_spec()->set_terminates(true);
  config.mutable_model()->set_matmul_dtype(proto::ModelConfig::BFLOAT16);
  for (const MlpSpec& spec : {EncoderSpec(config), DynamicsSpec(config), RewardSpec(config),
                              TerminationSpec(config), QSpec(config), PolicySpec(config)}) {
    EXPECT_EQ(spec.matmul_dtype, proto::ModelConfig::BFLOAT16) << spec.name;
  }
}

TEST(WorldModelTest, LatentsAreSimplices) {
  const proto::RunConfig config = SmallConfig();
  const WorldModel model = WorldModel::Create(config, at::kCPU, 1);
  at::NoGradGuard no_grad;
  const at::Tensor z = model.Encode(Draw(1, {9, config.env().spec().observation_size()}) * 100);
  const at::Tensor next = model.Next(z, Draw(2, {9, config.env().spec().action_size()}));
  for (const at::Tensor& latents : {z, next}) {
    ASSERT_EQ(latents.sizes(), (std::vector<int64_t>{9, config.model().latent_dim()}));
    const at::Tensor groups =
        latents.view({9, config.model().latent_dim() / config.model().simnorm_dim(),
                      config.model().simnorm_dim()});
    EXPECT_TRUE(AllClose(groups.sum(-1), at::ones({9, 2}), 1e-6));
    EXPECT_GE(latents.min().item<float>(), 0);
  }
}

TEST(WorldModelTest, FreshValuesAndRewardsAreZero) {
  const proto::RunConfig config = SmallConfig();
  const WorldModel model = WorldModel::Create(config, at::kCPU, 1);
  at::NoGradGuard no_grad;
  const at::Tensor z = model.Encode(Draw(1, {4, config.env().spec().observation_size()}));
  const at::Tensor a = Draw(2, {4, config.env().spec().action_size()});
  const at::Tensor input = at::cat({z, a}, 1);
  const at::Tensor q = model.q().Forward(input);
  EXPECT_EQ(q.sizes(),
            (std::vector<int64_t>{config.model().num_q(), 4, config.model().num_bins()}));
  EXPECT_TRUE(AllClose(TwoHotDecode(q, BinsOf(config.model())), at::zeros({3, 4}), 1e-5));
  EXPECT_TRUE(AllClose(TwoHotDecode(model.reward().Forward(input), BinsOf(config.model())),
                       at::zeros({4}), 1e-5));
}

TEST(WorldModelTest, CloneIsIndependentAndCopyFromRestores) {
  const WorldModel model = WorldModel::Create(SmallConfig(), at::kCPU, 1);
  const WorldModel clone = model.Clone();
  const WorldModel handle = model;
  EXPECT_TRUE(at::equal(clone.flat(), model.flat()));
  model.flat().add_(1);
  EXPECT_FALSE(at::equal(clone.flat(), model.flat()));
  EXPECT_TRUE(at::equal(handle.flat(), model.flat()));
  ASSERT_TRUE(WorldModel(model).CopyFrom(clone.Parameters()).ok());
  EXPECT_TRUE(at::equal(clone.flat(), model.flat()));
}

TEST(WorldModelTest, CopyFromRefusesAnotherArchitecture) {
  WorldModel model = WorldModel::Create(SmallConfig(), at::kCPU, 1);
  proto::RunConfig other = SmallConfig();
  other.mutable_model()->set_mlp_dim(24);
  const at::Tensor before = model.flat().clone();
  const WorldModel source = WorldModel::Create(other, at::kCPU, 2);
  const absl::Status status = model.CopyFrom(source.Parameters());
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("dynamics.0.weight"), absl::string_view::npos) << status;
  EXPECT_TRUE(at::equal(before, model.flat()));
}

TEST(WorldModelTest, ParametersDependOnTheSeedAlone) {
  const WorldModel a = WorldModel::Create(SmallConfig(), at::kCPU, 1);
  const WorldModel b = WorldModel::Create(SmallConfig(), at::kCPU, 1);
  const WorldModel c = WorldModel::Create(SmallConfig(), at::kCPU, 2);
  EXPECT_TRUE(at::equal(a.flat(), b.flat()));
  EXPECT_FALSE(at::equal(a.flat(), c.flat()));
}

}  // namespace
}  // namespace pompc::model
