#include <cmath>
#include <numeric>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "replay/client/shard_client.h"

namespace pompc::replay {
namespace {

using ::testing::ElementsAre;

TEST(SplitBatchTest, SharesSumToTheBatch) {
  const std::vector<uint64_t> windows = {10, 0, 3000, 7};
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const std::vector<uint32_t> shares = SplitBatch(256, windows, seed);
    EXPECT_EQ(std::accumulate(shares.begin(), shares.end(), 0u), 256) << "seed " << seed;
    EXPECT_EQ(shares[1], 0) << "seed " << seed;
  }
}

TEST(SplitBatchTest, NoWindowsGiveNoShares) {
  const std::vector<uint64_t> windows = {0, 0};
  EXPECT_THAT(SplitBatch(8, windows, 1), ElementsAre(0, 0));
  EXPECT_TRUE(SplitBatch(8, {}, 1).empty());
}

TEST(SplitBatchTest, OneShardGetsEverything) {
  const std::vector<uint64_t> windows = {0, 5, 0};
  EXPECT_THAT(SplitBatch(8, windows, 1), ElementsAre(0, 8, 0));
}

TEST(SplitBatchTest, SameSeedGivesTheSameSplit) {
  const std::vector<uint64_t> windows = {100, 200, 300};
  EXPECT_EQ(SplitBatch(64, windows, 9), SplitBatch(64, windows, 9));
  EXPECT_NE(SplitBatch(64, windows, 9), SplitBatch(64, windows, 10));
}

// A multinomial share has mean n p and variance n p (1 - p); both are checked, since a split that
// rounds n p has the mean but no variance.
TEST(SplitBatchTest, SharesAreMultinomial) {
  const std::vector<uint64_t> windows = {1000, 3000, 6000};
  constexpr int kDraws = 4000;
  constexpr double kBatch = 64;
  std::vector<double> sum(3), squares(3);
  for (uint64_t seed = 0; seed < kDraws; ++seed) {
    const std::vector<uint32_t> shares = SplitBatch(kBatch, windows, seed);
    for (int i = 0; i < 3; ++i) {
      sum[i] += shares[i];
      squares[i] += static_cast<double>(shares[i]) * shares[i];
    }
  }
  for (int i = 0; i < 3; ++i) {
    const double p = windows[i] / 10000.0, variance = kBatch * p * (1 - p);
    const double mean = sum[i] / kDraws;
    EXPECT_NEAR(mean, kBatch * p, 5 * std::sqrt(variance / kDraws));
    EXPECT_NEAR(squares[i] / kDraws - mean * mean, variance,
                5 * variance * std::sqrt(2.0 / kDraws));
  }
}

}  // namespace
}  // namespace pompc::replay
