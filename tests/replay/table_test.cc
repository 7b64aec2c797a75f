#include "replay/core/table.h"

#include <cmath>
#include <map>
#include <memory>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "replay/core/selectors/uniform.h"
#include "tests/replay/row_builder.h"

namespace pompc::replay {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr RowSpec kSpec{.observation_size = 3, .action_size = 2};
constexpr uint32_t kHorizon = 3;
constexpr uint64_t kManyBytes = uint64_t{1} << 40;

TableOptions Options(uint64_t capacity_rows) {
  return {kSpec, kHorizon, capacity_rows, kManyBytes};
}

Table MakeTable(const TableOptions& options) {
  return Table(options, std::make_unique<UniformSelector>());
}

// Appends `n` rows with ids from `first_id` on to a segment.
void AddRows(Table* table, uint64_t first_id, uint32_t n, uint64_t* tail) {
  table->Append(RowBuilder(kSpec).AddMany(first_id, n).View(), 0, tail);
}

// Addresses of the first rows of `draws` sampled windows, with how often each came.
std::map<uint64_t, int> DrawStarts(Table& table, size_t draws, uint64_t seed) {
  WindowBuffer buffer(kSpec, kHorizon, draws);
  table.Sample(seed, buffer.Columns());
  std::map<uint64_t, int> starts;
  for (size_t b = 0; b < draws; ++b) ++starts[buffer.addresses[b * (kHorizon + 1)]];
  return starts;
}

TEST(TableTest, WindowBecomesValidWithTheObservationAfterItsLastRow) {
  Table table = MakeTable(Options(100));
  uint64_t tail = Table::kNoAddress;
  AddRows(&table, 0, 3, &tail);
  EXPECT_EQ(table.windows(), 0);
  AddRows(&table, 3, 1, &tail);
  EXPECT_EQ(table.windows(), 1);
  AddRows(&table, 4, 2, &tail);
  EXPECT_EQ(table.windows(), 3);
}

TEST(TableTest, FinalObservationCompletesTheLastWindowAndCountsAsNoRow) {
  Table table = MakeTable(Options(100));
  uint64_t tail = Table::kNoAddress;
  table.Append(RowBuilder(kSpec).AddMany(10, 3).Final(13).View(), 0, &tail);
  EXPECT_EQ(table.windows(), 1);
  EXPECT_EQ(table.stored_rows(), 3);
  EXPECT_EQ(table.stored_bytes(), 4 * table.slot_bytes());

  WindowBuffer buffer(kSpec, kHorizon, 1);
  table.Sample(1, buffer.Columns());
  EXPECT_EQ(buffer.observations[3 * 3 + 1], RowBuilder::Observation(13, 1));
  EXPECT_THAT(buffer.has_plan, ElementsAre(1, 1, 1, 0));
  EXPECT_EQ(buffer.plan_mean[3 * 2], 0);
  EXPECT_EQ(buffer.plan_std[3 * 2], 1);
}

TEST(TableTest, WindowHoldsTheColumnsOfItsRows) {
  Table table = MakeTable(Options(100));
  uint64_t tail = Table::kNoAddress;
  RowBuilder rows(kSpec);
  rows.Add(5).Add(6, /*has_plan=*/false).Add(7).Terminal().Add(8);
  table.Append(rows.View(), 0, &tail);
  WindowBuffer buffer(kSpec, kHorizon, 1);
  table.Sample(1, buffer.Columns());
  EXPECT_EQ(buffer.observations, rows.observations_);
  EXPECT_EQ(buffer.plan_mean, rows.plan_mean_);
  EXPECT_EQ(buffer.plan_std, rows.plan_std_);
  EXPECT_THAT(buffer.rewards, ElementsAre(-5, -6, -7));
  EXPECT_THAT(buffer.terminated, ElementsAre(0, 0, 1));
  EXPECT_THAT(buffer.has_plan, ElementsAre(1, 0, 1, 1));
  EXPECT_THAT(buffer.addresses, ElementsAre(0, 1, 2, 3));
  rows.actions_.resize(3 * 2);
  EXPECT_EQ(buffer.actions, rows.actions_);
}

// The states behind a terminal one are known: the final observation stands for all of them.
TEST(TableTest, TerminatedSegmentOfFewerRowsThanAWindowIsOneWindow) {
  Table table = MakeTable(Options(100));
  uint64_t tail = Table::kNoAddress;
  RowBuilder rows(kSpec);
  rows.Add(5).Add(6).Terminal().Final(7);
  table.Append(rows.View(), 0, &tail);
  ASSERT_EQ(table.windows(), 1);
  WindowBuffer buffer(kSpec, kHorizon, 1);
  table.Sample(1, buffer.Columns());
  for (size_t j = 0; j < 3; ++j) {
    EXPECT_EQ(buffer.observations[0 * 3 + j], RowBuilder::Observation(5, j));
    EXPECT_EQ(buffer.observations[1 * 3 + j], RowBuilder::Observation(6, j));
    EXPECT_EQ(buffer.observations[2 * 3 + j], RowBuilder::Observation(7, j));
    EXPECT_EQ(buffer.observations[3 * 3 + j], RowBuilder::Observation(7, j));
  }
  EXPECT_EQ(buffer.actions[1 * 2], RowBuilder::Action(6, 0));
  EXPECT_EQ(buffer.actions[2 * 2], 0);
  EXPECT_THAT(buffer.rewards, ElementsAre(-5, -6, 0));
  EXPECT_THAT(buffer.terminated, ElementsAre(0, 1, 1));
  EXPECT_THAT(buffer.has_plan, ElementsAre(1, 1, 0, 0));
  EXPECT_EQ(buffer.plan_std[3 * 2], 1);
  EXPECT_THAT(buffer.addresses, ElementsAre(0, 1, 2, 2));
}

TEST(TableTest, ShortSegmentsMakeAWindowOnlyWhenTheyTerminatedAndAreWhole) {
  Table table = MakeTable(Options(100));
  uint64_t cut_off = Table::kNoAddress, timed_out = Table::kNoAddress, later = Table::kNoAddress;
  AddRows(&table, 0, 2, &cut_off);
  table.Append(RowBuilder(kSpec).AddMany(10, 2).Final(12).View(), 0, &timed_out);
  table.Append(RowBuilder(kSpec).AddMany(20, 1).Terminal().View(), 0, &later);
  EXPECT_EQ(table.windows(), 0);
  table.Append(RowBuilder(kSpec).Final(21).View(), 0, &later);
  EXPECT_EQ(table.windows(), 1);
  // Enough rows: as many windows as ever.
  uint64_t whole = Table::kNoAddress;
  table.Append(RowBuilder(kSpec).AddMany(30, 4).Terminal().Final(34).View(), 0, &whole);
  EXPECT_EQ(table.windows(), 3);
}

TEST(TableTest, ShortWindowLeavesWithItsFirstRow) {
  Table table = MakeTable(Options(4));
  uint64_t tail = Table::kNoAddress, other = Table::kNoAddress;
  table.Append(RowBuilder(kSpec).AddMany(0, 2).Terminal().Final(2).View(), 0, &tail);
  AddRows(&table, 10, 1, &other);
  EXPECT_EQ(table.windows(), 1);
  AddRows(&table, 11, 1, &other);
  EXPECT_EQ(table.windows(), 0);
}

TEST(TableTest, WindowsFollowTheirSegmentWhereSegmentsInterleave) {
  Table table = MakeTable(Options(100));
  uint64_t a = Table::kNoAddress, b = Table::kNoAddress;
  for (uint64_t i = 0; i < 5; ++i) {
    AddRows(&table, 100 + i, 1, &a);
    AddRows(&table, 200 + i, 1, &b);
  }
  EXPECT_EQ(table.windows(), 4);
  WindowBuffer buffer(kSpec, kHorizon, 64);
  table.Sample(3, buffer.Columns());
  for (size_t w = 0; w < 64; ++w) {
    for (uint32_t t = 1; t <= kHorizon; ++t) {
      EXPECT_EQ(buffer.observations[(w * 4 + t) * 3], buffer.observations[w * 4 * 3] + t);
    }
  }
}

TEST(TableTest, EvictionTakesTheOldestRowsAndTheirWindows) {
  Table table = MakeTable(Options(6));
  uint64_t tail = Table::kNoAddress;
  AddRows(&table, 0, 6, &tail);
  EXPECT_EQ(table.windows(), 3);
  AddRows(&table, 6, 4, &tail);
  EXPECT_EQ(table.stored_rows(), 6);
  EXPECT_EQ(table.windows(), 3);
  const std::map<uint64_t, int> starts = DrawStarts(table, 200, 5);
  EXPECT_EQ(starts.size(), 3);
  EXPECT_EQ(starts.begin()->first, 4);
}

TEST(TableTest, SegmentWhoseNewestRowWasEvictedGoesOnWithoutTheGap) {
  Table table = MakeTable(Options(5));
  uint64_t slow = Table::kNoAddress, fast = Table::kNoAddress;
  AddRows(&table, 0, 2, &slow);
  AddRows(&table, 100, 5, &fast);  // evicts both rows of the slow segment
  EXPECT_EQ(table.windows(), 2);
  AddRows(&table, 2, 3, &slow);
  EXPECT_EQ(table.windows(), 0) << "rows 2, 3, 4 are no window without row 5";
  AddRows(&table, 5, 1, &slow);
  EXPECT_EQ(table.windows(), 1);
}

TEST(TableTest, FinalObservationsLeaveWithTheirSegment) {
  Table table = MakeTable(Options(4));
  for (uint64_t episode = 0; episode < 10; ++episode) {
    uint64_t tail = Table::kNoAddress;
    table.Append(RowBuilder(kSpec).AddMany(episode * 10, 3).Final(episode * 10 + 3).View(), 0,
                 &tail);
    EXPECT_EQ(table.stored_rows(), 3);
    EXPECT_EQ(table.windows(), 1);
  }
}

TEST(TableTest, CapacityIsTheSmallerOfRowsAndBytes) {
  TableOptions options = Options(100);
  EXPECT_EQ(MakeTable(options).capacity(), 100);
  options.capacity_bytes = 17 * Table::SlotBytes(kSpec) + 1;
  Table table = MakeTable(options);
  EXPECT_EQ(table.capacity(), 17);
  uint64_t tail = Table::kNoAddress;
  AddRows(&table, 0, 50, &tail);
  EXPECT_EQ(table.stored_rows(), 17);
  EXPECT_LE(table.stored_bytes(), options.capacity_bytes);
}

TEST(TableTest, HugeCapacityCostsNothingUntilUsed) {
  TableOptions options = Options(uint64_t{1} << 40);
  options.capacity_bytes = uint64_t{1} << 50;
  Table table = MakeTable(options);
  EXPECT_EQ(table.capacity(), Table::kMaxSlots);
  uint64_t tail = Table::kNoAddress;
  AddRows(&table, 0, 10, &tail);
  EXPECT_EQ(table.windows(), 7);
}

TEST(TableTest, OptionsThatHoldNoWindowAreRefused) {
  EXPECT_TRUE(Options(4).Validate().ok());
  const absl::Status rows = Options(3).Validate();
  EXPECT_EQ(rows.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(rows.message(), HasSubstr("one window needs 4"));
  TableOptions bytes = Options(100);
  bytes.capacity_bytes = Table::SlotBytes(kSpec) * 4 - 1;
  EXPECT_EQ(bytes.Validate().code(), absl::StatusCode::kInvalidArgument);
  TableOptions empty = Options(100);
  empty.horizon = 0;
  EXPECT_EQ(empty.Validate().code(), absl::StatusCode::kInvalidArgument);
  // Its 2^32 bytes are not 0.
  TableOptions large = Options(100);
  large.spec.observation_size = uint32_t{1} << 30;
  large.capacity_bytes = uint64_t{1} << 32;
  EXPECT_EQ(large.Validate().code(), absl::StatusCode::kInvalidArgument);
}

TEST(TableTest, UpdatePlansTouchesOnlyTheAddressedRows) {
  Table table = MakeTable(Options(5));
  uint64_t tail = Table::kNoAddress;
  RowBuilder rows(kSpec);
  rows.AddMany(0, 2).Add(2).Add(3, /*has_plan=*/false).Add(4).Final(5);
  table.Append(rows.View(), 0, &tail);  // evicts row 0; addresses 1..5 are stored
  const std::vector<uint64_t> addresses = {0, 3, 5, 6};
  const std::vector<float> mean = {90, 91, 92, 93, 94, 95, 96, 97};
  const std::vector<float> std = {80, 81, 82, 83, 84, 85, 86, 87};
  const Table::UpdateCounts counts = table.UpdatePlans(addresses, mean, std);
  EXPECT_EQ(counts.updated, 1) << "address 3; 5 is the final observation";
  EXPECT_EQ(counts.evicted, 2) << "0 is gone, 6 never was";

  WindowBuffer buffer(kSpec, kHorizon, 50);
  table.Sample(1, buffer.Columns());
  for (size_t state = 0; state < buffer.addresses.size(); ++state) {
    const uint64_t id = buffer.addresses[state];
    const float* mean_at = &buffer.plan_mean[state * 2];
    if (id == 3) {
      EXPECT_EQ(mean_at[0], 92);
      EXPECT_EQ(mean_at[1], 93);
      EXPECT_EQ(buffer.plan_std[state * 2 + 1], 83);
    } else if (id < 5) {
      EXPECT_EQ(mean_at[1], RowBuilder::PlanMean(id, 1));
    }
    EXPECT_EQ(buffer.has_plan[state], id != 5);
  }
}

TEST(TableTest, SamplingIsUniformOverValidWindows) {
  Table table = MakeTable(Options(64));
  for (uint64_t episode = 0; episode < 20; ++episode) {
    uint64_t tail = Table::kNoAddress;
    table.Append(RowBuilder(kSpec).AddMany(episode * 10, 6).Final(episode * 10 + 6).View(), 0,
                 &tail);
  }
  const size_t windows = table.windows();
  ASSERT_GT(windows, 30);
  const size_t draws = windows * 1000;
  const uint64_t seed = 20240607;
  const std::map<uint64_t, int> starts = DrawStarts(table, draws, seed);
  ASSERT_EQ(starts.size(), windows);
  double chi2 = 0;
  for (const auto& [address, n] : starts) chi2 += (n - 1000.0) * (n - 1000.0) / 1000.0;
  // Mean df, standard deviation sqrt(2 df): five of them is a chance of below one in a million.
  const double df = static_cast<double>(windows) - 1;
  EXPECT_LT(chi2, df + 5 * std::sqrt(2 * df)) << "seed " << seed;
  EXPECT_GT(chi2, df - 5 * std::sqrt(2 * df)) << "seed " << seed;
}

TEST(TableTest, WindowsTellWhoPlannedThemAndHowOftenTheyWereDrawn) {
  Table table = MakeTable(Options(6));
  uint64_t tail = Table::kNoAddress;
  RowBuilder rows(kSpec);
  rows.AddMany(0, 6);
  for (uint64_t i = 0; i < 6; ++i) rows.versions_[i] = {3, 10 + i};
  table.Append(rows.View(), 0, &tail);
  ASSERT_EQ(table.windows(), 3);
  std::map<uint64_t, uint32_t> drawn;
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    WindowBuffer buffer(kSpec, kHorizon, 5);
    table.Sample(seed, buffer.Columns());
    for (size_t b = 0; b < 5; ++b) {
      const uint64_t start = buffer.addresses[b * (kHorizon + 1)];
      EXPECT_EQ(buffer.versions[b], (ParameterVersion{3, 10 + start}));
      EXPECT_EQ(buffer.draws[b], ++drawn[start]);
    }
  }
  // Whatever takes the slots of evicted rows begins at 1.
  AddRows(&table, 6, 6, &tail);
  WindowBuffer buffer(kSpec, kHorizon, 1);
  table.Sample(1, buffer.Columns());
  EXPECT_GE(buffer.addresses[0], 6u);
  EXPECT_EQ(buffer.draws[0], 1u);
}

TEST(TableTest, SameSeedOnTheSameRowsDrawsTheSameWindows) {
  Table a = MakeTable(Options(50)), b = MakeTable(Options(50));
  uint64_t tail_a = Table::kNoAddress, tail_b = Table::kNoAddress;
  AddRows(&a, 0, 80, &tail_a);
  AddRows(&b, 0, 80, &tail_b);
  EXPECT_EQ(DrawStarts(a, 100, 7), DrawStarts(b, 100, 7));
  EXPECT_NE(DrawStarts(a, 100, 7), DrawStarts(a, 100, 8));
}

TEST(TableDeathTest, RowsOfOtherSizesAndUnknownTailsAreBugs) {
  Table table = MakeTable(Options(100));
  uint64_t tail = Table::kNoAddress;
  constexpr RowSpec kOther{.observation_size = 2, .action_size = 2};
  EXPECT_DEATH(table.Append(RowBuilder(kOther).Add(1).View(), 0, &tail), "observations has 2");
  uint64_t never = 7;
  EXPECT_DEATH(AddRows(&table, 0, 1, &never), "the segment's tail was never stored");
  WindowBuffer buffer(kSpec, kHorizon, 1);
  EXPECT_DEATH(table.Sample(1, buffer.Columns()), "windows\\(\\) > 0u");
}

}  // namespace
}  // namespace pompc::replay
