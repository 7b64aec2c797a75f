#include "planner/core/plan_queue.h"

#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/base/retry.h"
#include "common/base/threads.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/planner/core/fake_backend.h"

namespace pompc::planner {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A queue that the tests do not fill by accident.
PlanSpec LargeSpec() {
  PlanSpec spec = FakeSpec();
  spec.max_queue = 100;
  return spec;
}

PlanCall Call(float value, absl::Duration deadline = absl::InfiniteDuration(),
              std::shared_ptr<const PlannerModel> pinned = nullptr) {
  PlanCall call;
  call.item = FakeItem(value);
  call.deadline = deadline;
  call.pinned = std::move(pinned);
  return call;
}

std::vector<float> Values(const std::vector<PlanCall>& calls) {
  std::vector<float> values;
  for (const PlanCall& call : calls) values.push_back(call.item.observation[0]);
  return values;
}

std::vector<float> Values(const std::vector<PlanQueue::Removed>& removed) {
  std::vector<float> values;
  for (const PlanQueue::Removed& one : removed) values.push_back(one.call.item.observation[0]);
  return values;
}

class PlanQueueTest : public ::testing::Test {
 protected:
  PlanQueueTest() { run_->parameters().Put(newest_, absl::ZeroDuration()); }

  uint64_t Push(const PlanCall& call, absl::Duration now = absl::ZeroDuration()) {
    auto id = queue_.Push(run_, {call}, now);
    EXPECT_TRUE(id.ok()) << id.status();
    return *id;
  }
  std::vector<float> PollValues() { return Values(queue_.Poll(absl::ZeroDuration()).batch); }

