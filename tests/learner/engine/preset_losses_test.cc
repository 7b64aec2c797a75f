// Every preset's losses against an implementation that shares nothing with the updater.
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "common/config/run_config.h"
#include "learner/update/draws.h"
#include "learner/update/losses.h"
#include "model/random.h"
#include "tests/learner/update/reference_update.h"
#include "tests/learner/update/testing.h"

namespace pompc::update {
namespace {

using reference::Row;

constexpr int64_t kBatch = 6, kHorizon = 3;
constexpr uint64_t kSeed = 3;

struct Member {
  std::string preset;
  std::vector<std::string> overrides;
};

void PrintTo(const Member& member, std::ostream* out) {
  *out << member.preset << " with " << ::testing::PrintToString(member.overrides);
}

proto::RunConfig Load(const Member& member) {
  std::vector<std::string> overrides = {
      "env.task=external",          "env.spec.observation_size=3",
      "env.spec.action_size=2",     "env.spec.episode_decisions=100",
      "env.spec.terminates=true",   "model.size=tiny",
      "model.encoder_dim=8",        "model.mlp_dim=16",
      "model.latent_dim=16",        "model.dropout=0.1",
      "learner.learning_rate=0.01", "learner.tau=0.2"};
  overrides.insert(overrides.end(), member.overrides.begin(), member.overrides.end());
  auto config = config::LoadRunConfig({.presets = {member.preset},
                                       .overrides = overrides,
                                       .presets_dir = std::string(POMPC_SOURCE_DIR) + "/presets"});
  EXPECT_TRUE(config.ok()) << config.status();
  if (config->model().num_q() == 0) config->mutable_model()->set_num_q(3);
  return *config::Derive(*config);
}

// Windows with terminal states, values that spread, and rows without a plan.
Batch ExampleBatch(const proto::RunConfig& config, uint64_t seed) {
  Batch batch = MakeBatch(config, seed, kBatch, kHorizon);
  batch.rewards = batch.rewards * 20;
  batch.terminated[1][1] = 1;
  batch.has_plan[2][0] = 0;
  batch.has_plan[3][2] = 0;
  batch.has_plan[4].zero_();
  batch.has_plan[5][3] = 0;
  batch.plan_age = at::tensor({0.0, 3.0, 12.0, 1.0, 7.0, 30.0}, at::kFloat);
  return batch;
}

std::vector<double> Numbers(const at::Tensor& x) {
  const at::Tensor doubles = x.to(at::kDouble).contiguous();
  return {doubles.data_ptr<double>(), doubles.data_ptr<double>() + doubles.numel()};
}

std::vector<Row> Rows(const at::Tensor& x) {
  std::vector<Row> rows;
  for (int64_t i = 0; i < x.size(0); ++i) rows.push_back(Numbers(x[i]));
  return rows;
}

std::vector<bool> Flags(const at::Tensor& x) {
  std::vector<bool> flags;
  for (const double flag : Numbers(x)) flags.push_back(flag != 0);
  return flags;
}

std::vector<reference::Window> Windows(const Batch& batch) {
  std::vector<reference::Window> windows;
  for (int64_t b = 0; b < batch.actions.size(0); ++b) {
    windows.push_back({Rows(batch.observations[b]), Rows(batch.actions[b]),
                       Numbers(batch.rewards[b]), Flags(batch.terminated[b]),
                       Rows(batch.plan_mean[b]), Rows(batch.plan_std[b]), Flags(batch.has_plan[b]),
                       batch.plan_age[b].item<double>()});
  }
  return windows;
}

reference::Parameters ToParameters(const UpdaterState& state) {
  reference::Parameters parameters;
  for (const model::NamedTensor& named : state.tensors)
    parameters[named.name] = {named.tensor.sizes().vec(), Numbers(named.tensor)};
  return parameters;
}

// Networks far from their initial ones, whose values and rewards are all zero, and scales that
// count.
UpdaterState Perturbed(UpdaterState state) {
  uint64_t seed = 1000;
  for (model::NamedTensor& named : state.tensors) {
    if (named.name == "scale.value" || named.name == "scale.kl") {
      named.tensor.fill_(named.name == "scale.kl" ? 3 : 8);
    } else if (named.name.rfind("adam.", 0) != 0) {
      named.tensor.add_(model::Draw(++seed, named.tensor.sizes(), at::kDouble) * 0.3);
    }
  }
  return state;
}

// The draws of the update after `updates` others.
class Drawer {
 public:
  Drawer(const proto::RunConfig& config, int64_t updates)
      : model_(config.model()),
        action_size_(config.env().spec().action_size()),
        index_(static_cast<uint32_t>(updates)) {}

  std::vector<Row> Noise(Stream stream, int64_t rows) const {
    return Rows(model::Normal({kSeed}, {stream, index_}, {rows, action_size_}, at::kCPU)[0]);
  }
  std::array<int, 2> Members(Stream stream) const {
    return model::RandomPair(kSeed, {stream, index_}, model_.num_q());
  }
  std::vector<std::vector<Row>> Dropout(Stream stream, int64_t members, int64_t rows) const {
    const at::Tensor mask = model::DrawDropout(kSeed, {stream, index_},
                                               {members, rows, model_.mlp_dim()}, model_.dropout());
    std::vector<std::vector<Row>> result;
    for (int64_t i = 0; i < members; ++i) result.push_back(Rows(mask[i]));
    return result;
  }

