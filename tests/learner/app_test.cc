#include "learner/app.h"

#include <cstring>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_split.h"
#include "common/base/threads.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "learner/checkpoint.h"
#include "parameters/parameter_subscriber.h"
#include "replay/client/shard_client.h"
#include "run/run_client.h"
#include "rundir/run_directory.h"
#include "tests/learner/learner_fixture.h"

namespace pompc::learner {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class LearnerAppTest : public LearnerFixture {
 protected:
  // Shard 0 tells its writer this.
  void AwaitReason(const std::string& part) {
    AwaitThat([&] { return writers_[0]->WaitReason(0).find(part) != std::string::npos; });
  }
  // First cells of the rows of a table in the run directory.
  std::vector<std::string> FirstColumn(const std::string& name) {
    std::vector<std::string> cells;
    for (absl::string_view line :
         absl::StrSplit(folder_.Read("run/" + name), '\n', absl::SkipEmpty())) {
      cells.emplace_back(std::vector<std::string>(absl::StrSplit(line, ','))[0]);
    }
    return cells;
  }
};

TEST_F(LearnerAppTest, TrainsAndHoldsTheRatio) {
  StartShards(2);
  StartLearner();
  EXPECT_EQ(learner_->Status().phase(), proto::SEED);
  FinishSeedPhase();
  EXPECT_EQ(learner_->Status().updates(), 20u);
  EXPECT_EQ(FromProto(learner_->Status().version()), (ParameterVersion{1, 1}));
  for (int i = 0; i < 5; ++i) Write(i % 2, 40, true);
  AwaitUpdates(120);
  // Published every 5 updates since the first version, logged every 10 before that.
  AwaitThat([&] { return FromProto(learner_->Status().version()) == ParameterVersion{1, 21}; });
  const proto::RunStatus status = learner_->Status();
  EXPECT_EQ(status.rows(), 300u);
  EXPECT_EQ(status.updates(), 120u);
  EXPECT_THAT(FirstColumn("metrics.csv"), ElementsAre("update", "10", "20", "30", "40", "50", "60",
                                                      "70", "80", "90", "100", "110", "120"));
  EXPECT_THAT(folder_.Read("run/metrics.csv"),
              StartsWith("update,rows,windows,staleness_versions,sample_draws\n10,100,16,0,"));
  EXPECT_THAT(folder_.Read("run/metrics.csv"), HasSubstr("\n120,300,16,"));
  EXPECT_EQ(FirstColumn("timings.csv"), FirstColumn("metrics.csv"));
}

TEST_F(LearnerAppTest, NumbersForTensorBoardAreWrittenOnRequest) {
  config_.mutable_learner()->set_tensorboard(true);
  StartShards(1);
  StartLearner();
  FinishSeedPhase();
  const std::vector<std::string> files = *NamesIn(folder_.File("run/tensorboard"));
  ASSERT_EQ(files.size(), 1u);
  EXPECT_THAT(files[0], StartsWith("events.out.tfevents."));
  const std::string events = folder_.Read("run/tensorboard/" + files[0]);
  for (const char* tag : {"update/windows", "update/sample_draws", "run/rows"}) {
    EXPECT_THAT(events, HasSubstr(tag));
  }
  learner_.reset();
  StartLearner();
  EXPECT_EQ(NamesIn(folder_.File("run/tensorboard"))->size(), 2u);
}

TEST_F(LearnerAppTest, RowsPlannedAnewAreWrittenBackAndNoOthers) {
  config_.mutable_learner()->mutable_reanalyze()->set_every_updates(25);
  StartShards(2);
  StartLearner();
  FinishSeedPhase();
  EXPECT_TRUE(engine_->replanned().empty());
  for (int i = 0; i < 5; ++i) Write(i % 2, 40, true);
  AwaitUpdates(120);
  // Before updates 25, 50, 75 and 100, a row of each shard: fewer messages than PlanWriter keeps.
  const std::set<std::pair<uint32_t, uint64_t>> replanned = engine_->replanned();
  EXPECT_GE(replanned.size(), 3u);
  EXPECT_LE(replanned.size(), 8u);

  const auto found = [&] {
    std::set<std::pair<uint32_t, uint64_t>> rows;
    for (uint32_t shard = 0; shard < 2; ++shard) {
      replay::ShardClientOptions options;
      options.run_id = learner_->run_id();
      options.shard_index = shard;
      options.spec = config_.env().spec();
      options.horizon = config_.planner().horizon();
      replay::ShardClient client(options, shards_[shard]->server().InProcessChannel());
      const auto windows = client.Sample(2000, 1);
      if (!windows.ok()) continue;
      const std::vector<uint64_t> addresses = windows->Numbers<uint64_t>("addresses");
      const std::vector<uint8_t> has_plan = windows->Numbers<uint8_t>("has_plan");
      const std::vector<float> mean = windows->Numbers<float>("plan_mean");
      const std::vector<float> std = windows->Numbers<float>("plan_std");
      for (size_t i = 0; i < addresses.size(); ++i) {
        if (has_plan[i] == 0 || mean[i] != 0.75f) continue;
        EXPECT_EQ(std[i], 0.125f);
        rows.emplace(shard, addresses[i]);
      }
    }
    return rows;
  };
  AwaitThat([&] { return found() == replanned; });
}

TEST_F(LearnerAppTest, RowsStopWhenTheyRunAheadOfUpdates) {
  StartShards(2);
  StartLearner();
  FinishSeedPhase();
  engine_->Hold();
  absl::Status status = absl::UnknownError("still writing");
  Thread writer("writer", [&] { status = TryWrite(0, 200, true); });
  AwaitReason("rows run ahead of updates");
  // Slack, and the chunk that met the bound.
  EXPECT_LE(learner_->Status().rows(), 100u + 40 + 4);
  AwaitThat(
      [&] { return learner_->Status().waiting().find("1 writer waits") != std::string::npos; });
  engine_->Release();
  writer.Join();
  EXPECT_TRUE(status.ok()) << status;
  AwaitUpdates(120);
  EXPECT_EQ(learner_->Status().rows(), 300u);
}

TEST_F(LearnerAppTest, RandomRowsStopUntilTheFirstVersion) {
  StartShards(2);
  StartLearner();
  engine_->Hold();
  StartWriters(1);
  Thread writer("writer", [&] { TryWrite(0, 200, false).IgnoreError(); });
  AwaitReason("before the first version");
  EXPECT_LE(learner_->Status().rows(), 100u + 40 + 4);
  engine_->Release();
  AwaitTraining();
  writer.Join();
  EXPECT_LE(learner_->Status().rows(), 100u + 40 + 4);
  EXPECT_EQ(writers_[0]->stats().refused_segments, 1u);
}

TEST_F(LearnerAppTest, RandomRowsAreRefusedOnceAVersionExists) {
  StartShards(2);
  StartLearner();
  FinishSeedPhase();
  TryWrite(1, 40, false).IgnoreError();
  EXPECT_EQ(writers_[1]->stats().refused_segments, 1u);
  EXPECT_EQ(writers_[1]->stats().acked_rows, 50u);
}

TEST_F(LearnerAppTest, NoVersionBeforeEveryShardClosedTheSeedPhase) {
  StartShards(2);
  const std::string address = shards_[1]->server().address();
  const AppOptions options = LearnerOptions();
  shards_[1]->Stop();
  learner_ = *App::Start(options);
  StartWriters(1);
  Write(0, 100, false);
  AwaitUpdates(20);
  AwaitThat([&] {
    return learner_->Status().waiting().find("close the seed phase: 1 (" + address) !=
           std::string::npos;
  });
  EXPECT_EQ(learner_->Status().phase(), proto::SEED);
  EXPECT_FALSE(learner_->Status().version().number() > 0);
  StartShard(1, address);
  AwaitTraining();
  EXPECT_TRUE(learner_->Status().version().number() > 0);
}

TEST_F(LearnerAppTest, ADeadShardIsLeftOut) {
  StartShards(2);
  StartLearner();
  FinishSeedPhase();
  // Enough in each that one alone is no reason to refill.
  for (int shard : {0, 1}) Write(shard, 40, true);
  AwaitUpdates(60);
  shards_[1]->Stop();
  AwaitThat([&] { return !learner_->Status().shards(1).reachable(); });
  EXPECT_THAT(learner_->Status().waiting(), HasSubstr("has been unreachable for"));
  EXPECT_THAT(WithoutRun(metrics_->ToText()),
              HasSubstr("pompc_learner_shard_reachable{shard=\"0\"} 1"));
  EXPECT_THAT(WithoutRun(metrics_->ToText()),
              HasSubstr("pompc_learner_shard_reachable{shard=\"1\"} 0"));
  Write(0, 40, true);
  AwaitUpdates(80);
  EXPECT_EQ(learner_->Status().rows(), 220u);
}

TEST_F(LearnerAppTest, AShardThatLostItsMemoryIsTakenBack) {
  StartShards(2);
  StartLearner();
  FinishSeedPhase();
  for (int shard : {0, 1}) Write(shard, 40, true);
  AwaitUpdates(60);
  const std::string address = shards_[1]->server().address();
  writers_.clear();
  shards_[1].reset();
  StartShard(1, address);
  AwaitThat([&] {
    const proto::RunStatus status = learner_->Status();
    return status.shards(1).reachable() && status.shards(1).stored_rows() == 0;
  });
  StartWriters(2);
  Write(1, 40, true);
  AwaitUpdates(80);
  EXPECT_EQ(learner_->Status().rows(), 220u);
  // What it lost before the seed phase ended does not let random rows in again.
  TryWrite(1, 8, false).IgnoreError();
  EXPECT_EQ(writers_[1]->stats().refused_segments, 1u);
}

TEST_F(LearnerAppTest, ResumesWithItsCountersAndRefillsReplay) {
  StartShards(2);
  StartLearner();
  const std::string run_id = learner_->run_id();
  FinishSeedPhase();
  for (int shard : {0, 1}) Write(shard, 40, true);
  AwaitUpdates(60);
  writers_.clear();
  learner_.reset();
  // Replay was in memory.
  shards_.clear();
  StartShards(2);
  StartLearner();
  EXPECT_EQ(learner_->run_id(), run_id);
  AwaitThat([&] { return learner_->Status().version().number() > 0; });
  proto::RunStatus status = learner_->Status();
  EXPECT_EQ(status.phase(), proto::TRAINING);
  EXPECT_EQ(FromProto(status.version()), (ParameterVersion{2, 1}));
  EXPECT_EQ(status.updates(), 60u);
  EXPECT_EQ(status.rows(), 180u);
  EXPECT_EQ(engine_->update_count(), 60u);

  StartWriters(2);
  Write(0, 20, true);
  AwaitThat([&] {
    return learner_->Status().waiting().find("replay to be filled: 20 of 60") != std::string::npos;
  });
  EXPECT_EQ(learner_->Status().updates(), 60u);
  Write(1, 40, true);
  AwaitUpdates(90);
  EXPECT_EQ(learner_->Status().rows(), 240u);
  // An update counts before its row is written.
  AwaitThat([&] { return FirstColumn("metrics.csv").size() == 10; });
  EXPECT_THAT(FirstColumn("metrics.csv"),
              ElementsAre("update", "10", "20", "30", "40", "50", "60", "70", "80", "90"));
}

// Its checkpoint is written again: the same update, with more rows.
TEST_F(LearnerAppTest, RowsThatNoUpdateFollowedOutliveTheLearner) {
  const auto lose_replay = [&] {
    writers_.clear();
    learner_.reset();
    shards_.clear();
    StartShards(2);
    StartLearner();
    AwaitTraining();
  };
  StartShards(2);
  StartLearner();
  FinishSeedPhase();
  for (int shard : {0, 1}) Write(shard, 40, true);
  AwaitUpdates(60);
  lose_replay();
  // Fewer than an update needs, replay.min_rows.
  StartWriters(2);
  Write(0, 20, true);
  AwaitThat([&] { return learner_->Status().rows() == 200; });
  EXPECT_EQ(learner_->Status().updates(), 60u);
  lose_replay();
  EXPECT_EQ(learner_->Status().rows(), 200u);
  EXPECT_EQ(learner_->Status().updates(), 60u);
  // The first start made these updates, and its evaluations of them count.
  const auto info = ReadCheckpointInfo(folder_.File("run/checkpoints/update-000000060"));
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->learner_incarnation, 1u);
}