  FakeClock clock_;
  const std::shared_ptr<const PlannerModel> newest_ = FakeModel(5, LargeSpec());
  const std::shared_ptr<PlannerRun> run_ = FakeRun("run", &clock_);
  PlanQueue queue_{{}};
};

TEST_F(PlanQueueTest, PollOfAnEmptyQueueGivesNothing) {
  const PlanQueue::Step step = queue_.Poll(absl::ZeroDuration());
  EXPECT_THAT(step.batch, IsEmpty());
  EXPECT_THAT(step.refused, IsEmpty());
  EXPECT_EQ(step.model, nullptr);
}

TEST_F(PlanQueueTest, BatchTakesAllThatWaitInOrder) {
  for (int i = 0; i < 3; ++i) Push(Call(i));
  const PlanQueue::Step step = queue_.Poll(absl::ZeroDuration());
  EXPECT_THAT(Values(step.batch), ElementsAre(0, 1, 2));
  EXPECT_EQ(step.model, newest_);
  EXPECT_TRUE(queue_.empty());
}

TEST_F(PlanQueueTest, BatchIsBoundedByMaxBatch) {
  for (int i = 0; i < 6; ++i) Push(Call(i));
  EXPECT_THAT(PollValues(), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(PollValues(), ElementsAre(4, 5));
}

TEST_F(PlanQueueTest, EachThreadTakesItsEvenShareOfWhatWaits) {
  PlanQueue queue({.threads = 2});
  std::vector<PlanCall> calls;
  for (int i = 0; i < 5; ++i) calls.push_back(Call(i));
  ASSERT_TRUE(queue.Push(run_, calls, absl::ZeroDuration()).ok());
  const auto poll = [&] { return Values(queue.Poll(absl::ZeroDuration()).batch); };
  EXPECT_THAT(poll(), ElementsAre(0, 1, 2));
  EXPECT_THAT(poll(), ElementsAre(3));
  EXPECT_THAT(poll(), ElementsAre(4));
  EXPECT_TRUE(queue.empty());
}

TEST_F(PlanQueueTest, BatchNeverMixesVersions) {
  const auto pinned = FakeModel(2);
  Push(Call(0));
  Push(Call(1, absl::InfiniteDuration(), pinned));
  Push(Call(2));
  Push(Call(3, absl::InfiniteDuration(), pinned));
  PlanQueue::Step step = queue_.Poll(absl::ZeroDuration());
  EXPECT_THAT(Values(step.batch), ElementsAre(0, 2));
  EXPECT_EQ(step.model, newest_);
  step = queue_.Poll(absl::ZeroDuration());
  EXPECT_THAT(Values(step.batch), ElementsAre(1, 3));
  EXPECT_EQ(step.model, pinned);
}

TEST_F(PlanQueueTest, PinnedNewestJoinsTheUnpinned) {
  Push(Call(0));
  Push(Call(1, absl::InfiniteDuration(), newest_));
  EXPECT_THAT(PollValues(), ElementsAre(0, 1));
}

TEST_F(PlanQueueTest, NoVersionStarvesBehindAnother) {
  const auto pinned = FakeModel(2);
  for (int i = 0; i < 8; ++i) Push(Call(i));
  Push(Call(8, absl::InfiniteDuration(), pinned));
  queue_.Poll(absl::ZeroDuration());
  for (int i = 9; i < 12; ++i) Push(Call(i));
  EXPECT_THAT(PollValues(), ElementsAre(8));
}

PlanCall CallOf(uint64_t client, float value,
                std::shared_ptr<const PlannerModel> pinned = nullptr) {
  PlanCall call = Call(value, absl::InfiniteDuration(), std::move(pinned));
  call.client = client;
  return call;
}

TEST_F(PlanQueueTest, ClientsShareEachBatchEvenly) {
  for (int i = 0; i < 50; ++i) Push(CallOf(1, 100 + i));
  for (int i = 0; i < 3; ++i) Push(CallOf(2, 200 + i));
  EXPECT_THAT(PollValues(), ElementsAre(100, 200, 101, 201));
  EXPECT_THAT(PollValues(), ElementsAre(102, 202, 103, 104));
  // One that comes back is served at once again, but has no credit for the time it was away.
  PollValues();
  for (int i = 3; i < 9; ++i) Push(CallOf(2, 200 + i));
  EXPECT_THAT(PollValues(), ElementsAre(203, 204, 205, 206));
  EXPECT_THAT(PollValues(), ElementsAre(109, 207, 110, 208));
}

// The evaluator of a run beside an actor with 64 environments: it waits for about as many plans of
// the actor's as it asks for itself, not for all that wait.
TEST_F(PlanQueueTest, FewPlansOfAnEvaluationDoNotWaitForTheManyOfAnActor) {
  const auto pinned = FakeModel(2);
  PlanQueue queue({.threads = 2});
  const auto push = [&](PlanCall call) {
    EXPECT_TRUE(queue.Push(run_, {std::move(call)}, absl::ZeroDuration()).ok());
  };
  int next = 0;
  const auto refill = [&] {
    while (queue.size() < 64) push(CallOf(1, static_cast<float>(next++)));
  };
  refill();
  for (int decision = 0; decision < 20; ++decision) {
    for (int i = 0; i < 8; ++i) push(CallOf(2, -1, pinned));
    int left = 8, others = 0;
    while (left > 0) {
      const PlanQueue::Step step = queue.Poll(absl::ZeroDuration());
      (step.model == pinned ? left : others) -= static_cast<int>(step.batch.size());
      if (left > 0 || step.model != pinned) refill();
    }
    EXPECT_LE(-others, 12);
  }
}

TEST_F(PlanQueueTest, ManyClientsWithFewCallsAreServedBeforeOneWithMany) {
  for (int i = 0; i < 30; ++i) Push(CallOf(1, 1));
  for (uint64_t client = 2; client < 12; ++client) Push(CallOf(client, 2));
  int polls = 0;
  for (int served = 0; served < 10; ++polls) {
    for (const float value : PollValues()) {
      if (value == 2) ++served;
    }
  }
  // 11 clients, 4 in a batch.
  EXPECT_EQ(polls, 3);
}

TEST_F(PlanQueueTest, WherePlansAreMadeOneByOneEachIsABatch) {
  PlanQueue queue({.threads = 2, .one_by_one = true});
  ASSERT_TRUE(queue.Push(run_, {Call(0), Call(1), Call(2)}, absl::ZeroDuration()).ok());
  for (const float value : {0, 1, 2}) {
    EXPECT_THAT(Values(queue.Poll(absl::ZeroDuration()).batch), ElementsAre(value));
  }
  EXPECT_TRUE(queue.empty());
}

TEST_F(PlanQueueTest, UnpinnedCallsUseTheVersionThatIsNewestWhenTheBatchStarts) {
  Push(Call(0));
  const auto newer = FakeModel(6, LargeSpec());
  run_->parameters().Put(newer, absl::ZeroDuration());
  EXPECT_EQ(queue_.Poll(absl::ZeroDuration()).model, newer);
}

TEST_F(PlanQueueTest, ExpiredCallIsRefusedWithoutPlanning) {
  Push(Call(0, absl::Seconds(2)), absl::Seconds(1));
  Push(Call(1, absl::Seconds(9)), absl::Seconds(1));
  const PlanQueue::Step step = queue_.Poll(absl::Seconds(2));
  EXPECT_THAT(Values(step.batch), ElementsAre(1));
  ASSERT_EQ(step.refused.size(), 1u);
  EXPECT_EQ(step.refused[0].call.item.observation[0], 0);
  EXPECT_EQ(step.refused[0].status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(step.refused[0].status.message()), HasSubstr("waited 1s"));
}

TEST_F(PlanQueueTest, CallThatNoLongerFitsTheRunIsRefused) {
  PlanCall call = Call(0);
  call.item.warm_start.assign(4, 0.0f);
  Push(std::move(call));
  PlanSpec longer = FakeSpec();
  longer.horizon = 3;
  run_->parameters().Put(FakeModel(6, longer), absl::ZeroDuration());
  const PlanQueue::Step step = queue_.Poll(absl::ZeroDuration());
  EXPECT_THAT(step.batch, IsEmpty());
  ASSERT_EQ(step.refused.size(), 1u);
  EXPECT_EQ(step.refused[0].status.code(), absl::StatusCode::kInvalidArgument);
}

// A run whose parameters allow so many calls to wait.
std::shared_ptr<PlannerRun> RunWithRoom(int max_queue, Clock* clock,
                                        const std::string& id = "run") {
  PlanSpec spec = FakeSpec();
  spec.max_queue = max_queue;
  auto run = FakeRun(id, clock);
  run->parameters().Put(FakeModel(1, spec), absl::ZeroDuration());
  return run;
}

TEST_F(PlanQueueTest, FullQueueRefusesOneMoreOfTheRunAlone) {
  const auto small = RunWithRoom(1, &clock_);
  ASSERT_TRUE(queue_.Push(small, {Call(0)}, absl::ZeroDuration()).ok());
  const auto refused = queue_.Push(small, {Call(1)}, absl::ZeroDuration());
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("planner.max_queue is 1"));
  EXPECT_EQ(RetryAfter(refused.status()), std::nullopt) << "nothing was measured";
  EXPECT_EQ(queue_.size("run"), 1u);
  const auto other = RunWithRoom(1, &clock_, "other");
  EXPECT_TRUE(queue_.Push(other, {Call(1)}, absl::ZeroDuration()).ok());
  EXPECT_EQ(queue_.size("other"), 1u);
  EXPECT_EQ(queue_.size(), 2u);
}

TEST_F(PlanQueueTest, FullQueueSaysWhenThereIsRoom) {
  const auto small = RunWithRoom(2, &clock_);
  small->Measured(1, absl::Milliseconds(10), absl::ZeroDuration());
  ASSERT_TRUE(queue_.Push(small, {Call(0), Call(1), Call(2)}, absl::ZeroDuration()).ok());
  const auto refused = queue_.Push(small, {Call(1)}, absl::ZeroDuration());
  EXPECT_EQ(RetryAfter(refused.status()), absl::Milliseconds(20));
}

TEST_F(PlanQueueTest, CallsThatComeTogetherAreTakenWholeUntilTheQueueIsFull) {
  const auto small = RunWithRoom(2, &clock_);
  const auto first = queue_.Push(small, {Call(0), Call(1), Call(2)}, absl::ZeroDuration());
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(queue_.Push(small, {Call(3)}, absl::ZeroDuration()).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(queue_.Remove(*first + 1)->call.item.observation[0], 1);
  EXPECT_THAT(Values(queue_.TakeAll()), ElementsAre(0, 2));
}

TEST_F(PlanQueueTest, RemoveTakesOutExactlyTheCallWithThatId) {
  Push(Call(0));
  const uint64_t id = Push(Call(1));
  Push(Call(2));
  const auto removed = queue_.Remove(id);
  ASSERT_TRUE(removed.has_value());
  EXPECT_EQ(removed->call.item.observation[0], 1);
  EXPECT_FALSE(queue_.Remove(id).has_value());
  EXPECT_THAT(Values(queue_.TakeAll()), ElementsAre(0, 2));
}

TEST(CheckItemTest, NamesFieldSizeAndRightSize) {
  PlanItem item = FakeItem();
  EXPECT_TRUE(CheckItem(item, FakeSpec()).ok());
  item.observation.push_back(0);
  absl::Status status = CheckItem(item, FakeSpec());
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "observation has 4 numbers, the run's observations have 3");

  item = FakeItem();
  item.warm_start.assign(3, 0.0f);
  status = CheckItem(item, FakeSpec());
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "warm_start has 3 numbers, must be empty or have 4 (horizon 2 x 2)");
}

