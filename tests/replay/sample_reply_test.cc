#include "replay/wire/sample_reply.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pompc::replay {
namespace {

using ::testing::HasSubstr;

constexpr RowSpec kSpec{.observation_size = 5, .action_size = 3};
constexpr uint32_t kHorizon = 2;

std::string BytesOf(const grpc::ByteBuffer& message) {
  grpc::Slice all;
  EXPECT_TRUE(message.DumpToSingleSlice(&all).ok());
  return std::string(reinterpret_cast<const char*>(all.begin()), all.size());
}

// The bytes in slices of so many.
grpc::ByteBuffer Sliced(const std::string& bytes, size_t slice_bytes) {
  std::vector<grpc::Slice> slices;
  for (size_t begin = 0; begin < bytes.size(); begin += slice_bytes) {
    slices.emplace_back(bytes.substr(begin, slice_bytes));
  }
  return grpc::ByteBuffer(slices.data(), slices.size());
}

std::string ColumnOfReader(const SampleReplyReader& reader, size_t column) {
  std::string bytes(reader.bytes(column), '\0');
  reader.CopyTo(column, reinterpret_cast<std::byte*>(bytes.data()));
  return bytes;
}

// A message of `count` windows in which byte i of column c is a function of both, and that says
// what the shard holds.
grpc::ByteBuffer Message(uint32_t count) {
  SampleReplyWriter writer(kSpec, kHorizon, count);
  for (size_t c = 0; c < kNumColumns; ++c) {
    const std::span<std::byte> bytes = writer.columns().columns[c];
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(17 * c + i);
  }
  proto::SampleReply rest;
  rest.mutable_info()->set_windows(99);
  return std::move(writer).Finish(rest);
}

TEST(SampleReplyTest, ProtobufReadsWhatTheWriterMakes) {
  for (const uint32_t count : {1u, 3u, 100u}) {
    proto::SampleReply reply;
    ASSERT_TRUE(reply.ParseFromString(BytesOf(Message(count))));
    EXPECT_EQ(reply.windows().count(), count);
    EXPECT_EQ(reply.windows().horizon(), kHorizon);
    EXPECT_EQ(reply.info().windows(), 99u);
    EXPECT_EQ(reply.windows().observations().size(), count * 3 * 5 * sizeof(float));
    EXPECT_EQ(reply.windows().draws().size(), count * sizeof(uint64_t));
    // Column 0 begins with 0, 1, 2; column 1 with 17.
    EXPECT_EQ(reply.windows().observations().substr(0, 3), std::string("\0\1\2", 3));
    EXPECT_EQ(reply.windows().actions()[0], 17);
    // Nothing but the fields travels: protobuf makes as many bytes of them.
    EXPECT_EQ(reply.ByteSizeLong(), Message(count).Length());
    EXPECT_EQ(reply.windows().GetReflection()->GetUnknownFields(reply.windows()).field_count(), 0);
  }
}

TEST(SampleReplyTest, ColumnsOfEightBytesAreAligned) {
  SampleReplyWriter writer(kSpec, kHorizon, 3);
  for (const char* name : {"addresses", "draws"}) {
    for (size_t c = 0; c < kNumColumns; ++c) {
      if (kColumns[c].name != name) continue;
      EXPECT_EQ(reinterpret_cast<uintptr_t>(writer.columns().columns[c].data()) % 8, 0u) << name;
    }
  }
}

TEST(SampleReplyTest, ReaderGivesTheColumnsHoweverTheMessageIsCut) {
  const std::string bytes = BytesOf(Message(3));
  for (size_t slice_bytes = 1; slice_bytes <= bytes.size(); slice_bytes = slice_bytes * 3 / 2 + 1) {
    const auto reader = SampleReplyReader::Parse(Sliced(bytes, slice_bytes));
    ASSERT_TRUE(reader.ok()) << reader.status();
    EXPECT_EQ(reader->rest().windows().count(), 3u);
    EXPECT_EQ(reader->rest().windows().horizon(), kHorizon);
    EXPECT_EQ(reader->rest().info().windows(), 99u);
    EXPECT_EQ(reader->rest().windows().observations(), "") << "a column was parsed";
    for (size_t c = 0; c < kNumColumns; ++c) {
      const std::string column = ColumnOfReader(*reader, c);
      EXPECT_EQ(column.size(), 3 * kColumns[c].per_window(kHorizon) * kColumns[c].bytes(kSpec));
      for (size_t i = 0; i < column.size(); ++i) {
        ASSERT_EQ(column[i], static_cast<char>(17 * c + i)) << kColumns[c].name << " " << i;
      }
    }
  }
}

TEST(SampleReplyTest, FieldsInAnyOrderAndUnknownOnesAreRead) {
  proto::SampleReply first, second;
  first.mutable_info()->set_windows(5);
  first.mutable_windows()->set_rewards("old");
  second.mutable_windows()->set_rewards("abcd");
  second.mutable_windows()->set_count(7);
  // Field 1000 of a later version, a varint: tag 8000, value 3.
  const std::string unknown("\xc0\x3e\x03", 3);
  const auto reader = SampleReplyReader::Parse(
      Sliced(unknown + first.SerializeAsString() + second.SerializeAsString() + unknown, 4));
  ASSERT_TRUE(reader.ok()) << reader.status();
  constexpr ColumnOf<float> kRewards = "rewards";
  EXPECT_EQ(ColumnOfReader(*reader, kRewards.index), "abcd");
  EXPECT_EQ(reader->rest().windows().count(), 7u);
  EXPECT_EQ(reader->rest().info().windows(), 5u);
}

TEST(SampleReplyTest, WhatIsNoMessageIsRefused) {
  const std::string bytes = BytesOf(Message(2));
  // A message that was cut off ends within a field, except at its begin and between its two.
  for (const size_t length : {size_t{1}, size_t{10}, bytes.size() / 2, bytes.size() - 1}) {
    const auto reader = SampleReplyReader::Parse(Sliced(bytes.substr(0, length), 64));
    EXPECT_EQ(reader.status().code(), absl::StatusCode::kDataLoss) << length;
    EXPECT_THAT(reader.status().message(), HasSubstr("no SampleReply"));
  }
  EXPECT_FALSE(SampleReplyReader::Parse(Sliced("\x0a\xff\xff\xff\xff\x0f", 3)).ok());
  EXPECT_FALSE(SampleReplyReader::Parse(Sliced(std::string(10, '\0'), 3)).ok());
  EXPECT_FALSE(SampleReplyReader::Parse(grpc::ByteBuffer()).ok());
}

}  // namespace
}  // namespace pompc::replay
