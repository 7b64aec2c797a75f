
#include <cstdlib>
#include <string>
#include <vector>

#include "common/config/run_config.h"
#include "gmock/gmock.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"

namespace pompc::config {
namespace {

using ::google::protobuf::util::MessageDifferencer;
using ::testing::Contains;
using ::testing::HasSubstr;

const std::string kDir = std::string(POMPC_SOURCE_DIR) + "/presets";

TEST(Presets, EveryPresetLoads) {
  const auto names = ListPresets(kDir);
  ASSERT_TRUE(names.ok()) << names.status();
  EXPECT_THAT(*names, Contains("quickstart"));
  for (const std::string& name : *names) {
    const auto config = LoadRunConfig({.presets = {name}, .presets_dir = kDir});
    EXPECT_TRUE(config.ok()) << config.status();
  }
}

proto::RunConfig Load(const std::vector<std::string>& presets) {
  auto config = LoadRunConfig({.presets = presets, .presets_dir = kDir});
  EXPECT_TRUE(config.ok()) << config.status();
  return config.ok() ? *config : proto::RunConfig();
}

TEST(Presets, PoMpcIsTheDefault) {
  EXPECT_TRUE(MessageDifferencer::Equals(Load({"po-mpc"}), Load({})));
}

// What the members of the family have in common is what TD-MPC2 settled on.
TEST(Presets, MembersOfTheFamilyDifferInNothingButTheirPlace) {
  const proto::RunConfig po_mpc = Load({"po-mpc"});
  for (const char* name : {"po-mpc-replay-prior", "tdmpc2", "bmpc", "td-mpc-square"}) {
    proto::RunConfig config = Load({name});
    EXPECT_FALSE(MessageDifferencer::Equals(config.po_mpc(), po_mpc.po_mpc())) << name;
    *config.mutable_po_mpc() = po_mpc.po_mpc();
    *config.mutable_learner()->mutable_reanalyze() = po_mpc.learner().reanalyze();
    config.mutable_planner()->set_statistic(po_mpc.planner().statistic());
    config.mutable_model()->set_policy_form(po_mpc.model().policy_form());
    config.mutable_model()->set_log_std_min(po_mpc.model().log_std_min());
    config.mutable_model()->set_log_std_max(po_mpc.model().log_std_max());
    config.mutable_model()->set_num_q(po_mpc.model().num_q());
    config.mutable_model()->set_value_form(po_mpc.model().value_form());
    EXPECT_TRUE(MessageDifferencer::Equals(config, po_mpc)) << name;
  }
  EXPECT_EQ(po_mpc.learner().batch_size(), 256);
  EXPECT_EQ(po_mpc.learner().learning_rate(), 3e-4);
  EXPECT_EQ(po_mpc.learner().encoder_lr_scale(), 0.3);
  EXPECT_EQ(po_mpc.learner().consistency_coefficient(), 20);
  EXPECT_EQ(po_mpc.learner().max_grad_norm(), 20);
  EXPECT_EQ(po_mpc.planner().samples(), 512);
  EXPECT_EQ(po_mpc.planner().elites(), 64);
  EXPECT_EQ(po_mpc.planner().policy_samples(), 24);
  EXPECT_EQ(po_mpc.stop().max_rows(), 1000000u);
  EXPECT_EQ(po_mpc.evaluation().episodes(), 10u);
}

TEST(Presets, EachMemberHasItsPlaceInTheFamily) {
  using PoMpc = proto::PoMpcConfig;
  const proto::RunConfig replay = Load({"po-mpc-replay-prior"});
  EXPECT_EQ(replay.po_mpc().prior(), PoMpc::REPLAY);
  EXPECT_EQ(replay.po_mpc().lambda(), 1);
  EXPECT_EQ(replay.learner().reanalyze().every_updates(), 10);
  EXPECT_EQ(replay.po_mpc().policy_values(), PoMpc::REGULARIZED);

  const proto::RunConfig tdmpc2 = Load({"tdmpc2"});
  EXPECT_EQ(tdmpc2.po_mpc().lambda(), 0);
  EXPECT_EQ(tdmpc2.po_mpc().policy_values(), PoMpc::PLAIN);
  EXPECT_TRUE(tdmpc2.po_mpc().policy_at_window_end());
  EXPECT_EQ(tdmpc2.model().policy_form(), proto::ModelConfig::TANH_GAUSSIAN);
  EXPECT_EQ(tdmpc2.model().log_std_min(), -10);
  EXPECT_EQ(tdmpc2.model().log_std_max(), 2);

  const proto::RunConfig bmpc = Load({"bmpc"});
  EXPECT_EQ(bmpc.model().value_form(), proto::ModelConfig::STATE_VALUES);
  EXPECT_EQ(bmpc.po_mpc().alpha(), 1);
  EXPECT_EQ(bmpc.po_mpc().prior(), PoMpc::REPLAY);
  EXPECT_EQ(bmpc.po_mpc().target_value_reduction(), PoMpc::AVERAGE);
  EXPECT_EQ(bmpc.planner().statistic(), proto::PlannerConfig::ELITE);
  EXPECT_EQ(bmpc.model().log_std_min(), -3);
  EXPECT_EQ(bmpc.model().num_q(), 2);

  EXPECT_EQ(bmpc.learner().reanalyze().every_updates(), 10);
  EXPECT_EQ(bmpc.learner().reanalyze().batch(), 20);
  EXPECT_EQ(bmpc.learner().reanalyze().log_std_min(), -2);

  const proto::RunConfig square = Load({"td-mpc-square"});
  EXPECT_EQ(square.po_mpc().lambda(), 1);
  EXPECT_EQ(square.learner().reanalyze().every_updates(), 0);
  EXPECT_EQ(square.po_mpc().prior(), PoMpc::REPLAY);
  EXPECT_EQ(square.po_mpc().policy_kl(), PoMpc::CROSS_ENTROPY);
  EXPECT_EQ(square.po_mpc().actor_weights(), PoMpc::LITERAL);
  EXPECT_EQ(square.po_mpc().policy_values(), PoMpc::PLAIN);
  EXPECT_EQ(square.po_mpc().kl_reduction(), PoMpc::TD_MPC_SQUARE);
  EXPECT_EQ(square.po_mpc().kl_threshold(), 2);
  EXPECT_EQ(square.model().policy_form(), proto::ModelConfig::TANH_GAUSSIAN);
  EXPECT_EQ(square.planner().statistic(), proto::PlannerConfig::ELITE);
}

// A member of the family at the sizes of another preset.
TEST(Presets, AMemberOfTheFamilyKeepsTheSizesOfThePresetBeforeIt) {
  const proto::RunConfig config = Load({"quickstart", "tdmpc2"});
  EXPECT_EQ(config.model().size(), "tiny");
  EXPECT_EQ(config.learner().batch_size(), 128);
  EXPECT_EQ(config.po_mpc().lambda(), 0);
  EXPECT_EQ(config.po_mpc().target_horizon(), proto::PoMpcConfig::ONE_STEP);
}

TEST(Presets, UnknownPresetListsThoseThereAre) {
  const auto path = FindPreset(kDir, "quikstart");
  EXPECT_EQ(path.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(path.status().message()),
              ::testing::AllOf(HasSubstr("unknown preset \"quikstart\""), HasSubstr("quickstart"),
                               HasSubstr("po-mpc")));
}

TEST(Presets, MissingFolderIsNamed) {
  const auto path = FindPreset("/nonexistent/presets", "quickstart");
  EXPECT_EQ(path.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(path.status().message()), HasSubstr("/nonexistent/presets"));
}

TEST(Presets, FolderComesFromTheEnvironmentFirst) {
  setenv("POMPC_PRESETS_DIR", "/somewhere", 1);
  EXPECT_EQ(DefaultPresetsDir(), "/somewhere");
  unsetenv("POMPC_PRESETS_DIR");
  EXPECT_EQ(DefaultPresetsDir(), kDir);
}

}  // namespace
}  // namespace pompc::config
