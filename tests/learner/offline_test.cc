#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "replay/dataset/data_set_writer.h"
#include "tests/learner/learner_fixture.h"

namespace pompc::learner {
namespace {

using ::testing::HasSubstr;

// Runs that begin with data sets, and runs that learn from them alone.
class OfflineTest : public LearnerFixture {
 protected:
  // Episodes of 20 rows without plans.
  std::string WriteDataSet(int episodes, float reward = 1, const std::string& task = "") {
    const std::string path = folder_.File("demos-" + std::to_string(episodes) + ".safetensors");
    TensorMetadata metadata;
    if (!task.empty()) metadata["task"] = task;
    auto writer = *replay::DataSetWriter::Create(path, {2, 1}, metadata);
    constexpr uint32_t kRows = 20;
    const std::vector<float> observations(2 * kRows, 0.5f), actions(kRows, 0.25f),
        rewards(kRows, reward), zeros(kRows, 0), ones(kRows, 1), last = {0.5f, 0.5f};
    const std::vector<uint8_t> none(kRows, 0);
    const std::vector<ParameterVersion> versions(kRows);
    const std::vector<uint64_t> addresses(kRows);
    replay::RowView rows;
    rows.count = kRows;
    rows.Set<float>("observations", observations);
    rows.Set<float>("actions", actions);
    rows.Set<float>("rewards", rewards);
    rows.Set<uint8_t>("terminated", none);
    rows.Set<uint8_t>("has_plan", none);
    rows.Set<float>("plan_mean", zeros);
    rows.Set<float>("plan_std", ones);
    rows.Set<float>("plan_value", zeros);
    rows.Set<ParameterVersion>("versions", versions);
    rows.final_observation = last;
    for (int i = 0; i < episodes; ++i) {
      EXPECT_TRUE(
          writer->Append({0, {.episode = static_cast<uint64_t>(i)}}, 0, addresses, rows).ok());
    }
    EXPECT_TRUE(writer->Finish().ok());
    return path;
  }
  void LearnOffline(const std::string& files, uint64_t max_updates) {
    config_.set_schedule(proto::RunConfig::OFFLINE);
    config_.mutable_replay()->set_import(files);
    config_.mutable_stop()->set_max_updates(max_updates);
    config_.mutable_evaluation()->set_every_updates(0);
  }
  uint64_t Imported() const {
    uint64_t rows = 0;
    for (const auto& shard : shards_) rows += shard->shard().counts().imported_rows;
    return rows;
  }
};

TEST_F(OfflineTest, LearnsFromADataSetAlone) {
  LearnOffline(WriteDataSet(7), 35);
  StartShards(2);
  StartLearner();
  ASSERT_TRUE(learner_->Wait().ok());
  const proto::RunStatus status = learner_->Status();
  EXPECT_EQ(status.phase(), proto::FINISHED);
  EXPECT_THAT(status.over_reason(), HasSubstr("all 35 updates are made"));
  EXPECT_EQ(status.updates(), 35u);
  EXPECT_EQ(status.rows(), 0u);
  EXPECT_EQ(Imported(), 140u);
  EXPECT_EQ(FromProto(status.version()), (ParameterVersion{1, 8}));
  EXPECT_TRUE(std::filesystem::exists(folder_.File("run/checkpoints/update-000000035")));
}

TEST_F(OfflineTest, AResumedRunImportsNothingTwice) {
  LearnOffline(WriteDataSet(5), 20);
  StartShards(2);
  StartLearner();
  ASSERT_TRUE(learner_->Wait().ok());
  learner_.reset();
  config_.mutable_stop()->set_max_updates(50);
  StartLearner();
  ASSERT_TRUE(learner_->Wait().ok());
  EXPECT_EQ(learner_->Status().updates(), 50u);
  EXPECT_EQ(Imported(), 100u);
}

TEST_F(OfflineTest, AShardWithoutMemoryGetsItsRowsAgain) {
  LearnOffline(WriteDataSet(5), 20);
  StartShards(1);
  StartLearner();
  ASSERT_TRUE(learner_->Wait().ok());
  learner_.reset();
  shards_.clear();
  StartShards(1);
  config_.mutable_stop()->set_max_updates(40);
  StartLearner();
  ASSERT_TRUE(learner_->Wait().ok());
  EXPECT_EQ(Imported(), 100u);
}

TEST_F(OfflineTest, ARunThatActsBeginsWithADataSet) {
  config_.mutable_replay()->set_import(WriteDataSet(3) + "," + WriteDataSet(4, 2));
  StartShards(2);
  StartLearner();
  FinishSeedPhase();
  EXPECT_EQ(Imported(), 140u);
  // The 100 rows that actors made count, the others do not.
  EXPECT_EQ(learner_->Status().rows(), 100u);
  EXPECT_EQ(learner_->Status().updates(), 20u);
  for (int i = 0; i < 2; ++i) Write(i, 40, true);
  AwaitUpdates(60);
  EXPECT_EQ(learner_->Status().rows(), 180u);
}

TEST_F(OfflineTest, WhatDoesNotFitTheRunIsRefusedBeforeAnythingIsMade) {
  StartShards(1);
  const auto refused = [&](const std::string& files, const char* text) {
    config_.mutable_replay()->set_import(files);
    const absl::Status status = TryStartLearner();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(status.message(), HasSubstr("replay.import"));
    EXPECT_THAT(status.message(), HasSubstr(text));
    EXPECT_FALSE(std::filesystem::exists(folder_.File("run")));
  };
  const std::string one = WriteDataSet(1);
  refused(one + ", " + one, "the same rows");
  refused(WriteDataSet(2, 1, "pendulum-swingup"), "pendulum-swingup");
  config_.mutable_env()->mutable_spec()->set_observation_size(3);
  refused(one, "the observation size is 2, the run's is 3");
  config_.mutable_env()->mutable_spec()->set_observation_size(2);
  config_.mutable_replay()->set_import(folder_.File("none"));
  EXPECT_TRUE(absl::IsNotFound(TryStartLearner()));
}

TEST_F(OfflineTest, ARunDoesNotChangeBetweenOfflineAndOnline) {
  LearnOffline(WriteDataSet(5), 20);
  StartShards(1);
  StartLearner();
  ASSERT_TRUE(learner_->Wait().ok());
  learner_.reset();
  config_.set_schedule(proto::RunConfig::CONCURRENT);
  const absl::Status status = TryStartLearner();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(status.message(), HasSubstr("schedule: OFFLINE, now CONCURRENT"));
}

}  // namespace
}  // namespace pompc::learner