 private:
  const proto::ModelConfig& model_;
  const int64_t action_size_;
  const uint32_t index_;
};

reference::Draws MakeDraws(const proto::RunConfig& config, int64_t updates) {
  const Drawer drawer(config, updates);
  const int64_t rows = kHorizon * kBatch;
  const int64_t policy_rows = rows + (config.po_mpc().policy_at_window_end() ? kBatch : 0);
  // At a window's end alone where no other state needs an action.
  const bool sampled_penalty = HasRegularizedValues(config.po_mpc()) &&
                               config.po_mpc().alpha() > 0 &&
                               (config.po_mpc().prior() == proto::PoMpcConfig::REPLAY ||
                                config.po_mpc().policy_kl() == proto::PoMpcConfig::CROSS_ENTROPY) &&
                               config.model().policy_form() == proto::ModelConfig::TANH_GAUSSIAN;
  const bool all =
      config.po_mpc().target_horizon() == proto::PoMpcConfig::ONE_STEP || sampled_penalty;
  reference::Draws draws;
  draws.target_noise = drawer.Noise(kTargetAction, all ? rows : kBatch);
  if (!all) draws.target_noise.insert(draws.target_noise.begin(), rows - kBatch, Row());
  draws.policy_noise = drawer.Noise(kPolicyNoise, policy_rows);
  draws.prior_noise = drawer.Noise(kPriorNoise, policy_rows);
  draws.target_members = drawer.Members(kTargetMembers);
  draws.policy_members = drawer.Members(kPolicyMembers);
  draws.fit_dropout = drawer.Dropout(kFitDropout, config.model().num_q(), rows);
  draws.policy_dropout = drawer.Dropout(kPolicyDropout, 2, policy_rows);
  return draws;
}

class FamilyLossesTest : public ::testing::TestWithParam<Member> {};

TEST_P(FamilyLossesTest, EqualThoseOfAnIndependentImplementation) {
  const proto::RunConfig config = Load(GetParam());
  const auto updater = MakeUpdater(config, kSeed, at::kDouble);
  ASSERT_TRUE(updater->Import(Perturbed(updater->Export())).ok());
  for (uint64_t i = 0; i < 3; ++i) ASSERT_TRUE(updater->Step(ExampleBatch(config, i), false).ok());

  reference::Update update{config};
  const Batch batch = ExampleBatch(config, 100);
  update.windows = Windows(batch);
  update.draws = MakeDraws(config, updater->update_count());
  update.prior_trained = true;
  update.before = ToParameters(updater->Export());
  const absl::StatusOr<UpdateMetrics> metrics = updater->Step(batch, true);
  ASSERT_TRUE(metrics.ok()) << metrics.status();
  update.after = ToParameters(updater->Export());

  const reference::Losses losses = reference::ComputeLosses(update);
  const auto expect_near = [](const char* name, double value, double expected) {
    EXPECT_NEAR(value, expected, 1e-9 * (1 + std::abs(expected))) << name;
  };
  expect_near("total", metrics->total_loss, losses.total);
  expect_near("prior", metrics->prior_loss, losses.prior);
  expect_near("policy", metrics->policy_loss, losses.policy);
  expect_near("value scale", metrics->value_scale, losses.value_scale);
  expect_near("KL scale", metrics->kl_scale, losses.kl_scale);
  // The example is one in which all of it counts.
  EXPECT_GT(losses.value_scale, 2);
  EXPECT_GT(losses.kl_scale, 1.1);
  EXPECT_GT(std::abs(metrics->value_target), 0.1);
  EXPECT_EQ(metrics->policy_prior_kl != 0, config.po_mpc().alpha() > 0);
}

TEST_P(FamilyLossesTest, UpdatesAreTheSameWithARecorder) {
  const proto::RunConfig config = Load(GetParam());
  const auto direct = MakeUpdater(config, kSeed);
  const auto updater = MakeUpdater(config, kSeed);
  updater->SetRecorder(std::make_unique<model::Recorder>(at::kCPU));
  for (uint64_t i = 0; i < 5; ++i) {
    const Batch batch = ExampleBatch(config, i);
    ASSERT_TRUE(direct->Step(batch, false).ok());
    ASSERT_TRUE(updater->Step(batch, false).ok());
  }
  const UpdaterState expected = direct->Export();
  const UpdaterState state = updater->Export();
  for (size_t i = 0; i < expected.tensors.size(); ++i) {
    EXPECT_TRUE(state.tensors[i].tensor.equal(expected.tensors[i].tensor))
        << expected.tensors[i].name;
  }
}

std::string NameOf(const ::testing::TestParamInfo<Member>& info) {
  std::string name = info.param.preset;
  for (const std::string& change : info.param.overrides) name += "_" + change;
  for (char& c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  }
  return name;
}

INSTANTIATE_TEST_SUITE_P(Presets, FamilyLossesTest,
                         ::testing::Values(Member{"po-mpc"}, Member{"po-mpc-replay-prior"},
                                           Member{"tdmpc2"}, Member{"bmpc"},
                                           Member{"td-mpc-square"}, Member{"quickstart"}),
                         NameOf);

// What no preset has.
INSTANTIATE_TEST_SUITE_P(
    Switches, FamilyLossesTest,
    ::testing::Values(
        Member{"po-mpc", {"po_mpc.prior_kl=REVERSE", "po_mpc.actor_weights=MIX"}},
        Member{"po-mpc", {"po_mpc.actor_weights=MIX", "po_mpc.kl_reduction=MEAN"}},
        Member{"po-mpc", {"po_mpc.actor_weights=LITERAL"}},
        Member{"po-mpc", {"po_mpc.plan_half_life_versions=8"}},
        Member{"po-mpc", {"po_mpc.prior_gate=VALUE"}},
        Member{"po-mpc",
               {"model.policy_form=TANH_GAUSSIAN", "po_mpc.prior_gate=VALUE",
                "po_mpc.plan_half_life_versions=8"}},
        Member{"po-mpc", {"po_mpc.policy_kl=MASS_COVERING", "po_mpc.target_horizon=WINDOW_END"}},
        Member{"po-mpc", {"po_mpc.policy_kl=CROSS_ENTROPY", "po_mpc.policy_at_window_end=true"}},
        Member{"po-mpc", {"po_mpc.policy_values=PLAIN", "po_mpc.policy_value_reduction=MIN"}},
        Member{"po-mpc", {"po_mpc.target_value_reduction=AVERAGE", "po_mpc.kl_threshold=1000"}},
        Member{"po-mpc", {"model.policy_form=TANH_GAUSSIAN", "po_mpc.prior_kl=REVERSE"}},
        Member{"po-mpc",
               {"model.policy_form=TANH_GAUSSIAN", "po_mpc.prior_kl=REVERSE",
                "po_mpc.policy_kl=CROSS_ENTROPY"}},
        Member{"po-mpc-replay-prior", {"po_mpc.target_horizon=WINDOW_END"}},
        Member{"po-mpc-replay-prior", {"po_mpc.policy_kl=MASS_COVERING"}},
        Member{"po-mpc-replay-prior",
               {"po_mpc.policy_kl=CROSS_ENTROPY", "po_mpc.policy_at_window_end=true"}},
        Member{"po-mpc-replay-prior", {"model.policy_form=TANH_GAUSSIAN"}},
        Member{"po-mpc-replay-prior",
               {"model.policy_form=TANH_GAUSSIAN", "po_mpc.policy_kl=MASS_COVERING"}},
        Member{"po-mpc-replay-prior", {"po_mpc.plan_half_life_versions=8"}},
        Member{"po-mpc",
               {"model.policy_form=TANH_GAUSSIAN", "po_mpc.policy_kl=CROSS_ENTROPY",
                "po_mpc.target_horizon=WINDOW_END"}},
        Member{"po-mpc-replay-prior",
               {"model.policy_form=TANH_GAUSSIAN", "po_mpc.target_horizon=WINDOW_END"}},
        Member{"bmpc", {"model.value_form=ACTION_VALUES"}},
        Member{"bmpc", {"env.spec.terminates=false", "po_mpc.prior=LEARNED"}}),
    NameOf);

// With equal policy form and states: the presets' networks, draw for draw.
TEST(PresetsTest, PoMpcWithLambdaZeroMakesTheUpdatesOfTdMpc2) {
  const auto make = [](const Member& member) {
    return Updater::Create(Load(member), at::kCPU, kSeed);
  };
  const auto tdmpc2 = make({"tdmpc2"});
  const auto po_mpc =
      make({"po-mpc",
            {"po_mpc.lambda=0", "model.policy_form=TANH_GAUSSIAN", "model.log_std_min=-10",
             "model.log_std_max=2", "po_mpc.policy_at_window_end=true"}});
  const at::Tensor policy = tdmpc2->model().policy().flat().clone();
  for (uint64_t i = 0; i < 10; ++i) {
    const Batch batch = ExampleBatch(tdmpc2->model().config(), i);
    ASSERT_TRUE(tdmpc2->Step(batch, false).ok());
    ASSERT_TRUE(po_mpc->Step(batch, false).ok());
  }
  EXPECT_FALSE(at::equal(policy, tdmpc2->model().policy().flat()));
  for (const model::NamedTensor& named : tdmpc2->Export().tensors) {
    EXPECT_TRUE(at::equal(named.tensor, Exported(*po_mpc, named.name))) << named.name;
  }
  for (const char* layer : {"0.weight", "1.norm.weight", "2.bias"}) {
    const std::string name = layer;
    EXPECT_TRUE(
        at::equal(Exported(*po_mpc, "regularized_q." + name), Exported(*tdmpc2, "q." + name)));
  }
}

}  // namespace
}  // namespace pompc::update
