#include "rundir/run_directory.h"

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/config/run_config.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/rundir/file_size_limit.h"
#include "tests/rundir/scratch_folder.h"

namespace pompc::rundir {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

proto::RunConfig Config() {
  proto::RunConfig config = config::Resolve(proto::RunConfig());
  proto::EnvSpec* spec = config.mutable_env()->mutable_spec();
  spec->set_observation_size(5);
  spec->set_action_size(1);
  spec->set_episode_decisions(500);
  return config;
}

class RunDirectoryTest : public testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<RunDirectory>> Open(const proto::RunConfig& config = Config()) {
    return RunDirectory::Open(folder_.File("run"), config);
  }
  // A start that succeeds.
  void Start(const proto::RunConfig& config = Config()) {
    const auto run = Open(config);
    ASSERT_TRUE(run.ok()) << run.status();
    ASSERT_TRUE((*run)->WriteConfig(config).ok());
  }

  ScratchFolder folder_;
};

TEST_F(RunDirectoryTest, NewRunHasAnIdentityAndItsConfig) {
  const auto run = Open();
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_FALSE((*run)->run_id().empty());
  EXPECT_EQ((*run)->learner_incarnation(), 1u);
  ASSERT_TRUE((*run)->WriteConfig(Config()).ok());
  EXPECT_THAT(folder_.Read("run/config.textproto"), HasSubstr("observation_size: 5"));
  EXPECT_EQ((*run)->File("metrics.csv"), folder_.File("run/metrics.csv"));
}

TEST_F(RunDirectoryTest, TheEndOfAStartIsReadUntilTheNextOneBegins) {
  EXPECT_EQ(ReadNewestStart(folder_.File("run"))->number, 0u) << "there is no run";
  {
    const auto run = Open();
    ASSERT_TRUE(run.ok()) << run.status();
    EXPECT_FALSE(ReadNewestStart(folder_.File("run"))->end.has_value());
    // Errors name files, which may be any bytes.
    ASSERT_TRUE((*run)->WriteEnd({"failed: \xff", 300, 200, 12.5}).ok());
  }
  const auto first = ReadNewestStart(folder_.File("run"));
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->number, 1u);
  ASSERT_TRUE(first->end.has_value());
  EXPECT_THAT(first->end->outcome, StartsWith("failed: "));
  EXPECT_EQ(first->end->rows, 300u);
  EXPECT_EQ(first->end->updates, 200u);
  EXPECT_EQ(first->end->elapsed_seconds, 12.5);
  ASSERT_TRUE(Open().ok());
  EXPECT_EQ(ReadNewestStart(folder_.File("run"))->number, 2u);
  EXPECT_FALSE(ReadNewestStart(folder_.File("run"))->end.has_value());
  folder_.Write(
      "run/ended.json",
      R"({"start": 2, "outcome": "a\nb\u001b", "rows": 5, "updates": 1, "elapsed_seconds": 1})");
  EXPECT_EQ(ReadNewestStart(folder_.File("run"))->end->outcome, "a b ");
  folder_.Write("run/ended.json", "{\"start\": 2");
  EXPECT_EQ(ReadNewestStart(folder_.File("run")).status().code(), absl::StatusCode::kDataLoss);
  folder_.Write("run/ended.json",
                R"({"start": 2, "outcome": "x", "rows": -5, "updates": 1, "elapsed_seconds": 1})");
  EXPECT_THAT(std::string(ReadNewestStart(folder_.File("run")).status().message()),
              HasSubstr("ended.json: \"rows\" is -5"));
}

TEST_F(RunDirectoryTest, AStartThatWasCutOffLeavesTheConfigToTheNextOne) {
  ASSERT_TRUE(Open().ok());
  proto::RunConfig config = Config();
  config.set_seed(7);
  const auto run = Open(config);
  ASSERT_TRUE(run.ok()) << run.status();
  ASSERT_TRUE((*run)->WriteConfigIfMissing(config).ok());
  EXPECT_THAT(folder_.Read("run/config.textproto"), HasSubstr("seed: 7"));
  config.set_seed(8);
  ASSERT_TRUE((*run)->WriteConfigIfMissing(config).ok());
  EXPECT_THAT(folder_.Read("run/config.textproto"), HasSubstr("seed: 7"));
}

TEST_F(RunDirectoryTest, EachStartOfTheRunHasALaterIncarnation) {
  const std::string run_id = (*Open())->run_id();
  const auto again = Open();
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ((*again)->run_id(), run_id);
  EXPECT_EQ((*again)->learner_incarnation(), 2u);
}

TEST_F(RunDirectoryTest, TwoLearnersNeverShareARun) {
  auto first = Open();
  ASSERT_TRUE(first.ok());
  const auto second = Open();
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("another learner"));
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(std::to_string(getpid())));
  first->reset();
  EXPECT_TRUE(Open().ok());
}