TEST_F(LearnerAppTest, TheRunDirectoryTellsHowTheNewestStartEnded) {
  const auto newest = [&] { return rundir::ReadNewestStart(folder_.File("run")).value(); };
  StartShards(1);
  StartLearner();
  EXPECT_EQ(newest().number, 1u);
  EXPECT_FALSE(newest().end.has_value()) << "it runs";
  FinishSeedPhase();
  learner_.reset();
  ASSERT_TRUE(newest().end.has_value());
  EXPECT_EQ(newest().end->outcome, "interrupted: the learner was told to end");
  EXPECT_EQ(newest().end->rows, 100u);
  EXPECT_EQ(newest().end->updates, 20u);
  StartLearner();
  EXPECT_FALSE(newest().end.has_value()) << "what the first start wrote is not of this one";
  learner_->StopRun("somebody asked for it");
  EXPECT_TRUE(learner_->Wait().ok());
  learner_.reset();
  EXPECT_EQ(newest().end->outcome, "STOPPING: somebody asked for it");
  folder_.Write("run/checkpoints/update-000000020/engine", "99");
  EXPECT_FALSE(TryStartLearner().ok());
  EXPECT_EQ(newest().number, 3u);
  EXPECT_THAT(newest().end->outcome, HasSubstr("failed: "));
  EXPECT_THAT(newest().end->outcome, HasSubstr("update-000000020"));
}

