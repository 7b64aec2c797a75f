#include "learner/checkpoint_writer.h"

#include <atomic>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/io/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/rundir/scratch_folder.h"
#include "tests/support/await.h"

namespace pompc::learner {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// The number of writes that fail before the disk has room again.
using Failures = std::shared_ptr<std::atomic<int>>;
constexpr int kAll = 1000000;

class FailingState : public Engine::State {
 public:
  explicit FailingState(Failures failures) : failures_(std::move(failures)) {}
  absl::Status Write(const std::string& folder) const override {
    if ((*failures_)-- > 0) return absl::ResourceExhaustedError("no space left");
    *failures_ = 0;
    return WriteFileAtomically(folder + "/engine", "state");
  }

 private:
  const Failures failures_;
};

// A writer that keeps one checkpoint beside the best, on a disk that the test fills and frees.
class CheckpointWriterTest : public testing::Test {
 protected:
  CheckpointWriterTest() { Start(&clock_); }

  void Start(Clock* clock) {
    writer_.reset();
    auto store = rundir::CheckpointStore::Open(folder_.File("checkpoints"), 1);
    ASSERT_TRUE(store.ok()) << store.status();
    writer_ = std::make_unique<CheckpointWriter>(*std::move(store), clock);
  }
  std::unique_ptr<Checkpoint> Make(uint64_t updates) {
    auto checkpoint = std::make_unique<Checkpoint>();
    checkpoint->info.learner_incarnation = 1;
    checkpoint->info.progress.updates = updates;
    checkpoint->engine = std::make_unique<FailingState>(failures_);
    return checkpoint;
  }
  void Write(uint64_t updates, bool pin = false) { writer_->Write(Make(updates), pin); }
  void Settle(uint64_t updates, double mean) {
    proto::EvaluationResult result;
    result.mutable_version()->set_incarnation(1);
    result.mutable_version()->set_number(1);
    result.set_updates(updates);
    result.set_return_mean(mean);
    writer_->Settle(updates, result);
  }
  // Time passes meanwhile.
  void AwaitWritten(uint64_t n) {
    ASSERT_TRUE(Await([&] {
      clock_.Advance(absl::Seconds(1));
      return writer_->stats().written == n;
    }));
  }
  void AwaitFailed(uint64_t n) {
    ASSERT_TRUE(Await([&] { return writer_->stats().failed == n; }));
  }
  void AwaitWaiting(uint64_t n) {
    ASSERT_TRUE(Await([&] { return writer_->stats().waiting == n; }));
  }
  std::vector<uint64_t> Written() {
    return *(*rundir::CheckpointStore::Open(folder_.File("checkpoints"), 1))->List();
  }
  std::string Best() {
    std::error_code error;
    return std::filesystem::read_symlink(folder_.File("checkpoints/best"), error).string();
  }

