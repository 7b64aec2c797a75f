#include "learner/status/time_series.h"

#include <cmath>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pompc::learner {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(CounterHistory, DropsTheOldest) {
  CounterHistory history(5, Overflow::kDropOldest);
  EXPECT_THAT(history.Points(), IsEmpty());
  for (int i = 0; i < 100; ++i) history.Add({1.0 * i, {2.0 * i}});
  const std::vector<CounterPoint> points = history.Points();
  ASSERT_THAT(points, SizeIs(4));
  EXPECT_EQ(points.front().seconds, 96);
  EXPECT_EQ(points.back().seconds, 99);
}

TEST(CounterHistory, ThinsEvenlyWithTheFirstAndTheNewest) {
  CounterHistory history(8, Overflow::kHalve);
  for (int i = 0; i < 1000; ++i) {
    history.Add({1.0 * i, {3.0 * i}});
    const std::vector<CounterPoint> points = history.Points();
    ASSERT_LE(points.size(), 8u);
    ASSERT_EQ(points.front().seconds, 0);
    ASSERT_EQ(points.back().seconds, i);
    // All distances are alike but for the last, which is shorter.
    for (size_t k = 1; k + 1 < points.size(); ++k) {
      ASSERT_EQ(points[k].seconds - points[k - 1].seconds, points[1].seconds) << "after " << i;
      ASSERT_EQ(points[k].totals[0], 3 * points[k].seconds);
    }
  }
}

TEST(EpisodeHistory, MergesNeighboursAndLosesNoEpisode) {
  EpisodeHistory history(5);
  double sum = 0;
  for (int i = 1; i <= 333; ++i) {
    history.Add(10.0 * i, 0.5 * i, i);
    sum += i;
    uint64_t episodes = 0;
    double total = 0;
    for (const EpisodeBin& bin : history.bins()) {
      episodes += bin.episodes;
      total += bin.return_mean * static_cast<double>(bin.episodes);
    }
    ASSERT_LE(history.bins().size(), 5u);
    ASSERT_EQ(episodes, static_cast<uint64_t>(i));
    ASSERT_NEAR(total, sum, 1e-9 * sum);
    ASSERT_EQ(history.bins().back().rows, 10.0 * i);
    ASSERT_EQ(history.bins().back().seconds, 0.5 * i);
    for (size_t k = 1; k + 1 < history.bins().size(); ++k) {
      ASSERT_EQ(history.bins()[k].episodes, history.bins()[0].episodes);
    }
  }
  history.Add(1, 1, NAN);
  EXPECT_EQ(history.bins().back().rows, 3330);
}

TEST(ThinnedPositions, HaveTheEndsAndTheOneThatIsKept) {
  EXPECT_THAT(ThinnedPositions(0, 3, {}), IsEmpty());
  EXPECT_THAT(ThinnedPositions(3, 3, 1), ElementsAre(0, 1, 2));
  EXPECT_THAT(ThinnedPositions(101, 4, {}), ElementsAre(0, 50, 100));
  EXPECT_THAT(ThinnedPositions(101, 4, 50), ElementsAre(0, 50, 100));
  EXPECT_THAT(ThinnedPositions(101, 4, 99), ElementsAre(0, 50, 99, 100));
}

}  // namespace
}  // namespace pompc::learner
