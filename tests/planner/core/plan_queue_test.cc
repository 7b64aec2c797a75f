#include "planner/core/plan_queue.h"

#include <cmath>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/planner/core/fake_backend.h"

namespace pompc::planner {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr size_t kMaxQueue = 100;

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

class PlanQueueTest : public ::testing::Test {
 protected:
  uint64_t Push(const PlanCall& call, absl::Duration now = absl::ZeroDuration()) {
    auto id = queue_.Push({call}, kMaxQueue, now);
    EXPECT_TRUE(id.ok()) << id.status();
    return *id;
  }

  const std::shared_ptr<const PlannerModel> newest_ = FakeModel(5);
  PlanQueue queue_;
};

TEST_F(PlanQueueTest, PollOfAnEmptyQueueGivesNothing) {
  const PlanQueue::Step step = queue_.Poll(absl::ZeroDuration(), nullptr);
  EXPECT_THAT(step.batch, IsEmpty());
  EXPECT_THAT(step.refused, IsEmpty());
  EXPECT_EQ(step.model, nullptr);
}

TEST_F(PlanQueueTest, BatchTakesAllThatWaitInOrder) {
  for (int i = 0; i < 3; ++i) Push(Call(i));
  const PlanQueue::Step step = queue_.Poll(absl::ZeroDuration(), newest_);
  EXPECT_THAT(Values(step.batch), ElementsAre(0, 1, 2));
  EXPECT_EQ(step.model, newest_);
  EXPECT_TRUE(queue_.empty());
}

TEST_F(PlanQueueTest, BatchIsBoundedByMaxBatch) {
  for (int i = 0; i < 6; ++i) Push(Call(i));
  EXPECT_THAT(Values(queue_.Poll(absl::ZeroDuration(), newest_).batch), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(Values(queue_.Poll(absl::ZeroDuration(), newest_).batch), ElementsAre(4, 5));
}

TEST_F(PlanQueueTest, EachThreadTakesItsEvenShareOfWhatWaits) {
  for (int i = 0; i < 5; ++i) Push(Call(i));
  const auto poll = [&] { return Values(queue_.Poll(absl::ZeroDuration(), newest_, 2).batch); };
  EXPECT_THAT(poll(), ElementsAre(0, 1, 2));
  EXPECT_THAT(poll(), ElementsAre(3));
  EXPECT_THAT(poll(), ElementsAre(4));
  EXPECT_TRUE(queue_.empty());
}

TEST_F(PlanQueueTest, BatchNeverMixesVersions) {
  const auto pinned = FakeModel(2);
  Push(Call(0));
  Push(Call(1, absl::InfiniteDuration(), pinned));
  Push(Call(2));
  Push(Call(3, absl::InfiniteDuration(), pinned));
  PlanQueue::Step step = queue_.Poll(absl::ZeroDuration(), newest_);
  EXPECT_THAT(Values(step.batch), ElementsAre(0, 2));
  EXPECT_EQ(step.model, newest_);
  step = queue_.Poll(absl::ZeroDuration(), newest_);
  EXPECT_THAT(Values(step.batch), ElementsAre(1, 3));
  EXPECT_EQ(step.model, pinned);
}

TEST_F(PlanQueueTest, PinnedNewestJoinsTheUnpinned) {
  Push(Call(0));
  Push(Call(1, absl::InfiniteDuration(), newest_));
  EXPECT_THAT(Values(queue_.Poll(absl::ZeroDuration(), newest_).batch), ElementsAre(0, 1));
}

TEST_F(PlanQueueTest, NoVersionStarvesBehindAnother) {
  const auto pinned = FakeModel(2);
  for (int i = 0; i < 8; ++i) Push(Call(i));
  Push(Call(8, absl::InfiniteDuration(), pinned));
  queue_.Poll(absl::ZeroDuration(), newest_);
  for (int i = 9; i < 12; ++i) Push(Call(i));
  EXPECT_THAT(Values(queue_.Poll(absl::ZeroDuration(), newest_).batch), ElementsAre(8));
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
  const auto poll = [&] { return Values(queue_.Poll(absl::ZeroDuration(), newest_).batch); };
  EXPECT_THAT(poll(), ElementsAre(100, 200, 101, 201));
  EXPECT_THAT(poll(), ElementsAre(102, 202, 103, 104));
  // One that comes back is served at once again, but has no credit for the time it was away.
  poll();
  for (int i = 3; i < 9; ++i) Push(CallOf(2, 200 + i));
  EXPECT_THAT(poll(), ElementsAre(203, 204, 205, 206));
  EXPECT_THAT(poll(), ElementsAre(109, 207, 110, 208));
}

// The evaluator of a run beside an actor with 64 environments: it waits for about as many plans of
// the actor's as it asks for itself, not for all that wait.
TEST_F(PlanQueueTest, FewPlansOfAnEvaluationDoNotWaitForTheManyOfAnActor) {
  const auto pinned = FakeModel(2);
  int next = 0;
  const auto refill = [&] {
    while (queue_.size() < 64) Push(CallOf(1, static_cast<float>(next++)));
  };
  refill();
  for (int decision = 0; decision < 20; ++decision) {
    for (int i = 0; i < 8; ++i) Push(CallOf(2, -1, pinned));
    int left = 8, others = 0;
    while (left > 0) {
      const PlanQueue::Step step = queue_.Poll(absl::ZeroDuration(), newest_, /*threads=*/2);
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
    for (const float value : Values(queue_.Poll(absl::ZeroDuration(), newest_).batch)) {
      if (value == 2) ++served;
    }
  }
  // 11 clients, 4 in a batch.
  EXPECT_EQ(polls, 3);
}

TEST_F(PlanQueueTest, ABatchIsKeptToTheSlice) {
  PlanQueue queue(absl::Milliseconds(20));
  const auto poll = [&] {
    std::vector<PlanCall> calls;
    for (int i = 0; i < 8; ++i) calls.push_back(Call(i));
    EXPECT_TRUE(queue.Push(std::move(calls), kMaxQueue, absl::ZeroDuration()).ok());
    const size_t size = queue.Poll(absl::ZeroDuration(), newest_).batch.size();
    queue.TakeAll();
    return size;
  };
  // While nothing is measured.
  EXPECT_EQ(poll(), 1u);
  queue.Planned(1, absl::Milliseconds(7));
  EXPECT_EQ(poll(), 2u);
  for (int i = 0; i < 50; ++i) queue.Planned(2, absl::Milliseconds(9));
  EXPECT_EQ(poll(), 4u);
  // Each plan that takes longer than the slice is a batch.
  for (int i = 0; i < 50; ++i) queue.Planned(1, absl::Seconds(1));
  EXPECT_EQ(poll(), 1u);
  // And max_batch holds.
  for (int i = 0; i < 100; ++i) queue.Planned(1, absl::ZeroDuration());
  EXPECT_EQ(poll(), static_cast<size_t>(FakeSpec().max_batch));
}

TEST_F(PlanQueueTest, UnpinnedCallsUseTheVersionThatIsNewestWhenTheBatchStarts) {
  Push(Call(0));
  const auto newer = FakeModel(6);
  EXPECT_EQ(queue_.Poll(absl::ZeroDuration(), newer).model, newer);
}

TEST_F(PlanQueueTest, ExpiredCallIsRefusedWithoutPlanning) {
  Push(Call(0, absl::Seconds(2)), absl::Seconds(1));
  Push(Call(1, absl::Seconds(9)), absl::Seconds(1));
  const PlanQueue::Step step = queue_.Poll(absl::Seconds(2), newest_);
  EXPECT_THAT(Values(step.batch), ElementsAre(1));
  ASSERT_EQ(step.refused.size(), 1u);
  EXPECT_EQ(step.refused[0].first.item.observation[0], 0);
  EXPECT_EQ(step.refused[0].second.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(step.refused[0].second.message()), HasSubstr("waited 1s"));
}

TEST_F(PlanQueueTest, CallThatNoLongerFitsTheRunIsRefused) {
  PlanCall call = Call(0);
  call.item.warm_start.assign(4, 0.0f);
  Push(std::move(call));
  PlanSpec longer = FakeSpec();
  longer.horizon = 3;
  const PlanQueue::Step step = queue_.Poll(absl::ZeroDuration(), FakeModel(6, longer));
  EXPECT_THAT(step.batch, IsEmpty());
  ASSERT_EQ(step.refused.size(), 1u);
  EXPECT_EQ(step.refused[0].second.code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(PlanQueueTest, FullQueueRefusesOneMore) {
  ASSERT_TRUE(queue_.Push({Call(0)}, 1, absl::ZeroDuration()).ok());
  const auto refused = queue_.Push({Call(1)}, 1, absl::ZeroDuration());
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("planner.max_queue is 1"));
  EXPECT_EQ(queue_.size(), 1u);
}

TEST_F(PlanQueueTest, CallsThatComeTogetherAreTakenWholeUntilTheQueueIsFull) {
  const auto first = queue_.Push({Call(0), Call(1), Call(2)}, 2, absl::ZeroDuration());
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(queue_.Push({Call(3)}, 2, absl::ZeroDuration()).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(queue_.Remove(*first + 1)->item.observation[0], 1);
  EXPECT_THAT(Values(queue_.TakeAll()), ElementsAre(0, 2));
}

TEST_F(PlanQueueTest, RemoveTakesOutExactlyTheCallWithThatId) {
  Push(Call(0));
  const uint64_t id = Push(Call(1));
  Push(Call(2));
  const auto removed = queue_.Remove(id);
  ASSERT_TRUE(removed.has_value());
  EXPECT_EQ(removed->item.observation[0], 1);
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

TEST_F(PlanQueueDeathTest, PlanningWithoutParametersIsABug) {
  Push(Call(1));
  EXPECT_DEATH(queue_.Poll(absl::ZeroDuration(), nullptr), "parameters that are not there");
  EXPECT_DEATH(queue_.Poll(absl::ZeroDuration(), newest_, 0), "0 against 1");
  EXPECT_DEATH(queue_.Planned(0, absl::Seconds(1)), "plans > 0u");
}

}  // namespace
}  // namespace pompc::planner
