#include "learner/checkpoint_store.h"

#include <filesystem>
#include <memory>
#include <string>

#include "common/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/learner/scratch_folder.h"

namespace pompc::learner {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class CheckpointStoreTest : public testing::Test {
 protected:
  CheckpointStoreTest() { Open(2); }

  void Open(uint32_t keep) {
    auto store = CheckpointStore::Open(folder_.File("checkpoints"), keep);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }
  absl::Status Write(uint64_t updates, const std::string& content = "state") {
    return store_->Write(updates, [&](const std::string& folder) {
      return WriteFileAtomically(folder + "/state.json", content);
    });
  }
  std::string StateOf(uint64_t updates) { return store_->Path(updates) + "/state.json"; }

  ScratchFolder folder_;
  std::unique_ptr<CheckpointStore> store_;
};

TEST_F(CheckpointStoreTest, KeepsTheNewest) {
  for (uint64_t updates : {100, 200, 300}) ASSERT_TRUE(Write(updates).ok());
  EXPECT_THAT(*store_->List(), ElementsAre(200, 300));
  EXPECT_THAT(store_->Path(300), HasSubstr("checkpoints/update-000000300"));
  EXPECT_TRUE(store_->Verify(300).ok());
}

TEST_F(CheckpointStoreTest, KeepsTheBestAndThePinned) {
  for (uint64_t updates : {100, 200}) ASSERT_TRUE(Write(updates).ok());
  ASSERT_TRUE(store_->SetBest(100).ok());
  store_->Pin(200);
  for (uint64_t updates : {300, 400, 500}) ASSERT_TRUE(Write(updates).ok());
  EXPECT_THAT(*store_->List(), ElementsAre(100, 200, 400, 500));
  EXPECT_EQ(folder_.Read("checkpoints/best/state.json"), "state");
  ASSERT_TRUE(store_->Unpin(200).ok());
  EXPECT_THAT(*store_->List(), ElementsAre(100, 400, 500));
  ASSERT_TRUE(store_->SetBest(500).ok());
  EXPECT_THAT(*store_->List(), ElementsAre(400, 500));
}

TEST_F(CheckpointStoreTest, BestOutlivesTheProcess) {
  ASSERT_TRUE(Write(100).ok());
  ASSERT_TRUE(store_->SetBest(100).ok());
  Open(1);
  EXPECT_EQ(store_->best(), 100u);
  ASSERT_TRUE(Write(200).ok());
  EXPECT_THAT(*store_->List(), ElementsAre(100, 200));
}

TEST_F(CheckpointStoreTest, BestOfNothingIsNotFound) {
  EXPECT_EQ(store_->SetBest(7).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(store_->best(), std::nullopt);
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

}  // namespace
}  // namespace pompc::learner
