#include "planner/client/endpoint_picker.h"

#include <vector>

#include "gtest/gtest.h"

namespace pompc::planner {
namespace {

const std::vector<bool> kNoneTried(3, false);
constexpr absl::Duration kNow = absl::Seconds(100);

EndpointPickerOptions Options(size_t endpoints, bool sticky = false) {
  EndpointPickerOptions options;
  options.endpoints = endpoints;
  options.sticky = sticky;
  return options;
}

// Has the planner answer often enough to be measured.
void Measure(EndpointPicker& picker, size_t endpoint, absl::Duration latency) {
  for (int i = 0; i < 64; ++i) picker.Succeeded(endpoint, latency, kNow);
}

TEST(EndpointPickerTest, CallsTakeTurns) {
  EndpointPicker picker(Options(3));
  EXPECT_EQ(picker.Pick(kNoneTried, kNow), 0u);
  EXPECT_EQ(picker.Pick(kNoneTried, kNow), 1u);
  EXPECT_EQ(picker.Pick(kNoneTried, kNow), 2u);
  EXPECT_EQ(picker.Pick(kNoneTried, kNow), 0u);
}

TEST(EndpointPickerTest, TriedOnesAreNotPickedAgain) {
  EndpointPicker picker(Options(3));
  EXPECT_EQ(picker.Pick({true, false, true}, kNow), 1u);
  EXPECT_EQ(picker.Pick({true, true, true}, kNow), std::nullopt);
}

TEST(EndpointPickerTest, FailedOneComesLastUntilItAnswers) {
  EndpointPicker picker(Options(3));
  picker.Failed(0, kNow);
  EXPECT_EQ(picker.Pick(kNoneTried, kNow), 1u);
  EXPECT_EQ(picker.Pick(kNoneTried, kNow), 2u);
  EXPECT_EQ(picker.Pick(kNoneTried, kNow + absl::Hours(1)), 1u);
  EXPECT_EQ(picker.PickHealthy({false, true, true}, kNow), std::nullopt);
  EXPECT_EQ(picker.Pick({false, true, true}, kNow), 0u);
  picker.Succeeded(0, absl::Milliseconds(5), kNow);
  EXPECT_EQ(picker.Pick({false, true, false}, kNow), 2u);
  EXPECT_EQ(picker.Pick(kNoneTried, kNow), 0u);
}

TEST(EndpointPickerTest, AvoidedOneIsProbedByOneRequestAtATime) {
  EndpointPicker picker(Options(2));
  EXPECT_EQ(picker.PickProbe(kNow), std::nullopt);
  picker.Failed(0, kNow);
  const absl::Duration due = kNow + EndpointPickerOptions().avoid_failed;
  EXPECT_EQ(picker.PickProbe(due - absl::Milliseconds(1)), std::nullopt);
  EXPECT_EQ(picker.PickProbe(due), 0u);
  EXPECT_EQ(picker.PickProbe(due), std::nullopt);
  // In vain: it is left alone for a while, then probed again.
  picker.Failed(0, due);
  EXPECT_EQ(picker.PickProbe(due), std::nullopt);
  EXPECT_EQ(picker.PickProbe(due + absl::Seconds(2)), 0u);
  picker.Succeeded(0, absl::Milliseconds(5), due + absl::Seconds(2));
  EXPECT_EQ(picker.PickProbe(due + absl::Hours(1)), std::nullopt);
}

TEST(EndpointPickerTest, AProbeThatTellsNothingMakesRoomForAnother) {
  EndpointPicker picker(Options(2));
  picker.Failed(0, kNow);
  const absl::Duration due = kNow + EndpointPickerOptions().avoid_failed;
  ASSERT_EQ(picker.PickProbe(due), 0u);
  picker.ProbeEnded(0);
  EXPECT_EQ(picker.PickProbe(due), 0u);
}

TEST(EndpointPickerTest, StickyStaysWithTheOneThatAnsweredAndProbesNoOther) {
  EndpointPicker picker(Options(3, /*sticky=*/true));
  EXPECT_EQ(picker.Pick(kNoneTried, kNow), 0u);
  EXPECT_EQ(picker.Pick(kNoneTried, kNow), 0u);
  picker.Failed(0, kNow);
  EXPECT_EQ(picker.Pick(kNoneTried, kNow), 1u);
  picker.Succeeded(1, absl::Milliseconds(5), kNow);
  EXPECT_EQ(picker.Pick(kNoneTried, kNow + absl::Hours(1)), 1u);
  EXPECT_EQ(picker.PickProbe(kNow + absl::Hours(1)), std::nullopt);
  // It may be used again when the time is over.
  EXPECT_EQ(picker.PickHealthy({false, true, true}, kNow + absl::Seconds(1)), std::nullopt);
  EXPECT_EQ(picker.PickHealthy({false, true, true}, kNow + absl::Seconds(2)), 0u);
}

TEST(EndpointPickerTest, PatienceFollowsTheSlowLatenciesOfThePlannerAndHasAFloor) {
  EndpointPicker picker(Options(2));
  EXPECT_EQ(picker.Patience(0), absl::Seconds(10));
  EXPECT_EQ(picker.MeasuredPatience(0), absl::ZeroDuration());
  Measure(picker, 0, absl::Milliseconds(400));
  EXPECT_EQ(picker.Patience(0), absl::Milliseconds(1200));
  // A few outliers, less than a twentieth, do not matter.
  for (int i = 0; i < 3; ++i) picker.Succeeded(0, absl::Seconds(9), kNow);
  EXPECT_EQ(picker.Patience(0), absl::Milliseconds(1200));
  // The other one has answered nothing yet and is measured by this one; then by itself.
  EXPECT_EQ(picker.Patience(1), absl::Milliseconds(1200));
  Measure(picker, 1, absl::Milliseconds(2));
  EXPECT_EQ(picker.Patience(1), absl::Milliseconds(250));
}

TEST(EndpointPickerTest, SilenceThatOthersDoNotShareIsAvoidedLongerEachTime) {
  EndpointPicker picker(Options(2));
  absl::Duration now = kNow;
  for (const int seconds : {1, 2, 4, 8, 16, 16}) {
    // Many requests are outrun at once, one counts.
    EXPECT_EQ(picker.Outrun(0, now - absl::Seconds(1), now), seconds == 1);
    EXPECT_FALSE(picker.Outrun(0, now - absl::Seconds(1), now));
    EXPECT_EQ(picker.PickHealthy({false, true}, now), std::nullopt);
    now += absl::Seconds(seconds) - absl::Milliseconds(1);
    EXPECT_EQ(picker.PickProbe(now), std::nullopt) << seconds;
    now += absl::Milliseconds(1);
    EXPECT_EQ(picker.PickProbe(now), 0u) << seconds;
  }
  EXPECT_TRUE(picker.Succeeded(0, absl::Milliseconds(5), now));
  EXPECT_FALSE(picker.Succeeded(0, absl::Milliseconds(5), now));
  EXPECT_EQ(picker.PickHealthy({false, true}, now), 0u);
  // Its last answer may have come at the very moment of the request.
  EXPECT_TRUE(picker.Outrun(0, now, now + absl::Seconds(1)));
  EXPECT_EQ(picker.PickProbe(now + absl::Seconds(2)), 0u);
}

TEST(EndpointPickerTest, OneThatAnswersOthersIsSlowNotSilent) {
  EndpointPicker picker(Options(2));
  Measure(picker, 0, absl::Milliseconds(100));
  const absl::Duration patience = picker.Patience(0);
  for (int i = 0; i < 10; ++i) {
    EXPECT_FALSE(picker.Outrun(0, kNow - absl::Seconds(1), kNow));
  }
  EXPECT_EQ(picker.PickHealthy({false, true}, kNow), 0u);
  EXPECT_GT(picker.Patience(0), patience);
}

TEST(EndpointPickerTest, ATimeoutCountsWhereTheTimeWasLongEnough) {
  EndpointPicker picker(Options(2));
  picker.TimedOut(0, absl::Milliseconds(30), kNow);
  EXPECT_EQ(picker.PickHealthy({false, true}, kNow), 0u);
  picker.TimedOut(0, absl::Seconds(10), kNow);
  EXPECT_EQ(picker.PickHealthy({false, true}, kNow), std::nullopt);
}

TEST(EndpointPickerTest, HedgesAreAShareOfTheQueriesBeyondAFirstBurst) {
  EndpointPicker picker(Options(2));
  int hedged = 0;
  while (picker.TakeHedge(1)) ++hedged;
  EXPECT_EQ(hedged, 64);
  for (int i = 0; i < 100; ++i) {
    picker.Asked(10);
    while (picker.TakeHedge(5)) hedged += 5;
  }
  EXPECT_LE(hedged, 64 + 100);
  EXPECT_GE(hedged, 64 + 95);
  while (picker.TakeHedge(1)) {
  }
  picker.GiveBackHedge(1);
  EXPECT_TRUE(picker.TakeHedge(1));
  EXPECT_FALSE(picker.TakeHedge(1));
}

}  // namespace
}  // namespace pompc::planner
