// What replay and the learner do about windows that no update can be made with, and the bound on
// rows when the learner starts again.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/learner/learner_fixture.h"
#include "tests/replay/row_builder.h"

namespace pompc::learner {
namespace {

using ::testing::HasSubstr;

using UnusableWindowsTest = LearnerFixture;

TEST_F(UnusableWindowsTest, WindowsThatNoUpdateCanBeMadeWithAreBarredAndTheRunGoesOn) {
  // So many updates follow each row that no window is left out.
  config_.mutable_learner()->set_utd(4);
  StartShards(2);
  StartLearner();
  StartWriters(1);
  // Of the 32 windows that 34 rows have, the three with row 20; 64 others.
  ASSERT_TRUE(TryWrite(0, 34, false, /*poison_every=*/20).ok());
  Write(1, 66, false);
  AwaitTraining();
  const auto barred = [&] {
    return shards_[0]->shard().counts().barred_windows +
           shards_[1]->shard().counts().barred_windows;
  };
  // Each is met sooner or later, alone or with others, and once.
  for (int i = 0; i < 50 && barred() < 3; ++i) Write(i % 2, 20, true);
  AwaitThat([&] { return barred() == 3; });
  const proto::RunStatus status = learner_->Status();
  EXPECT_GE(status.restorations(), 1u);
  EXPECT_THAT(status.last_restoration(),
              HasSubstr("barred from replay, for no update can be made with: "));
  EXPECT_THAT(status.last_restoration(), HasSubstr(" of shard 0: row"));
  EXPECT_THAT(WithoutRun(metrics_->ToText()), HasSubstr("pompc_learner_barred_windows_total 3"));
  const uint64_t restorations = status.restorations();
  for (int i = 0; i < 3; ++i) Write(i % 2, 40, true);
  AwaitUpdates(status.updates() + 40);
  EXPECT_LE(learner_->Status().restorations(), restorations + 16)
      << "but for what was drawn before";
  EXPECT_TRUE(learner_->Health().ok());
}

TEST_F(UnusableWindowsTest, TooManyBarredWindowsEndTheRun) {
  StartShards(2);
  StartLearner();
  StartWriters(1);
  // No window of an episode with every third row poisoned is without one: a third of all.
  ASSERT_TRUE(TryWrite(0, 34, false, /*poison_every=*/3).ok());
  Write(1, 66, false);
  const absl::Status status = learner_->Wait();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("of the 96 windows in replay are barred, more than a quarter"));
  EXPECT_FALSE(learner_->Health().ok());
}

TEST_F(UnusableWindowsTest, UpdatesMadeBeforeTooManyWereBarredAreKept) {
  config_.mutable_replay()->set_slack_rows(80);
  StartShards(1);
  StartLearner();
  FinishSeedPhase();
  Write(0, 20, true);
  AwaitUpdates(30);
  // All of them, before the learner meets the first.
  engine_->Hold();
  ASSERT_TRUE(TryWrite(0, 60, true, /*poison_every=*/3).ok());
  engine_->Release();
  EXPECT_EQ(learner_->Wait().code(), absl::StatusCode::kFailedPrecondition);
  const uint64_t updates = learner_->Status().updates();
  EXPECT_GE(updates, 30u) << "the checkpoint before was of update 20";
  EXPECT_EQ(folder_.Read(absl::StrCat("run/checkpoints/update-0000000", updates, "/engine")),
            absl::StrCat(updates));
}

// The engine notices long after the batch that was at fault was forgotten; from then on it is asked
// before that. Of each 60 batches the 30th is bad: it would never be among the newest.
TEST_F(UnusableWindowsTest, WhatIsNoticedLateIsLookedForInTime) {
  bad_batch_ = [](int batch) { return batch % 60 == 30; };
  notices_late_ = true;
  proto::LearnerConfig* learner = config_.mutable_learner();
  learner->set_utd(2);
  learner->set_publish_every_updates(200);
  learner->set_log_every_updates(200);
  learner->set_checkpoint_every_updates(200);
  StartShards(1);
  StartLearner();
  FinishSeedPhase();
  Write(0, 100, true);
  AwaitThat([&] { return FromProto(learner_->Status().version()) == ParameterVersion{1, 2}; });
  EXPECT_GE(shards_[0]->shard().counts().barred_windows, 1u);
  EXPECT_GE(learner_->Status().restorations(), 2u);
  EXPECT_TRUE(learner_->Health().ok());
}

TEST_F(UnusableWindowsTest, WhereMostWindowsFailTheParametersAreAtFault) {
  StartShards(1);
  StartLearner();
  StartWriters(1);
  ASSERT_TRUE(TryWrite(0, 100, false, /*poison_every=*/2).ok());
  const absl::Status status = learner_->Wait();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("after 5 restorations of update 0"));
  EXPECT_EQ(shards_[0]->shard().counts().barred_windows, 0u);
}

TEST_F(UnusableWindowsTest, ARestartInTheSeedPhaseKeepsTheBoundOnRows) {
  StartShards(2);
  StartLearner();
  StartWriters(1);
  Write(0, 60, false);
  Write(1, 39, false);
  learner_.reset();
  // Of the first 100 rows and 40 of slack, 99 are there, of which no checkpoint tells.
  StartLearner();
  engine_->Hold();
  for (auto& writer : writers_) {
    writer->BeginEpisode(0);
    constexpr replay::RowSpec kSpec = {.observation_size = 2, .action_size = 1};
    const auto row = replay::RowBuilder(kSpec).Add(1, /*has_plan=*/false);
    for (int i = 0; i < 200; ++i) (void)writer->Append(0, row.Single(), absl::ZeroDuration());
  }
  const auto accepted = [&] {
    return shards_[0]->shard().counts().accepted_rows + shards_[1]->shard().counts().accepted_rows;
  };
  AwaitThat([&] { return accepted() >= 138; });
  AwaitThat([&] {
    return shards_[0]->shard().counts().blocked_writers() == 1 &&
           shards_[1]->shard().counts().blocked_writers() == 1;
  });
  // One row for each shard, without which a bound smaller than the number of shards starves one.
  EXPECT_LE(accepted(), 142u);
}

}  // namespace
}  // namespace pompc::learner
