#include "common/base/threads.h"

#include <pthread.h>

#include <atomic>
#include <memory>
#include <utility>

#include "gtest/gtest.h"

namespace pompc {
namespace {

// A flag under a mutex, as workers wait for one.
struct Flag {
  Mutex mu;
  CondVar cv;
  bool set ABSL_GUARDED_BY(mu) = false;

  void Set() {
    MutexLock lock(&mu);
    set = true;
    cv.SignalAll();
  }

  // False if the deadline came first.
  bool Await(Clock* clock, absl::Duration deadline) {
    MutexLock lock(&mu);
    while (!set) {
      if (!clock->WaitUntil(&cv, &mu, deadline)) return set;
    }
    return true;
  }
};

TEST(RealClock, TimedWaitEndsAtItsDeadline) {
  Clock* clock = Clock::Real();
  Flag flag;
  const absl::Duration deadline = clock->Now() + absl::Milliseconds(2);
  EXPECT_FALSE(flag.Await(clock, deadline));
  EXPECT_GE(clock->Now(), deadline);
}

TEST(RealClock, SignalEndsAWaitWithoutDeadline) {
  Flag flag;
  Thread setter("setter", [&] { flag.Set(); });
  EXPECT_TRUE(flag.Await(Clock::Real(), absl::InfiniteDuration()));
}

TEST(RealClock, DeadlineFarAwayDoesNotOverflow) {
  Flag flag;
  Thread setter("setter", [&] { flag.Set(); });
  EXPECT_TRUE(flag.Await(Clock::Real(), absl::Hours(24) * 365 * 1000));
}

TEST(FakeClock, MovesOnlyWhenTold) {
  FakeClock clock;
  EXPECT_EQ(clock.Now(), absl::ZeroDuration());
  clock.Advance(absl::Seconds(3));
  EXPECT_EQ(clock.Now(), absl::Seconds(3));
}

TEST(FakeClock, PassedDeadlineDoesNotWait) {
  FakeClock clock;
  Flag flag;
  EXPECT_FALSE(flag.Await(&clock, absl::ZeroDuration()));
  EXPECT_EQ(clock.waits(), 0);
}

TEST(FakeClock, AdvanceWakesThoseWhoseDeadlineHasCome) {
  FakeClock clock;
  Flag early, late;
  Thread early_waiter("early", [&] { EXPECT_FALSE(early.Await(&clock, absl::Seconds(1))); });
  Thread late_waiter("late", [&] { EXPECT_FALSE(late.Await(&clock, absl::Seconds(2))); });
  clock.AwaitWaiters(2);
  clock.Advance(absl::Seconds(1));
  early_waiter.Join();
  clock.AwaitWaiters(1);
  clock.Advance(absl::Seconds(1));
}

TEST(FakeClock, SignalEndsAWaitBeforeItsDeadline) {
  FakeClock clock;
  Flag flag;
  Thread waiter("waiter", [&] { EXPECT_TRUE(flag.Await(&clock, absl::Seconds(1))); });
  clock.AwaitWaiters(1);
  flag.Set();
}

TEST(FakeClock, WokenWaiterNoLongerCounts) {
  FakeClock clock;
  Mutex mu;
  CondVar cv;
  int rounds = 0;
  Thread worker("worker", [&] {
    MutexLock lock(&mu);
    for (; rounds < 3; ++rounds) {
      while (clock.WaitUntil(&cv, &mu, absl::Seconds(rounds + 1))) {
      }
    }
  });
  for (int i = 0; i < 3; ++i) {
    clock.AwaitWaiters(1);
    // Parked in round i: the wait of round i - 1, which Advance ended, is not mistaken for it.
    {
      MutexLock lock(&mu);
      EXPECT_EQ(rounds, i);
    }
    clock.Advance(absl::Seconds(1));
  }
}

TEST(FakeClock, AwaitWaitsTellsThatASignalledWorkerParkedAgain) {
  FakeClock clock;
  Mutex mu;
  CondVar cv;
  int signals = 0, seen = 0;
  Thread worker("worker", [&] {
    MutexLock lock(&mu);
    while (seen < 3) {
      clock.WaitUntil(&cv, &mu, absl::InfiniteDuration());
      seen = signals;
    }
  });
  clock.AwaitWaiters(1);
  for (int i = 1; i <= 2; ++i) {
    const int64_t waits = clock.waits();
    {
      MutexLock lock(&mu);
      signals = i;
      cv.Signal();
    }
    clock.AwaitWaits(waits + 1);
    MutexLock lock(&mu);
    EXPECT_EQ(seen, i);
  }
  MutexLock lock(&mu);
  signals = 3;
  cv.Signal();
}

// The mutex and the condition variable may go as soon as the wait has returned, even while Advance
// runs in another thread; the sanitizers judge.
TEST(FakeClock, WaiterMayVanishWhileTimeMoves) {
  FakeClock clock;
  for (int i = 0; i < 200; ++i) {
    auto flag = std::make_unique<Flag>();
    const absl::Duration deadline = clock.Now() + absl::Seconds(1);
    Thread waiter("waiter", [&] { flag->Await(&clock, deadline); });
    clock.AwaitWaiters(1);
    Thread advancer("advancer", [&] { clock.Advance(absl::Seconds(1)); });
    flag->Set();
    waiter.Join();
    flag.reset();
  }
}

TEST(Event, SetWakesAllWhoWait) {
  FakeClock clock;
  Event event;
  Thread a("a", [&] { event.Wait(); });
  Thread b("b", [&] { EXPECT_TRUE(event.WaitUntil(&clock, absl::Seconds(1))); });
  clock.AwaitWaiters(1);
  EXPECT_FALSE(event.IsSet());
  event.Set();
  event.Set();
  EXPECT_TRUE(event.IsSet());
}

TEST(Event, WaitGivesUpAtItsDeadline) {
  FakeClock clock;
  Event event;
  Thread waiter("waiter", [&] { EXPECT_FALSE(event.WaitUntil(&clock, absl::Seconds(1))); });
  clock.AwaitWaiters(1);
  clock.Advance(absl::Seconds(1));
}

TEST(Event, SetEventIsSeenAfterTheDeadlineToo) {
  FakeClock clock;
  Event event;
  event.Set();
  EXPECT_TRUE(event.WaitUntil(&clock, absl::ZeroDuration()));
}

TEST(Thread, CarriesItsNameCutToWhatTheSystemShows) {
  char name[16] = "";
  Thread thread("a-rather-long-name",
                [&] { pthread_getname_np(pthread_self(), name, sizeof(name)); });
  thread.Join();
  EXPECT_STREQ(name, "a-rather-long-n");
}

TEST(Thread, DestructionAndAssignmentWaitForTheBody) {
  std::atomic<int> ended = 0;
  {
    Thread thread("first", [&] { ++ended; });
    thread = Thread("second", [&] { ++ended; });
    EXPECT_GE(ended, 1);
  }
  EXPECT_EQ(ended, 2);
}

TEST(Thread, JoinIsIdempotentAndNothingWithoutABody) {
  Thread thread;
  thread.Join();
  thread = Thread("t", [] {});
  thread.Join();
  thread.Join();
}

}  // namespace
}  // namespace pompc
