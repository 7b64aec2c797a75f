#include "rundir/checkpoint_store.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/io/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "rundir/sealed_folder.h"
#include "tests/rundir/scratch_folder.h"

namespace {

// What a file system answers that makes no symbolic link; 0: it makes them.
int symlink_error = 0;

}  // namespace

// In place of the C library's, which file systems that a test could mount would have to be behind.
extern "C" int symlink(const char* target, const char* link) noexcept {
  if (symlink_error == 0) return ::symlinkat(target, AT_FDCWD, link);
  errno = symlink_error;
  return -1;
}

namespace pompc::rundir {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class CheckpointStoreTest : public testing::Test {
 protected:
  CheckpointStoreTest() { Open(2); }

  void Open(uint32_t keep, const std::vector<proto::EvaluationResult>& evaluations = {}) {
    auto store = CheckpointStore::Open(folder_.File("checkpoints"), keep, evaluations);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }
  absl::Status Write(uint64_t updates, const std::string& content = "state") {
    absl::Status status = store_->Write(updates, [&](const std::string& folder) {
      return WriteFileAtomically(folder + "/state.json", content);
    });
    status.Update(store_->Tidy());
    return status;
  }
  // The checkpoint is that of the learner's start `incarnation`.
  void WriteOf(uint64_t updates, uint64_t incarnation) {
    ASSERT_TRUE(
        Write(updates, absl::StrCat("{\"learner_incarnation\": ", incarnation, "}")).ok());
  }
  static proto::EvaluationResult Result(uint64_t updates, double mean, uint64_t incarnation = 1) {
    proto::EvaluationResult result;
    result.mutable_version()->set_incarnation(incarnation);
    result.mutable_version()->set_number(1);
    result.set_updates(updates);
    result.set_return_mean(mean);
    return result;
  }
  void Evaluate(uint64_t updates, double mean) {
    store_->AddEvaluation(Result(updates, mean));
    ASSERT_TRUE(store_->Tidy().ok());
  }
  // The target of "best"; empty: there is no such link.
  std::string Link() {
    std::error_code error;
    return std::filesystem::read_symlink(folder_.File("checkpoints/best"), error).string();
  }
  std::optional<uint64_t> Best() {
    const auto best = store_->Best();
    EXPECT_TRUE(best.ok()) << best.status();
    if (!best.ok() || !best->has_value()) return std::nullopt;
    return (*best)->updates;
  }
  absl::StatusOr<ChosenCheckpoint> Choose(const std::vector<proto::EvaluationResult>& evaluations) {
    return ChooseCheckpoint(folder_.File("checkpoints"), evaluations);
  }
  void Damage(uint64_t updates) {
    ASSERT_TRUE(WriteFileAtomically(StateOf(updates), "damaged").ok());
  }
  std::string StateOf(uint64_t updates) { return store_->Path(updates) + "/state.json"; }

  ~CheckpointStoreTest() override { symlink_error = 0; }

