#include "common/config/run_config.h"

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/config/task_specs.h"
#include "common/config/text_parser.h"
#include "gmock/gmock.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"

namespace pompc::config {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string WriteFile(const std::string& name, const std::string& text) {
  const std::string path = ::testing::TempDir() + "/" + std::to_string(getpid()) + name;
  std::ofstream(path) << text;
  return path;
}

std::string ErrorOf(const std::vector<std::string>& overrides) {
  const auto config = LoadRunConfig({.overrides = overrides});
  EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(config.status().message());
}

TEST(LoadRunConfig, DefaultsAloneAreValid) {
  const auto config = LoadRunConfig({});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->learner().batch_size(), 256);
}

TEST(LoadRunConfig, LaterLayersWin) {
  const std::string dir = ::testing::TempDir();
  const std::string preset = std::to_string(getpid()) + "layers";
  WriteFile("layers.textproto", "seed: 2 learner { utd: 2 batch_size: 22 tau: 0.2 }");
  const std::string file = WriteFile("layers2.textproto", "learner { utd: 3 batch_size: 33 }");
  const auto config = LoadRunConfig({.presets = {preset},
                                     .files = {file},
                                     .overrides = {"learner.utd=5", "learner.utd=4"},
                                     .presets_dir = dir});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->seed(), 2);
  EXPECT_EQ(config->learner().tau(), 0.2);
  EXPECT_EQ(config->learner().batch_size(), 33);
  EXPECT_EQ(config->learner().utd(), 4);
}

TEST(LoadRunConfig, ALaterListReplacesAnEarlierOne) {
  const std::string first = WriteFile(
      "tables.textproto", "replay { tables { name: \"a\" } tables { name: \"b\" alpha: 1 } }");
  const std::string second =
      WriteFile("tables2.textproto", "replay { tables { name: \"c\" } slack_rows: 7 }");
  const auto config = LoadRunConfig({.files = {first, second}});
  ASSERT_TRUE(config.ok()) << config.status();
  ASSERT_EQ(config->replay().tables_size(), 1);
  EXPECT_EQ(config->replay().tables(0).name(), "c");
  // Its defaults are written out as all others are.
  EXPECT_TRUE(config->replay().tables(0).has_alpha());
  const auto kept =
      LoadRunConfig({.files = {first}, .overrides = {"replay.tables.1.selector=FIFO"}});
  ASSERT_TRUE(kept.ok()) << kept.status();
  ASSERT_EQ(kept->replay().tables_size(), 2);
  EXPECT_EQ(kept->replay().tables(1).selector(), proto::TableConfig::FIFO);
  EXPECT_EQ(kept->replay().tables(1).alpha(), 1);
  const std::string bad = WriteFile(
      "bad_tables.textproto", "replay {\n tables { name: \"a\" }\n tables {\n alpha: 2\n }\n}\n");
  EXPECT_THAT(std::string(LoadRunConfig({.files = {bad}}).status().message()),
              HasSubstr("bad_tables.textproto:4: replay.tables.1.alpha: 2 is out of range"));
}

TEST(LoadRunConfig, ErrorInAFileNamesItAndTheLine) {
  const std::string file = WriteFile("bad.textproto", "seed: 1\nlearner {\n  utd: 1000\n}\n");
  const auto config = LoadRunConfig({.files = {file}});
  EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(std::string(config.status().message()),
            file + ":3: learner.utd: 1000 is out of range; allowed: number, 0.001 to 100");
}

TEST(LoadRunConfig, MissingFileIsNamed) {
  const auto config = LoadRunConfig({.files = {"/nonexistent.textproto"}});
  EXPECT_EQ(config.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(config.status().message()), HasSubstr("/nonexistent.textproto"));
}

TEST(LoadRunConfig, WhatIsNoFileIsNamed) {
  const std::string folder = ::testing::TempDir();
  EXPECT_THAT(std::string(LoadRunConfig({.files = {folder}}).status().message()),
              ::testing::AllOf(HasSubstr("config file"), HasSubstr("Is a directory")));
  const std::string pipe = folder + "/" + std::to_string(getpid()) + "config-pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THAT(std::string(LoadRunConfig({.files = {pipe}}).status().message()),
              ::testing::AllOf(HasSubstr(pipe), HasSubstr("nobody writes to")));
  unlink(pipe.c_str());
}

