#include "run/rows/environment_demand.h"

#include <algorithm>

#include "gtest/gtest.h"

namespace pompc::run {
namespace {

constexpr absl::Duration kTick = absl::Milliseconds(250);

TEST(EnvironmentDemandTest, WithoutEnvironmentsThoseOfOneActorAreWanted) {
  EnvironmentDemand demand(3);
  EXPECT_EQ(demand.wanted(), 3);
  // Without environments the learner waits all the time, which says nothing about how many it
  // needs.
  for (int i = 0; i < 1000; ++i) demand.Observe(kTick, 0, 1, 0);
  EXPECT_EQ(demand.environments(), 0);
  EXPECT_EQ(demand.wanted(), 3);
  for (int i = 0; i < 1000; ++i) demand.Observe(kTick, 8, 0, 0);
  EXPECT_NEAR(demand.wanted(), 8, 1e-6) << "the waits of the empty run are remembered";
  for (int i = 0; i < 1000; ++i) demand.Observe(kTick, 0, 1, 0);
  EXPECT_EQ(demand.wanted(), 3);
}

// A learner that could use `needed` environments, and has n of them: with fewer it waits for what
// they do not bring, with more it holds back what they bring too much.
void ObserveRun(double needed, double n, absl::Duration time, EnvironmentDemand* demand) {
  for (absl::Duration at; at < time; at += kTick) {
    demand->Observe(kTick, n, std::max(0.0, 1 - n / needed), std::max(0.0, 1 - needed / n));
  }
}

TEST(EnvironmentDemandTest, FindsWhatTheLearnerCanUse) {
  for (const double n : {10.0, 20.0, 39.0, 40.0, 41.0, 100.0, 159.0}) {
    EnvironmentDemand demand(1);
    ObserveRun(40, n, absl::Minutes(2), &demand);
    EXPECT_NEAR(demand.environments(), n, 0.01);
    EXPECT_NEAR(demand.wanted(), 40, 0.1) << n;
  }
}

TEST(EnvironmentDemandTest, OneMeasurementSaysFourTimesAsManyAtMost) {
  EnvironmentDemand few(1), many(1);
  ObserveRun(1000, 10, absl::Minutes(2), &few);
  EXPECT_NEAR(few.wanted(), 40, 0.1);
  ObserveRun(1, 1000, absl::Minutes(2), &many);
  EXPECT_NEAR(many.wanted(), 250, 0.1);
  // Whoever follows what is wanted gets there.
  double n = 10;
  EnvironmentDemand followed(1);
  for (int minute = 0; minute < 6; ++minute) {
    ObserveRun(1000, n, absl::Minutes(1), &followed);
    n = followed.wanted();
  }
  EXPECT_NEAR(n, 1000, 5);
}

TEST(EnvironmentDemandTest, AMomentChangesLittleAndAMinuteDecides) {
  EnvironmentDemand demand(1);
  ObserveRun(40, 40, absl::Minutes(2), &demand);
  // An evaluation, a checkpoint: the learner makes no update for a second.
  demand.Observe(absl::Seconds(1), 40, 0, 1);
  EXPECT_NEAR(demand.wanted(), 40 * 0.905, 0.05) << "e^-0.1 is 0.905";
  ObserveRun(80, 40, absl::Minutes(1), &demand);
  EXPECT_NEAR(demand.wanted(), 80, 0.3);
}

TEST(EnvironmentDemandTest, HowOftenItIsToldChangesNothing) {
  EnvironmentDemand often(1), seldom(1);
  for (int i = 0; i < 1000; ++i) often.Observe(absl::Milliseconds(10), 5, 0.4, 0);
  for (int i = 0; i < 10; ++i) seldom.Observe(absl::Seconds(1), 5, 0.4, 0);
  EXPECT_NEAR(often.wanted(), seldom.wanted(), 1e-9);
}

}  // namespace
}  // namespace pompc::run