TEST_F(RunDirectoryTest, AnotherModelOrEnvironmentIsRefusedNamingTheFields) {
  Start();
  proto::RunConfig other = Config();
  other.mutable_model()->set_latent_dim(64);
  other.mutable_env()->set_task("pendulum-swingup");
  other.mutable_env()->mutable_spec()->set_observation_size(3);
  const absl::Status status = Open(other).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  const std::string message(status.message());
  EXPECT_THAT(message, HasSubstr("model.latent_dim: 0, now 64"));
  EXPECT_THAT(message, HasSubstr("env.task: \"cartpole-swingup\", now \"pendulum-swingup\""));
  EXPECT_THAT(message, Not(HasSubstr("env.spec"))) << "it follows from the task";
  EXPECT_THAT(message, Not(HasSubstr("model.mlp_dim")));
  // The refused start left no trace.
  const auto again = Open();
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ((*again)->learner_incarnation(), 2u);
}

TEST_F(RunDirectoryTest, WhatTheUserSetIsNamedAndNotWhatFollowsFromIt) {
  proto::RunConfig other = Config();
  other.mutable_env()->set_action_repeat(4);
  other.mutable_env()->mutable_spec()->set_episode_decisions(250);
  EXPECT_EQ(ConfigDifferences(Config(), other), "env.action_repeat: 2, now 4");
  proto::RunConfig external = Config();
  external.mutable_env()->set_task(config::kExternalTask);
  other = external;
  other.mutable_env()->mutable_spec()->set_observation_size(6);
  EXPECT_EQ(ConfigDifferences(external, other), "env.spec.observation_size: 5, now 6")
      << "there the user sets it";
}

TEST_F(RunDirectoryTest, ChangesThatNeedOtherNetworksAreRefused) {
  proto::RunConfig plain = Config(), mixed = Config(), imitation = Config(), stored = Config();
  plain.mutable_po_mpc()->set_lambda(0);
  mixed.mutable_po_mpc()->set_lambda(0.1);
  imitation.mutable_po_mpc()->set_alpha(1);
  stored.mutable_po_mpc()->set_prior(proto::PoMpcConfig::REPLAY);
  EXPECT_EQ(ConfigDifferences(plain, mixed),
            "po_mpc (alpha or lambda, prior, policy_values): no learned prior and KL-regularised "
            "values, now a learned prior and KL-regularised values");
  EXPECT_THAT(ConfigDifferences(mixed, imitation), HasSubstr("and no KL-regularised values"));
  EXPECT_THAT(ConfigDifferences(mixed, stored), HasSubstr("now no learned prior"));
  EXPECT_EQ(ConfigDifferences(plain, stored), "") << "neither has a prior's network";
  proto::RunConfig other = mixed;
  other.mutable_po_mpc()->set_alpha(0.5);
  EXPECT_EQ(ConfigDifferences(mixed, other), "");
}

TEST_F(RunDirectoryTest, ARunMayGoOnWithOtherMatrixProducts) {
  proto::RunConfig rounded = Config();
  rounded.mutable_model()->set_matmul_dtype(proto::ModelConfig::BFLOAT16);
  EXPECT_EQ(ConfigDifferences(Config(), rounded), "");
  EXPECT_EQ(ConfigDifferences(rounded, Config()), "");
}

TEST_F(RunDirectoryTest, OtherSettingsMayChange) {
  Start();
  proto::RunConfig other = Config();
  other.mutable_learner()->set_learning_rate(0.5);
  other.mutable_stop()->set_return_mean(800);
  ASSERT_TRUE(Open(other).ok());
  EXPECT_THAT(folder_.Read("run/config.textproto"), Not(HasSubstr("learning_rate: 0.5")))
      << "that start went no further";
  Start(other);
  EXPECT_THAT(folder_.Read("run/config.textproto"), HasSubstr("learning_rate: 0.5"));
}

TEST_F(RunDirectoryTest, AFolderOfSomethingElseIsNotTakenOver) {
  folder_.Write("notes.txt", "mine");
  const auto run = RunDirectory::Open(folder_.path(), Config());
  EXPECT_EQ(run.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(run.status().message()), HasSubstr("no run directory"));
}

TEST_F(RunDirectoryTest, AFirstStartThatWasCutOffIsBegunAnew) {
  folder_.Write("run/lock", "");
  folder_.Write("run/run.json.tmp", "{");
  EXPECT_TRUE(Open().ok());
}

