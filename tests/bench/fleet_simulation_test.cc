#include "bench/scaling/fleet_simulation.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pompc::bench {
namespace {

using ::testing::HasSubstr;

// A small fleet whose planner is its narrowest part: plans take 2 ms, everything else little.
FleetOptions Small() {
  FleetOptions options;
  options.actors = 20;
  options.utd = 0.01;
  options.seed_rows = 500;
  options.warm_up = absl::Seconds(3);
  options.measured = absl::Seconds(10);
  options.times = {.decision = absl::Microseconds(60),
                   .plan = absl::Milliseconds(2),
                   .chunk = absl::Microseconds(30),
                   .row = absl::Microseconds(3),
                   .window = absl::Microseconds(4),
                   .update = absl::Milliseconds(5),
                   .heartbeat = absl::Microseconds(60),
                   .grant = absl::Microseconds(120),
                   .message = absl::Microseconds(50)};
  return options;
}

double LoadOf(const FleetReport& report, const std::string& part) {
  for (const FleetLoad& load : report.loads) {
    if (load.part == part) return load.share;
  }
  ADD_FAILURE() << "no part " << part;
  return 0;
}

TEST(FleetSimulation, PlannersThatAreNeverIdleSetTheRate) {
  FleetOptions options = Small();
  options.planner_threads = 2;
  const FleetReport report = SimulateFleet(options);
  ASSERT_EQ(report.failure, "");
  // Two threads with 2 ms a plan.
  EXPECT_NEAR(report.rows_per_second, 1000, 20);
  EXPECT_EQ(report.bottleneck, "planners");
  EXPECT_EQ(report.refusals, 0);
  // Little's law: 20 environments, each with a call nearly all of the time.
  EXPECT_NEAR(absl::ToDoubleMilliseconds(report.plan_p50), 20 * 1000 / report.rows_per_second, 1);
}

TEST(FleetSimulation, MorePlannersShareTheWorkEvenly) {
  FleetOptions options = Small();
  options.actors = 100;
  options.planners = 4;
  const FleetReport report = SimulateFleet(options);
  ASSERT_EQ(report.failure, "");
  EXPECT_NEAR(report.rows_per_second, 2000, 60);
  EXPECT_GT(report.least_rows, 0.8);
}

TEST(FleetSimulation, TheRatioHoldsRowsToTheUpdates) {
  FleetOptions options = Small();
  options.utd = 1;
  options.slack_rows = 100;
  options.warm_up = absl::Seconds(20);
  options.measured = absl::Seconds(20);
  const FleetReport report = SimulateFleet(options);
  ASSERT_EQ(report.failure, "");
  // An update takes 5 ms, and rows come as fast as updates.
  EXPECT_NEAR(report.updates_per_second, 200, 5);
  EXPECT_NEAR(report.rows_per_second, 200, 10);
  EXPECT_EQ(report.bottleneck, "updates");
  EXPECT_GT(report.held_back, 0.5);
}

TEST(FleetSimulation, ASmallSlackHoldsAFastFleet) {
  FleetOptions options = Small();
  options.actors = 100;
  options.planners = 64;
  options.slack_rows = 100;
  const FleetReport report = SimulateFleet(options);
  ASSERT_EQ(report.failure, "");
  EXPECT_EQ(report.bottleneck, "replay.slack_rows");
  // A hundred rows for each two grants, which are 50 ms apart.
  EXPECT_NEAR(report.rows_per_second, 1000, 150);
}

TEST(FleetSimulation, EnvironmentsThatDecideAtTheirOwnPaceKeepIt) {
  FleetOptions options = Small();
  options.decision_interval = absl::Milliseconds(100);
  const FleetReport report = SimulateFleet(options);
  ASSERT_EQ(report.failure, "");
  EXPECT_NEAR(report.rows_per_second, 200, 4);
  EXPECT_NEAR(LoadOf(report, "planners"), 0.4, 0.02);
  EXPECT_THAT(report.bottleneck, HasSubstr("the environments"));
}

TEST(FleetSimulation, AFullQueueRefuses) {
  FleetOptions options = Small();
  options.actors = 64;
  options.max_queue = 16;
  const FleetReport report = SimulateFleet(options);
  ASSERT_EQ(report.failure, "");
  EXPECT_GT(report.refusals, 0);
  // What is refused comes again, and the planner is never idle.
  EXPECT_NEAR(report.rows_per_second, 500, 25);
}

TEST(FleetSimulation, BatchesCostLessThanTheirPlans) {
  FleetOptions options = Small();
  options.actors = 200;
  options.plans_one_by_one = false;
  options.max_batch = 64;
  options.times.batch = absl::Milliseconds(2);
  options.times.plan = absl::Microseconds(100);
  const FleetReport report = SimulateFleet(options);
  ASSERT_EQ(report.failure, "");
  // 64 plans in 2 + 6.4 ms.
  EXPECT_NEAR(report.rows_per_second, 64 / 0.0084, 400);
}

TEST(FleetSimulation, TheSameOptionsGiveTheSameRates) {
  const FleetReport one = SimulateFleet(Small()), two = SimulateFleet(Small());
  EXPECT_EQ(one.rows_per_second, two.rows_per_second);
  EXPECT_EQ(one.plan_p99, two.plan_p99);
  EXPECT_EQ(one.events, two.events);
}

TEST(FleetSimulation, MoreActorsThanLeasesAreToldSo) {
  FleetOptions options = Small();
  options.actors = 100000;
  EXPECT_THAT(SimulateFleet(options).failure, HasSubstr("actor "));
}

}  // namespace
}  // namespace pompc::bench
