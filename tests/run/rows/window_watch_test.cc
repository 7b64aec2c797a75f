#include "run/rows/window_watch.h"

#include "gtest/gtest.h"

namespace pompc::run {
namespace {

constexpr absl::Duration kStart = absl::Seconds(1000);

ReplayContent Full() {
  return {.stored_rows = 70,
          .accepted_rows = 70,
          .capacity_rows = 1000,
          .min_rows = 50,
          .environments = 4};
}

class WindowWatchTest : public testing::Test {
 protected:
  void Observe(const ReplayContent& replay, absl::Duration since_start, bool settled = true) {
    watch_.Observe(replay, settled, kStart + since_start);
  }

  WindowWatch watch_{{.horizon = 3, .patience = absl::Seconds(10)}};
};

TEST_F(WindowWatchTest, EnoughIsARoundOfWindowsBeyondWhatUpdatesNeed) {
  EXPECT_EQ(watch_.EnoughRows(Full()), 50u + 4 * 4);
  EXPECT_EQ(watch_.MissingRows(Full()), 0u);
  ReplayContent few = Full();
  few.accepted_rows = 60;
  EXPECT_EQ(watch_.MissingRows(few), 6u);
}

// What is evicted meanwhile counts: small replay never holds so many rows at once.
TEST_F(WindowWatchTest, SmallReplayIsGivenAsManyRowsAsLargeReplay) {
  ReplayContent small = Full();
  small.capacity_rows = small.stored_rows = 60;
  small.accepted_rows = 65;
  Observe(small, absl::ZeroDuration());
  Observe(small, absl::Seconds(10));
  EXPECT_TRUE(watch_.status().ok());
  small.accepted_rows = 66;
  Observe(small, absl::Seconds(10));
  Observe(small, absl::Seconds(20));
  ASSERT_FALSE(watch_.status().ok());
  EXPECT_EQ(watch_.status().message().find("replay.capacity_rows"), std::string::npos);
}

TEST_F(WindowWatchTest, WhereReplayIsTooSmallForTheEnvironmentsTheErrorSaysSo) {
  ReplayContent small = Full();
  small.capacity_rows = small.stored_rows = 15;
  small.min_rows = 7;
  Observe(small, absl::ZeroDuration());
  Observe(small, absl::Seconds(10));
  EXPECT_NE(watch_.status().message().find(
                "raise replay.capacity_rows or replay.capacity_bytes: the shards hold 15 rows, and "
                "one window of each environment takes 16"),
            std::string::npos)
      << watch_.status();
}

TEST_F(WindowWatchTest, GivesUpOnceAWindowHasBeenOverdueForItsPatience) {
  Observe(Full(), absl::ZeroDuration());
  Observe(Full(), absl::Seconds(9.9));
  EXPECT_TRUE(watch_.status().ok());
  Observe(Full(), absl::Seconds(10));
  EXPECT_EQ(watch_.status().code(), absl::StatusCode::kFailedPrecondition);
  // It stays so: whoever was told acts on it.
  ReplayContent window = Full();
  window.windows = 1;
  Observe(window, absl::Seconds(11));
  EXPECT_FALSE(watch_.status().ok());
}

TEST_F(WindowWatchTest, WaitsWhileAnythingElseIsMissing) {
  ReplayContent few = Full(), refilling = Full(), fine = Full();
  few.accepted_rows = 65;
  refilling.stored_rows = 49;
  refilling.complete = true;
  fine.windows = 1;
  for (const ReplayContent& replay : {few, refilling, fine}) {
    Observe(Full(), absl::ZeroDuration());
    Observe(replay, absl::Seconds(5));
    Observe(Full(), absl::Seconds(6));
    Observe(Full(), absl::Seconds(15));
    EXPECT_TRUE(watch_.status().ok());
  }
  Observe(Full(), absl::Seconds(15.5), /*settled=*/false);
  Observe(Full(), absl::Seconds(16));
  EXPECT_TRUE(watch_.status().ok());
}

TEST_F(WindowWatchTest, RowsThatCannotComeAreNotWaitedFor) {
  ReplayContent replay = Full();
  replay.stored_rows = 50;
  replay.complete = true;
  Observe(replay, absl::ZeroDuration());
  Observe(replay, absl::Seconds(10));
  EXPECT_FALSE(watch_.status().ok());
}

}  // namespace
}  // namespace pompc::run