TEST_F(LearnerAppTest, AKilledLearnerGoesOnFromItsLastCheckpoint) {
  StartShards(2);
  StartLearner();
  FinishSeedPhase();
  for (int shard : {0, 1}) Write(shard, 40, true);
  AwaitUpdates(60);
  // What was there at update 50, with the tables as they are at 60.
  AwaitThat(
      [&] { return std::filesystem::exists(folder_.File("run/checkpoints/update-000000050")); });
  const auto recursive = std::filesystem::copy_options::recursive;
  std::filesystem::copy(folder_.File("run"), folder_.File("killed"), recursive);
  writers_.clear();
  learner_.reset();
  std::filesystem::remove_all(folder_.File("run"));
  std::filesystem::rename(folder_.File("killed"), folder_.File("run"));
  // The shards live on; the rows they hold count at once.
  StartLearner();
  AwaitUpdates(60);
  EXPECT_EQ(learner_->Status().rows(), 180u);
  AwaitThat([&] { return FirstColumn("metrics.csv").size() == 7; });
  EXPECT_THAT(FirstColumn("metrics.csv"),
              ElementsAre("update", "10", "20", "30", "40", "50", "60"));
}

TEST_F(LearnerAppTest, ADamagedCheckpointIsPassedOver) {
  StartShards(1);
  StartLearner();
  FinishSeedPhase();
  learner_.reset();
  // A newer one that nobody can read.
  std::filesystem::create_directories(folder_.File("run/checkpoints/update-000000099"));
  StartLearner();
  EXPECT_EQ(engine_->update_count(), 20u);
  EXPECT_TRUE(std::filesystem::exists(folder_.File("run/checkpoints/corrupt-update-000000099")));
}