TEST(LoadRunConfig, HugeFileIsRefused) {
  const std::string file = WriteFile("huge.textproto", std::string((1 << 20) + 1, '#'));
  EXPECT_EQ(LoadRunConfig({.files = {file}}).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(Validate, FieldsMustFitTogether) {
  EXPECT_EQ(ErrorOf({"planner.elites=600"}),
            "planner.elites: 600 is more than planner.samples 512");
  EXPECT_EQ(ErrorOf({"planner.policy_samples=512"}),
            "planner.policy_samples: 512 is not below planner.samples 512");
  EXPECT_THAT(ErrorOf({"planner.min_std=3"}), StartsWith("planner.min_std: 3 is more than"));
  EXPECT_THAT(ErrorOf({"planner.method=CEM", "planner.elites=1"}),
              StartsWith("planner.elites: 1;"));
  EXPECT_TRUE(LoadRunConfig({.overrides = {"planner.elites=1"}}).ok());
  EXPECT_THAT(ErrorOf({"planner.max_batch=4096"}), StartsWith("planner.max_batch: 4096"));
  EXPECT_THAT(ErrorOf({"planner.budget_ms=-1"}), HasSubstr("planner.budget_ms: -1 is out of"));
  EXPECT_TRUE(LoadRunConfig({.overrides = {"planner.budget_ms=2.5"}}).ok());
  EXPECT_THAT(ErrorOf({"planner.budget_ms=2.5", "schedule=LOCKSTEP"}),
              StartsWith("planner.budget_ms: 2.5 makes plans depend on the time"));
  EXPECT_EQ(ErrorOf({"model.latent_dim=100"}),
            "model.latent_dim: 100 is not a multiple of model.simnorm_dim 8");
  EXPECT_THAT(ErrorOf({"model.bin_min=0", "model.bin_max=0"}), StartsWith("model.bin_min: 0"));
  EXPECT_THAT(ErrorOf({"model.log_std_min=2"}), StartsWith("model.log_std_min: 2 is not below"));
  EXPECT_THAT(ErrorOf({"model.num_q=1"}), StartsWith("model.num_q: 1;"));
  EXPECT_EQ(ErrorOf({"po_mpc.planner_std_floor=3"}),
            "po_mpc.planner_std_floor: 3 is more than planner.max_std 2");
  EXPECT_THAT(ErrorOf({"replay.min_rows=2000000"}), StartsWith("replay.capacity_rows: 1000000"));
  EXPECT_THAT(ErrorOf({"actor.chunk_rows=1000"}), StartsWith("actor.max_unacked_rows: 256"));
  EXPECT_THAT(ErrorOf({"replay.on_disk=true", "replay.durability=MEMORY"}),
              StartsWith("replay.on_disk: with replay.durability MEMORY"));
}

TEST(Validate, TablesHaveNamesOfTheirOwnAndTheLearnersIsOneOfThem) {
  const std::string a = "replay.tables.0.name=a", b = "replay.tables.1.name=b";
  EXPECT_TRUE(LoadRunConfig({.overrides = {a, b, "learner.table=b"}}).ok());
  EXPECT_TRUE(LoadRunConfig({.overrides = {"learner.table=default"}}).ok());
  EXPECT_EQ(ErrorOf({"learner.table=b"}),
            "learner.table: \"b\" is not in replay.tables; allowed: default");
  EXPECT_EQ(ErrorOf({a, b, "learner.table=c"}),
            "learner.table: \"c\" is not in replay.tables; allowed: a, b");
  EXPECT_EQ(ErrorOf({"replay.tables.0.alpha=1"}), "replay.tables.0.name is empty");
  EXPECT_EQ(ErrorOf({a, "replay.tables.1.name=a"}),
            "replay.tables.1.name: \"a\" is the name of an earlier table; names must differ");
  std::vector<std::string> many;
  for (int i = 0; i < 17; ++i) {
    many.push_back("replay.tables." + std::to_string(i) + ".name=t" + std::to_string(i));
  }
  EXPECT_EQ(ErrorOf(many), "replay.tables: 17 tables; allowed: 0 to 16");
}

TEST(Validate, TheLearnersTableMustGiveAsManyDrawsAsUpdatesTake) {
  const std::string a = "replay.tables.0.name=a", half = "learner.utd=0.5";
  EXPECT_THAT(ErrorOf({a, half, "replay.tables.0.max_times_sampled=127"}),
              StartsWith("max_times_sampled: 127 of table \"a\" is less than 128, "
                         "learner.batch_size * learner.utd: "));
  const std::string enough = "replay.tables.0.max_times_sampled=128";
  EXPECT_TRUE(LoadRunConfig({.overrides = {a, half, enough}}).ok());
  EXPECT_THAT(ErrorOf({a, half, enough, "schedule=LOCKSTEP"}),
              StartsWith("max_times_sampled: 128 of table \"a\" does not fit schedule LOCKSTEP"));
  // Other tables are no concern of the learner.
  EXPECT_TRUE(LoadRunConfig({.overrides = {a, "replay.tables.1.name=queue",
                                           "replay.tables.1.max_times_sampled=1"}})
                  .ok());
}

TEST(LearnerTable, IsTheNamedOneOrTheFirst) {
  const auto load = [](std::vector<std::string> overrides) {
    return *LoadRunConfig({.overrides = std::move(overrides)});
  };
  const std::string a = "replay.tables.0.name=a", b = "replay.tables.1.name=b";
  const std::string by_priority = "replay.tables.1.selector=PRIORITIZED";
  EXPECT_EQ(LearnerTable(load({})).name(), "default");
  EXPECT_EQ(ImportanceExponent(load({})), std::nullopt);
  EXPECT_EQ(LearnerTable(load({a, b, by_priority})).name(), "a");
  EXPECT_EQ(ImportanceExponent(load({a, b, by_priority})), std::nullopt);
  EXPECT_EQ(LearnerTable(load({a, b, by_priority, "learner.table=b"})).name(), "b");
  EXPECT_EQ(ImportanceExponent(load({a, b, by_priority, "learner.table=b"})), 0.4);
}

// Of two settings that would hold the run for ever, or let it end untrained, the error names both;
// the value next to it is allowed.
TEST(Validate, RunsThatCouldNeverBeginAreRefused) {
  struct Case {
    std::vector<std::string> refused;
    std::string error;
    std::string allowed;
  };
  const std::string four = "actor.environments=4", long_windows = "planner.horizon=9";
  const std::string small = "learner.seed_rows=10", few = "replay.min_rows=10";
  const std::vector<Case> cases = {
      {{"learner.seed_rows=2500", "stop.max_rows=2499"},
       "stop.max_rows: 2499 is less than learner.seed_rows 2500: ",
       "stop.max_rows=2500"},
      {{small, "stop.max_rows=999"},
       "stop.max_rows: 999 is less than replay.min_rows 1000: ",
       "stop.max_rows=1000"},
      {{small, few, four, long_windows, "stop.max_rows=39"},
       "stop.max_rows: 39 is less than 40, actor.environments * (planner.horizon + 1): ",
       "stop.max_rows=40"},
      {{"learner.pretrain_updates=0", "learner.utd=0.1", "learner.seed_rows=2500",
        "stop.max_rows=2509"},
       "stop.max_rows: 2509 is less than learner.seed_rows 2500 + 1 / learner.utd 0.1, ",
       "stop.max_rows=2510"},
      {{"replay.capacity_rows=1000", "actor.environments=101", long_windows},
       "replay.capacity_rows: 1000 is less than 1010, actor.environments * (planner.horizon + 1): ",
       "actor.environments=100"},
      {{"replay.slack_rows=9", "learner.utd=0.1"},
       "replay.slack_rows: 9 is less than 10, the rows of one update at learner.utd 0.1: ",
       "replay.slack_rows=10"},
      {{"learner.consistency_coefficient=0", "learner.reward_coefficient=0",
        "learner.value_coefficient=0"},
       "learner.consistency_coefficient, learner.reward_coefficient, learner.value_coefficient: ",
       "learner.reward_coefficient=0.1"}};
  for (const Case& c : cases) {
    EXPECT_THAT(ErrorOf(c.refused), StartsWith(c.error));
    std::vector<std::string> allowed = c.refused;
    allowed.push_back(c.allowed);
    const auto config = LoadRunConfig({.overrides = allowed});
    EXPECT_TRUE(config.ok()) << config.status();
  }
  EXPECT_TRUE(LoadRunConfig({.overrides = {"stop.max_rows=0"}}).ok());
}

TEST(Validate, LambdaMeansTheSameInTargetsAndPolicy) {
  const std::string mean = "po_mpc.kl_reduction=MEAN", square = "po_mpc.kl_reduction=TD_MPC_SQUARE";
  const std::string mix = "po_mpc.actor_weights=MIX", literal = "po_mpc.actor_weights=LITERAL";
  EXPECT_THAT(ErrorOf({mean}),
              StartsWith("po_mpc.kl_reduction: MEAN with po_mpc.actor_weights RELATIVE divides"));
  EXPECT_THAT(ErrorOf({mean, literal}),
              StartsWith("po_mpc.kl_reduction: MEAN with po_mpc.actor_weights LITERAL divides"));
  EXPECT_THAT(ErrorOf({square}),
              StartsWith("po_mpc.kl_reduction: TD_MPC_SQUARE would weigh the KL in targets too"));
  EXPECT_THAT(ErrorOf({"learner.discount=1"}),
              StartsWith("learner.discount: 1 with po_mpc.actor_weights RELATIVE"));
  for (const std::vector<std::string>& allowed :
       std::vector<std::vector<std::string>>{{mean, mix},
                                             {mean, "po_mpc.alpha=1"},
                                             {square, literal, "po_mpc.policy_values=PLAIN"},
                                             {"learner.discount=1", literal},
                                             {"learner.discount=1", "po_mpc.lambda=0"}}) {
    EXPECT_TRUE(LoadRunConfig({.overrides = allowed}).ok());
  }
}

TEST(Validate, StateValuesAreForPureImitation) {
  const std::string states = "model.value_form=STATE_VALUES", imitation = "po_mpc.alpha=1";
  EXPECT_THAT(ErrorOf({states}), StartsWith("model.value_form: STATE_VALUES give the policy"));
  EXPECT_THAT(ErrorOf({states, imitation, "po_mpc.target_horizon=WINDOW_END"}),
              StartsWith("po_mpc.target_horizon: WINDOW_END sums stored rewards"));
  const std::string gate = "po_mpc.prior_gate=VALUE";
  EXPECT_THAT(ErrorOf({states, imitation, gate}), StartsWith("po_mpc.prior_gate: VALUE is for"));
  EXPECT_THAT(ErrorOf({"po_mpc.prior=REPLAY", gate}),
              StartsWith("po_mpc.prior_gate: VALUE is for"));
  EXPECT_TRUE(LoadRunConfig({.overrides = {states, imitation}}).ok());
  EXPECT_TRUE(LoadRunConfig({.overrides = {gate, imitation}}).ok());
}

TEST(Validate, TheWidenedPolicyOfReanalyzeHasARange) {
  EXPECT_EQ(ErrorOf({"learner.reanalyze.log_std_min=1"}),
            "learner.reanalyze.log_std_min: 1 is not below model.log_std_max 1");
  EXPECT_TRUE(LoadRunConfig({.overrides = {"learner.reanalyze.log_std_min=-2"}}).ok());
}

TEST(SeedRows, FollowFromTheEpisodesUnlessGiven) {
  proto::RunConfig config = *LoadRunConfig({});
  EXPECT_EQ(SeedRows(config), 1000u);
  config.mutable_env()->mutable_spec()->set_episode_decisions(500);
  EXPECT_EQ(SeedRows(config), 2500u);
  EXPECT_EQ(PretrainUpdates(config), 2500u);
  config.mutable_env()->mutable_spec()->set_episode_decisions(100);
  EXPECT_EQ(SeedRows(config), 1000u);
  config.mutable_learner()->set_seed_rows(70);
  EXPECT_EQ(SeedRows(config), 70u);
  EXPECT_EQ(PretrainUpdates(config), 70u);
  config.mutable_learner()->set_pretrain_updates(0);
  EXPECT_EQ(PretrainUpdates(config), 0u);
}

TEST(Validate, PureImitationHasNoValueScaleToWaitFor) {
  EXPECT_THAT(ErrorOf({"po_mpc.alpha=1", "po_mpc.kl_threshold=2"}),
              StartsWith("po_mpc.kl_threshold: 2 compares"));
}

TEST(Validate, ALatentOfTheModelsSizeMustFitAsWell) {
  EXPECT_THAT(ErrorOf({"model.size=tiny", "model.simnorm_dim=7"}),
              HasSubstr("model.latent_dim: 64 is not a multiple of model.simnorm_dim 7"));
}

TEST(Validate, UnknownModelSizeListsTheSizes) {
  EXPECT_EQ(ErrorOf({"model.size=huge"}),
            "model.size: \"huge\" is not a size; allowed: tiny, small, 1M, 5M, 19M, 48M, 317M");
}

TEST(Validate, ExternalTaskNeedsItsSpec) {
  EXPECT_THAT(ErrorOf({"env.task=external"}), HasSubstr("env.spec must give observation_size"));
  EXPECT_THAT(ErrorOf({"env.task=external", "env.spec.action_size=1"}), HasSubstr("env.spec"));
  const auto config =
      LoadRunConfig({.overrides = {"env.task=external", "env.spec.observation_size=3",
                                   "env.spec.action_size=1", "env.spec.episode_decisions=10"}});
  EXPECT_TRUE(config.ok()) << config.status();
  EXPECT_THAT(ErrorOf({"env.task="}), HasSubstr("env.task is empty"));
}

TEST(Validate, WindowsMustFitIntoAnEpisodeOnceItsLengthIsKnown) {
  proto::RunConfig config;
  config.mutable_planner()->set_horizon(21);
  config.mutable_env()->set_action_repeat(50);
  EXPECT_TRUE(Validate(config).ok());
  ASSERT_TRUE(FillEnvSpec(&config).ok());
  EXPECT_EQ(Validate(config).message(),
            "planner.horizon: 21 is more than the decisions of an episode, "
            "env.spec.episode_decisions 20: there would never be a window");
  config.mutable_planner()->set_horizon(20);
  EXPECT_TRUE(Validate(config).ok());
}

TEST(Validate, ChecksRangesOfConfigsThatCameOverTheWire) {
  proto::RunConfig config;
  config.mutable_learner()->set_utd(-1);
  EXPECT_EQ(Validate(config).message(),
            "learner.utd: -1 is out of range; allowed: number, 0.001 to 100");
}

TEST(Resolve, SetsEveryDefaultExplicitly) {
  const proto::RunConfig config = Resolve({});
  EXPECT_TRUE(config.has_seed());
  EXPECT_EQ(config.env().task(), "cartpole-swingup");
  EXPECT_TRUE(config.planner().has_iterations());
  EXPECT_EQ(config.replay().capacity_bytes(), 17179869184u);
  EXPECT_TRUE(config.po_mpc().has_prior_kl());
  EXPECT_TRUE(config.po_mpc().has_regularized_value_gradient());
  EXPECT_TRUE(config.stop().has_max_minutes());
}

TEST(Resolve, LeavesAlphaAndSpecAbsent) {
  const proto::RunConfig config = Resolve({});
  EXPECT_FALSE(config.po_mpc().has_alpha());
  EXPECT_FALSE(config.env().has_spec());
}

TEST(Resolve, KeepsWhatIsSet) {
  proto::RunConfig config;
  config.mutable_po_mpc()->set_alpha(0.25);
  config.mutable_learner()->set_utd(0.5);
  config.mutable_env()->mutable_spec()->set_action_size(2);
  config = Resolve(config);
  EXPECT_EQ(config.po_mpc().alpha(), 0.25);
  EXPECT_EQ(config.learner().utd(), 0.5);
  EXPECT_TRUE(config.env().spec().has_terminates());
  EXPECT_FALSE(config.env().spec().has_observation_size());
}

TEST(ToText, ParsesBackToTheSameMessage) {
  auto config = LoadRunConfig({.overrides = {"learner.learning_rate=0.1234567890123456",
                                             "env.task=a\"b\\c", "po_mpc.prior_kl=REVERSE"}});
  ASSERT_TRUE(config.ok()) << config.status();
  const auto again = ParseRunConfig(ToText(*config), "text");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(*config, *again));
}

}  // namespace
}  // namespace pompc::config
