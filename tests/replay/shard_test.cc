#include <algorithm>
#include <limits>
#include <memory>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "tests/replay/shard_fixture.h"

namespace pompc::replay {
namespace {

using ::testing::HasSubstr;

TEST_F(ShardTest, RowsSentAgainAreAckedAndStoredOnce) {
  Open();
  EXPECT_EQ(Append(id_, 0, RowBuilder(kSpec).AddMany(0, 4)).next_row, 4);
  const AppendOutcome again = Append(id_, 0, RowBuilder(kSpec).AddMany(0, 4));
  EXPECT_EQ(again.kind, Kind::kAcked);
  EXPECT_EQ(again.next_row, 4);
  EXPECT_EQ(Append(id_, 2, RowBuilder(kSpec).AddMany(2, 4).Final(6)).next_row, 6);
  EXPECT_TRUE(Append(id_, 2, RowBuilder(kSpec).AddMany(2, 4).Final(6)).ended);
  EXPECT_EQ(shard_->counts().accepted_rows, 6);
  EXPECT_EQ(shard_->counts().stored_rows, 6);
  EXPECT_EQ(shard_->counts().windows, 4);
  EXPECT_EQ(shard_->counts().accepted_rows, 6u);
}

TEST_F(ShardTest, GapIsAnsweredWithTheExpectedRow) {
  Open();
  Append(id_, 0, RowBuilder(kSpec).AddMany(0, 4));
  const AppendOutcome gap = Append(id_, 5, RowBuilder(kSpec).Add(5));
  EXPECT_EQ(gap.kind, Kind::kGap);
  EXPECT_EQ(gap.next_row, 4);
  EXPECT_EQ(shard_->counts().stored_rows, 4);
}

TEST_F(ShardTest, BadRowsAreRefusedWithNothingStoredAndCloseTheSegment) {
  Open();
  Append(id_, 0, RowBuilder(kSpec).AddMany(0, 2));
  RowBuilder bad(kSpec);
  bad.AddMany(2, 2);
  bad.observations_[4] = std::numeric_limits<float>::quiet_NaN();
  AppendOutcome outcome = Append(id_, 2, bad);
  EXPECT_EQ(outcome.kind, Kind::kRefused);
  EXPECT_EQ(outcome.status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(outcome.status.message(), HasSubstr("row 3: observation number 1 is nan"));
  EXPECT_EQ(Append(id_, 2, RowBuilder(kSpec).Add(2)).kind, Kind::kRefused);
  EXPECT_EQ(shard_->counts().stored_rows, 2);
  EXPECT_EQ(shard_->counts().accepted_rows, 2u);

  RowBuilder wrong_size({.observation_size = 4, .action_size = 2});
  SegmentId other = id_;
  other.episode = 1;
  outcome = Append(other, 0, wrong_size.Add(1));
  EXPECT_EQ(outcome.kind, Kind::kRefused);
  EXPECT_EQ(outcome.status.message(), "observations has 4 numbers, expected 3");
}

TEST_F(ShardTest, OnlyTheFinalObservationFollowsATerminatedRow) {
  Open();
  const AppendOutcome middle = Append(id_, 0, RowBuilder(kSpec).Add(0).Terminal().Add(1));
  EXPECT_EQ(middle.kind, Kind::kRefused);
  EXPECT_EQ(middle.status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(shard_->counts().stored_rows, 0);

  SegmentId other = id_;
  other.episode = 1;
  EXPECT_EQ(Append(other, 0, RowBuilder(kSpec).AddMany(0, 3).Terminal()).kind, Kind::kAcked);
  EXPECT_EQ(Append(other, 2, RowBuilder(kSpec).Add(2).Terminal().Final(3)).kind, Kind::kAcked);
  EXPECT_EQ(shard_->counts().windows, 1);

  other.episode = 2;
  EXPECT_EQ(Append(other, 0, RowBuilder(kSpec).AddMany(0, 3).Terminal()).kind, Kind::kAcked);
  const AppendOutcome after = Append(other, 3, RowBuilder(kSpec).Add(3));
  EXPECT_EQ(after.kind, Kind::kRefused);
  EXPECT_EQ(after.status.message(), "rows 3 to 4: row 2 was terminated");
  EXPECT_EQ(shard_->counts().windows, 1) << "none spans a terminal state";
}

TEST_F(ShardTest, RefusedSegmentStaysClosed) {
  Open();
  EXPECT_EQ(shard_->Refuse(id_, absl::InvalidArgumentError("torn")).kind, Kind::kRefused);
  const AppendOutcome outcome = Append(id_, 0, RowBuilder(kSpec).Add(0));
  EXPECT_EQ(outcome.kind, Kind::kRefused);
  EXPECT_EQ(outcome.status.message(), "torn");
  EXPECT_EQ(shard_->counts().stored_rows, 0);
}

TEST_F(ShardTest, PlanlessRowsAreRefusedOnceTheSeedPhaseIsOver) {
  Open();
  EXPECT_EQ(Append(id_, 0, RowBuilder(kSpec).Add(0, false)).kind, Kind::kAcked);
  ASSERT_TRUE(shard_->Grant({1000, "", true}).ok());
  ASSERT_TRUE(shard_->Grant({1000, "", false}).ok()) << "the end of the seed phase stays";
  EXPECT_EQ(Append(id_, 0, RowBuilder(kSpec).Add(0, false)).kind, Kind::kAcked)
      << "stored before: acknowledged";
  const AppendOutcome refused = Append(id_, 0, RowBuilder(kSpec).AddMany(0, 2, false));
  EXPECT_EQ(refused.kind, Kind::kRefused);
  EXPECT_EQ(refused.status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(refused.status.message(), HasSubstr("row 1 has no plan"));
  SegmentId planned = id_;
  planned.episode = 1;
  EXPECT_EQ(Append(planned, 0, RowBuilder(kSpec).Add(0)).kind, Kind::kAcked);
  EXPECT_EQ(shard_->counts().accepted_rows, 2);
  EXPECT_EQ(shard_->counts().planned_rows, 1);
}

TEST_F(ShardTest, EarlierIncarnationIsRefused) {
  Open();
  SegmentId later = id_;
  later.incarnation = 2;
  EXPECT_EQ(Append(later, 0, RowBuilder(kSpec).Add(0)).kind, Kind::kAcked);
  const AppendOutcome fenced = Append(id_, 0, RowBuilder(kSpec).Add(0));
  EXPECT_EQ(fenced.kind, Kind::kRefused);
  EXPECT_EQ(fenced.status.code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(ShardTest, ClosedLimiterBlocksAndSaysWhyUntilGranted) {
  Open(/*granted=*/4);
  Append(id_, 0, RowBuilder(kSpec).AddMany(0, 4));
  const RowBuilder more = RowBuilder(kSpec).AddMany(4, 2);
  const AppendOutcome blocked = Append(id_, 4, more);
  EXPECT_EQ(blocked.kind, Kind::kBlocked);
  EXPECT_EQ(blocked.status.message(), "shard took 4 rows of 4 granted: rows run ahead of updates");
  EXPECT_EQ(shard_->counts().blocked_writers(), 1);
  ASSERT_TRUE(shard_->Grant({4, "still", false}).ok());
  EXPECT_EQ(waiter_->calls, 0);
  ASSERT_TRUE(shard_->Grant({5, "", false}).ok());
  EXPECT_EQ(waiter_->calls, 1);
  EXPECT_EQ(shard_->counts().blocked_writers(), 0);
  const AppendOutcome part = Append(id_, 4, more);
  EXPECT_EQ(part.kind, Kind::kBlocked);
  EXPECT_EQ(part.stored, 1) << "what fits is stored";
  EXPECT_EQ(part.next_row, 5);
  EXPECT_EQ(shard_->counts().accepted_rows, 5);
  ASSERT_TRUE(shard_->Grant({100, "", false}).ok());
  EXPECT_EQ(Append(id_, 4, more).kind, Kind::kAcked);
  EXPECT_EQ(shard_->counts().accepted_rows, 6);
}

TEST_F(ShardTest, AWriterThatWasNotWokenQueuesBehindThoseThatWere) {
  Open(/*granted=*/0);
  const RowBuilder rows = RowBuilder(kSpec).AddMany(0, 4);
  const auto append = [&](uint32_t writer, const std::shared_ptr<CountingWaiter>& waiter) {
    return shard_->Append({.actor_index = writer, .incarnation = 1}, 0, rows.View(), waiter);
  };
  const auto late = std::make_shared<CountingWaiter>();
  EXPECT_EQ(append(1, waiter_).kind, Kind::kBlocked);
  ASSERT_TRUE(shard_->Grant({5, "", false}).ok());
  ASSERT_EQ(waiter_->calls, 1);
  const AppendOutcome behind = append(2, late);
  EXPECT_EQ(behind.kind, Kind::kBlocked);
  EXPECT_EQ(behind.stored, 0);
  EXPECT_EQ(behind.status.message(),
            "shard took 0 rows of 5 granted: writers that wait longer get the others");
  EXPECT_EQ(append(1, waiter_).kind, Kind::kAcked);
  EXPECT_EQ(late->calls, 1) << "the next round";
  EXPECT_EQ(append(2, late).stored, 1);
  EXPECT_EQ(shard_->counts().waiting_for_grant, 1);
}

TEST_F(ShardTest, NoChunkPassesTheGrantHoweverLargeOrMany) {
  Open(/*granted=*/7);
  const RowBuilder large = RowBuilder(kSpec).AddMany(0, 20).Final(20);
  EXPECT_EQ(Append(id_, 0, large).kind, Kind::kBlocked);
  SegmentId other = id_;
  other.environment = 1;
  EXPECT_EQ(Append(other, 0, large).kind, Kind::kBlocked);
  EXPECT_EQ(shard_->counts().accepted_rows, 7);
  EXPECT_EQ(shard_->counts().accepted_rows, 7u);
  for (uint64_t granted = 8; granted <= 45; ++granted) {
    ASSERT_TRUE(shard_->Grant({granted, "", false}).ok());
    Append(id_, 0, large);
    Append(other, 0, large);
    EXPECT_EQ(shard_->counts().accepted_rows, std::min<uint64_t>(granted, 40));
  }
  EXPECT_TRUE(Append(id_, 0, large).ended);
  EXPECT_TRUE(Append(other, 0, large).ended);
  EXPECT_EQ(shard_->counts().windows, 2 * (20 - kHorizon + 1));
}

TEST_F(ShardTest, AChunkLargerThanConfiguredIsRefusedNamingBoth) {
  ShardConfig config = Config();
  config.chunk_rows = 4;
  ASSERT_TRUE(shard_->Configure(config).ok());
  ASSERT_TRUE(shard_->Grant({100, "", false}).ok());
  const AppendOutcome refused = Append(id_, 0, RowBuilder(kSpec).AddMany(0, 5));
  EXPECT_EQ(refused.kind, Kind::kRefused);
  EXPECT_EQ(refused.status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(refused.status.message(), "the chunk has 5 rows; allowed by actor.chunk_rows are 4");
  EXPECT_EQ(shard_->counts().accepted_rows, 0);
  // A run that resumes with larger chunks.
  config.chunk_rows = 5;
  ASSERT_TRUE(shard_->Configure(config).ok());
  SegmentId next = id_;
  next.episode = 1;
  EXPECT_EQ(Append(next, 0, RowBuilder(kSpec).AddMany(0, 5)).kind, Kind::kAcked);
}

TEST_F(ShardTest, TerminatedRowsOfAnEnvironmentThatNeverTerminatesAreRefused) {
  ShardConfig config = Config();
  config.limits.terminates = false;
  ASSERT_TRUE(shard_->Configure(config).ok());
  ASSERT_TRUE(shard_->Grant({100, "", false}).ok());
  const AppendOutcome refused = Append(id_, 0, RowBuilder(kSpec).AddMany(0, 2).Terminal());
  EXPECT_EQ(refused.kind, Kind::kRefused);
  EXPECT_EQ(refused.status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(refused.status.message(), HasSubstr("set env.spec.terminates: true"));
  EXPECT_EQ(shard_->counts().stored_rows, 0);
}

TEST_F(ShardTest, RowsOfAVersionNotYetToldWaitAndAreRefusedIfItNeverIs) {
  Open();
  const auto grant = [&](uint64_t incarnation, uint64_t number) {
    ASSERT_TRUE(shard_->Grant({.max_accepted_rows = 100,
                               .newest_version = ParameterVersion{incarnation, number}})
                    .ok());
  };
  grant(1, 5);
  RowBuilder rows = RowBuilder(kSpec).AddMany(0, 2);
  rows.versions_ = {{1, 5}, {1, 6}};
  AppendOutcome outcome = Append(id_, 0, rows);
  EXPECT_EQ(outcome.kind, Kind::kBlocked);
  EXPECT_EQ(outcome.status.message(),
            "row 1 was planned by version 1.6, which the learner has not announced yet");
  EXPECT_EQ(shard_->counts().waiting_for_version, 1);
  clock_.Advance(absl::Seconds(12));
  shard_->RenewReasons();
  EXPECT_EQ(waiter_->calls, 1);
  EXPECT_EQ(
      Append(id_, 0, rows).status.message(),
      "row 1 was planned by version 1.6, which the learner has not announced yet; the learner "
      "has not been heard from for 12 s");
  grant(1, 5);
  EXPECT_EQ(waiter_->calls, 2);
  EXPECT_EQ(Append(id_, 0, rows).kind, Kind::kBlocked) << "that grant may be older than the row";
  grant(1, 6);
  EXPECT_EQ(waiter_->calls, 3);
  EXPECT_EQ(Append(id_, 0, rows).kind, Kind::kAcked);

  SegmentId other = id_;
  other.episode = 1;
  rows.versions_ = {{1, uint64_t{1} << 63}, {1, 6}};
  EXPECT_EQ(Append(other, 0, rows).kind, Kind::kBlocked);
  grant(1, 7);
  grant(1, 8);
  outcome = Append(other, 0, rows);
  EXPECT_EQ(outcome.kind, Kind::kRefused);
  EXPECT_EQ(outcome.status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(outcome.status.message(), HasSubstr("the newest that the learner has published is "
                                                  "1.8"));

  // A learner that starts again knows not what the start before it has published.
  other.episode = 2;
  rows.versions_ = {{1, 900}, {1, 901}};
  grant(2, 0);
  EXPECT_EQ(Append(other, 0, rows).kind, Kind::kAcked);
  EXPECT_EQ(shard_->counts().accepted_rows, 4);
}

TEST_F(ShardTest, BarredWindowsAreNeverDrawnAgain) {
  Open();
  Append(id_, 0, RowBuilder(kSpec).AddMany(0, 8).Final(8));
  ASSERT_EQ(shard_->counts().windows, 6);
  EXPECT_EQ(*shard_->BarWindows(Opening{76}, std::vector<uint64_t>{0}), 0) << "of another memory";
  EXPECT_EQ(*shard_->BarWindows(Opening{77}, std::vector<uint64_t>{1, 4, 7, 99}), 2)
      << "no window begins at 7, and 99 is not stored";
  EXPECT_EQ(*shard_->BarWindows(Opening{77}, std::vector<uint64_t>{1, 4}), 0) << "idempotent";
  EXPECT_EQ(shard_->counts().windows, 4);
  EXPECT_EQ(shard_->counts().barred_windows, 2);
  WindowBuffer buffer(kSpec, kHorizon, 400);
  ASSERT_TRUE(shard_->Sample(1, buffer.Columns()).ok());
  std::set<uint64_t> drawn;
  for (size_t b = 0; b < 400; ++b) drawn.insert(buffer.addresses[b * (kHorizon + 1)]);
  EXPECT_EQ(drawn, (std::set<uint64_t>{0, 2, 3, 5}));
  EXPECT_EQ(shard_->BarWindows(Opening{77}, std::vector<uint64_t>(kMaxWindows + 1)).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(ShardTest, BarredWindowsLeaveWithTheirRows) {
  ShardConfig config = Config();
  config.table.capacity_rows = 10;
  ASSERT_TRUE(shard_->Configure(config).ok());
  ASSERT_TRUE(shard_->Grant({1000, "", false}).ok());
  Append(id_, 0, RowBuilder(kSpec).AddMany(0, 10));
  EXPECT_EQ(*shard_->BarWindows(Opening{77}, std::vector<uint64_t>{0, 6}), 2);
  Append(id_, 10, RowBuilder(kSpec).AddMany(10, 3));
  EXPECT_EQ(shard_->counts().barred_windows, 1);
  Append(id_, 13, RowBuilder(kSpec).AddMany(13, 10));
  EXPECT_EQ(shard_->counts().barred_windows, 0);
  EXPECT_EQ(shard_->counts().windows, 7);
}

TEST_F(ShardTest, NothingGrantedBlocksFromTheStart) {
  ASSERT_TRUE(shard_->Configure(Config()).ok());
  const AppendOutcome blocked = Append(id_, 0, RowBuilder(kSpec).Add(0));
  EXPECT_EQ(blocked.kind, Kind::kBlocked);
  EXPECT_THAT(blocked.status.message(), HasSubstr("granted nothing yet"));
}

TEST_F(ShardTest, WritersHearThatTheLearnerIsSilentAndThatItIsBack) {
  Open(/*granted=*/4);
  Append(id_, 0, RowBuilder(kSpec).AddMany(0, 4));
  const RowBuilder more = RowBuilder(kSpec).Add(4);
  const auto reason = [&] { return std::string(Append(id_, 4, more).status.message()); };
  EXPECT_THAT(reason(), HasSubstr("rows run ahead"));
  clock_.Advance(absl::Seconds(2));
  shard_->RenewReasons();
  EXPECT_EQ(waiter_->calls, 0) << "the reason holds";
  clock_.Advance(absl::Seconds(10));
  shard_->RenewReasons();
  EXPECT_EQ(waiter_->calls, 1);
  EXPECT_EQ(reason(),
            "shard took 4 rows of 4 granted: the learner has not been heard from for 12 s");
  shard_->RenewReasons();
  EXPECT_EQ(waiter_->calls, 1) << "it was told just now";
  // Configured anew by a learner that resumes and may grant nothing yet.
  ASSERT_TRUE(shard_->Configure(Config()).ok());
  shard_->RenewReasons();
  EXPECT_EQ(waiter_->calls, 2);
  EXPECT_THAT(reason(), HasSubstr("rows run ahead"));
  clock_.Advance(absl::Seconds(3));
  shard_->RenewReasons();
  EXPECT_THAT(reason(), HasSubstr("not been heard from for 3 s"));
  const int calls = waiter_->calls;
  ASSERT_TRUE(shard_->Grant({4, "replay is being filled", false}).ok());
  EXPECT_EQ(waiter_->calls, calls + 1) << "no room, but another reason";
  EXPECT_EQ(reason(), "shard took 4 rows of 4 granted: replay is being filled");
}

TEST_F(ShardTest, AReasonThatHasChangedIsToldAgain) {
  Open(/*granted=*/0);
  Append(id_, 0, RowBuilder(kSpec).Add(0));
  ASSERT_TRUE(shard_->Grant({0, "the run is over", false}).ok());
  EXPECT_EQ(waiter_->calls, 0) << "grants come often";
  shard_->RenewReasons();
  EXPECT_EQ(waiter_->calls, 1);
  EXPECT_THAT(Append(id_, 0, RowBuilder(kSpec).Add(0)).status.message(),
              HasSubstr("the run is over"));
}

TEST_F(ShardTest, ClosedLimiterStillAnswersWhatNeedsNoRoom) {
  Open(/*granted=*/4);
  Append(id_, 0, RowBuilder(kSpec).AddMany(0, 4));
  EXPECT_EQ(Append(id_, 0, RowBuilder(kSpec).AddMany(0, 4)).kind, Kind::kAcked);
  EXPECT_EQ(Append(id_, 6, RowBuilder(kSpec).Add(6)).kind, Kind::kGap);
  EXPECT_EQ(Append(id_, 4, RowBuilder(kSpec).Final(4)).kind, Kind::kAcked);
}

TEST_F(ShardTest, EndOfSeedPhaseWakesWaitersEvenWithoutRoom) {
  Open(/*granted=*/0);
  EXPECT_EQ(Append(id_, 0, RowBuilder(kSpec).Add(0, false)).kind, Kind::kBlocked);
  ASSERT_TRUE(shard_->Grant({0, "pretraining", true}).ok());
  EXPECT_EQ(waiter_->calls, 1);
  EXPECT_EQ(Append(id_, 0, RowBuilder(kSpec).Add(0, false)).kind, Kind::kRefused);
}

TEST_F(ShardTest, WithdrawnWaiterIsNotCalled) {
  Open(/*granted=*/0);
  Append(id_, 0, RowBuilder(kSpec).Add(0));
  shard_->StopWaiting(waiter_.get());
  ASSERT_TRUE(shard_->Grant({10, "", false}).ok());
  EXPECT_EQ(waiter_->calls, 0);
}

TEST_F(ShardTest, CloseWakesWaitersAndCancels) {
  Open(/*granted=*/0);
  Append(id_, 0, RowBuilder(kSpec).Add(0));
  shard_->Close();
  shard_->Close();
  EXPECT_EQ(waiter_->calls, 1);
  EXPECT_EQ(Append(id_, 0, RowBuilder(kSpec).Add(0)).status.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(shard_->Grant({1, "", false}).code(), absl::StatusCode::kCancelled);
}

TEST_F(ShardTest, FullStoreTakesNothingAndWakesWritersWhenItHasRoom) {
  Open();
  store_->status = absl::ResourceExhaustedError("disk full");
  AppendOutcome outcome = Append(id_, 0, RowBuilder(kSpec).Add(0));
  EXPECT_EQ(outcome.kind, Kind::kBlocked);
  EXPECT_EQ(outcome.status, store_->status);
  EXPECT_EQ(shard_->counts().waiting_for_store, 1);
  EXPECT_EQ(shard_->Refuse(id_, absl::InvalidArgumentError("bad")).kind, Kind::kFailed);
  EXPECT_EQ(shard_->counts().stored_rows, 0);
  EXPECT_EQ(shard_->UpdatePlans(Opening{77}, {}, {}, {}).status(), store_->status);
  shard_->RenewReasons();
  EXPECT_EQ(waiter_->calls, 0) << "it was told the reason";
  store_->status = absl::OkStatus();
  store_->changed();
  EXPECT_EQ(waiter_->calls, 1);
  EXPECT_EQ(Append(id_, 0, RowBuilder(kSpec).Add(0)).kind, Kind::kAcked);
}

TEST_F(ShardTest, DurabilityIsTheStoresToTell) {
  bool durable = false;
  shard_->WhenDurable([&](absl::Status) { durable = true; });
  EXPECT_FALSE(durable);
  store_->waiting.front()(absl::OkStatus());
  EXPECT_TRUE(durable);
}

TEST_F(ShardTest, SampleWithoutWindowsSaysSo) {
  Open();
  Append(id_, 0, RowBuilder(kSpec).AddMany(0, 3));
  WindowBuffer buffer(kSpec, kHorizon, 1);
  const absl::Status status = shard_->Sample(1, buffer.Columns());
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(status.message(), "no window of 3 rows yet: 3 rows are stored");
  Append(id_, 3, RowBuilder(kSpec).Add(3));
  EXPECT_TRUE(shard_->Sample(1, buffer.Columns()).ok());
  EXPECT_EQ(shard_->counts().sampled_windows, 1);
}

TEST_F(ShardTest, BadPlansAreRefusedAndNothingReplaced) {
  Open();
  Append(id_, 0, RowBuilder(kSpec).AddMany(0, 4));
  const std::vector<uint64_t> addresses = {0, 1};
  const std::vector<float> mean = {1, 1, 1, 1}, zero_std = {1, 1, 1, 0}, std = {2, 2, 2, 2};
  EXPECT_EQ(shard_->UpdatePlans(Opening{77}, addresses, mean, zero_std).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(shard_->UpdatePlans(Opening{77}, addresses, {}, std).status().code(),
            absl::StatusCode::kInvalidArgument);
  const std::vector<float> far = {1, 1, 1e30f, 1}, narrow = {1, 1e-38f, 1, 1};
  EXPECT_EQ(shard_->UpdatePlans(Opening{77}, addresses, far, std).status().message(),
            "plan_mean number 2 is 1e+30, must be in [-1, 1]");
  EXPECT_EQ(shard_->UpdatePlans(Opening{77}, addresses, mean, narrow).status().code(),
            absl::StatusCode::kInvalidArgument);
  WindowBuffer buffer(kSpec, kHorizon, 1);
  ASSERT_TRUE(shard_->Sample(1, buffer.Columns()).ok());
  EXPECT_EQ(buffer.plan_std[0], RowBuilder::PlanStd(0, 0));
  const absl::StatusOr<Table::UpdateCounts> lost =
      shard_->UpdatePlans(Opening{76}, addresses, mean, std);
  EXPECT_EQ(lost->updated, 0) << "addresses of another memory";
  EXPECT_EQ(lost->evicted, 2);
  ASSERT_TRUE(shard_->Sample(1, buffer.Columns()).ok());
  EXPECT_EQ(buffer.plan_std[0], RowBuilder::PlanStd(0, 0));
  EXPECT_EQ(shard_->UpdatePlans(Opening{77}, addresses, mean, std)->updated, 2);
}

TEST_F(ShardTest, ActivityTimesSumToItsAge) {
  Open(/*granted=*/0);
  clock_.Advance(absl::Seconds(2));
  Append(id_, 0, RowBuilder(kSpec).Add(0));  // blocked from here on
  clock_.Advance(absl::Seconds(3));
  ASSERT_TRUE(shard_->Grant({100, "", false}).ok());
  clock_.Advance(absl::Seconds(5));
  const std::array<double, 4> seconds = shard_->activity().Seconds();
  EXPECT_DOUBLE_EQ(seconds[static_cast<size_t>(Activity::kIdle)], 7);
  EXPECT_DOUBLE_EQ(seconds[static_cast<size_t>(Activity::kBlocked)], 3);
  EXPECT_DOUBLE_EQ(std::accumulate(seconds.begin(), seconds.end(), 0.0), 10);
}

}  // namespace
}  // namespace pompc::replay