TEST_F(LearnerAppTest, WithoutAReadableCheckpointItDoesNotBeginAnew) {
  StartShards(1);
  StartLearner();
  FinishSeedPhase();
  learner_.reset();
  folder_.Write("run/checkpoints/update-000000020/engine", "99");
  const absl::Status status = TryStartLearner();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("update-000000020"));
}

TEST_F(LearnerAppTest, AnotherModelIsRefusedNamingTheField) {
  StartShards(1);
  StartLearner();
  learner_.reset();
  config_.mutable_model()->set_mlp_dim(77);
  const absl::Status status = TryStartLearner();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("model.mlp_dim: 0, now 77"));
}

TEST_F(LearnerAppTest, ALossThatIsNotFiniteTakesItBackToTheLastGoodState) {
  fail_at_ = 28;
  StartShards(1);
  StartLearner();
  FinishSeedPhase();
  Write(0, 40, true);
  AwaitUpdates(40);
  // Which are published after they are made.
  ASSERT_TRUE(Await([&] {
    return FromProto(learner_->Status().version()) == ParameterVersion{1, 5};
  }));
  const proto::RunStatus status = learner_->Status();
  EXPECT_EQ(status.updates(), 40u);
  EXPECT_EQ(status.restorations(), 1u);
  // Published, and so kept, every 5 updates.
  EXPECT_EQ(status.last_restoration(), "the model loss is not finite; gone back to update 25");
  EXPECT_EQ(engine_->update_count(), 40u);
  EXPECT_THAT(FirstColumn("metrics.csv"), ElementsAre("update", "10", "20", "30", "40"));
  EXPECT_THAT(WithoutRun(metrics_->ToText()),
              HasSubstr("pompc_learner_restorations_total{loss=\"model\"} 1"));
  EXPECT_THAT(WithoutRun(metrics_->ToText()),
              HasSubstr("pompc_learner_restorations_total{loss=\"policy\"} 0"));
  EXPECT_THAT(learner_->StatusPage(), HasSubstr("the model loss is not finite"));
  EXPECT_TRUE(learner_->Health().ok());
}

