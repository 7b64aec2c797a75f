#include "learner/engine/plan_ages.h"

#include <gtest/gtest.h>

#include <vector>

namespace pompc::learner {
namespace {

TEST(PlanAgesTest, AreDistancesToTheNewestVersionSeen) {
  PlanAges ages;
  EXPECT_EQ(ages.Of({{1, 3}, {1, 5}, {1, 1}}), (std::vector<float>{2, 0, 4}));
  // What was seen before counts, and what comes in the same call.
  EXPECT_EQ(ages.Of({{1, 4}}), (std::vector<float>{1}));
  EXPECT_EQ(ages.Of({{1, 4}, {1, 9}}), (std::vector<float>{5, 0}));
}

TEST(PlanAgesTest, LaterIncarnationsComeOnTop) {
  PlanAges ages;
  EXPECT_EQ(ages.Of({{1, 10}, {3, 2}, {1, 4}, {2, 5}}), (std::vector<float>{7, 0, 13, 2}));
}

TEST(PlanAgesTest, RowsWithoutAPlanHaveNone) {
  PlanAges ages;
  EXPECT_EQ(ages.Of({{0, 0}, {1, 7}, {0, 0}}), (std::vector<float>{0, 0, 0}));
  EXPECT_TRUE(ages.Of({}).empty());
}

}  // namespace
}  // namespace pompc::learner
