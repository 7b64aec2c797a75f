#include "replay/core/streams.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pompc::replay {
namespace {

using ::testing::HasSubstr;
using Kind = ChunkVerdict::Kind;

SegmentId Id(uint32_t actor, uint64_t incarnation, uint32_t environment, uint64_t episode) {
  return {actor, incarnation, environment, episode, 0};
}

TEST(JudgeChunkTest, NewRowsAreStored) {
  Streams::Segment segment;
  EXPECT_EQ(JudgeChunk(segment, 0, 4, false).kind, Kind::kStore);
  segment.next_row = 4;
  const ChunkVerdict verdict = JudgeChunk(segment, 4, 4, true);
  EXPECT_EQ(verdict.kind, Kind::kStore);
  EXPECT_EQ(verdict.skip, 0);
}

TEST(JudgeChunkTest, OverlapIsSkipped) {
  Streams::Segment segment;
  segment.next_row = 6;
  const ChunkVerdict verdict = JudgeChunk(segment, 4, 4, false);
  EXPECT_EQ(verdict.kind, Kind::kStore);
  EXPECT_EQ(verdict.skip, 2);
}

TEST(JudgeChunkTest, RowsSentAgainAreStoredAlready) {
  Streams::Segment segment;
  segment.next_row = 6;
  EXPECT_EQ(JudgeChunk(segment, 0, 6, false).kind, Kind::kStored);
  EXPECT_EQ(JudgeChunk(segment, 2, 3, false).kind, Kind::kStored);
}

TEST(JudgeChunkTest, FinalObservationBehindStoredRowsIsNew) {
  Streams::Segment segment;
  segment.next_row = 6;
  const ChunkVerdict verdict = JudgeChunk(segment, 2, 4, true);
  EXPECT_EQ(verdict.kind, Kind::kStore);
  EXPECT_EQ(verdict.skip, 4);
  EXPECT_EQ(JudgeChunk(segment, 6, 0, true).kind, Kind::kStore);
  segment.ended = true;
  EXPECT_EQ(JudgeChunk(segment, 2, 4, true).kind, Kind::kStored);
  EXPECT_EQ(JudgeChunk(segment, 6, 0, true).kind, Kind::kStored);
}

TEST(JudgeChunkTest, MissingRowsAreAGap) {
  Streams::Segment segment;
  segment.next_row = 6;
  EXPECT_EQ(JudgeChunk(segment, 7, 1, false).kind, Kind::kGap);
  EXPECT_EQ(JudgeChunk(segment, ~uint64_t{0}, 1, false).kind, Kind::kGap);
}

TEST(JudgeChunkTest, RowsBehindTheEndAreRefused) {
  Streams::Segment segment;
  segment.next_row = 6;
  segment.ended = true;
  const ChunkVerdict verdict = JudgeChunk(segment, 6, 1, false);
  EXPECT_EQ(verdict.kind, Kind::kRefused);
  EXPECT_EQ(verdict.status.code(), absl::StatusCode::kInvalidArgument);
}

TEST(JudgeChunkTest, EndBeforeStoredRowsIsRefused) {
  Streams::Segment segment;
  segment.next_row = 6;
  EXPECT_EQ(JudgeChunk(segment, 0, 4, true).kind, Kind::kRefused);
}

TEST(JudgeChunkTest, RefusedSegmentStaysRefused) {
  Streams::Segment segment;
  segment.refused = absl::InvalidArgumentError("bad");
  const ChunkVerdict verdict = JudgeChunk(segment, 0, 1, false);
  EXPECT_EQ(verdict.kind, Kind::kRefused);
  EXPECT_EQ(verdict.status.message(), "bad");
}

TEST(StreamsTest, StateOfASegmentIsKept) {
  Streams streams({});
  (*streams.Open(Id(1, 1, 0, 0)))->next_row = 5;
  (*streams.Open(Id(1, 1, 0, 1)))->next_row = 7;
  (*streams.Open(Id(2, 1, 0, 0)))->next_row = 9;
  EXPECT_EQ((*streams.Open(Id(1, 1, 0, 0)))->next_row, 5);
  EXPECT_EQ((*streams.Open(Id(1, 1, 0, 1)))->next_row, 7);
  EXPECT_EQ((*streams.Open(Id(1, 1, 1, 0)))->next_row, 0);
}

TEST(StreamsTest, LaterIncarnationFencesTheEarlier) {
  Streams streams({});
  ASSERT_TRUE(streams.Open(Id(1, 5, 0, 0)).ok());
  ASSERT_TRUE(streams.Open(Id(2, 5, 0, 0)).ok());
  (*streams.Open(Id(1, 6, 0, 0)))->next_row = 3;
  const absl::StatusOr<Streams::Segment*> fenced = streams.Open(Id(1, 5, 0, 0));
  EXPECT_EQ(fenced.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(fenced.status().message(), HasSubstr("incarnation 5 is fenced: incarnation 6"));
  EXPECT_EQ((*streams.Open(Id(1, 6, 0, 0)))->next_row, 3);
  EXPECT_TRUE(streams.Open(Id(2, 5, 0, 0)).ok()) << "other actors are not concerned";
  EXPECT_EQ(streams.size(), 2);
}

TEST(StreamsTest, SegmentsRememberedAreBoundedAndForgottenOnesRefused) {
  Streams streams({.max_segments = 3});
  for (uint64_t episode = 0; episode < 5; ++episode) {
    (*streams.Open(Id(1, 1, 0, episode)))->next_row = episode;
    EXPECT_LE(streams.size(), 3);
  }
  EXPECT_EQ((*streams.Open(Id(1, 1, 0, 3)))->next_row, 3);
  const absl::StatusOr<Streams::Segment*> forgotten = streams.Open(Id(1, 1, 0, 1));
  EXPECT_EQ(forgotten.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(forgotten.status().message(), HasSubstr("too old"));
  EXPECT_TRUE(streams.Open(Id(1, 1, 0, 5)).ok());
}

TEST(StreamsTest, LeastRecentlyUsedSegmentIsForgotten) {
  Streams streams({.max_segments = 2});
  (*streams.Open(Id(1, 1, 0, 0)))->next_row = 10;
  (*streams.Open(Id(1, 1, 1, 0)))->next_row = 20;
  ASSERT_TRUE(streams.Open(Id(1, 1, 0, 0)).ok());
  ASSERT_TRUE(streams.Open(Id(1, 1, 2, 0)).ok());
  EXPECT_EQ((*streams.Open(Id(1, 1, 0, 0)))->next_row, 10);
  EXPECT_FALSE(streams.Open(Id(1, 1, 1, 0)).ok());
}

TEST(StreamsTest, EnvironmentsAreBoundedUntilTheirActorIsFenced) {
  Streams streams({.max_environments = 2});
  ASSERT_TRUE(streams.Open(Id(1, 1, 0, 0)).ok());
  ASSERT_TRUE(streams.Open(Id(1, 1, 1, 0)).ok());
  EXPECT_EQ(streams.Open(Id(2, 1, 0, 0)).status().code(), absl::StatusCode::kResourceExhausted);
  ASSERT_TRUE(streams.Open(Id(1, 2, 0, 0)).ok());
  EXPECT_TRUE(streams.Open(Id(2, 1, 0, 0)).ok());
}

TEST(StreamsTest, OneActorTakesNotTheRoomOfOthers) {
  Streams streams({.max_environments_of_actor = 2});
  ASSERT_TRUE(streams.Open(Id(1, 1, 0, 0)).ok());
  ASSERT_TRUE(streams.Open(Id(1, 1, 1, 0)).ok());
  const absl::Status status = streams.Open(Id(1, 1, 2, 0)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(status.message().find("actor 1 writes 2 environments"), std::string::npos) << status;
  EXPECT_TRUE(streams.Open(Id(1, 1, 1, 1)).ok()) << "the next episode of one that it has";
  EXPECT_TRUE(streams.Open(Id(2, 1, 2, 0)).ok()) << "another actor";
  EXPECT_TRUE(streams.Open(Id(1, 2, 2, 0)).ok()) << "its next incarnation";
}

}  // namespace
}  // namespace pompc::replay
