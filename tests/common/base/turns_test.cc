#include "common/base/turns.h"

#include <vector>

#include "common/base/threads.h"
#include "gtest/gtest.h"

namespace pompc {
namespace {

TEST(TurnsTest, ATurnIsTakenOnceAndAwaitedUntilItIsBack) {
  Turns turns(Clock::Real());
  EXPECT_TRUE(turns.AwaitBack(absl::ZeroDuration()));
  EXPECT_FALSE(turns.Take(absl::ZeroDuration()).has_value());
  turns.Give({{2, 7}});
  EXPECT_FALSE(turns.AwaitBack(absl::ZeroDuration()));
  const auto taken = turns.Take(absl::ZeroDuration());
  ASSERT_TRUE(taken.has_value());
  EXPECT_EQ(taken->version, (ParameterVersion{2, 7}));
  EXPECT_FALSE(turns.Take(absl::ZeroDuration()).has_value());
  EXPECT_FALSE(turns.AwaitBack(absl::ZeroDuration()));
  turns.GiveBack();
  EXPECT_TRUE(turns.AwaitBack(absl::ZeroDuration()));
}

TEST(TurnsTest, TwoThreadsWorkInTurns) {
  Turns turns(Clock::Real());
  // Without a lock: only one works at a time.
  std::vector<uint64_t> work;
  Thread other("other", [&] {
    for (int i = 0; i < 100; ++i) {
      const auto turn = turns.Take(absl::Seconds(20));
      ASSERT_TRUE(turn.has_value());
      work.push_back(turn->version.number);
      turns.GiveBack();
    }
  });
  for (uint64_t i = 0; i < 100; ++i) {
    turns.Give({{1, i}});
    ASSERT_TRUE(turns.AwaitBack(absl::Seconds(20)));
    work.push_back(1000 + i);
  }
  other.Join();
  ASSERT_EQ(work.size(), 200u);
  for (uint64_t i = 0; i < 100; ++i) {
    EXPECT_EQ(work[2 * i], i);
    EXPECT_EQ(work[2 * i + 1], 1000 + i);
  }
}

TEST(TurnsDeathTest, TurnsAreGivenAndComeBackOneByOne) {
  Turns turns(Clock::Real());
  EXPECT_DEATH(turns.GiveBack(), "without having been taken");
  turns.Give({});
  EXPECT_DEATH(turns.GiveBack(), "without having been taken");
  EXPECT_DEATH(turns.Give({}), "one turn at a time");
}

}  // namespace
}  // namespace pompc
