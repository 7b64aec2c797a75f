#include "common/base/occasionally.h"

#include "gtest/gtest.h"

namespace pompc {
namespace {

TEST(Occasionally, TellsTheFirstTimeThenOnceAnInterval) {
  Occasionally occasionally(absl::Seconds(10));
  EXPECT_EQ(occasionally.Count(absl::Seconds(5)), 1u);
  EXPECT_EQ(occasionally.Count(absl::Seconds(6)), 0u);
  EXPECT_EQ(occasionally.Count(absl::Seconds(14)), 0u);
  EXPECT_EQ(occasionally.Count(absl::Seconds(15)), 3u);
  EXPECT_EQ(occasionally.Count(absl::Seconds(24)), 0u);
  EXPECT_EQ(occasionally.Count(absl::Seconds(100)), 2u);
}

}  // namespace
}  // namespace pompc
