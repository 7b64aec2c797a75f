#include "common/base/backoff.h"

#include "gtest/gtest.h"

namespace pompc {
namespace {

TEST(Backoff, GrowsToTheMaximumWithJitterOfAtMostHalf) {
  Backoff backoff({absl::Milliseconds(100), absl::Seconds(1), 2.0}, /*seed=*/1);
  for (int expected_ms : {100, 200, 400, 800, 1000, 1000}) {
    const absl::Duration delay = backoff.Next();
    EXPECT_LE(delay, absl::Milliseconds(expected_ms));
    EXPECT_GE(delay, absl::Milliseconds(expected_ms) / 2);
  }
}

TEST(Backoff, StartsAgainAfterReset) {
  Backoff backoff({absl::Milliseconds(100), absl::Seconds(1), 2.0}, /*seed=*/1);
  for (int i = 0; i < 5; ++i) backoff.Next();
  backoff.Reset();
  EXPECT_LE(backoff.Next(), absl::Milliseconds(100));
}

TEST(Backoff, SeedsDecideTheJitter) {
  const BackoffOptions options;
  Backoff a(options, 1), same(options, 1), other(options, 2);
  const absl::Duration delay = a.Next();
  EXPECT_EQ(delay, same.Next());
  EXPECT_NE(delay, other.Next());
}

}  // namespace
}  // namespace pompc
