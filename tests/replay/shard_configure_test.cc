#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "tests/replay/shard_fixture.h"

namespace pompc::replay {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST_F(ShardTest, BeforeConfigureEverythingIsUnavailable) {
  const AppendOutcome outcome = Append(id_, 0, RowBuilder(kSpec).Add(1));
  EXPECT_EQ(outcome.kind, Kind::kFailed);
  EXPECT_EQ(outcome.status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(shard_->Grant({1, "", false}).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(shard_->UpdatePlans(Opening{77}, {}, {}, {}).status().code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(shard_->config().status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(shard_->counts().capacity_rows, 0);
}

TEST_F(ShardTest, ConfigureIsIdempotentAndRefusesAnotherRunOrSpec) {
  ASSERT_TRUE(shard_->Configure(Config()).ok());
  EXPECT_TRUE(shard_->Configure(Config()).ok());
  ShardConfig other = Config();
  other.run_id = "run-b";
  absl::Status status = shard_->Configure(other);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(
      std::string(status.message()),
      StartsWith("shard is open for run run-a, not run-b; a shard keeps this for as long as its "
                 "rows live: "));
  other = Config();
  other.table.spec.observation_size = 4;
  status = shard_->Configure(other);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              StartsWith("shard is open for observation size 3, not 4; a shard keeps this for as "
                         "long as its rows live: "));
  other = Config();
  other.shard_index = 2;
  EXPECT_EQ(shard_->Configure(other).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ((*shard_->config())->run_id, "run-a");
}

TEST_F(ShardTest, AnotherCapacityAndHorizonAreAppliedToTheRowsThatAreThere) {
  Open();
  ASSERT_EQ(Append(id_, 0, RowBuilder(kSpec).AddMany(0, 20).Final(20)).kind, Kind::kAcked);
  ASSERT_EQ(*shard_->BarWindows(Opening{77}, std::vector<uint64_t>{12, 2}), 2);
  EXPECT_EQ(shard_->counts().windows, 20 - kHorizon + 1 - 2);
  ShardConfig changed = Config();
  changed.table.capacity_rows = 15;
  ASSERT_TRUE(shard_->Configure(changed).ok());
  ShardCounts counts = shard_->counts();
  EXPECT_EQ(counts.capacity_rows, 15u);
  EXPECT_EQ(counts.stored_rows, 14u);
  EXPECT_EQ(counts.accepted_rows, 20u);
  EXPECT_EQ(counts.windows, 14 - kHorizon + 1 - 1);
  EXPECT_EQ(counts.barred_windows, 1u);
  changed.table.horizon = 6;
  changed.table.capacity_rows = 1000;
  ASSERT_TRUE(shard_->Configure(changed).ok());
  counts = shard_->counts();
  EXPECT_EQ(counts.stored_rows, 14u);
  EXPECT_EQ(counts.windows, 14 - 6 + 1 - 1);
  // Who made room for windows of the earlier horizon tries again.
  WindowBuffer earlier(kSpec, kHorizon, 100), buffer(kSpec, 6, 100);
  EXPECT_EQ(shard_->Sample(1, earlier.Columns()).code(), absl::StatusCode::kUnavailable);
  ASSERT_TRUE(shard_->Sample(1, buffer.Columns()).ok());
  for (size_t b = 0; b < 100; ++b) {
    const uint64_t start = buffer.addresses[b * 7];
    EXPECT_GE(start, 6u);
    EXPECT_NE(start, 12u);
    EXPECT_EQ(buffer.observations[b * 7 * 3], RowBuilder::Observation(start, 0));
  }
}

// The capacity of a shard follows from how many there are: it is not what the user has changed.
TEST_F(ShardTest, AnotherNumberOfShardsIsNamed) {
  ShardConfig one_of_two = Config();
  one_of_two.shard_count = 2;
  ASSERT_TRUE(shard_->Configure(one_of_two).ok());
  ShardConfig alone = Config();
  alone.shard_index = 0;
  alone.table.capacity_rows = 2000;
  const absl::Status status = shard_->Configure(alone);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), StartsWith("shard is one of 2, now of 1 (--replay"));
  EXPECT_EQ(shard_->counts().capacity_rows, 1000u);
}

TEST_F(ShardTest, OneStartOfTheLearnerHoldsItUntilALaterOneTakesItOver) {
  const LearnerStart second = {2, 100}, copy_of_second = {2, 200}, third = {3, 300};
  const auto open = [&](const LearnerStart& start) {
    ShardConfig config = Config();
    config.learner = start;
    return shard_->Configure(config);
  };
  const auto grant = [&](const LearnerStart& from, uint64_t rows) {
    return shard_->Grant({rows, "", false}, from);
  };
  ASSERT_TRUE(open(second).ok());
  EXPECT_TRUE(open(second).ok()) << "a learner may open it again";
  ASSERT_TRUE(grant(second, 10).ok());
  const absl::Status held = open(copy_of_second);
  EXPECT_EQ(held.code(), absl::StatusCode::kAborted);
  EXPECT_THAT(
      std::string(held.message()),
      StartsWith("the shard is held by another start (2) of run run-a; is this run directory "
                 "a copy of another one?"));
  EXPECT_EQ(grant(copy_of_second, 1000).code(), absl::StatusCode::kAborted);
  EXPECT_EQ(shard_->counts().max_accepted_rows, 10u);

  ASSERT_TRUE(open(third).ok());
  EXPECT_TRUE(grant(third, 20).ok());
  EXPECT_EQ(open(second).code(), absl::StatusCode::kAborted);
  EXPECT_EQ(grant(second, 1000).code(), absl::StatusCode::kAborted);
  EXPECT_EQ(shard_->counts().max_accepted_rows, 20u);
}

// What a faulty writer makes up would otherwise fence the actor's own leases for ever.
TEST_F(ShardTest, NoIncarnationCountsBeforeTheLearnerHasGivenIt) {
  ASSERT_TRUE(shard_->Configure(Config()).ok());
  const auto grant = [&](uint64_t newest_lease) {
    ASSERT_TRUE(shard_->Grant({.max_accepted_rows = 100, .newest_lease = newest_lease}).ok());
  };
  grant(20);
  const RowBuilder rows = RowBuilder(kSpec).AddMany(0, 2);
  const SegmentId good = {.actor_index = 1, .incarnation = 20};
  const SegmentId made_up = {.actor_index = 1, .incarnation = ~uint64_t{0}};
  EXPECT_EQ(Append(good, 0, rows).kind, Kind::kAcked);
  const AppendOutcome outcome = Append(made_up, 0, rows);
  EXPECT_EQ(outcome.kind, Kind::kBlocked);
  EXPECT_EQ(outcome.status.message(),
            "the learner has not announced lease 18446744073709551615 of actor 1 yet");
  EXPECT_EQ(shard_->Refuse(made_up, absl::InvalidArgumentError("bad")).kind, Kind::kRefused);
  EXPECT_EQ(Append(good, 2, rows).kind, Kind::kAcked) << "the actor was not fenced";
  // One that the learner gives later is let in once a grant tells of it.
  const SegmentId next = {.actor_index = 1, .incarnation = 21};
  EXPECT_EQ(Append(next, 0, rows).kind, Kind::kBlocked);
  const int calls = waiter_->calls;
  grant(21);
  EXPECT_GT(waiter_->calls, calls);
  EXPECT_EQ(Append(next, 0, rows).kind, Kind::kAcked);
  EXPECT_EQ(Append(good, 4, rows).kind, Kind::kRefused) << "fenced by a true lease";
  // A grant that was made earlier and arrives later takes back none.
  grant(22);
  grant(21);
  EXPECT_EQ(Append({.actor_index = 2, .incarnation = 22}, 0, rows).kind, Kind::kAcked);
}

TEST_F(ShardTest, AGrantThatKnowsAnOlderVersionThanBeforeIsRefused) {
  ASSERT_TRUE(shard_->Configure(Config()).ok());
  const auto grant = [&](uint64_t rows, ParameterVersion version) {
    return shard_->Grant({.max_accepted_rows = rows, .newest_version = version});
  };
  ASSERT_TRUE(grant(10, {1, 5}).ok());
  EXPECT_EQ(grant(99, {1, 4}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(shard_->counts().max_accepted_rows, 10u);
  EXPECT_TRUE(grant(20, {2, 0}).ok()) << "of a later start of the learner";
}

// Settings that the shard cannot have do not change who holds it.
TEST_F(ShardTest, ALaterStartThatIsRefusedDoesNotTakeItOver) {
  ShardConfig config = Config();
  config.learner = {1, 100};
  ASSERT_TRUE(shard_->Configure(config).ok());
  config.learner = {2, 200};
  config.shard_index = 5;
  EXPECT_EQ(shard_->Configure(config).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(shard_->Grant({10, "", false}, {1, 100}).ok());
}

TEST_F(ShardTest, ConfigureThatHoldsNoWindowIsRefusedAndNotKept) {
  ShardConfig small = Config();
  small.table.capacity_rows = 2;
  EXPECT_EQ(shard_->Configure(small).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(shard_->Configure(Config()).ok());
}

}  // namespace
}  // namespace pompc::replay
