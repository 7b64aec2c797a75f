#include "replay/core/row_check.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/replay/row_builder.h"

namespace pompc::replay {
namespace {

using ::testing::HasSubstr;

constexpr RowSpec kSpec{.observation_size = 3, .action_size = 2};
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

RowBuilder Good() { return RowBuilder(kSpec).Add(1).Add(2, false).Add(3).Final(4); }

void ExpectBad(const RowBuilder& rows, const char* text) {
  ASSERT_TRUE(CheckSizes(kSpec, rows.View()).ok());
  const absl::Status status = CheckValues(kSpec, RowLimits(), rows.View(), 0, 40);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr(text));
}

TEST(RowCheckTest, GoodRowsPass) {
  EXPECT_TRUE(CheckSizes(kSpec, Good().View()).ok());
  EXPECT_TRUE(CheckValues(kSpec, RowLimits(), Good().View(), 0, 0).ok());
}

TEST(RowCheckTest, WrongSizeNamesTheColumnAndBothSizes) {
  RowBuilder rows = Good();
  rows.observations_.pop_back();
  const absl::Status status = CheckSizes(kSpec, rows.View());
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "observations has 8 numbers, expected 9");
}

TEST(RowCheckTest, EveryColumnsSizeIsChecked) {
  const auto spoil = [](auto column) {
    RowBuilder rows = Good();
    (rows.*column).pop_back();
    return CheckSizes(kSpec, rows.View()).code();
  };
  constexpr auto kBad = absl::StatusCode::kInvalidArgument;
  EXPECT_EQ(spoil(&RowBuilder::actions_), kBad);
  EXPECT_EQ(spoil(&RowBuilder::terminated_), kBad);
  EXPECT_EQ(spoil(&RowBuilder::plan_mean_), kBad);
  EXPECT_EQ(spoil(&RowBuilder::plan_std_), kBad);
  EXPECT_EQ(spoil(&RowBuilder::plan_value_), kBad);
  EXPECT_EQ(spoil(&RowBuilder::has_plan_), kBad);
  EXPECT_EQ(spoil(&RowBuilder::versions_), kBad);
  EXPECT_EQ(spoil(&RowBuilder::final_), kBad);
}

TEST(RowCheckTest, NeitherRowsNorFinalObservationIsRefused) {
  EXPECT_FALSE(CheckSizes(kSpec, RowBuilder(kSpec).View()).ok());
  EXPECT_TRUE(CheckSizes(kSpec, RowBuilder(kSpec).Final(1).View()).ok());
}

TEST(RowCheckTest, BadNumbersNameRowColumnAndValue) {
  RowBuilder rows = Good();
  rows.observations_[4] = kNan;
  ExpectBad(rows, "row 41: observation number 1 is nan");
  rows = Good();
  rows.rewards_[2] = -kInfinity;
  ExpectBad(rows, "row 42: reward number 0 is -inf");
  rows = Good();
  rows.actions_[1] = 1.25f;
  ExpectBad(rows, "row 40: action number 1 is 1.25, must be in [-1, 1]");
  rows = Good();
  rows.actions_[0] = kNan;
  ExpectBad(rows, "action number 0 is nan");
  rows = Good();
  rows.plan_std_[0] = 0;
  ExpectBad(rows, "plan_std number 0 is 0");
  rows = Good();
  rows.plan_std_[3] = kInfinity;
  ExpectBad(rows, "row 41: plan_std");
  rows = Good();
  rows.plan_mean_[0] = kInfinity;
  ExpectBad(rows, "plan_mean");
  rows = Good();
  rows.plan_value_[0] = kNan;
  ExpectBad(rows, "plan_value");
  rows = Good();
  rows.terminated_[1] = 2;
  ExpectBad(rows, "row 41: terminated is 2, must be 0 or 1");
  rows = Good();
  rows.has_plan_[1] = 255;
  ExpectBad(rows, "row 41: has_plan is 255");
  rows = Good();
  rows.final_[2] = kNan;
  ExpectBad(rows, "final_observation number 2 is nan");
}

