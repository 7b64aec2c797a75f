#include "common/base/bounded_queue.h"

#include <atomic>
#include <memory>
#include <vector>

#include "common/base/threads.h"
#include "gtest/gtest.h"
#include "tests/support/await.h"

namespace pompc {
namespace {

TEST(BoundedQueue, HandsOutInOrder) {
  BoundedQueue<int> queue(3);
  for (int i = 1; i <= 3; ++i) EXPECT_TRUE(queue.Push(i));
  for (int i = 1; i <= 3; ++i) EXPECT_EQ(queue.TryPop(), i);
  EXPECT_EQ(queue.TryPop(), std::nullopt);
}

TEST(BoundedQueue, TryPushLeavesTheItemWhenFull) {
  BoundedQueue<std::unique_ptr<int>> queue(1);
  auto first = std::make_unique<int>(1), second = std::make_unique<int>(2);
  EXPECT_TRUE(queue.TryPush(first));
  EXPECT_FALSE(queue.TryPush(second));
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(queue.size(), 1u);
}

TEST(BoundedQueue, PopGivesUpAtItsDeadline) {
  FakeClock clock;
  BoundedQueue<int> queue(1);
  Thread popper("popper", [&] { EXPECT_EQ(queue.Pop(&clock, absl::Seconds(5)), std::nullopt); });
  clock.AwaitWaiters(1);
  clock.Advance(absl::Seconds(5));
  popper.Join();
}

TEST(BoundedQueue, PopWaitsForAnItem) {
  FakeClock clock;
  BoundedQueue<int> queue(1);
  Thread popper("popper", [&] { EXPECT_EQ(queue.Pop(&clock), 7); });
  clock.AwaitWaiters(1);
  queue.Push(7);
  popper.Join();
}

TEST(BoundedQueue, PushWaitsForRoom) {
  constexpr int kItems = 2000, kCapacity = 2;
  BoundedQueue<int> queue(kCapacity);
  std::atomic<int> pushed = 0;
  Thread pusher("pusher", [&] {
    for (int i = 0; i < kItems; ++i) {
      EXPECT_TRUE(queue.Push(i));
      ++pushed;
    }
  });
  // Begins once the pusher has come to the bound, and would be past it if it did not wait there.
  EXPECT_TRUE(Await([&] { return pushed >= kCapacity; }));
  for (int i = 0; i < kItems; ++i) {
    EXPECT_LE(pushed, i + kCapacity);
    EXPECT_LE(queue.size(), static_cast<size_t>(kCapacity));
    EXPECT_EQ(queue.Pop(Clock::Real()), i);
  }
}

TEST(BoundedQueue, CloseWakesBothSidesAndKeepsWhatIsInside) {
  FakeClock clock;
  BoundedQueue<int> full(1), empty(1);
  full.Push(1);
  Thread pusher("pusher", [&] { EXPECT_FALSE(full.Push(2)); });
  Thread popper("popper", [&] { EXPECT_EQ(empty.Pop(&clock), std::nullopt); });
  clock.AwaitWaiters(1);
  full.Close();
  empty.Close();
  pusher.Join();
  popper.Join();
  EXPECT_TRUE(full.closed());
  EXPECT_EQ(full.Pop(&clock), 1);
  EXPECT_EQ(full.Pop(&clock), std::nullopt);
  int item = 3;
  EXPECT_FALSE(full.TryPush(item));
}

TEST(BoundedQueue, LosesAndDoublesNothingBetweenManyThreads) {
  BoundedQueue<int> queue(4);
  constexpr int kItems = 2000, kThreads = 4;
  std::vector<std::vector<int>> taken(kThreads);
  {
    std::vector<Thread> consumers, producers;
    for (int t = 0; t < kThreads; ++t) {
      consumers.emplace_back("consumer", [&queue, &mine = taken[t]] {
        while (auto item = queue.Pop(Clock::Real())) mine.push_back(*item);
      });
      producers.emplace_back("producer", [&queue, t] {
        for (int i = t; i < kItems; i += kThreads) queue.Push(i);
      });
    }
    producers.clear();
    queue.Close();
  }
  std::vector<int> seen(kItems, 0);
  for (const auto& mine : taken) {
    for (int item : mine) ++seen[item];
  }
  EXPECT_EQ(seen, std::vector<int>(kItems, 1));
}

}  // namespace
}  // namespace pompc
