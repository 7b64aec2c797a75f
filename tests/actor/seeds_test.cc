#include "actor/core/seeds.h"

#include <set>

#include "gtest/gtest.h"

namespace pompc::actor {
namespace {

// F of the header applied to 0 is the first output of SplitMix64 seeded with 0, whose published
// value is below; a changed mixing function would change every run.
TEST(MixSeedsTest, FollowsItsDefinition) {
  const auto f = [](uint64_t x) {
    uint64_t z = x + 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
  };
  ASSERT_EQ(f(0), 0xe220a8397b1dcdafULL);
  EXPECT_EQ(MixSeeds({0}), f(0x9e3779b97f4a7c15 ^ f(0)));
  EXPECT_EQ(MixSeeds({7, 9}), f(f(0x9e3779b97f4a7c15 ^ f(7)) ^ f(9)));
}

TEST(MixSeedsTest, DistinguishesOrderAndLength) {
  EXPECT_NE(MixSeeds({1, 2}), MixSeeds({2, 1}));
  EXPECT_NE(MixSeeds({1}), MixSeeds({1, 0}));
}

TEST(SeedSourceTest, NoTwoUsesOrEnvironmentsShareASeed) {
  std::set<uint64_t> seen;
  int made = 0;
  for (uint64_t run = 0; run < 4; ++run) {
    for (uint64_t actor = 0; actor < 4; ++actor) {
      for (uint64_t incarnation = 1; incarnation < 4; ++incarnation) {
        for (uint64_t environment = 0; environment < 16; ++environment) {
          const SeedSource source = {run, actor, incarnation, environment};
          for (SeedUse use : {SeedUse::kEnvironment, SeedUse::kRandomActions, SeedUse::kPlans,
                              SeedUse::kRetries}) {
            seen.insert(source.For(use));
            ++made;
          }
        }
      }
    }
  }
  EXPECT_EQ(static_cast<int>(seen.size()), made);
}

}  // namespace
}  // namespace pompc::actor