TEST(CheckItemTest, NamesTheNumberThatIsOutOfItsMeaning) {
  PlanItem item = FakeItem();
  item.observation[1] = std::nanf("");
  absl::Status status = CheckItem(item, FakeSpec());
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "observation number 1 is nan, must be finite");

  item = FakeItem();
  item.warm_start = {0, 0, 0, -INFINITY};
  status = CheckItem(item, FakeSpec());
  EXPECT_EQ(status.message(), "warm_start number 3 is -inf, must be in [-1, 1]");

  item = FakeItem();
  item.observation[2] = 1e30f;
  EXPECT_EQ(CheckItem(item, FakeSpec()).message(),
            "observation number 2 is 1e+30, must be at most 1e+18 in magnitude");
  item = FakeItem();
  item.warm_start = {1, -1, 0, 1.5f};
  EXPECT_EQ(CheckItem(item, FakeSpec()).code(), absl::StatusCode::kInvalidArgument);
}

using PlanQueueDeathTest = PlanQueueTest;

TEST_F(PlanQueueDeathTest, WhatTheHeaderRequiresIsChecked) {
  EXPECT_DEATH((void)queue_.Push(FakeRun("new", &clock_), {Call(1)}, absl::ZeroDuration()),
               "parameters that are not there");
  EXPECT_DEATH((void)queue_.Push(run_, {}, absl::ZeroDuration()), "calls.empty");
  EXPECT_DEATH((void)queue_.Push(run_, {CallOf(1, 0), CallOf(2, 0)}, absl::ZeroDuration()),
               "of one client");
  EXPECT_DEATH(PlanQueue({.threads = 0}), "0 against 1");
  Push(Call(1));
  queue_.Poll(absl::ZeroDuration());
  EXPECT_DEATH(queue_.Planned(*run_, 0, absl::Seconds(1), absl::ZeroDuration()), "plans > 0u");
  queue_.Planned(*run_, 1, absl::Seconds(1), absl::ZeroDuration());
  EXPECT_DEATH(queue_.Planned(*run_, 1, absl::Seconds(1), absl::ZeroDuration()), "reported once");
}

}  // namespace
}  // namespace pompc::planner
