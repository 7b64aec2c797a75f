#include "common/values/split_mix.h"

#include "gtest/gtest.h"

namespace pompc {
namespace {

// The first outputs of the published generator seeded with 0.
TEST(SplitMix, GivesThePublishedNumbers) {
  uint64_t state = 0;
  for (uint64_t expected : {0xe220a8397b1dcdafULL, 0x6e789e6aa1b965f4ULL, 0x06c45d188009454fULL}) {
    EXPECT_EQ(SplitMixBits(state += kSplitMixStep), expected);
  }
}

}  // namespace
}  // namespace pompc
