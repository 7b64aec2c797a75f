#include "replay/client/shard_link.h"

#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/replay/row_builder.h"

namespace pompc::replay {
namespace {

using ::testing::HasSubstr;
using Action = ShardLink::Action;

constexpr RowSpec kSpec{.observation_size = 2, .action_size = 1};

TrajectoryWriterOptions Options() {
  TrajectoryWriterOptions options;
  options.run_id = "run";
  options.actor_index = 3;
  options.incarnation = 9;
  options.spec = kSpec;
  options.shard_of_environment = {0, 1, 0};  // environments 0 and 2 write to shard 0
  options.chunk_rows = 4;
  options.max_unacked_rows = 8;
  options.flush_after = absl::Milliseconds(50);
  options.progress_timeout = absl::Seconds(30);
  options.stream_max_age = absl::Minutes(10);
  options.backoff = {.initial = absl::Seconds(1), .max = absl::Seconds(4)};
  return options;
}

class ShardLinkTest : public ::testing::Test {
 protected:
  ShardLinkTest() {
    for (const uint32_t e : {0, 2}) link_.outbox(e).BeginEpisode();
  }

  void Add(uint32_t environment, uint32_t n) {
    for (uint32_t i = 0; i < n; ++i) {
      link_.outbox(environment).Append(RowBuilder(kSpec).Add(1, /*has_plan=*/false).Single());
      link_.OnAdded(environment, now_);
    }
  }
  void Open() {
    ASSERT_EQ(link_.Poll(now_), Action::kOpen);
    link_.OnOpened(now_);
  }
  proto::AppendRequest Write() {
    proto::AppendRequest request;
    EXPECT_EQ(link_.Poll(now_), Action::kWrite);
    link_.NextChunk(now_, &request);
    EXPECT_EQ(link_.Poll(now_), Action::kNone) << "one write at a time";
    link_.OnWritten(now_);
    return request;
  }
  void Answer(const proto::AppendRequest& request, proto::AppendReply::Verdict verdict,
              uint64_t next_row) {
    proto::AppendReply reply;
    *reply.mutable_stream() = request.stream();
    reply.set_verdict(verdict);
    reply.set_next_row(next_row);
    if (verdict == proto::AppendReply::REFUSED) {
      reply.set_code(9);
      reply.set_message("seed phase is over");
    }
    link_.OnReply(reply, now_);
  }
  void SayBlocked(const std::string& why) {
    proto::AppendReply reply;
    reply.set_blocked(why);
    link_.OnReply(reply, now_);
  }

