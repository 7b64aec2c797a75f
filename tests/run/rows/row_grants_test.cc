#include "run/rows/row_grants.h"

#include <algorithm>
#include <limits>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace pompc::run {
namespace {

TEST(RowGrantsTest, SharesEquallyAmongShards) {
  RowGrants grants(2);
  grants.Observe(0, 1, 0, 0, 1);
  grants.Observe(1, 2, 0, 0, 1);
  EXPECT_EQ(grants.Next(0, 100), 50u);
  EXPECT_EQ(grants.Next(1, 100), 50u);
}

TEST(RowGrantsTest, WhatOneShardHoldsUnusedIsNotGrantedTwice) {
  RowGrants grants(2);
  grants.Observe(0, 1, 0, 0, 1);
  grants.Observe(1, 2, 0, 0, 1);
  ASSERT_EQ(grants.Next(0, 100), 50u);
  ASSERT_EQ(grants.Next(1, 100), 50u);
  // Shard 0 used its 50; shard 1 still keeps a bound of 50.
  grants.Observe(0, 1, 50, 50, 1);
  EXPECT_EQ(grants.Next(0, 50), 51u);
  // Shard 1 is asked to keep 25 only; once it has agreed, shard 0 gets the others.
  EXPECT_EQ(grants.Next(1, 50), 25u);
  grants.Observe(1, 2, 0, 25, 1);
  EXPECT_EQ(grants.Next(0, 50), 75u);
}

TEST(RowGrantsTest, ShardsWithoutWritersGetNothingWhileOthersHaveSome) {
  RowGrants grants(3);
  grants.Observe(0, 1, 10, 0, 0);
  grants.Observe(1, 2, 20, 0, 2);
  grants.Observe(2, 3, 30, 0, 0);
  EXPECT_EQ(grants.Next(0, 100), 10u);
  EXPECT_EQ(grants.Next(1, 100), 120u);
  EXPECT_EQ(grants.Next(2, 100), 30u);
}

TEST(RowGrantsTest, NothingRemainingGrantsNothing) {
  RowGrants grants(2);
  grants.Observe(0, 1, 60, 60, 1);
  grants.Observe(1, 2, 40, 40, 1);
  EXPECT_EQ(grants.Next(0, 0), 60u);
  EXPECT_EQ(grants.Next(1, 0), 40u);
}

TEST(RowGrantsTest, WhatALostShardWasGrantedIsKeptForItUntilItIsGivenUp) {
  RowGrants grants(2);
  grants.Observe(0, 1, 0, 0, 1);
  grants.Observe(1, 2, 0, 0, 1);
  ASSERT_EQ(grants.Next(1, 100), 50u);
  grants.Observe(1, 2, 10, 50, 1);
  grants.Lost(1);
  EXPECT_EQ(grants.Kept(), 40u);
  EXPECT_EQ(grants.Next(0, 90), 50u);
  // It may have taken all that is left: not one row can go to another.
  grants.Observe(0, 1, 50, 50, 1);
  EXPECT_EQ(grants.Next(0, 40), 50u);
  grants.GiveUp(0);
  EXPECT_EQ(grants.Next(0, 40), 50u) << "it answers";
  grants.GiveUp(1);
  EXPECT_EQ(grants.Kept(), 0u);
  EXPECT_EQ(grants.Next(0, 40), 90u);
}

TEST(RowGrantsTest, ALostShardThatComesBackAnswersForItsGrant) {
  RowGrants grants(2);
  grants.Observe(0, 1, 0, 0, 1);
  grants.Observe(1, 2, 0, 0, 1);
  ASSERT_EQ(grants.Next(1, 100), 50u);
  grants.Lost(1);
  ASSERT_EQ(grants.Next(0, 100), 50u);
  // New memory was granted nothing.
  grants.Observe(1, 3, 0, 0, 1);
  EXPECT_EQ(grants.Kept(), 0u);
  EXPECT_EQ(grants.Next(0, 100), 50u);
}

// Shards take what they are granted at random moments, answers come late, and now and then a shard
// does not answer for a while. The run's bound is exceeded by one row per shard at most, and is
// reached.
TEST(RowGrantsTest, TheSumKeepsTheBoundWhateverTheOrder) {
  for (unsigned seed = 0; seed < 50; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937 rng(seed);
    const int n = 1 + static_cast<int>(rng() % 4);
    const uint64_t total = 1 + rng() % 500;
    RowGrants grants(n);
    std::vector<uint64_t> accepted(n, 0), bound(n, 0), seen(n, 0);
    auto sum = [](const std::vector<uint64_t>& v) {
      uint64_t s = 0;
      for (uint64_t x : v) s += x;
      return s;
    };
    for (int i = 0; i < n; ++i) grants.Observe(i, i, 0, 0, 1);
    // Only some shards have a writer that goes on to the end.
    const int busy = static_cast<int>(rng() % n);
    std::vector<int> cut_off_until(n, 0);
    for (int round = 0; round < 3000; ++round) {
      const int i = static_cast<int>(rng() % n);
      if (rng() % 2 == 0 && accepted[i] < bound[i] && (i == busy || round < 20)) {
        accepted[i] += 1 + rng() % (bound[i] - accepted[i]);
      } else if (rng() % 50 == 0 && round < 2000) {
        grants.Lost(i);
        cut_off_until[i] = round + static_cast<int>(rng() % 500);
      } else if (round >= cut_off_until[i]) {
        // It may have taken rows while it was away.
        grants.Observe(i, i, accepted[i], bound[i], 1);
        seen[i] = accepted[i];
        const uint64_t known = sum(seen);
        bound[i] = grants.Next(i, total - std::min(total, known));
        grants.Observe(i, i, accepted[i], bound[i], 1);
        seen[i] = accepted[i];
      }
      ASSERT_LE(sum(accepted), total + n);
    }
    EXPECT_GE(sum(accepted), total);
  }
}

TEST(RowGrantsTest, AShardThatClaimsToHaveAllRowsIsGrantedNoFewer) {
  constexpr uint64_t kAll = std::numeric_limits<uint64_t>::max();
  RowGrants grants(2);
  grants.Observe(0, 1, kAll - 2, kAll - 2, 1);
  grants.Observe(1, 2, 0, 0, 1);
  EXPECT_EQ(grants.Next(0, 100), kAll);
  EXPECT_EQ(grants.Next(1, kAll), kAll / 2 + 1);
}

TEST(RowGrantsDeathTest, GrantingToAShardThatDoesNotAnswerIsABug) {
  RowGrants grants(1);
  EXPECT_DEATH(grants.Next(0, 100), "a shard that does not answer is granted nothing");
  grants.Observe(0, 1, 0, 0, 1);
  grants.Lost(0);
  EXPECT_DEATH(grants.Next(0, 100), "a shard that does not answer is granted nothing");
  EXPECT_DEATH(grants.Lost(1), "1 against 1");
}

}  // namespace
}  // namespace pompc::run
