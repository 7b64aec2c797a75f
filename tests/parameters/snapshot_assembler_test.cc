#include <algorithm>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "parameters/snapshot_messages.h"
#include "tests/parameters/snapshots.h"

namespace pompc::parameters {
namespace {

using ::testing::HasSubstr;

// The messages of a snapshot, with at most `chunk` bytes of data each.
std::vector<proto::ParametersMessage> Messages(const ParameterSnapshot& snapshot, size_t chunk) {
  std::vector<proto::ParametersMessage> messages(1);
  *messages[0].mutable_description() = snapshot.description;
  for (size_t offset = 0; offset < snapshot.data->size(); offset += chunk) {
    proto::ParametersData* data = messages.emplace_back().mutable_data();
    *data->mutable_version() = snapshot.description.version();
    data->set_offset(offset);
    data->set_data(snapshot.data->substr(offset, chunk));
  }
  return messages;
}

class SnapshotAssemblerTest : public ::testing::Test {
 protected:
  // The status of the first message that fails, else OK.
  absl::Status AddAll(const std::vector<proto::ParametersMessage>& messages) {
    for (const proto::ParametersMessage& message : messages) {
      auto result = assembler_.Add(message);
      if (!result.ok()) return result.status();
      if (result->has_value()) complete_.push_back(**result);
    }
    return absl::OkStatus();
  }

  SnapshotAssembler assembler_{10000};
  std::vector<ParameterSnapshot> complete_;
};

TEST_F(SnapshotAssemblerTest, PutsVersionsTogetherOneAfterTheOther) {
  const ParameterSnapshot first = TestSnapshot({1, 1}, 1000), second = TestSnapshot({1, 2}, 1001);
  ASSERT_TRUE(AddAll(Messages(first, 300)).ok());
  EXPECT_FALSE(assembler_.in_progress());
  ASSERT_TRUE(AddAll(Messages(second, 300)).ok());
  ASSERT_EQ(complete_.size(), 2u);
  EXPECT_EQ(*complete_[0].data, *first.data);
  EXPECT_EQ(*complete_[1].data, *second.data);
  EXPECT_EQ(complete_[1].version(), second.version());
}

TEST_F(SnapshotAssemblerTest, IsInProgressUntilTheLastByte) {
  std::vector<proto::ParametersMessage> messages = Messages(TestSnapshot({1, 1}, 1000), 300);
  messages.pop_back();
  ASSERT_TRUE(AddAll(messages).ok());
  EXPECT_TRUE(assembler_.in_progress());
  EXPECT_TRUE(complete_.empty());
}

TEST_F(SnapshotAssemblerTest, CorruptedChunkIsDataLoss) {
  std::vector<proto::ParametersMessage> messages = Messages(TestSnapshot({1, 1}, 1000), 300);
  (*messages[2].mutable_data()->mutable_data())[7] ^= 4;
  const absl::Status status = AddAll(messages);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("CRC-32"));
}

TEST_F(SnapshotAssemblerTest, SwappedChunksAreDataLoss) {
  std::vector<proto::ParametersMessage> messages = Messages(TestSnapshot({1, 1}, 1000), 300);
  std::swap(messages[1], messages[2]);
  const absl::Status status = AddAll(messages);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("300 bytes at 300; expected"));
}

TEST_F(SnapshotAssemblerTest, ChunkBeyondTheEndIsDataLoss) {
  std::vector<proto::ParametersMessage> messages = Messages(TestSnapshot({1, 1}, 1000), 300);
  messages.back().mutable_data()->mutable_data()->append("x");
  EXPECT_EQ(AddAll(messages).code(), absl::StatusCode::kDataLoss);
}

TEST_F(SnapshotAssemblerTest, ChunkOfAnotherVersionIsDataLoss) {
  std::vector<proto::ParametersMessage> messages = Messages(TestSnapshot({1, 1}, 1000), 300);
  messages[2].mutable_data()->mutable_version()->set_number(2);
  const absl::Status status = AddAll(messages);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("data of parameters 1.2 within 1.1"));
}

TEST_F(SnapshotAssemblerTest, NewVersionWithinAnotherIsDataLoss) {
  std::vector<proto::ParametersMessage> messages = Messages(TestSnapshot({1, 1}, 1000), 300);
  messages[2] = Messages(TestSnapshot({1, 2}, 1000), 300)[0];
  EXPECT_EQ(AddAll(messages).code(), absl::StatusCode::kDataLoss);
}

TEST_F(SnapshotAssemblerTest, DataBeforeADescriptionIsDataLoss) {
  std::vector<proto::ParametersMessage> messages = Messages(TestSnapshot({1, 1}, 1000), 300);
  messages.erase(messages.begin());
  EXPECT_EQ(AddAll(messages).code(), absl::StatusCode::kDataLoss);
}

TEST_F(SnapshotAssemblerTest, EmptyMessageIsDataLoss) {
  EXPECT_EQ(AddAll({proto::ParametersMessage()}).code(), absl::StatusCode::kDataLoss);
}

TEST_F(SnapshotAssemblerTest, VersionBeyondTheBoundIsRefusedBeforeItsData) {
  const absl::Status status = AddAll({Messages(TestSnapshot({1, 1}, 10001), 300)[0]});
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_FALSE(assembler_.in_progress());
}

}  // namespace
}  // namespace pompc::parameters