  const TrajectoryWriterOptions options_ = Options();
  ShardLink link_{options_, 0};
  absl::Duration now_ = absl::Seconds(100);
};

TEST_F(ShardLinkTest, NothingToSendOpensNothing) {
  EXPECT_EQ(link_.Poll(now_), Action::kNone);
  EXPECT_EQ(link_.NextDeadline(), absl::InfiniteDuration());
}

TEST_F(ShardLinkTest, FullChunkGoesOutAtOnceUnderItsName) {
  Add(2, 4);
  Open();
  const proto::AppendRequest request = Write();
  EXPECT_EQ(request.header().run_id(), "run");
  EXPECT_EQ(request.stream().actor_index(), 3);
  EXPECT_EQ(request.stream().incarnation(), 9);
  EXPECT_EQ(request.stream().environment(), 2);
  EXPECT_EQ(request.rows().count(), 4);
}

TEST_F(ShardLinkTest, PartialChunkGoesOutAfterAWhile) {
  Add(0, 2);
  EXPECT_EQ(link_.Poll(now_), Action::kNone);
  EXPECT_EQ(link_.NextDeadline(), now_ + options_.flush_after);
  now_ += options_.flush_after;
  Open();
  EXPECT_EQ(Write().rows().count(), 2);
  EXPECT_EQ(link_.Poll(now_), Action::kNone);
}

TEST_F(ShardLinkTest, EnvironmentsTakeTurns) {
  Add(0, 8);
  Add(2, 4);
  Open();
  EXPECT_EQ(Write().stream().environment(), 0);
  EXPECT_EQ(Write().stream().environment(), 2);
  EXPECT_EQ(Write().stream().environment(), 0);
}

TEST_F(ShardLinkTest, BrokenStreamIsOpenedAgainAfterBackoffAndSentAgain) {
  Add(0, 4);
  Open();
  Write();
  link_.OnEnded(absl::UnavailableError("gone"), now_);
  EXPECT_EQ(link_.Poll(now_), Action::kNone);
  EXPECT_THAT(link_.WaitReason(0),
              HasSubstr("replay shard 0 cannot be reached: UNAVAILABLE: gone"));
  EXPECT_EQ(link_.WaitReason(2), "") << "nothing of it waits";
  EXPECT_EQ(link_.Poll(now_ + absl::Milliseconds(499)), Action::kNone) << "at least half of 1 s";
  now_ += absl::Seconds(1);
  Open();
  const proto::AppendRequest again = Write();
  EXPECT_EQ(again.first_row(), 0);
  EXPECT_EQ(link_.stats().resent_rows, 4);
  EXPECT_EQ(link_.stats().opened_streams, 2);
  Answer(again, proto::AppendReply::ACKED, 4);
  EXPECT_EQ(link_.unacked(), 0);
  EXPECT_EQ(link_.WaitReason(0), "");
}

TEST_F(ShardLinkTest, ShardThatServesAnotherRunIsNotAskedAgain) {
  Add(0, 4);
  Open();
  link_.OnEnded(absl::FailedPreconditionError("run A, not B"), now_);
  EXPECT_EQ(link_.broken().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(link_.Poll(now_ + absl::Hours(1)), Action::kNone);
  EXPECT_THAT(link_.WaitReason(0), HasSubstr("refused this actor: run A, not B"));
}

TEST_F(ShardLinkTest, ShardThatAnotherRunHasTakenIsTriedUntilItIsBack) {
  Add(0, 8);
  Open();
  Answer(Write(), proto::AppendReply::ACKED, 4);
  link_.OnEnded(absl::FailedPreconditionError("run A, not B"), now_);
  EXPECT_TRUE(link_.broken().ok());
  EXPECT_THAT(link_.WaitReason(0), HasSubstr("is used by another run and will be retried: run A"));
  now_ += absl::Minutes(1);
  Open();
  link_.OnEnded(absl::PermissionDeniedError("not an actor"), now_);
  EXPECT_FALSE(link_.broken().ok()) << "what nobody else can have caused";
}

TEST_F(ShardLinkTest, SilenceEndsTheStream) {
  Add(0, 4);
  Open();
  Write();
  now_ += options_.progress_timeout - absl::Seconds(1);
  EXPECT_EQ(link_.Poll(now_), Action::kNone);
  EXPECT_EQ(link_.NextDeadline(), now_ + absl::Seconds(1));
  now_ += absl::Seconds(1);
  EXPECT_EQ(link_.Poll(now_), Action::kCancel);
  EXPECT_EQ(link_.Poll(now_), Action::kNone);
  link_.OnEnded(absl::CancelledError(""), now_);
  EXPECT_THAT(link_.WaitReason(0), HasSubstr("no answer"));
  Open();
  EXPECT_EQ(Write().rows().count(), 4);
}

TEST_F(ShardLinkTest, IdleStreamMayBeSilent) {
  Add(0, 4);
  Open();
  Answer(Write(), proto::AppendReply::ACKED, 4);
  now_ += options_.progress_timeout * 3;
  EXPECT_EQ(link_.Poll(now_), Action::kNone);
}

TEST_F(ShardLinkTest, BlockedStreamMayBeSilentAndSaysWhy) {
  Add(0, 4);
  Open();
  const proto::AppendRequest request = Write();
  SayBlocked("rows run ahead");
  EXPECT_EQ(link_.WaitReason(0), "replay shard 0 has stopped reading: rows run ahead");
  now_ += options_.progress_timeout * 3;
  EXPECT_EQ(link_.Poll(now_), Action::kNone);
  Answer(request, proto::AppendReply::ACKED, 4);
  EXPECT_EQ(link_.WaitReason(0), "");
}

TEST_F(ShardLinkTest, OneChunkAheadWhileTheShardHoldsRowsBack) {
  Add(0, 7);
  EXPECT_TRUE(link_.WantsRow(0));
  Open();
  const proto::AppendRequest request = Write();
  SayBlocked("rows run ahead");
  EXPECT_FALSE(link_.WantsRow(0));
  EXPECT_TRUE(link_.outbox(0).HasRoom()) << "a row that was on its way is still taken";
  Add(2, 3);
  EXPECT_TRUE(link_.WantsRow(2));
  Add(2, 1);
  EXPECT_FALSE(link_.WantsRow(2));
  Answer(request, proto::AppendReply::ACKED, 4);
  EXPECT_TRUE(link_.WantsRow(0));
  EXPECT_TRUE(link_.WantsRow(2)) << "an answer without a reason: the shard reads again";
  Add(0, 5);
  EXPECT_FALSE(link_.WantsRow(0)) << "8 rows are outstanding";
}

TEST_F(ShardLinkTest, BrokenShardWantsARowThatMeetsTheError) {
  Add(0, 8);
  Open();
  EXPECT_FALSE(link_.WantsRow(0));
  link_.OnEnded(absl::FailedPreconditionError("serves another run"), now_);
  EXPECT_TRUE(link_.WantsRow(0));
}

TEST_F(ShardLinkTest, OldStreamIsOpenedAnewEvenIfBlocked) {
  Add(0, 4);
  Open();
  Write();
  SayBlocked("rows run ahead");
  now_ += options_.stream_max_age;
  EXPECT_EQ(link_.Poll(now_), Action::kCancel);
  link_.OnEnded(absl::CancelledError(""), now_);
  Open();
  EXPECT_EQ(Write().first_row(), 0);
}

TEST_F(ShardLinkTest, RefusalIsReportedOnceAndItsRowsLeave) {
  Add(0, 6);
  Open();
  const proto::AppendRequest request = Write();
  Answer(request, proto::AppendReply::REFUSED, 0);
  Answer(request, proto::AppendReply::REFUSED, 0);
  EXPECT_TRUE(link_.HasNews());
  const std::vector<Refusal> refusals = link_.TakeRefusals();
  ASSERT_EQ(refusals.size(), 1);
  EXPECT_EQ(refusals[0].environment, 0);
  EXPECT_EQ(refusals[0].rows, 6);
  EXPECT_EQ(refusals[0].why.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(link_.stats().dropped_rows, 6);
  EXPECT_EQ(link_.stats().refused_segments, 1);
  EXPECT_FALSE(link_.HasNews());
  EXPECT_EQ(link_.acknowledged(0), 0);
  now_ += options_.flush_after;
  EXPECT_EQ(link_.Poll(now_), Action::kNone) << "the two rows that waited for company are gone";
}

// A part of the chunk was stored before the rest was refused.
TEST_F(ShardLinkTest, RowsBeforeTheRefusedOnesAreAcknowledged) {
  Add(0, 4);
  Open();
  Answer(Write(), proto::AppendReply::REFUSED, 3);
  EXPECT_EQ(link_.stats().acked_rows, 3);
  EXPECT_EQ(link_.acknowledged(0), 3);
  EXPECT_EQ(link_.stats().dropped_rows, 1);
  ASSERT_EQ(link_.TakeRefusals().size(), 1);
  EXPECT_EQ(link_.unacked(), 0);
}

TEST_F(ShardLinkTest, AcknowledgedRowsAndEndsAreCountedForTheirEnvironment) {
  Add(0, 4);
  Open();
  Answer(Write(), proto::AppendReply::ACKED, 3);
  EXPECT_EQ(link_.acknowledged(0), 3);
  EXPECT_EQ(link_.acknowledged(2), 0);
  const std::vector<float> last = {1, 2};
  link_.outbox(0).End(last);
  link_.OnAdded(0, now_);
  proto::AppendReply reply;
  *reply.mutable_stream() = Write().stream();
  reply.set_verdict(proto::AppendReply::ACKED);
  reply.set_next_row(4);
  reply.set_ended(true);
  link_.OnReply(reply, now_);
  EXPECT_EQ(link_.acknowledged(0), 5) << "the end counts too";
}

TEST_F(ShardLinkTest, LostRowsBecomeANewSegment) {
  Add(0, 4);
  Open();
  Answer(Write(), proto::AppendReply::ACKED, 4);
  Add(0, 4);
  const proto::AppendRequest request = Write();
  EXPECT_EQ(request.first_row(), 4);
  Answer(request, proto::AppendReply::GAP, 0);
  const proto::AppendRequest fresh = Write();
  EXPECT_EQ(fresh.stream().segment(), 1);
  EXPECT_EQ(fresh.first_row(), 0);
  EXPECT_EQ(link_.stats().resumed_segments, 1);
  EXPECT_TRUE(link_.HasNews());
  EXPECT_EQ(link_.TakeResumed(), std::vector<uint32_t>{0});
  EXPECT_FALSE(link_.HasNews());
}

TEST_F(ShardLinkTest, FlushSendsWhatIsThere) {
  Add(0, 1);
  Add(2, 6);
  link_.FlushNow();
  Open();
  uint32_t rows = 0;
  while (link_.Poll(now_) == Action::kWrite) rows += Write().rows().count();
  EXPECT_EQ(rows, 7);
}

TEST_F(ShardLinkTest, HugeRowsMakeSmallChunks) {
  TrajectoryWriterOptions options = Options();
  options.spec.observation_size = 100000;
  ShardLink link(options, 0);
  link.outbox(0).BeginEpisode();
  const RowBuilder row = RowBuilder(options.spec).Add(1, /*has_plan=*/false);
  for (int i = 0; i < 4; ++i) link.outbox(0).Append(row.Single());
  link.OnAdded(0, now_);
  ASSERT_EQ(link.Poll(now_), Action::kOpen);
  link.OnOpened(now_);
  ASSERT_EQ(link.Poll(now_), Action::kWrite);
  proto::AppendRequest request;
  link.NextChunk(now_, &request);
  EXPECT_EQ(request.rows().count(), 2) << "2 x 400 kB stay below 1 MiB";
}

}  // namespace
}  // namespace pompc::replay