TEST_F(LearnerAppTest, AStateThatIsNotFiniteIsNeitherPublishedNorWritten) {
  spoilt_at_ = 50;
  StartShards(1);
  StartLearner();
  FinishSeedPhase();
  for (int i = 0; i < 2; ++i) Write(0, 40, true);
  AwaitUpdates(60);
  ASSERT_TRUE(Await([&] {
    return FromProto(learner_->Status().version()) == ParameterVersion{1, 9};
  }));
  const proto::RunStatus status = learner_->Status();
  EXPECT_EQ(status.last_restoration(), "the policy is not finite; gone back to update 45");
  EXPECT_EQ(status.restorations(), 1u);
  // Update 50, made again, is logged once and written.
  EXPECT_THAT(FirstColumn("metrics.csv"),
              ElementsAre("update", "10", "20", "30", "40", "50", "60"));
  learner_->Stop();
  EXPECT_EQ(folder_.Read("run/checkpoints/update-000000050/engine"), "50");
}

TEST_F(LearnerAppTest, UpdatesThatFailAgainAndAgainEndTheLearnerNotTheRun) {
  fail_at_ = 28;
  failures_ = 6;
  StartShards(1);
  StartLearner();
  FinishSeedPhase();
  Write(0, 40, true);
  const absl::Status status = learner_->Wait();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(status.message(), "after 5 restorations of update 25: the model loss is not finite");
  EXPECT_EQ(learner_->Status().phase(), proto::TRAINING) << "the run is not over";
  EXPECT_EQ(learner_->Status().updates(), 27u);
  EXPECT_THAT(learner_->Status().waiting(), HasSubstr("the model loss"));
  EXPECT_FALSE(learner_->Health().ok());
  EXPECT_FALSE(std::filesystem::exists(folder_.File("run/checkpoints/update-000000025")));
}

TEST_F(LearnerAppTest, OneFailureLessIsGotOver) {
  fail_at_ = 28;
  failures_ = 5;
  StartShards(1);
  StartLearner();
  FinishSeedPhase();
  Write(0, 40, true);
  AwaitUpdates(40);
  EXPECT_EQ(learner_->Status().restorations(), 5u);
}

TEST_F(LearnerAppTest, EvaluationsAreRecordedAndTheBestIsKept) {
  config_.mutable_evaluation()->set_every_rows(140);
  config_.mutable_stop()->set_return_mean(500);
  StartShards(2);
  StartLearner();
  run::RunClientOptions options;
  options.learner = learner_->server().InProcessEndpoint();
  options.role = proto::EVALUATOR;
  run::RunClient evaluator(options);
  ASSERT_TRUE(evaluator.Register(absl::ZeroDuration()).ok());
  evaluator.Start();
  FinishSeedPhase();
  Write(0, 40, true);
  const auto evaluate = [&](const std::vector<double>& returns) {
    AwaitThat([&] { return evaluator.news().evaluation.has_value(); });
    const proto::EvaluationAssignment assignment = *evaluator.news().evaluation;
    EXPECT_TRUE(evaluator.ReportEvaluation(assignment, returns, {50, 50}, absl::Seconds(10)).ok());
  };
  evaluate({100, 300});
  AwaitThat([&] { return std::filesystem::exists(folder_.File("run/checkpoints/best")); });
  EXPECT_EQ(learner_->Status().evaluations_size(), 1);
  const std::string best = folder_.Read("run/checkpoints/best/engine");
  for (int i = 0; i < 4; ++i) Write(i % 2, 36, true);
  evaluate({600, 700});
  EXPECT_TRUE(learner_->Wait().ok());
  EXPECT_EQ(learner_->Status().phase(), proto::FINISHED);
  AwaitThat([&] { return evaluator.news().phase == proto::FINISHED; });
  // gRPC can crash where a call begins on an in-process channel while its server shuts down.
  evaluator.Close();
  learner_->Stop();
  EXPECT_THAT(FirstColumn("evaluations.csv"), ElementsAre("evaluation_id", "1", "2"));
  EXPECT_NE(folder_.Read("run/checkpoints/best/engine"), best);
  // A run that has reached its goal stays finished.
  learner_.reset();
  StartLearner();
  EXPECT_TRUE(learner_->Wait().ok());
  EXPECT_EQ(learner_->Status().phase(), proto::FINISHED);
}

