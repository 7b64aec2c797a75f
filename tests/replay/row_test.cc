#include "replay/core/row.h"

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

TEST(RowTest, GoodRowsPass) {
  EXPECT_TRUE(CheckSizes(kSpec, Good().View()).ok());
  EXPECT_TRUE(CheckValues(kSpec, RowLimits(), Good().View(), 0, 0).ok());
}

TEST(RowTest, WrongSizeNamesTheColumnAndBothSizes) {
  RowBuilder rows = Good();
  rows.observations_.pop_back();
  const absl::Status status = CheckSizes(kSpec, rows.View());
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "observations has 8 numbers, expected 9");
}

TEST(RowTest, EveryColumnsSizeIsChecked) {
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

TEST(RowTest, NeitherRowsNorFinalObservationIsRefused) {
  EXPECT_FALSE(CheckSizes(kSpec, RowBuilder(kSpec).View()).ok());
  EXPECT_TRUE(CheckSizes(kSpec, RowBuilder(kSpec).Final(1).View()).ok());
}

TEST(RowTest, BadNumbersNameRowColumnAndValue) {
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

TEST(RowTest, NumbersOutOfTheirMeaningNameWhatIsAllowed) {
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

TEST(RowTest, LimitsOfTheRunHoldForRowsWithAPlan) {
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

TEST(RowTest, NothingFollowsATerminatedRow) {
  RowBuilder rows = Good();
  rows.Terminal();
  EXPECT_TRUE(CheckValues(kSpec, RowLimits(), rows.View(), 0, 0).ok()) << "the last row may be";
  rows.terminated_[1] = 1;
  ExpectBad(rows, "row 41 is terminated, and rows follow");
}

TEST(RowTest, RoundingBeyondTheActionRangePasses) {
  RowBuilder rows = Good();
  rows.actions_[0] = std::nextafter(1.0f, 2.0f);
  EXPECT_TRUE(CheckValues(kSpec, RowLimits(), rows.View(), 0, 0).ok());
}

TEST(RowTest, RowsBeforeBeginAreNotLookedAt) {
  RowBuilder rows = Good();
  rows.rewards_[0] = kNan;
  EXPECT_FALSE(CheckValues(kSpec, RowLimits(), rows.View(), 0, 0).ok());
  EXPECT_TRUE(CheckValues(kSpec, RowLimits(), rows.View(), 1, 0).ok());
}

TEST(RowTest, SingleRowsAreCheckedTheSameWay) {
  EXPECT_TRUE(CheckRow(kSpec, RowBuilder(kSpec).Add(1, false).Single()).ok());
  EXPECT_TRUE(CheckRow(kSpec, RowBuilder(kSpec).Add(1).Single()).ok());
  const auto message = [](void (*spoil)(RowBuilder&)) {
    RowBuilder rows = RowBuilder(kSpec).Add(1);
    spoil(rows);
    return std::string(CheckRow(kSpec, rows.Single()).message());
  };
  EXPECT_EQ(message([](RowBuilder& rows) { rows.observations_.pop_back(); }),
            "observation has 2 numbers, expected 3");
  EXPECT_EQ(message([](RowBuilder& rows) { rows.actions_.push_back(0); }),
            "action has 3 numbers, expected 2");
  EXPECT_THAT(message([](RowBuilder& rows) { rows.rewards_[0] = kNan; }), HasSubstr("reward"));
  EXPECT_THAT(message([](RowBuilder& rows) { rows.plan_std_[0] = 0; }), HasSubstr("plan_std"));
}

TEST(RowTest, SingleRowsHaveAllOfAPlanOrNothing) {
  for (size_t c = 0; c < kRowColumns; ++c) {
    if (!kColumns[c].of_plan) continue;
    const RowBuilder planned = RowBuilder(kSpec).Add(1), planless = RowBuilder(kSpec).Add(1, false);
    RowView without = planned.Single(), with = planless.Single();
    without.columns[c] = {};
    EXPECT_FALSE(CheckRow(kSpec, without).ok()) << kColumns[c].name;
    with.columns[c] = planned.View().columns[c];
    EXPECT_FALSE(CheckRow(kSpec, with).ok()) << kColumns[c].name;
  }
}

TEST(RowTest, FirstRowsTakeTheSamePartOfEveryColumn) {
  const RowBuilder all = RowBuilder(kSpec).AddMany(5, 3).Final(8),
                   two = RowBuilder(kSpec).AddMany(5, 2);
  const RowView first = FirstRows(kSpec, all.View(), 2);
  EXPECT_EQ(first.count, 2);
  EXPECT_TRUE(first.final_observation.empty());
  for (size_t c = 0; c < kRowColumns; ++c) {
    const std::span<const std::byte> want = two.View().columns[c];
    EXPECT_TRUE(
        std::equal(first.columns[c].begin(), first.columns[c].end(), want.begin(), want.end()))
        << kColumns[c].name;
  }
}

TEST(RowTest, FillersAreNumbersOfTheirColumn) {
  for (size_t c = 0; c < kRowColumns; ++c) {
    const Column& column = kColumns[c];
    std::vector<std::byte> filler(column.bytes(kSpec), std::byte{0xff});
    WriteFiller(column, kSpec, filler.data());
    if (column.element == Element::kFloat) {
      const float* const numbers = reinterpret_cast<const float*>(filler.data());
      for (size_t i = 0; i < column.count(kSpec); ++i) EXPECT_EQ(numbers[i], column.filler);
    } else {
      EXPECT_EQ(filler[0], std::byte{column.filler});
      for (size_t i = 1; i < filler.size(); ++i) EXPECT_EQ(filler[i], std::byte{0});
    }
  }
}

// The sizes of kSpec, by hand.
TEST(RowTest, SizesFollowFromTheSchema) {
  EXPECT_EQ(WindowBytes(kSpec, 4),
            5 * (3 * 4 + 2 * 2 * 4 + 1 + 8) + 4 * (2 * 4 + 4 + 1) + 16 + 8 + 4);
  EXPECT_EQ(ChunkRowBytes(kSpec), 4 * (3 + 3 * 2 + 2) + 2 + 24);
}

}  // namespace
}  // namespace pompc::replay
