#include "common/base/event.h"

#include "common/base/thread.h"
#include "gtest/gtest.h"

namespace pompc {
namespace {

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

}  // namespace
}  // namespace pompc
