#include "run/control/evaluation_schedule.h"

#include <limits>
#include <vector>

#include "gtest/gtest.h"

namespace pompc::run {
namespace {

constexpr absl::Duration kNow = absl::Seconds(50);

EvaluationOptions Options() {
  EvaluationOptions options;
  options.every_rows = 1000;
  options.episodes = 2;
  options.max_outstanding = 2;
  return options;
}

ParameterVersion V(uint64_t number) { return {1, number}; }

proto::EvaluationResult Result(uint64_t id, uint64_t rows, double mean) {
  proto::EvaluationResult result;
  result.set_evaluation_id(id);
  *result.mutable_version() = ToProto(V(id));
  result.set_rows(rows);
  result.set_return_mean(mean);
  return result;
}

TEST(EvaluationScheduleTest, IsDueOnceForEachMilestone) {
  EvaluationSchedule schedule(Options());
  EXPECT_FALSE(schedule.Due(999, 0, true));
  EXPECT_TRUE(schedule.Due(1003, 0, false));
  schedule.Add(V(1), 1003, 10, kNow);
  EXPECT_FALSE(schedule.Due(1003, 0, true));
  EXPECT_FALSE(schedule.Due(1999, 0, true));
  EXPECT_TRUE(schedule.Due(2000, 0, true));
}

TEST(EvaluationScheduleTest, OneEvaluationServesMilestonesCrossedTogether) {
  EvaluationSchedule schedule(Options());
  EXPECT_TRUE(schedule.Due(3500, 0, true));
  schedule.Add(V(1), 3500, 10, kNow);
  EXPECT_FALSE(schedule.Due(3999, 0, true));
  EXPECT_TRUE(schedule.Due(4000, 0, true));
}

TEST(EvaluationScheduleTest, TheLastIsDueOnceUpdatesHaveCaughtUp) {
  EvaluationOptions options = Options();
  options.last_rows = 2500;
  EvaluationSchedule schedule(options);
  schedule.Add(V(1), 2004, 10, kNow);
  EXPECT_FALSE(schedule.Due(2500, 0, false));
  EXPECT_TRUE(schedule.Due(2500, 0, true));
  schedule.Add(V(2), 2503, 20, kNow);
  EXPECT_FALSE(schedule.Due(2503, 0, true));
}

TEST(EvaluationScheduleTest, AnEvaluatorKeepsItsAssignmentUntilItReports) {
  EvaluationSchedule schedule(Options());
  const proto::EvaluationAssignment added = schedule.Add(V(1), 1000, 10, kNow);
  EXPECT_EQ(added.episodes(), 2u);
  EXPECT_EQ(schedule.Assign(7)->DebugString(), added.DebugString());
  EXPECT_EQ(schedule.Assign(7)->DebugString(), added.DebugString());
  EXPECT_FALSE(schedule.Assign(8).has_value());
  ASSERT_TRUE(schedule.Report(7, added.evaluation_id(), V(1), {1, 2}, 0).ok());
  EXPECT_FALSE(schedule.Assign(7).has_value());
}

TEST(EvaluationScheduleTest, AnEndedLeaseLeavesItsEvaluationToOthers) {
  EvaluationSchedule schedule(Options());
  const proto::EvaluationAssignment added = schedule.Add(V(1), 1000, 10, kNow);
  ASSERT_EQ(schedule.Assign(7)->DebugString(), added.DebugString());
  schedule.LeaseEnded(7);
  EXPECT_EQ(schedule.Assign(8)->DebugString(), added.DebugString());
}

TEST(EvaluationScheduleTest, TheOldestIsDoneFirst) {
  EvaluationSchedule schedule(Options());
  const proto::EvaluationAssignment first = schedule.Add(V(1), 1000, 10, kNow);
  const proto::EvaluationAssignment second = schedule.Add(V(2), 2000, 20, kNow);
  EXPECT_EQ(schedule.Assign(7)->DebugString(), first.DebugString());
  EXPECT_EQ(schedule.Assign(8)->DebugString(), second.DebugString());
  EXPECT_NE(first.seed(), second.seed());
}

TEST(EvaluationScheduleTest, WithTooManyTheOldestIdleOneIsGivenUp) {
  EvaluationSchedule schedule(Options());
  const proto::EvaluationAssignment first = schedule.Add(V(1), 1000, 10, kNow);
  const proto::EvaluationAssignment second = schedule.Add(V(2), 2000, 20, kNow);
  ASSERT_EQ(schedule.Assign(7)->DebugString(), first.DebugString());
  std::optional<proto::EvaluationAssignment> given_up;
  const proto::EvaluationAssignment third = schedule.Add(V(3), 3000, 30, kNow, &given_up);
  EXPECT_EQ(given_up->evaluation_id(), second.evaluation_id());
  EXPECT_EQ(schedule.given_up(), 1u);
  const auto outstanding = schedule.Outstanding();
  ASSERT_EQ(outstanding.size(), 2u);
  EXPECT_EQ(outstanding[0].evaluation_id(), first.evaluation_id());
  EXPECT_EQ(outstanding[1].evaluation_id(), third.evaluation_id());
}

TEST(EvaluationScheduleTest, AnEvaluationWithoutResultIsGivenUpAfterItsTime) {
  EvaluationSchedule schedule(Options());
  const proto::EvaluationAssignment added = schedule.Add(V(1), 1000, 10, kNow);
  const absl::Duration over = kNow + Options().timeout;
  EXPECT_TRUE(schedule.Expire(over - absl::Minutes(1)).empty());
  const auto expired = schedule.Expire(over);
  ASSERT_EQ(expired.size(), 1u);
  EXPECT_EQ(expired[0].evaluation_id(), added.evaluation_id());
  EXPECT_EQ(schedule.given_up(), 1u);
  EXPECT_EQ(schedule.Report(7, added.evaluation_id(), V(1), {1, 2}, 0).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST(EvaluationScheduleTest, ResultHasTheStatisticsAndTheAssignment) {
  EvaluationSchedule schedule(Options());
  const proto::EvaluationAssignment added = schedule.Add(V(1), 1003, 10, kNow);
  ASSERT_TRUE(schedule.Assign(7).has_value());
  const auto reported = schedule.Report(7, added.evaluation_id(), V(1), {500, 700}, 12.5);
  ASSERT_TRUE(reported.ok() && reported->has_value());
  const proto::EvaluationResult& result = **reported;
  EXPECT_EQ(FromProto(result.version()), V(1));
  EXPECT_EQ(result.rows(), 1003u);
  EXPECT_EQ(result.updates(), 10u);
  EXPECT_EQ(result.return_mean(), 600);
  EXPECT_NEAR(result.return_ci95(), 12.7062 * 100, 1e-6);
  EXPECT_EQ(result.return_min(), 500);
  EXPECT_EQ(result.return_max(), 700);
  EXPECT_EQ(result.elapsed_seconds(), 12.5);
}

TEST(EvaluationScheduleTest, TheFirstResultStands) {
  EvaluationSchedule schedule(Options());
  const proto::EvaluationAssignment added = schedule.Add(V(1), 1000, 10, kNow);
  ASSERT_TRUE(schedule.Assign(7).has_value());
  ASSERT_TRUE(schedule.Report(7, added.evaluation_id(), V(1), {1, 1}, 0).ok());
  const auto again = schedule.Report(7, added.evaluation_id(), V(1), {9, 9}, 0);
  ASSERT_TRUE(again.ok());
  EXPECT_FALSE(again->has_value());
  ASSERT_EQ(schedule.results().size(), 1u);
  EXPECT_EQ(schedule.results()[0].return_mean(), 1);
}

TEST(EvaluationScheduleTest, UnknownEvaluationsAndVersionsAreRefused) {
  EvaluationSchedule schedule(Options());
  const proto::EvaluationAssignment added = schedule.Add(V(1), 1000, 10, kNow);
  EXPECT_EQ(schedule.Report(7, 99, V(1), {1, 2}, 0).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(schedule.Report(7, added.evaluation_id(), V(2), {1, 2}, 0).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST(EvaluationScheduleTest, OnlyWhoWasAssignedAnEvaluationMayReportIt) {
  EvaluationSchedule schedule(Options());
  const uint64_t id = schedule.Add(V(1), 1000, 10, kNow).evaluation_id();
  const auto code = [&](uint64_t lease) {
    return schedule.Report(lease, id, V(1), {1, 2}, 0).status().code();
  };
  EXPECT_EQ(code(7), absl::StatusCode::kFailedPrecondition) << "nobody was assigned it";
  ASSERT_TRUE(schedule.Assign(7).has_value());
  EXPECT_EQ(code(8), absl::StatusCode::kFailedPrecondition) << "another one plays it";
  EXPECT_TRUE(schedule.results().empty());
  // Its evaluator has lost the lease, and comes back with another one.
  schedule.LeaseEnded(7);
  EXPECT_EQ(code(8), absl::StatusCode::kOk);
  EXPECT_EQ(schedule.results().size(), 1u);
}

TEST(EvaluationScheduleTest, BadReturnsAreRefusedAndTheEvaluationStays) {
  EvaluationSchedule schedule(Options());
  const proto::EvaluationAssignment added = schedule.Add(V(1), 1000, 10, kNow);
  ASSERT_TRUE(schedule.Assign(7).has_value());
  EXPECT_EQ(schedule.Report(7, added.evaluation_id(), V(1), {1}, 0).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(
      schedule
          .Report(7, added.evaluation_id(), V(1), {1, std::numeric_limits<double>::quiet_NaN()}, 0)
          .status()
          .code(),
      absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(schedule.outstanding());
  EXPECT_TRUE(schedule.results().empty());
}

TEST(EvaluationScheduleTest, BestIsTheHighestMeanTheEarliestOfEquals) {
  EvaluationSchedule schedule(Options());
  EXPECT_EQ(schedule.best(), std::nullopt);
  schedule.Restore(
      {Result(1, 1000, -5), Result(2, 2000, 8), Result(3, 3000, 8), Result(4, 4000, 7)}, 4000, 0);
  EXPECT_EQ(schedule.best(), 1u);
}

TEST(EvaluationScheduleTest, TheBestOutlivesOlderResults) {
  EvaluationOptions options = Options();
  options.max_results = 3;
  EvaluationSchedule schedule(options);
  std::vector<proto::EvaluationResult> results;
  for (uint64_t id = 1; id <= 10; ++id) results.push_back(Result(id, id, id == 4 ? 100 : 1));
  schedule.Restore(results, 0, 0);
  ASSERT_EQ(schedule.results().size(), 3u);
  ASSERT_TRUE(schedule.best().has_value());
  EXPECT_EQ(schedule.results()[*schedule.best()].evaluation_id(), 4u);
  EXPECT_EQ(schedule.results().back().evaluation_id(), 10u);
}

TEST(EvaluationScheduleTest, ARestoredScheduleRepeatsNothingAndMissesNothing) {
  EvaluationSchedule schedule(Options());
  schedule.Restore({Result(1, 1002, 1), Result(2, 2001, 1), Result(3, 3000, 1)}, 2400, 0);
  // The evaluation at 3000 lies after the checkpoint: its rows are yet to come again.
  EXPECT_FALSE(schedule.Due(2400, 0, true));
  EXPECT_TRUE(schedule.Due(3000, 0, true));
  EXPECT_EQ(schedule.Add(V(9), 3000, 10, kNow).evaluation_id(), 4u);
  // A milestone whose evaluation had no result when the learner died is due again.
  EvaluationSchedule interrupted(Options());
  interrupted.Restore({Result(1, 1002, 1)}, 2001, 0);
  EXPECT_TRUE(interrupted.Due(2001, 0, true));
}

}  // namespace
}  // namespace pompc::run