TEST_F(RunDirectoryTest, ADamagedIdentityIsNotReplaced) {
  ASSERT_TRUE(Open().ok());
  const std::string whole = folder_.Read("run/run.json");
  const std::vector<std::pair<std::string, const char*>> damaged = {
      {"", "is empty"}, {whole.substr(0, whole.size() / 2), "cut off"},
      {"{\"run_id\": 7}", "does not name a run"}};
  for (const auto& [content, words] : damaged) {
    folder_.Write("run/run.json", content);
    const auto run = Open();
    EXPECT_EQ(run.status().code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(std::string(run.status().message()), HasSubstr("run/run.json"));
    EXPECT_THAT(std::string(run.status().message()), HasSubstr(words));
    EXPECT_EQ(folder_.Read("run/run.json"), content);
  }
}

TEST_F(RunDirectoryTest, ADamagedConfigIsNamedWhereverItWasCutOff) {
  Start();
  const std::string whole = folder_.Read("run/config.textproto");
  const size_t stop = whole.find("\nstop {");
  ASSERT_NE(stop, std::string::npos);
  // Between two groups, in a group, in a name, before everything.
  for (const size_t size : {stop + 1, stop - 3, whole.find("action_repeat") + 3, size_t{0}}) {
    folder_.Write("run/config.textproto", whole.substr(0, size));
    const auto run = Open();
    ASSERT_FALSE(run.ok()) << size;
    EXPECT_THAT(std::string(run.status().message()), HasSubstr("run/config.textproto"));
    EXPECT_THAT(std::string(run.status().message()), Not(HasSubstr("another environment")));
  }
  folder_.Write("run/config.textproto", whole);
  EXPECT_TRUE(Open().ok());
}

TEST_F(RunDirectoryTest, ALockFileThatADeadProcessLeftIsNoLock) {
  Start();
  folder_.Write("run/lock", "1");
  EXPECT_TRUE(Open().ok());
}

TEST_F(RunDirectoryTest, WhatCannotBeLockedIsNotReportedAsAnotherLearner) {
  Start();
  std::filesystem::remove(folder_.File("run/lock"));
  std::filesystem::create_directory(folder_.File("run/lock"));
  const std::string message(Open().status().message());
  EXPECT_THAT(message, HasSubstr("cannot be written"));
  EXPECT_THAT(message, HasSubstr("run/lock"));
  EXPECT_THAT(message, Not(HasSubstr("another learner")));
}

TEST_F(RunDirectoryTest, AFullDiskLeavesTheRunAsItWas) {
  Start();
  const std::string before = folder_.Read("run/run.json");
  {
    // Room for the process id in the lock, not for more.
    const FileSizeLimit limit(10);
    const auto run = Open();
    ASSERT_FALSE(run.ok());
    EXPECT_THAT(std::string(run.status().message()), HasSubstr("run/run.json.tmp"));
  }
  EXPECT_EQ(folder_.Read("run/run.json"), before);
  EXPECT_FALSE(std::filesystem::exists(folder_.File("run/run.json.tmp")));
  EXPECT_TRUE(Open().ok());
}

TEST_F(RunDirectoryTest, ChangedLimitsAreKept) {
  Start();
  const std::string path = folder_.File("run");
  EXPECT_FALSE(ReadKeptLimits(path)->has_limits());
  proto::KeptLimits limits;
  limits.mutable_limits()->set_utd(0.25);
  limits.mutable_config()->set_utd(1);
  limits.add_changes()->set_setting("learner.utd");
  ASSERT_TRUE((*Open())->WriteLimits(limits).ok());
  const auto kept = ReadKeptLimits(path);
  ASSERT_TRUE(kept.ok()) << kept.status();
  EXPECT_EQ(kept->limits().utd(), 0.25);
  EXPECT_EQ(kept->changes(0).setting(), "learner.utd");
  for (const char* damaged :
       {"", "limits {", "limits { utd: 1 }", "limits { speed: 1 } config {}"}) {
    folder_.Write("run/limits.textproto", damaged);
    const absl::Status status = ReadKeptLimits(path).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << damaged;
    EXPECT_THAT(std::string(status.message()), HasSubstr("run/limits.textproto cannot be read"));
  }
}

TEST_F(RunDirectoryTest, ARunThatIsServedIsFoundByItsFolder) {
  const std::string path = folder_.File("run");
  EXPECT_EQ(ReadServedRun(path).status().code(), absl::StatusCode::kNotFound);
  {
    const auto run = Open();
    EXPECT_EQ(ReadServedRun(path).status().code(), absl::StatusCode::kNotFound);
    ASSERT_TRUE((*run)->WriteAddress("127.0.0.1:7000").ok());
    const auto served = ReadServedRun(path);
    ASSERT_TRUE(served.ok()) << served.status();
    EXPECT_EQ(served->address, "127.0.0.1:7000");
    EXPECT_EQ(served->run_id, (*run)->run_id());
    ASSERT_TRUE((*run)->WriteEnd({.outcome = "FINISHED: all rows"}).ok());
    EXPECT_EQ(ReadServedRun(path).status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(ReadServedRun(path).status().message()),
                HasSubstr("FINISHED: all rows"));
  }
  // The next start serves nothing yet, and what the file of the one before says is not its address.
  const auto next = Open();
  EXPECT_THAT(std::string(ReadServedRun(path).status().message()), HasSubstr("serves no address"));
}

TEST_F(RunDirectoryTest, AFolderThatCannotBeMadeIsNamed) {
  folder_.Write("file", "");
  const auto run = RunDirectory::Open(folder_.File("file/run"), Config());
  EXPECT_FALSE(run.ok());
  EXPECT_THAT(std::string(run.status().message()), HasSubstr("file/run"));
  EXPECT_THAT(std::string(run.status().message()), HasSubstr("/file is a file, not a folder"));
}

}  // namespace
}  // namespace pompc::rundir
