#include "planner/client/endpoint_picker.h"

#include <map>
#include <set>
#include <vector>

#include "gtest/gtest.h"

namespace pompc::planner {
namespace {

using Id = EndpointPicker::Id;

constexpr absl::Duration kNow = absl::Seconds(100);

EndpointPickerOptions Sticky() {
  EndpointPickerOptions options;
  options.sticky = true;
  return options;
}

// A picker with so many planners, 1, 2, ...
EndpointPicker Picker(int planners, const EndpointPickerOptions& options = {}) {
  EndpointPicker picker(options);
  for (int i = 1; i <= planners; ++i) EXPECT_EQ(picker.Add(), static_cast<Id>(i));
  return picker;
}

Answer After(absl::Duration latency) { return {.latency = latency}; }

// Has the planner answer often enough to be measured.
void Measure(EndpointPicker& picker, Id id, absl::Duration latency, absl::Duration now = kNow) {
  for (int i = 0; i < 64; ++i) picker.Succeeded(id, After(latency), now);
}

// The picks of each planner in a thousand.
std::map<Id, int> PickOften(EndpointPicker& picker, absl::Duration now = kNow,
                            const std::set<Id>& tried = {}) {
  std::map<Id, int> picked;
  for (int i = 0; i < 1000; ++i) {
    if (const auto id = picker.Pick(tried, now)) ++picked[*id];
  }
  return picked;
}

TEST(EndpointPickerTest, PlannersOfTheSameSpeedShareTheCalls) {
  EndpointPicker picker = Picker(4);
  // At first they are as good as one another, too.
  for (const bool measured : {false, true}) {
    for (Id id = 1; measured && id <= 4; ++id) Measure(picker, id, absl::Milliseconds(5));
    const auto picked = PickOften(picker);
    for (Id id = 1; id <= 4; ++id) EXPECT_NEAR(picked.at(id), 250, 60);
  }
}

TEST(EndpointPickerTest, FasterOneIsAskedMoreOftenAndTheSlowOneStillNowAndThen) {
  EndpointPicker picker = Picker(2);
  Measure(picker, 1, absl::Milliseconds(30));
  Measure(picker, 2, absl::Milliseconds(10));
  const auto picked = PickOften(picker);
  // The cube of a third of the time.
  EXPECT_NEAR(picked.at(1), 1000 / 28, 20);
}

TEST(EndpointPickerTest, WhatWasSlowLongAgoIsTriedAgain) {
  EndpointPicker picker = Picker(2);
  Measure(picker, 1, absl::Seconds(20));
  Measure(picker, 2, absl::Milliseconds(10));
  EXPECT_EQ(PickOften(picker).count(1), 0u);
  const absl::Duration later = kNow + absl::Minutes(2);
  Measure(picker, 2, absl::Milliseconds(10), later);
  EXPECT_NEAR(PickOften(picker, later).at(1), 500, 80);
  picker.Succeeded(1, After(absl::Seconds(20)), later);
  EXPECT_EQ(PickOften(picker, later).count(1), 0u);
}

TEST(EndpointPickerTest, RequestsInFlightCountByTheCostOfAQuery) {
  EndpointPicker picker = Picker(2);
  // The batches of the second cost the same, and hold far more.
  for (int i = 0; i < 64; ++i) {
    picker.Succeeded(1, {.latency = absl::Milliseconds(20), .per_query = absl::Milliseconds(5)},
                     kNow);
    picker.Succeeded(2, {.latency = absl::Milliseconds(20), .per_query = absl::Microseconds(50)},
                     kNow);
  }
  for (const Id id : {1, 2}) picker.Sent(id, 16, kNow);
  const auto picked = PickOften(picker);
  EXPECT_GT(picked.at(2), 900);
  picker.Ended(1, 16, kNow);
  EXPECT_NEAR(PickOften(picker).at(1), 500, 120);
}

TEST(EndpointPickerTest, OneThatAnswersAgainGetsItsShareAtOnce) {
  EndpointPicker picker = Picker(2);
  for (const Id id : {1, 2}) Measure(picker, id, absl::Milliseconds(10));
  ASSERT_TRUE(picker.Outrun(1, kNow, kNow + absl::Seconds(1)));
  EXPECT_TRUE(picker.Succeeded(1, After(absl::Seconds(20)), kNow + absl::Seconds(20)));
  EXPECT_NEAR(PickOften(picker, kNow + absl::Seconds(20)).at(1), 500, 80);
}

TEST(EndpointPickerTest, OneWhoseAnswerIsLateGetsLessBeforePatienceIsOver) {
  EndpointPicker picker = Picker(2);
  for (const Id id : {1, 2}) Measure(picker, id, absl::Milliseconds(10));
  picker.Sent(1, 1, kNow);
  EXPECT_NEAR(PickOften(picker, kNow).at(1), 500, 120);
  EXPECT_LT(PickOften(picker, kNow + absl::Milliseconds(100))[1], 20);
}

TEST(EndpointPickerTest, ClientsThatKnowTheSameDoNotDoTheSame) {
  std::map<Id, int> picked;
  for (uint64_t seed = 1; seed <= 1000; ++seed) {
    EndpointPickerOptions options;
    options.seed = seed;
    EndpointPicker picker = Picker(2, options);
    Measure(picker, 1, absl::Milliseconds(11));
    Measure(picker, 2, absl::Milliseconds(10));
    ++picked[*picker.Pick({}, kNow)];
  }
  EXPECT_NEAR(picked[1], 430, 80);
}

TEST(EndpointPickerTest, OneThatComesGetsWorkAtOnceAndOneThatGoesGetsNone) {
  EndpointPicker picker = Picker(2);
  for (const Id id : {1, 2}) Measure(picker, id, absl::Milliseconds(10));
  picker.Sent(1, 1, kNow);
  EXPECT_EQ(picker.Add(), 3u);
  EXPECT_NEAR(PickOften(picker).at(3), 333, 100);
  picker.Remove(1);
  EXPECT_EQ(picker.size(), 2u);
  EXPECT_EQ(PickOften(picker).count(1), 0u);
  // What becomes of its requests changes nothing.
  picker.Ended(1, 1, kNow);
  EXPECT_FALSE(picker.Succeeded(1, After(absl::Milliseconds(10)), kNow));
  picker.Failed(1, kNow);
  picker.Full(1, absl::Seconds(1), kNow);
  picker.TimedOut(1, absl::Hours(1), kNow);
  EXPECT_FALSE(picker.Outrun(1, kNow, kNow + absl::Seconds(1)));
  picker.ProbeEnded(1);
  EXPECT_EQ(PickOften(picker).count(1), 0u);
  for (const Id id : {2, 3}) picker.Remove(id);
  EXPECT_EQ(picker.Pick({}, kNow), std::nullopt);
  EXPECT_EQ(picker.Add(), 4u);
}

TEST(EndpointPickerTest, TriedOnesAreNotPickedAgain) {
  EndpointPicker picker = Picker(3);
  EXPECT_EQ(picker.Pick({1, 3}, kNow), 2u);
  EXPECT_EQ(picker.Pick({1, 2, 3}, kNow), std::nullopt);
}

TEST(EndpointPickerTest, FailedOneComesLastUntilItAnswers) {
  EndpointPicker picker = Picker(3);
  picker.Failed(1, kNow);
  EXPECT_EQ(PickOften(picker).count(1), 0u);
  EXPECT_EQ(PickOften(picker, kNow + absl::Hours(1)).count(1), 0u);
  EXPECT_EQ(picker.PickHealthy({2, 3}, kNow), std::nullopt);
  EXPECT_EQ(picker.Pick({2, 3}, kNow), 1u);
  picker.Succeeded(1, After(absl::Milliseconds(5)), kNow);
  EXPECT_EQ(picker.PickHealthy({2, 3}, kNow), 1u);
}

TEST(EndpointPickerTest, FullOneIsNotAskedBeforeItExpectsRoom) {
  EndpointPicker picker = Picker(2);
  EXPECT_EQ(picker.FullUntil(kNow), std::nullopt);
  picker.Full(1, absl::Milliseconds(300), kNow);
  EXPECT_EQ(PickOften(picker).count(1), 0u);
  EXPECT_EQ(picker.Pick({2}, kNow), std::nullopt);
  EXPECT_EQ(picker.FullUntil(kNow), std::nullopt) << "the other has room";
  picker.Full(2, absl::Milliseconds(200), kNow);
  EXPECT_EQ(picker.Pick({}, kNow), std::nullopt);
  EXPECT_EQ(picker.FullUntil(kNow), kNow + absl::Milliseconds(200));
  EXPECT_EQ(picker.Pick({}, kNow + absl::Milliseconds(200)), 2u);
  EXPECT_EQ(picker.Pick({2}, kNow + absl::Milliseconds(300)), 1u);
}

TEST(EndpointPickerTest, FullOneIsWaitedForWhileTheOthersFail) {
  EndpointPicker picker = Picker(2);
  picker.Failed(1, kNow);
  picker.Full(2, absl::Milliseconds(200), kNow);
  EXPECT_EQ(picker.Pick({}, kNow), std::nullopt);
  EXPECT_EQ(picker.FullUntil(kNow), kNow + absl::Milliseconds(200));
}

TEST(EndpointPickerTest, FullOneAnswersAndIsLeftAloneForABoundedTime) {
  EndpointPicker picker = Picker(1);
  picker.Failed(1, kNow);
  picker.Full(1, absl::Hours(1), kNow);
  EXPECT_EQ(picker.FullUntil(kNow), kNow + EndpointPickerOptions().max_full);
  // A hint of nothing: it may be asked at once.
  picker.Full(1, absl::ZeroDuration(), kNow);
  EXPECT_EQ(picker.PickHealthy({}, kNow), 1u);
  // An answer to an earlier request says that it has room.
  picker.Full(1, absl::Seconds(1), kNow);
  picker.Succeeded(1, After(absl::Milliseconds(5)), kNow);
  EXPECT_EQ(picker.PickHealthy({}, kNow), 1u);
}

TEST(EndpointPickerTest, AvoidedOneIsProbedByOneRequestAtATime) {
  EndpointPicker picker = Picker(2);
  EXPECT_EQ(picker.PickProbe(kNow), std::nullopt);
  picker.Failed(1, kNow);
  const absl::Duration due = kNow + EndpointPickerOptions().avoid_failed;
  EXPECT_EQ(picker.PickProbe(due - absl::Milliseconds(1)), std::nullopt);
  EXPECT_EQ(picker.PickProbe(due), 1u);
  EXPECT_EQ(picker.PickProbe(due), std::nullopt);
  // In vain: it is left alone for a while, then probed again.
  picker.Failed(1, due);
  EXPECT_EQ(picker.PickProbe(due), std::nullopt);
  EXPECT_EQ(picker.PickProbe(due + absl::Seconds(2)), 1u);
  picker.Succeeded(1, After(absl::Milliseconds(5)), due + absl::Seconds(2));
  EXPECT_EQ(picker.PickProbe(due + absl::Hours(1)), std::nullopt);
}

TEST(EndpointPickerTest, AProbeThatTellsNothingMakesRoomForAnother) {
  EndpointPicker picker = Picker(2);
  picker.Failed(1, kNow);
  const absl::Duration due = kNow + EndpointPickerOptions().avoid_failed;
  ASSERT_EQ(picker.PickProbe(due), 1u);
  picker.ProbeEnded(1);
  EXPECT_EQ(picker.PickProbe(due), 1u);
}

TEST(EndpointPickerTest, StickyStaysWithTheOneThatAnsweredAndProbesNoOther) {
  EndpointPicker picker = Picker(3, Sticky());
  picker.Succeeded(1, After(absl::Seconds(5)), kNow);
  EXPECT_EQ(PickOften(picker).at(1), 1000);
  picker.Failed(1, kNow);
  EXPECT_EQ(picker.Pick({3}, kNow), 2u);
  picker.Succeeded(2, After(absl::Seconds(5)), kNow);
  EXPECT_EQ(PickOften(picker, kNow + absl::Hours(1)).at(2), 1000);
  EXPECT_EQ(picker.PickProbe(kNow + absl::Hours(1)), std::nullopt);
  // It may be used again when the time is over.
  EXPECT_EQ(picker.PickHealthy({2, 3}, kNow + absl::Seconds(1)), std::nullopt);
  EXPECT_EQ(picker.PickHealthy({2, 3}, kNow + absl::Seconds(2)), 1u);
  picker.Remove(2);
  EXPECT_EQ(picker.Pick({1}, kNow), 3u);
}

TEST(EndpointPickerTest, StickyClientsBeginWithDifferentPlanners) {
  std::set<Id> first;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    EndpointPickerOptions options = Sticky();
    options.seed = seed;
    EndpointPicker picker = Picker(3, options);
    first.insert(*picker.Pick({}, kNow));
  }
  EXPECT_EQ(first.size(), 3u);
}

TEST(EndpointPickerTest, PatienceFollowsTheSlowLatenciesOfThePlannerAndHasAFloor) {
  EndpointPicker picker = Picker(2);
  EXPECT_EQ(picker.Patience(1), absl::Seconds(10));
  EXPECT_EQ(picker.MeasuredPatience(1), absl::ZeroDuration());
  Measure(picker, 1, absl::Milliseconds(400));
  EXPECT_EQ(picker.Patience(1), absl::Milliseconds(1200));
  // A few outliers, less than a twentieth, do not matter.
  for (int i = 0; i < 3; ++i) picker.Succeeded(1, After(absl::Seconds(9)), kNow);
  EXPECT_EQ(picker.Patience(1), absl::Milliseconds(1200));
  // The other one has answered nothing yet and is measured by this one; then by itself.
  EXPECT_EQ(picker.Patience(2), absl::Milliseconds(1200));
  Measure(picker, 2, absl::Milliseconds(2));
  EXPECT_EQ(picker.Patience(2), absl::Milliseconds(250));
  // One that is gone is measured by the others.
  picker.Remove(2);
  EXPECT_EQ(picker.Patience(2), absl::Milliseconds(1200));
}

TEST(EndpointPickerTest, SilenceThatOthersDoNotShareIsAvoidedLongerEachTime) {
  EndpointPicker picker = Picker(2);
  absl::Duration now = kNow;
  for (const int seconds : {1, 2, 4, 8, 16, 16}) {
    // Many requests are outrun at once, one counts.
    EXPECT_EQ(picker.Outrun(1, now - absl::Seconds(1), now), seconds == 1);
    EXPECT_FALSE(picker.Outrun(1, now - absl::Seconds(1), now));
    EXPECT_EQ(picker.PickHealthy({2}, now), std::nullopt);
    now += absl::Seconds(seconds) - absl::Milliseconds(1);
    EXPECT_EQ(picker.PickProbe(now), std::nullopt) << seconds;
    now += absl::Milliseconds(1);
    EXPECT_EQ(picker.PickProbe(now), 1u) << seconds;
  }
  EXPECT_TRUE(picker.Succeeded(1, After(absl::Milliseconds(5)), now));
  EXPECT_FALSE(picker.Succeeded(1, After(absl::Milliseconds(5)), now));
  EXPECT_EQ(picker.PickHealthy({2}, now), 1u);
  // Its last answer may have come at the very moment of the request.
  EXPECT_TRUE(picker.Outrun(1, now, now + absl::Seconds(1)));
  EXPECT_EQ(picker.PickProbe(now + absl::Seconds(2)), 1u);
}

TEST(EndpointPickerTest, OneThatAnswersOthersIsSlowNotSilent) {
  EndpointPicker picker = Picker(2);
  Measure(picker, 1, absl::Milliseconds(100));
  const absl::Duration patience = picker.Patience(1);
  for (int i = 0; i < 10; ++i) {
    EXPECT_FALSE(picker.Outrun(1, kNow - absl::Seconds(1), kNow));
  }
  EXPECT_EQ(picker.PickHealthy({2}, kNow), 1u);
  EXPECT_GT(picker.Patience(1), patience);
}

TEST(EndpointPickerTest, ATimeoutCountsWhereTheTimeWasLongEnough) {
  EndpointPicker picker = Picker(2);
  picker.TimedOut(1, absl::Milliseconds(30), kNow);
  EXPECT_EQ(picker.PickHealthy({2}, kNow), 1u);
  picker.TimedOut(1, absl::Seconds(10), kNow);
  EXPECT_EQ(picker.PickHealthy({2}, kNow), std::nullopt);
}

TEST(EndpointPickerTest, ATimeoutThatWasShortStillCountsForTheLoad) {
  EndpointPicker picker = Picker(2);
  Measure(picker, 2, absl::Milliseconds(10));
  picker.TimedOut(1, absl::Milliseconds(200), kNow);
  EXPECT_EQ(picker.PickHealthy({2}, kNow), 1u);
  EXPECT_LT(PickOften(picker)[1], 10);
}

TEST(EndpointPickerTest, HedgesAreAShareOfTheQueriesBeyondAFirstBurst) {
  EndpointPicker picker = Picker(2);
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
