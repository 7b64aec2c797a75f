#include "replay/client/outbox.h"

#include <vector>

#include "common/values/float_bytes.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/replay/row_builder.h"

namespace pompc::replay {
namespace {

using ::testing::ElementsAre;

constexpr RowSpec kSpec{.observation_size = 2, .action_size = 1};

class OutboxTest : public ::testing::Test {
 protected:
  // Rows whose reward is their id.
  void Add(uint32_t n) {
    for (uint32_t i = 0; i < n; ++i) {
      RowBuilder row = RowBuilder(kSpec).Add(id_, /*has_plan=*/false);
      row.rewards_[0] = 1.0f * id_++;
      outbox_.Append(row.Single());
    }
  }
  void End() {
    const std::vector<float> observation = {1.0f * id_, 0.5f};
    outbox_.End(observation);
  }
  proto::AppendRequest Send(uint32_t chunk_rows) {
    proto::AppendRequest request;
    resent_ = outbox_.FillChunk(chunk_rows, &request);
    return request;
  }
  static std::vector<float> Rewards(const proto::AppendRequest& request) {
    const auto numbers = NumbersIn<float>(request.rows().rewards());
    return {numbers.begin(), numbers.end()};
  }

  Outbox outbox_{kSpec, 8};
  uint64_t id_ = 0;
  uint32_t resent_ = 0;
};

TEST_F(OutboxTest, TakesRowsOnlyWithinAnEpisode) {
  EXPECT_EQ(outbox_.CheckOpen().code(), absl::StatusCode::kFailedPrecondition);
  outbox_.BeginEpisode();
  EXPECT_TRUE(outbox_.CheckOpen().ok());
  Add(1);
  End();
  EXPECT_EQ(outbox_.CheckOpen().message(), "the episode has ended");
}

TEST_F(OutboxTest, NothingButTheEndFollowsATerminatedRow) {
  outbox_.BeginEpisode();
  Add(1);
  EXPECT_TRUE(outbox_.CheckTakesRows().ok());
  outbox_.Append(RowBuilder(kSpec).Add(1, false).Terminal().Single());
  EXPECT_EQ(outbox_.CheckTakesRows().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(outbox_.CheckOpen().ok());
  End();
  outbox_.BeginEpisode();
  EXPECT_TRUE(outbox_.CheckTakesRows().ok());
}

TEST_F(OutboxTest, ChunkHoldsAllColumns) {
  outbox_.BeginEpisode();
  RowBuilder planned = RowBuilder(kSpec).Add(1);
  planned.observations_ = {1, 2};
  planned.actions_ = {-1};
  planned.rewards_ = {3};
  planned.plan_mean_ = {0.5f};
  planned.plan_std_ = {0.75f};
  planned.plan_value_ = {9};
  planned.versions_ = {{2, 5}};
  RowBuilder last = RowBuilder(kSpec).Add(1, /*has_plan=*/false).Terminal();
  last.observations_ = {1, 2};
  last.actions_ = {-1};
  last.rewards_ = {0};
  outbox_.Append(planned.Single());
  outbox_.Append(last.Single());
  const proto::AppendRequest request = Send(10);
  const proto::Rows& rows = request.rows();
  EXPECT_EQ(rows.count(), 2);
  EXPECT_THAT(NumbersIn<float>(rows.observations()), ElementsAre(1, 2, 1, 2));
  EXPECT_THAT(NumbersIn<float>(rows.actions()), ElementsAre(-1, -1));
  EXPECT_THAT(NumbersIn<float>(rows.rewards()), ElementsAre(3, 0));
  EXPECT_THAT(NumbersIn<uint8_t>(rows.terminated()), ElementsAre(0, 1));
  EXPECT_THAT(NumbersIn<float>(rows.plan_mean()), ElementsAre(0.5f, 0));
  EXPECT_THAT(NumbersIn<float>(rows.plan_std()), ElementsAre(0.75f, 1));
  EXPECT_THAT(NumbersIn<float>(rows.plan_value()), ElementsAre(9, 0));
  EXPECT_THAT(NumbersIn<uint8_t>(rows.has_plan()), ElementsAre(1, 0));
  ASSERT_EQ(rows.versions_size(), 2);
  EXPECT_EQ(rows.versions(0).number(), 5);
  EXPECT_EQ(rows.versions(1).number(), 0);
  EXPECT_TRUE(rows.final_observation().empty());
}

TEST_F(OutboxTest, ChunksAreCutAndTheLastOneCarriesTheEnd) {
  outbox_.BeginEpisode();
  Add(3);
  EXPECT_FALSE(outbox_.HasChunk(4, false));
  EXPECT_TRUE(outbox_.HasChunk(4, true));
  Add(2);
  EXPECT_TRUE(outbox_.HasChunk(4, false));
  EXPECT_THAT(Rewards(Send(4)), ElementsAre(0, 1, 2, 3));
  EXPECT_FALSE(outbox_.HasChunk(4, false));
  End();
  EXPECT_TRUE(outbox_.HasChunk(4, false)) << "what ends a segment waits for nothing";
  const proto::AppendRequest last = Send(4);
  EXPECT_EQ(last.first_row(), 4);
  EXPECT_THAT(Rewards(last), ElementsAre(4));
  EXPECT_EQ(last.rows().final_observation().size(), 8);
  EXPECT_FALSE(outbox_.HasChunk(1, true));
}

TEST_F(OutboxTest, FinalObservationTravelsAloneIfTheRowsHaveLeft) {
  outbox_.BeginEpisode();
  Add(2);
  Send(4);
  End();
  const proto::AppendRequest last = Send(4);
  EXPECT_EQ(last.rows().count(), 0);
  EXPECT_EQ(last.first_row(), 2);
  EXPECT_FALSE(last.rows().final_observation().empty());
}

TEST_F(OutboxTest, AcknowledgedRowsMakeRoom) {
  outbox_.BeginEpisode();
  Add(8);
  EXPECT_FALSE(outbox_.HasRoom());
  Send(8);
  EXPECT_EQ(outbox_.OnAcked(0, 0, 3, false), 3);
  EXPECT_TRUE(outbox_.HasRoom());
  EXPECT_EQ(outbox_.unacked(), 5);
  EXPECT_EQ(outbox_.OnAcked(0, 0, 2, false), 0) << "acknowledgements are cumulative";
  EXPECT_EQ(outbox_.OnAcked(0, 7, 8, false), 0) << "no such segment";
  EXPECT_EQ(outbox_.OnAcked(0, 0, 8, false), 5);
  EXPECT_EQ(outbox_.unacked(), 0);
}

TEST_F(OutboxTest, FinalObservationIsKeptUntilAcknowledged) {
  outbox_.BeginEpisode();
  Add(2);
  End();
  Send(4);
  outbox_.OnAcked(0, 0, 2, false);
  EXPECT_EQ(outbox_.unacked(), 1);
  EXPECT_TRUE(outbox_.AwaitsReply());
  outbox_.OnAcked(0, 0, 2, true);
  EXPECT_EQ(outbox_.unacked(), 0);
  EXPECT_FALSE(outbox_.AwaitsReply());
}

TEST_F(OutboxTest, DisconnectSendsTheUnacknowledgedAgain) {
  outbox_.BeginEpisode();
  Add(4);
  Send(2);
  Send(2);
  outbox_.OnAcked(0, 0, 1, false);
  outbox_.OnDisconnected();
  Add(1);
  const proto::AppendRequest again = Send(10);
  EXPECT_EQ(again.first_row(), 1);
  EXPECT_THAT(Rewards(again), ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(resent_, 3);
}

TEST_F(OutboxTest, EpisodesGoOutInOrderAndEmptyOnesNotAtAll) {
  outbox_.BeginEpisode();
  Add(1);
  outbox_.BeginEpisode();  // cuts off the first
  End();                   // nothing in it
  outbox_.BeginEpisode();
  Add(2);
  EXPECT_EQ(Send(4).stream().episode(), 0);
  const proto::AppendRequest third = Send(4);
  EXPECT_EQ(third.stream().episode(), 2);
  EXPECT_EQ(third.rows().count(), 2);
  outbox_.OnAcked(0, 0, 1, false);
  EXPECT_EQ(outbox_.unacked(), 2);
}

TEST_F(OutboxTest, GapWithinWhatIsHeldIsSentFromThere) {
  outbox_.BeginEpisode();
  Add(6);
  Send(6);
  EXPECT_FALSE(outbox_.OnGap(0, 0, 2));
  const proto::AppendRequest again = Send(10);
  EXPECT_EQ(again.first_row(), 2);
  EXPECT_EQ(again.stream().segment(), 0);
  EXPECT_THAT(Rewards(again), ElementsAre(2, 3, 4, 5));
}

TEST_F(OutboxTest, GapBeforeWhatIsHeldBeginsANewSegment) {
  outbox_.BeginEpisode();
  Add(4);
  Send(4);
  outbox_.OnAcked(0, 0, 3, false);
  EXPECT_TRUE(outbox_.OnGap(0, 0, 0)) << "the shard has lost rows 0 to 2";
  EXPECT_FALSE(outbox_.OnGap(0, 0, 0)) << "a second answer to the old segment means nothing";
  Add(1);
  const proto::AppendRequest first = Send(10);
  EXPECT_EQ(first.stream().episode(), 0);
  EXPECT_EQ(first.stream().segment(), 1);
  EXPECT_EQ(first.first_row(), 0);
  EXPECT_THAT(Rewards(first), ElementsAre(3, 4));
  EXPECT_EQ(resent_, 1);
}

TEST_F(OutboxTest, NewSegmentWithoutRowsNeedsNoEnd) {
  outbox_.BeginEpisode();
  Add(2);
  End();
  Send(4);
  outbox_.OnAcked(0, 0, 2, false);
  EXPECT_TRUE(outbox_.OnGap(0, 0, 0));
  EXPECT_EQ(outbox_.unacked(), 0);
  EXPECT_FALSE(outbox_.HasChunk(1, true));
}

TEST_F(OutboxTest, RefusedEpisodeTakesNothingMoreUntilTheNext) {
  outbox_.BeginEpisode();
  Add(4);
  Send(2);
  EXPECT_EQ(outbox_.OnRefused(0, 0, absl::FailedPreconditionError("seed phase")), 4);
  EXPECT_EQ(outbox_.OnRefused(0, 0, absl::FailedPreconditionError("seed phase")), std::nullopt);
  EXPECT_EQ(outbox_.CheckOpen().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(outbox_.CheckOpen().message(), "the shard refused the episode: seed phase");
  EXPECT_EQ(outbox_.unacked(), 0);
  outbox_.BeginEpisode();
  EXPECT_TRUE(outbox_.CheckOpen().ok());
  Add(1);
  EXPECT_EQ(Send(4).stream().episode(), 1);
}

TEST_F(OutboxTest, RefusalOfAnEndedEpisodeDoesNotConcernTheNext) {
  outbox_.BeginEpisode();
  Add(2);
  End();
  outbox_.BeginEpisode();
  Add(1);
  Send(4);
  EXPECT_EQ(outbox_.OnRefused(0, 0, absl::InvalidArgumentError("bad")), 2);
  EXPECT_TRUE(outbox_.CheckOpen().ok());
  EXPECT_EQ(outbox_.unacked(), 1);
}

using OutboxDeathTest = OutboxTest;

TEST_F(OutboxDeathTest, RowsWithoutAnEpisodeOrRoomAreBugs) {
  EXPECT_DEATH(Add(1), "no episode was begun");
  outbox_.BeginEpisode();
  Add(8);
  EXPECT_DEATH(Add(1), "HasRoom");
  Send(100);
  EXPECT_DEATH(Send(100), "nothing is to be sent");
}

}  // namespace
}  // namespace pompc::replay
