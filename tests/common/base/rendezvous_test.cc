#include "common/base/rendezvous.h"

#include <string>
#include <thread>

#include "gtest/gtest.h"

namespace pompc {
namespace {

TEST(RendezvousTest, WhatWasPutIsFound) {
  MemoryRendezvous rendezvous;
  ASSERT_TRUE(rendezvous.Put("a", "1").ok());
  EXPECT_EQ(*rendezvous.Get("a", absl::ZeroDuration()), "1");
}

TEST(RendezvousTest, AValueIsPutOnce) {
  MemoryRendezvous rendezvous;
  ASSERT_TRUE(rendezvous.Put("a", "1").ok());
  EXPECT_EQ(rendezvous.Put("a", "2").code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(*rendezvous.Get("a", absl::ZeroDuration()), "1");
}

TEST(RendezvousTest, GetWaitsForTheKey) {
  FakeClock clock;
  MemoryRendezvous rendezvous(&clock);
  std::thread other([&] {
    clock.AwaitWaiters(1);
    ASSERT_TRUE(rendezvous.Put("b", "other").ok());
    ASSERT_TRUE(rendezvous.Put("a", "wanted").ok());
  });
  EXPECT_EQ(*rendezvous.Get("a", absl::Hours(1)), "wanted");
  other.join();
}

TEST(RendezvousTest, GetGivesUpAfterTheTimeout) {
  FakeClock clock;
  MemoryRendezvous rendezvous(&clock);
  std::thread other([&] {
    clock.AwaitWaiters(1);
    clock.Advance(absl::Seconds(5));
  });
  EXPECT_EQ(rendezvous.Get("a", absl::Seconds(5)).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  other.join();
}

TEST(RendezvousTest, WhatIsTooLargeOrTooMuchIsRefused) {
  MemoryRendezvous rendezvous;
  EXPECT_EQ(rendezvous.Put("a", std::string(MemoryRendezvous::kMaxBytes + 1, 'x')).code(),
            absl::StatusCode::kResourceExhausted);
  for (size_t i = 0; i < MemoryRendezvous::kMaxValues; ++i) {
    ASSERT_TRUE(rendezvous.Put(std::to_string(i), "").ok());
  }
  EXPECT_EQ(rendezvous.Put("a", "").code(), absl::StatusCode::kResourceExhausted);
}

TEST(RendezvousTest, AllValuesTogetherAreBounded) {
  MemoryRendezvous rendezvous;
  const std::string value(MemoryRendezvous::kMaxBytes, 'x');
  size_t held = 0;
  absl::Status status;
  while (status.ok() && held <= MemoryRendezvous::kMaxTotalBytes) {
    status = rendezvous.Put(std::to_string(held), value);
    if (status.ok()) held += value.size();
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_GT(held, MemoryRendezvous::kMaxTotalBytes - 2 * value.size());
  EXPECT_LE(held, MemoryRendezvous::kMaxTotalBytes);
}

}  // namespace
}  // namespace pompc
