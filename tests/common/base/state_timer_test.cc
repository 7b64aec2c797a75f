#include "common/base/state_timer.h"

#include <numeric>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pompc {
namespace {

using ::testing::ElementsAre;

enum class State { kIdle, kBusy, kBlocked };
using Timer = StateTimer<State, 3>;

TEST(StateTimer, SplitsTimeIntoStates) {
  FakeClock clock;
  Timer timer(&clock, State::kIdle);
  clock.Advance(absl::Seconds(1));
  timer.Enter(State::kBusy);
  clock.Advance(absl::Seconds(2));
  timer.Enter(State::kIdle);
  clock.Advance(absl::Seconds(4));
  timer.Enter(State::kBusy);
  EXPECT_THAT(timer.Seconds(), ElementsAre(5, 2, 0));
}

TEST(StateTimer, CountsThePresentState) {
  FakeClock clock;
  Timer timer(&clock, State::kBlocked);
  clock.Advance(absl::Seconds(3));
  EXPECT_THAT(timer.Seconds(), ElementsAre(0, 0, 3));
}

TEST(StateTimer, StatesSumToTheWallTime) {
  FakeClock clock;
  clock.Advance(absl::Seconds(100));
  Timer timer(&clock, State::kIdle);
  for (int i = 0; i < 30; ++i) {
    clock.Advance(absl::Milliseconds(i * i));
    timer.Enter(static_cast<State>(i % 3));
  }
  const auto seconds = timer.Seconds();
  EXPECT_NEAR(std::accumulate(seconds.begin(), seconds.end(), 0.0),
              absl::ToDoubleSeconds(clock.Now()) - 100, 1e-9);
}

}  // namespace
}  // namespace pompc