TEST_F(LearnerAppTest, PublishesWhatTheEngineHolds) {
  StartShards(1);
  StartLearner();
  BoundedQueue<parameters::ParameterSnapshot> received(100);
  parameters::ParameterSubscriberOptions options;
  options.learner = learner_->server().InProcessEndpoint();
  options.name = "test";
  parameters::ParameterSubscriber subscriber(options,
                                             [&](const parameters::ParameterSnapshot& snapshot) {
                                               received.Push(snapshot);
                                               return absl::OkStatus();
                                             });
  FinishSeedPhase();
  const parameters::ParameterSnapshot first = *received.Pop(Clock::Real());
  EXPECT_EQ(first.version(), (ParameterVersion{1, 1}));
  EXPECT_EQ(first.description.run_id(), learner_->run_id());
  EXPECT_EQ(first.description.update_count(), 20u);
  EXPECT_TRUE(parameters::CheckSnapshot(first).ok());
  float updates = 0;
  ASSERT_EQ(first.data->size(), sizeof(updates));
  std::memcpy(&updates, first.data->data(), sizeof(updates));
  EXPECT_EQ(updates, 20);
  subscriber.Close();
}

TEST_F(LearnerAppTest, StopEndsWithACheckpointWithoutEndingTheRun) {
  StartShards(1);
  StartLearner();
  FinishSeedPhase();
  Write(0, 20, true);
  AwaitUpdates(30);
  learner_->Stop();
  EXPECT_EQ(learner_->Status().phase(), proto::TRAINING);
  EXPECT_TRUE(learner_->Wait().ok());
  EXPECT_TRUE(std::filesystem::exists(folder_.File("run/checkpoints/update-000000030")));
}

TEST_F(LearnerAppTest, TrainerStatesSumToItsAge) {
  StartShards(1);
  const absl::Duration before_start = Clock::Real()->Now();
  StartLearner();
  const absl::Duration after_start = Clock::Real()->Now();
  FinishSeedPhase();
  const absl::Duration before_reading = Clock::Real()->Now();
  double sum = 0;
  for (absl::string_view line : absl::StrSplit(WithoutRun(metrics_->ToText()), '\n')) {
    if (!absl::StartsWith(line, "pompc_learner_state_seconds_total{")) continue;
    sum += std::stod(std::vector<std::string>(absl::StrSplit(line, ' '))[1]);
  }
  const absl::Duration after_reading = Clock::Real()->Now();
  EXPECT_GE(sum, absl::ToDoubleSeconds(before_reading - after_start));
  EXPECT_LE(sum, absl::ToDoubleSeconds(after_reading - before_start));
}

TEST_F(LearnerAppTest, ServesOnALoopbackPort) {
  StartShards(1);
  AppOptions options = LearnerOptions();
  options.server.listen = "127.0.0.1:0";
  learner_ = *App::Start(options);
  const auto run = run::GetRun(rpc::Endpoint(learner_->server().address()), absl::Seconds(10));
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->run_id(), learner_->run_id());
  EXPECT_EQ(run->config().learner().seed_rows(), 100u);
  EXPECT_THAT(learner_->StatusPage(), HasSubstr(learner_->run_id()));
}

TEST_F(LearnerAppTest, MissingOptionsAreNamed) {
  StartShards(1);
  AppOptions options = LearnerOptions();
  options.run_dir.clear();
  EXPECT_THAT(std::string(App::Start(options).status().message()), HasSubstr("run_dir"));
  options = LearnerOptions();
  options.replay.clear();
  EXPECT_THAT(std::string(App::Start(options).status().message()), HasSubstr("replay"));
  options = LearnerOptions();
  options.config.mutable_env()->clear_spec();
  EXPECT_THAT(std::string(App::Start(options).status().message()), HasSubstr("env.spec"));
}

// What would otherwise begin and never get a batch.
TEST_F(LearnerAppTest, ConfigsThatCanNeverDrawABatchAreRefused) {
  StartShards(1);
  AppOptions options = LearnerOptions();
  options.config.mutable_planner()->set_horizon(51);
  EXPECT_THAT(std::string(App::Start(options).status().message()),
              StartsWith("planner.horizon: 51 is more than the decisions of an episode"));
  options = LearnerOptions();
  options.config.mutable_env()->mutable_spec()->set_observation_size(100000);
  options.config.mutable_learner()->set_batch_size(42);
  EXPECT_THAT(std::string(App::Start(options).status().message()),
              HasSubstr("learner.batch_size: 42; of windows of 1600123 bytes (planner.horizon 3, "
                        "env.spec.observation_size 100000) one message holds 41"));
}

}  // namespace
}  // namespace pompc::learner