  ScratchFolder folder_;
  std::unique_ptr<CheckpointStore> store_;
};

TEST_F(CheckpointStoreTest, KeepsTheNewest) {
  for (uint64_t updates : {100, 200, 300}) ASSERT_TRUE(Write(updates).ok());
  EXPECT_THAT(*store_->List(), ElementsAre(200, 300));
  EXPECT_THAT(store_->Path(300), HasSubstr("checkpoints/update-000000300"));
  EXPECT_TRUE(store_->Verify(300).ok());
}

TEST_F(CheckpointStoreTest, ReplacesACheckpointOnlyWhereItIsToldTo) {
  ASSERT_TRUE(Write(100, "first").ok());
  ASSERT_TRUE(Write(100, "second").ok());
  EXPECT_EQ(folder_.Read("checkpoints/update-000000100/state.json"), "first");
  const auto replace = [&](const absl::Status& outcome) {
    return store_->Write(
        100,
        [&](const std::string& folder) {
          const absl::Status written = WriteFileAtomically(folder + "/state.json", "third");
          return written.ok() ? outcome : written;
        },
        /*replace=*/true);
  };
  EXPECT_EQ(replace(absl::ResourceExhaustedError("full")).code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(folder_.Read("checkpoints/update-000000100/state.json"), "first");
  ASSERT_TRUE(replace(absl::OkStatus()).ok());
  EXPECT_EQ(folder_.Read("checkpoints/update-000000100/state.json"), "third");
  EXPECT_TRUE(store_->Verify(100).ok());
  // The old one is gone, not put beside it.
  EXPECT_THAT(*NamesIn(folder_.File("checkpoints")), ElementsAre("update-000000100"));
}

TEST_F(CheckpointStoreTest, KeepsTheBestAndThePinned) {
  for (uint64_t updates : {100, 200}) ASSERT_TRUE(Write(updates).ok());
  Evaluate(100, 5);
  store_->Pin(200);
  for (uint64_t updates : {300, 400, 500}) ASSERT_TRUE(Write(updates).ok());
  EXPECT_THAT(*store_->List(), ElementsAre(100, 200, 400, 500));
  EXPECT_EQ(folder_.Read("checkpoints/best/state.json"), "state");
  store_->Unpin(200);
  ASSERT_TRUE(store_->Tidy().ok());
  EXPECT_THAT(*store_->List(), ElementsAre(100, 400, 500));
  Evaluate(500, 5.5);
  EXPECT_THAT(*store_->List(), ElementsAre(400, 500));
}

TEST_F(CheckpointStoreTest, BestFollowsFromTheEvaluationsAfterARestart) {
  ASSERT_TRUE(Write(100).ok());
  Open(1, {Result(100, 5)});
  ASSERT_TRUE(Write(200).ok());
  EXPECT_EQ(Best(), 100u);
  EXPECT_EQ(Link(), "update-000000100");
  EXPECT_THAT(*store_->List(), ElementsAre(100, 200));
}

TEST_F(CheckpointStoreTest, WithoutAnEvaluatedCheckpointNothingIsTheBest) {
  Evaluate(7, 100);
  ASSERT_TRUE(Write(100).ok());
  EXPECT_EQ(Best(), std::nullopt);
  EXPECT_EQ(Link(), "");
}

TEST_F(CheckpointStoreTest, TheBestEvaluationWithoutACheckpointLeavesTheNextBest) {
  for (uint64_t updates : {100, 200}) ASSERT_TRUE(Write(updates).ok());
  Evaluate(100, 5);
  Evaluate(200, 3);
  Evaluate(300, 9);
  EXPECT_EQ(Best(), 100u);
  // Written after all, as when the disk has room again.
  ASSERT_TRUE(Write(300).ok());
  EXPECT_EQ(Best(), 300u);
  EXPECT_EQ(Link(), "update-000000300");
}

TEST_F(CheckpointStoreTest, ADamagedCheckpointIsNotTheBest) {
  for (uint64_t updates : {100, 200}) ASSERT_TRUE(Write(updates).ok());
  Damage(100);
  Open(1, {Result(100, 5), Result(200, 3)});
  ASSERT_TRUE(Write(300).ok());
  EXPECT_EQ(Best(), 200u);
  EXPECT_EQ(Link(), "update-000000200");
  EXPECT_THAT(*store_->List(), ElementsAre(200, 300)) << "the best one that verifies is kept";
}

TEST_F(CheckpointStoreTest, AnEvaluationOfUpdatesThatWereMadeAnewDoesNotCount) {
  WriteOf(100, 1);
  WriteOf(200, 3);
  // Start 2 evaluated an update 200 that was lost with it, start 4 the checkpoint it resumed from.
  Open(2, {Result(100, 5, 1), Result(200, 9, 2)});
  EXPECT_EQ(Best(), 100u);
  store_->AddEvaluation(Result(200, 8, 4));
  EXPECT_EQ(Best(), 200u);
}

TEST_F(CheckpointStoreTest, AWrongLinkIsSetRight) {
  for (uint64_t updates : {100, 200}) ASSERT_TRUE(Write(updates).ok());
  const std::string link = folder_.File("checkpoints/best");
  for (const char* wrong : {"update-000000100", "update-000000999", "elsewhere"}) {
    std::filesystem::remove(link);
    std::filesystem::create_directory_symlink(wrong, link);
    Open(2, {Result(200, 1)});
    ASSERT_TRUE(store_->Tidy().ok());
    EXPECT_EQ(Link(), "update-000000200") << wrong;
  }
  // Copied by a program that follows links, more than once.
  for (const char* copy : {"best.old", "best.old-2", "best.old-3"}) {
    std::filesystem::remove(link);
    std::filesystem::create_directory(link);
    folder_.Write("checkpoints/best/copy", copy);
    ASSERT_TRUE(store_->Tidy().ok());
    EXPECT_EQ(Link(), "update-000000200");
    EXPECT_EQ(folder_.Read(absl::StrCat("checkpoints/", copy, "/copy")), copy);
  }
  // Nothing of what it could point to is the best any more.
  Open(2);
  ASSERT_TRUE(store_->Tidy().ok());
  EXPECT_EQ(Link(), "");
}

TEST_F(CheckpointStoreTest, ALinkThatCannotBeSetIsSetLater) {
  for (uint64_t updates : {100, 200}) ASSERT_TRUE(Write(updates).ok());
  Evaluate(100, 1);
  symlink_error = ENOSPC;
  store_->AddEvaluation(Result(200, 2));
  EXPECT_FALSE(store_->Tidy().ok());
  EXPECT_EQ(Link(), "") << "it led to a worse one";
  symlink_error = 0;
  EXPECT_TRUE(store_->Tidy().ok());
  EXPECT_EQ(Link(), "update-000000200");
}

TEST_F(CheckpointStoreTest, WithoutSymbolicLinksThereIsNoBestAndNoError) {
  for (const int error : {EPERM, EOPNOTSUPP, ENOSYS}) {
    symlink_error = error;
    Open(2, {Result(100, 1)});
    for (uint64_t updates : {100, 200, 300, 400}) EXPECT_TRUE(Write(updates).ok());
    EXPECT_THAT(*NamesIn(folder_.File("checkpoints")),
                ElementsAre("update-000000100", "update-000000300", "update-000000400"));
  }
  symlink_error = EACCES;
  EXPECT_EQ(store_->Tidy().code(), absl::StatusCode::kPermissionDenied);
}

TEST_F(CheckpointStoreTest, ReadersGetTheBestThatVerifiesAndHearWhatWasPassedOver) {
  EXPECT_EQ(Choose({}).status().code(), absl::StatusCode::kNotFound);
  for (uint64_t updates : {100, 200}) ASSERT_TRUE(Write(updates).ok());
  EXPECT_EQ(Choose({})->checkpoint.updates, 200u) << "the newest, where none was evaluated";
  const std::vector<proto::EvaluationResult> evaluations = {Result(100, 7), Result(200, 3),
                                                            Result(510, 247.1)};
  auto chosen = Choose(evaluations);
  ASSERT_TRUE(chosen.ok()) << chosen.status();
  EXPECT_EQ(chosen->checkpoint.updates, 100u);
  EXPECT_EQ(chosen->checkpoint.return_mean, 7);
  EXPECT_THAT(chosen->passed_over, ElementsAre(HasSubstr("return 247.1 after update 510")));
  Damage(100);
  chosen = Choose(evaluations);
  ASSERT_TRUE(chosen.ok()) << chosen.status();
  EXPECT_EQ(chosen->checkpoint.updates, 200u);
  EXPECT_THAT(chosen->passed_over, ElementsAre(HasSubstr("247.1"), HasSubstr("update-000000100")));
  Damage(200);
  EXPECT_EQ(Choose(evaluations).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(CheckpointStoreTest, ACheckpointUnderAWrongNumberIsNamedAndNotTakenForIt) {
  ASSERT_TRUE(Write(100, "{\"updates\": 100}").ok());
  ASSERT_TRUE(Write(105, "{\"updates\": 105}").ok());
  EXPECT_TRUE(store_->CheckName(105).ok());
  std::filesystem::rename(store_->Path(105), store_->Path(500));
  const absl::Status status = store_->CheckName(500);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(std::string(status.message()),
            store_->Path(500) + " holds update 105: name it update-000000105");
  EXPECT_EQ(Write(500, "{\"updates\": 500}"), status) << "it counts as written";
  // Evaluations of update 500 say nothing of it.
  const std::vector<proto::EvaluationResult> evaluations = {Result(100, 3), Result(500, 9)};
  Open(2, evaluations);
  EXPECT_EQ(Best(), 100u);
  const auto chosen = Choose(evaluations);
  ASSERT_TRUE(chosen.ok()) << chosen.status();
  EXPECT_EQ(chosen->checkpoint.updates, 100u);
  EXPECT_THAT(chosen->passed_over, ElementsAre(HasSubstr("update-000000500, has a wrong name: ")));
  EXPECT_EQ(Choose({})->checkpoint.updates, 100u);
  // A copy beside the original.
  ASSERT_TRUE(Write(105, "{\"updates\": 105}").ok());
  EXPECT_THAT(std::string(store_->CheckName(500).message()),
              HasSubstr("remove it, or update-000000105, which exists as well"));
}

TEST_F(CheckpointStoreTest, AFolderOfAnotherNameIsNoCheckpoint) {
  std::filesystem::create_directories(folder_.File("checkpoints/update-600"));
  EXPECT_TRUE(store_->List()->empty());
}

TEST_F(CheckpointStoreTest, AFailedWriteLeavesNothingAndDeletesNothing) {
  for (uint64_t updates : {100, 200}) ASSERT_TRUE(Write(updates).ok());
  const absl::Status status = store_->Write(300, [&](const std::string& folder) {
    WriteFileAtomically(folder + "/half", "x").IgnoreError();
    return absl::ResourceExhaustedError("disk full");
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(*store_->List(), ElementsAre(100, 200));
  EXPECT_FALSE(std::filesystem::exists(folder_.File("checkpoints/writing-update-000000300")));
}

TEST_F(CheckpointStoreTest, AnInterruptedWriteIsNoCheckpointAndIsRemoved) {
  std::filesystem::create_directories(folder_.File("checkpoints/writing-update-000000300"));
  EXPECT_TRUE(store_->List()->empty());
  Open(2);
  EXPECT_FALSE(std::filesystem::exists(folder_.File("checkpoints/writing-update-000000300")));
}

TEST_F(CheckpointStoreTest, NothingIsTouchedOnceTheRunDirectoryIsElsewhere) {
  const std::string run = folder_.File("run");
  auto store = CheckpointStore::Open(run + "/checkpoints", 1);
  ASSERT_TRUE(store.ok()) << store.status();
  store_ = *std::move(store);
  ASSERT_TRUE(Write(100).ok());
  std::filesystem::rename(run, folder_.File("moved"));
  EXPECT_EQ(Write(200).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(std::filesystem::exists(run));
  // Another run has taken its name.
  std::filesystem::create_directories(run + "/checkpoints/update-000000001");
  std::filesystem::create_directories(run + "/checkpoints/update-000000002");
  const absl::Status status = Write(200);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr(run + " was moved or deleted"));
  EXPECT_EQ(store_->Tidy().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(*store_->List(), ElementsAre(1, 2));
  std::filesystem::remove_all(run);
  std::filesystem::rename(folder_.File("moved"), run);
  EXPECT_TRUE(Write(200).ok());
}

TEST_F(CheckpointStoreTest, CheckpointsThatSomebodyRemovedAreWrittenAgain) {
  ASSERT_TRUE(Write(100).ok());
  std::filesystem::remove_all(folder_.File("checkpoints"));
  ASSERT_TRUE(Write(200).ok());
  EXPECT_THAT(*store_->List(), ElementsAre(200));
}

TEST_F(CheckpointStoreTest, TheSameUpdateIsWrittenOnce) {
  ASSERT_TRUE(Write(100, "first").ok());
  ASSERT_TRUE(Write(100, "second").ok());
  EXPECT_EQ(*ReadFile(StateOf(100)), "first");
}

TEST_F(CheckpointStoreTest, DamageIsFoundAndNamed) {
  ASSERT_TRUE(Write(100, "healthy").ok());
  ASSERT_TRUE(WriteFileAtomically(StateOf(100), "damaged").ok());
  EXPECT_EQ(store_->Verify(100).code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(store_->Verify(100).message()), HasSubstr("state.json"));
  ASSERT_TRUE(WriteFileAtomically(StateOf(100), "cut").ok());
  EXPECT_EQ(store_->Verify(100).code(), absl::StatusCode::kDataLoss);
  ASSERT_TRUE(RemoveAll(StateOf(100)).ok());
  EXPECT_EQ(store_->Verify(100).code(), absl::StatusCode::kDataLoss);
  ASSERT_TRUE(WriteFileAtomically(store_->Path(100) + "/checksums.json", "{").ok());
  EXPECT_EQ(store_->Verify(100).code(), absl::StatusCode::kDataLoss);
}

TEST_F(CheckpointStoreTest, ADamagedCheckpointCanBeSetAside) {
  ASSERT_TRUE(Write(100).ok());
  ASSERT_TRUE(store_->SetAside(100).ok());
  EXPECT_TRUE(store_->List()->empty());
  EXPECT_TRUE(std::filesystem::exists(folder_.File("checkpoints/corrupt-update-000000100")));
  ASSERT_TRUE(Write(100).ok());
  EXPECT_TRUE(store_->Verify(100).ok());
}

TEST_F(CheckpointStoreTest, WhatTheCodeMustNotAskForDies) {
  EXPECT_DEATH(CheckpointStore::Open(folder_.File("checkpoints"), 0).status().IgnoreError(),
               "keep >= 1u");
  const auto fill = [](const std::string&) { return absl::OkStatus(); };
  EXPECT_DEATH(WriteSealedFolder(folder_.File("a/x"), folder_.File("b/x"), fill).IgnoreError(),
               "parent_path");
}

}  // namespace
}  // namespace pompc::rundir