  FakeClock clock_;
  ScratchFolder folder_;
  Failures failures_ = std::make_shared<std::atomic<int>>(0);
  std::unique_ptr<CheckpointWriter> writer_;
};

TEST_F(CheckpointWriterTest, WhatFailedIsWrittenWhenThereIsRoom) {
  *failures_ = kAll;
  Write(100);
  AwaitWaiting(1);
  EXPECT_EQ(writer_->stats().status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(writer_->stats().newest, std::nullopt);
  *failures_ = 0;
  AwaitWritten(1);
  AwaitWaiting(0);
  EXPECT_EQ(writer_->stats().newest, 100u);
  writer_->Close();
  EXPECT_THAT(Written(), ElementsAre(100));
}

TEST_F(CheckpointWriterTest, AgeCountsFromTheNewestOnDisk) {
  clock_.Advance(absl::Seconds(7));
  EXPECT_EQ(writer_->stats().age, absl::Seconds(7)) << "since the writer began";
  Write(100);
  ASSERT_TRUE(Await([&] { return writer_->stats().written == 1; }));
  EXPECT_EQ(writer_->stats().age, absl::ZeroDuration());
  *failures_ = kAll;
  clock_.Advance(absl::Seconds(5));
  Write(200);
  AwaitFailed(1);
  EXPECT_EQ(writer_->stats().age, absl::Seconds(5)) << "one that failed is none";
}

TEST_F(CheckpointWriterTest, AReplacementThatFailedIsOneWhenItIsWrittenLater) {
  // Under evaluation, so that what fails is kept.
  Write(100, /*pin=*/true);
  AwaitWritten(1);
  *failures_ = 1;
  auto replacement = Make(100);
  replacement->info.progress.rows.past_rows = 7;
  EXPECT_FALSE(
      writer_->WriteAndWait(std::move(replacement), absl::ZeroDuration(), /*replace=*/true).ok());
  AwaitWritten(2);
  writer_->Close();
  const auto info = ReadCheckpointInfo(folder_.File("checkpoints/update-000000100"));
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->progress.rows.past_rows, 7u);
}

TEST_F(CheckpointWriterTest, ANewerOneReplacesOneThatFailed) {
  *failures_ = 1;
  Write(100);
  Write(200);
  AwaitWritten(1);
  writer_->Close();
  EXPECT_EQ(writer_->stats().failed, 1u);
  EXPECT_EQ(writer_->stats().waiting, 0u);
  EXPECT_THAT(Written(), ElementsAre(200));
}

TEST_F(CheckpointWriterTest, TheBestPolicyIsWrittenHoweverLateThereIsRoom) {
  Write(100, true);
  AwaitWritten(1);
  Settle(100, 0.8);
  *failures_ = kAll;
  Write(200, true);
  Write(300, true);
  Settle(200, 247.1);
  Settle(300, 0.5);
  Write(400);
  // The policy of update 300 is neither the best nor the newest.
  AwaitFailed(3);
  EXPECT_EQ(Best(), "update-000000100") << "the best of what there is";
  *failures_ = 0;
  AwaitWritten(3);
  writer_->Close();
  EXPECT_THAT(Written(), ElementsAre(200, 400));
  EXPECT_EQ(Best(), "update-000000200");
}

TEST_F(CheckpointWriterTest, RoomForOneIsUsedForTheOthersAtOnce) {
  *failures_ = kAll;
  Write(200, true);
  Settle(200, 5);
  Write(300);
  AwaitWaiting(2);
  *failures_ = 0;
  Write(400);
  AwaitWritten(2);
  writer_->Close();
  EXPECT_THAT(Written(), ElementsAre(200, 400));
  EXPECT_EQ(Best(), "update-000000200");
}

TEST_F(CheckpointWriterTest, NoMoreThanTheBoundWaitInMemory) {
  *failures_ = kAll;
  for (uint64_t updates = 100; updates <= 800; updates += 100) Write(updates, true);
  AwaitWaiting(CheckpointWriter::kMaxFailed);
  AwaitFailed(8);
  EXPECT_EQ(writer_->stats().waiting, CheckpointWriter::kMaxFailed);
  *failures_ = 0;
  writer_->Close();
  EXPECT_EQ(Written().back(), 800u);
}

TEST_F(CheckpointWriterTest, ClosingTriesOnceMore) {
  *failures_ = kAll;
  Write(100);
  AwaitWaiting(1);
  *failures_ = 0;
  writer_->Close();
  EXPECT_THAT(Written(), ElementsAre(100));
}

TEST_F(CheckpointWriterTest, WhoWaitsGetsTheErrorOrTheCheckpoint) {
  Start(Clock::Real());
  *failures_ = kAll;
  const absl::Status status = writer_->WriteAndWait(Make(100));
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("no space left"));
  *failures_ = 2;
  EXPECT_TRUE(writer_->WriteAndWait(Make(200), absl::Seconds(30)).ok());
  EXPECT_EQ(writer_->stats().newest, 200u);
  writer_->Close();
  EXPECT_EQ(writer_->WriteAndWait(Make(300), absl::Seconds(30)).code(),
            absl::StatusCode::kCancelled);
}

}  // namespace
}  // namespace pompc::learner