TEST(RowCheckTest, NumbersOutOfTheirMeaningNameWhatIsAllowed) {
  RowBuilder rows = Good();
  rows.plan_mean_[1] = 1e30f;
  ExpectBad(rows, "row 40: plan_mean number 1 is 1e+30, must be in [-1, 1]");
  rows = Good();
  rows.plan_std_[4] = 1e-38f;
  ExpectBad(rows, "row 42: plan_std number 0 is 1e-38");
  rows = Good();
  rows.rewards_[0] = 3e38f;
  ExpectBad(rows, "row 40: reward number 0 is 3e+38, must be at most 1e+18 in magnitude");
  rows = Good();
  rows.observations_[0] = -2e18f;
  ExpectBad(rows, "row 40: observation number 0");
  rows = Good();
  rows.plan_value_[2] = 1e19f;
  ExpectBad(rows, "row 42: plan_value");
  rows = Good();
  rows.final_[1] = 1e20f;
  ExpectBad(rows, "final_observation number 1");
}

TEST(RowCheckTest, LimitsOfTheRunHoldForRowsWithAPlan) {
  RowBuilder rows = Good();
  RowLimits limits;
  limits.plan_std = {0.1f, 0.2f};
  std::fill(rows.plan_std_.begin(), rows.plan_std_.end(), 0.15f);
  rows.plan_std_[2] = 1;  // without a plan
  EXPECT_TRUE(CheckValues(kSpec, limits, rows.View(), 0, 0).ok());
  rows.plan_std_[1] = 0.3f;
  EXPECT_THAT(CheckValues(kSpec, limits, rows.View(), 0, 0).message(),
              HasSubstr("row 0: plan_std number 1 is 0.3, must be in [0.1, 0.2]"));
  rows = Good();
  rows.Terminal();
  limits = RowLimits{.terminates = false};
  EXPECT_THAT(CheckValues(kSpec, limits, rows.View(), 0, 0).message(),
              HasSubstr("set env.spec.terminates: true"));
}

TEST(RowCheckTest, NothingFollowsATerminatedRow) {
  RowBuilder rows = Good();
  rows.Terminal();
  EXPECT_TRUE(CheckValues(kSpec, RowLimits(), rows.View(), 0, 0).ok()) << "the last row may be";
  rows.terminated_[1] = 1;
  ExpectBad(rows, "row 41 is terminated, and rows follow");
}

TEST(RowCheckTest, RoundingBeyondTheActionRangePasses) {
  RowBuilder rows = Good();
  rows.actions_[0] = std::nextafter(1.0f, 2.0f);
  EXPECT_TRUE(CheckValues(kSpec, RowLimits(), rows.View(), 0, 0).ok());
}

TEST(RowCheckTest, RowsBeforeBeginAreNotLookedAt) {
  RowBuilder rows = Good();
  rows.rewards_[0] = kNan;
  EXPECT_FALSE(CheckValues(kSpec, RowLimits(), rows.View(), 0, 0).ok());
  EXPECT_TRUE(CheckValues(kSpec, RowLimits(), rows.View(), 1, 0).ok());
}

TEST(RowCheckTest, SingleRowsAreCheckedTheSameWay) {
  const std::vector<float> o = {1, 2, 3}, a = {0.5f, -1}, std = {1, 1}, zero = {0, 1};
  EXPECT_TRUE(CheckRow(kSpec, {.observation = o, .action = a}).ok());
  EXPECT_TRUE(
      CheckRow(kSpec, {.observation = o, .action = a, .plan_mean = a, .plan_std = std}).ok());
  EXPECT_FALSE(CheckRow(kSpec, {.observation = a, .action = a}).ok());
  EXPECT_FALSE(CheckRow(kSpec, {.observation = o, .action = o}).ok());
  EXPECT_FALSE(CheckRow(kSpec, {.observation = o, .action = a, .reward = kNan}).ok());
  EXPECT_FALSE(CheckRow(kSpec, {.observation = o, .action = a, .plan_mean = a}).ok());
  EXPECT_FALSE(CheckRow(kSpec, {.observation = o, .action = a, .plan_std = std}).ok());
  EXPECT_FALSE(
      CheckRow(kSpec, {.observation = o, .action = a, .plan_mean = a, .plan_std = zero}).ok());
}

}  // namespace
}  // namespace pompc::replay
