#include "replay/core/table.h"

#include <cmath>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
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

Table MakeTable(const TableOptions& options) { return Table(options); }

Table MakeTableFrom(const TableOptions& options, const Table& from) { return Table(options, from); }

// Table::Read of rows in memory, which cannot fail.
template <typename Visit>
uint64_t Read(const Table& table, uint64_t address, uint64_t max_rows, Visit visit) {
  return table.Read(address, max_rows, visit).value();
}

// One segment on its way into a table.
struct Writer {
  void Append(Table* table, const RowBuilder& rows) {
    table->Append({id, next_row, rows.View(), 0}, &tail);
    next_row += rows.View().count;
  }
  // Appends `n` rows with ids from `first_id` on.
  void Add(Table* table, uint64_t first_id, uint32_t n) {
    Append(table, RowBuilder(kSpec).AddMany(first_id, n));
  }

  SegmentId id;
  uint64_t next_row = 0;
  uint64_t tail = Table::kNoAddress;
};

// Addresses of the first rows of `draws` sampled windows, with how often each came.
std::map<uint64_t, int> DrawStarts(Table& table, size_t draws, uint64_t seed) {
  WindowBuffer buffer(kSpec, kHorizon, draws);
  EXPECT_TRUE(table.Sample(seed, buffer.Columns()).ok());
  std::map<uint64_t, int> starts;
  for (size_t b = 0; b < draws; ++b) ++starts[buffer.addresses[b * (kHorizon + 1)]];
  return starts;
}

TEST(TableTest, WindowBecomesValidWithTheObservationAfterItsLastRow) {
  Table table = MakeTable(Options(100));
  Writer writer;
  writer.Add(&table, 0, 3);
  EXPECT_EQ(table.windows(), 0);
  writer.Add(&table, 3, 1);
  EXPECT_EQ(table.windows(), 1);
  writer.Add(&table, 4, 2);
  EXPECT_EQ(table.windows(), 3);
}

TEST(TableTest, FinalObservationCompletesTheLastWindowAndCountsAsNoRow) {
  Table table = MakeTable(Options(100));
  Writer writer;
  writer.Append(&table, RowBuilder(kSpec).AddMany(10, 3).Final(13));
  EXPECT_EQ(table.windows(), 1);
  EXPECT_EQ(table.stored_rows(), 3);
  EXPECT_EQ(table.stored_bytes(), 4 * table.slot_bytes() + SegmentRecords::kRecordBytes);

  WindowBuffer buffer(kSpec, kHorizon, 1);
  EXPECT_TRUE(table.Sample(1, buffer.Columns()).ok());
  EXPECT_EQ(buffer.observations[3 * 3 + 1], RowBuilder::Observation(13, 1));
  EXPECT_THAT(buffer.has_plan, ElementsAre(1, 1, 1, 0));
  EXPECT_EQ(buffer.plan_mean[3 * 2], 0);
  EXPECT_EQ(buffer.plan_std[3 * 2], 1);
}

TEST(TableTest, WindowHoldsTheColumnsOfItsRows) {
  Table table = MakeTable(Options(100));
  Writer writer;
  RowBuilder rows(kSpec);
  rows.Add(5).Add(6, /*has_plan=*/false).Add(7).Terminal().Add(8);
  writer.Append(&table, rows);
  WindowBuffer buffer(kSpec, kHorizon, 1);
  EXPECT_TRUE(table.Sample(1, buffer.Columns()).ok());
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
  Writer writer;
  RowBuilder rows(kSpec);
  rows.Add(5).Add(6).Terminal().Final(7);
  writer.Append(&table, rows);
  ASSERT_EQ(table.windows(), 1);
  WindowBuffer buffer(kSpec, kHorizon, 1);
  EXPECT_TRUE(table.Sample(1, buffer.Columns()).ok());
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
  Writer cut_off, timed_out, later;
  cut_off.Add(&table, 0, 2);
  timed_out.Append(&table, RowBuilder(kSpec).AddMany(10, 2).Final(12));
  later.Append(&table, RowBuilder(kSpec).AddMany(20, 1).Terminal());
  EXPECT_EQ(table.windows(), 0);
  later.Append(&table, RowBuilder(kSpec).Final(21));
  EXPECT_EQ(table.windows(), 1);
  // Enough rows: as many windows as ever.
  Writer whole;
  whole.Append(&table, RowBuilder(kSpec).AddMany(30, 4).Terminal().Final(34));
  EXPECT_EQ(table.windows(), 3);
}

TEST(TableTest, ShortWindowLeavesWithItsFirstRow) {
  Table table = MakeTable(Options(4));
  Writer writer, other;
  writer.Append(&table, RowBuilder(kSpec).AddMany(0, 2).Terminal().Final(2));
  other.Add(&table, 10, 1);
  EXPECT_EQ(table.windows(), 1);
  other.Add(&table, 11, 1);
  EXPECT_EQ(table.windows(), 0);
}

TEST(TableTest, WindowsFollowTheirSegmentWhereSegmentsInterleave) {
  Table table = MakeTable(Options(100));
  Writer a, b;
  for (uint64_t i = 0; i < 5; ++i) {
    a.Add(&table, 100 + i, 1);
    b.Add(&table, 200 + i, 1);
  }
  EXPECT_EQ(table.windows(), 4);
  WindowBuffer buffer(kSpec, kHorizon, 64);
  EXPECT_TRUE(table.Sample(3, buffer.Columns()).ok());
  for (size_t w = 0; w < 64; ++w) {
    for (uint32_t t = 1; t <= kHorizon; ++t) {
      EXPECT_EQ(buffer.observations[(w * 4 + t) * 3], buffer.observations[w * 4 * 3] + t);
    }
  }
}

TEST(TableTest, EvictionTakesTheOldestRowsAndTheirWindows) {
  Table table = MakeTable(Options(6));
  Writer writer;
  writer.Add(&table, 0, 6);
  EXPECT_EQ(table.windows(), 3);
  writer.Add(&table, 6, 4);
  EXPECT_EQ(table.stored_rows(), 6);
  EXPECT_EQ(table.windows(), 3);
  const std::map<uint64_t, int> starts = DrawStarts(table, 200, 5);
  EXPECT_EQ(starts.size(), 3);
  EXPECT_EQ(starts.begin()->first, 4);
}

TEST(TableTest, SegmentWhoseNewestRowWasEvictedGoesOnWithoutTheGap) {
  Table table = MakeTable(Options(5));
  Writer slow, fast;
  slow.Add(&table, 0, 2);
  fast.Add(&table, 100, 5);  // evicts both rows of the slow segment
  EXPECT_EQ(table.windows(), 2);
  slow.Add(&table, 2, 3);
  EXPECT_EQ(table.windows(), 0) << "rows 2, 3, 4 are no window without row 5";
  slow.Add(&table, 5, 1);
  EXPECT_EQ(table.windows(), 1);
}

TEST(TableTest, FinalObservationsLeaveWithTheirSegment) {
  Table table = MakeTable(Options(4));
  for (uint64_t episode = 0; episode < 10; ++episode) {
    Writer writer;
    writer.Append(&table, RowBuilder(kSpec).AddMany(episode * 10, 3).Final(episode * 10 + 3));
    EXPECT_EQ(table.stored_rows(), 3);
    EXPECT_EQ(table.windows(), 1);
  }
}

TEST(TableTest, CapacityIsTheSmallerOfRowsAndBytes) {
  TableOptions options = Options(100);
  EXPECT_EQ(MakeTable(options).capacity(), 100);
  options.capacity_bytes = 17 * Table::SlotBytes(kSpec) + SegmentRecords::kRecordBytes + 1;
  Table table = MakeTable(options);
  EXPECT_EQ(table.capacity(), 17);
  Writer writer;
  writer.Add(&table, 0, 50);
  EXPECT_EQ(table.stored_rows(), 17);
  EXPECT_LE(table.stored_bytes(), options.capacity_bytes);
}

TEST(TableTest, RecordsOfSegmentsCountForTheBytes) {
  TableOptions options = Options(1000);
  options.capacity_bytes = 40 * (Table::SlotBytes(kSpec) + SegmentRecords::kRecordBytes);
  Table table = MakeTable(options);
  for (uint64_t episode = 0; episode < 100; ++episode) {
    Writer writer{.id = {.episode = episode}};
    writer.Add(&table, episode, 1);
  }
  EXPECT_EQ(table.stored_rows(), 40) << "each has a record of its own";
  EXPECT_EQ(table.stored_bytes(), options.capacity_bytes);
  Writer writer{.id = {.episode = 100}};
  writer.Add(&table, 100, 100);
  EXPECT_EQ(table.stored_segments(), 1) << "records go with the last row of their segments";
  EXPECT_EQ(table.stored_rows(), table.capacity());
  EXPECT_LE(table.stored_bytes(), options.capacity_bytes);
}

// Collects what Read visits from `address` on, `max_rows` a call.
std::vector<StoredRow> ReadAll(const Table& table, uint64_t address, uint64_t max_rows) {
  std::vector<StoredRow> rows;
  while (address < table.next()) {
    address = Read(table, address, max_rows, [&](const StoredRow& row) {
      rows.push_back(row);
      rows.back().rows = {};
    });
  }
  return rows;
}

TEST(TableTest, ReadVisitsRowsInOrderWithTheirSegments) {
  Table table = MakeTable(Options(6));
  Writer a{.id = {.actor_index = 1, .episode = 4}}, b{.id = {.actor_index = 2}};
  a.Add(&table, 100, 3);
  b.Add(&table, 200, 2);
  a.Append(&table, RowBuilder(kSpec).Add(103, /*has_plan=*/false).Final(104));
  ASSERT_EQ(table.oldest(), 1);
  for (const uint64_t max_rows : {1, 2, 100}) {
    const std::vector<StoredRow> rows = ReadAll(table, 0, max_rows);
    ASSERT_EQ(rows.size(), 6);
    const std::vector<uint64_t> numbers = {1, 2, 0, 1, 3, 4};
    for (size_t i = 0; i < 6; ++i) {
      EXPECT_EQ(rows[i].address, i + 1);
      EXPECT_EQ(rows[i].segment, i == 2 || i == 3 ? b.id : a.id);
      EXPECT_EQ(rows[i].row, numbers[i]);
    }
  }
  std::vector<float> observations;
  EXPECT_EQ(Read(table, 5, 100,
                 [&](const StoredRow& row) {
                   EXPECT_EQ(row.is_final(), row.address == 6);
                   const std::span<const float> observation =
                       row.is_final() ? row.rows.final_observation
                                      : row.rows.Get<float>("observations");
                   observations.insert(observations.end(), observation.begin(), observation.end());
                   if (row.is_final()) return;
                   EXPECT_TRUE(CheckSizes(kSpec, row.rows).ok());
                   EXPECT_EQ(row.rows.Get<float>("rewards")[0], RowBuilder::Reward(103));
                   EXPECT_EQ(row.rows.Get<uint8_t>("has_plan")[0], 0);
                 }),
            7);
  EXPECT_THAT(observations, ElementsAre(103, 103.125f, 103.25f, 104, 104.125f, 104.25f));
  EXPECT_EQ(Read(table, 7, 100, [](const StoredRow&) { FAIL(); }), 7);
}

// What a table that is filled again from a store must do: rows get the addresses that they had, and
// the same windows open, whether the rows before were evicted before or after the rows behind came.
TEST(TableTest, TableThatStartsLaterOpensTheSameWindows) {
  for (const uint64_t capacity : {4, 5, 6, 7, 9, 12}) {
    SCOPED_TRACE(capacity);
    Table table = MakeTable(Options(capacity)), again = MakeTable(Options(capacity));
    Writer writer, short_one{.id = {.episode = 1}}, cut{.id = {.episode = 2}};
    cut.Add(&table, 50, 2);
    writer.Append(&table, RowBuilder(kSpec).AddMany(0, 5).Terminal().Final(5));
    short_one.Append(&table, RowBuilder(kSpec).AddMany(20, 2).Terminal().Final(22));
    cut.Append(&table, RowBuilder(kSpec).Add(52).Terminal().Final(53));
    again.StartAt(table.oldest());
    std::map<uint64_t, uint64_t> tails;
    Read(table, 0, 100, [&](const StoredRow& row) {
      uint64_t& tail = tails.try_emplace(row.segment.episode, Table::kNoAddress).first->second;
      again.Append({row.segment, row.row, row.rows, 0}, &tail);
    });
    EXPECT_EQ(again.next(), table.next());
    EXPECT_EQ(again.stored_rows(), table.stored_rows());
    EXPECT_EQ(again.stored_bytes(), table.stored_bytes());
    ASSERT_EQ(again.windows(), table.windows());
    if (table.windows() == 0) continue;
    const auto starts = [](Table& of) {
      std::set<uint64_t> addresses;
      for (const auto& [address, n] : DrawStarts(of, 200, 3)) addresses.insert(address);
      return addresses;
    };
    EXPECT_EQ(starts(again), starts(table));
  }
}

// Addresses of the first rows of all windows.
std::set<uint64_t> WindowStarts(Table& table) {
  WindowBuffer buffer(kSpec, table.horizon(), 400);
  std::set<uint64_t> starts;
  if (!table.Sample(11, buffer.Columns()).ok()) return starts;
  for (size_t b = 0; b < 400; ++b) starts.insert(buffer.addresses[b * (table.horizon() + 1)]);
  return starts;
}

TEST(TableTest, TableMadeFromAnotherHoldsItsRowsPlansDrawsAndBars) {
  Table table = MakeTable(Options(20));
  Writer a{.id = {.episode = 1}}, b{.id = {.episode = 2}};
  a.Add(&table, 0, 15);
  b.Append(&table, RowBuilder(kSpec).AddMany(100, 5).Terminal().Final(105));
  a.Add(&table, 15, 4);
  const std::vector<uint64_t> changed = {10}, barred = {8, 11};
  const std::vector<float> mean = {0.5f, 0.25f}, std = {1.5f, 1.25f};
  table.UpdatePlans(changed, mean, std);
  EXPECT_EQ(table.Bar(barred), 2u);
  const std::map<uint64_t, int> drawn = DrawStarts(table, 30, 4);

  Table again = MakeTableFrom(Options(30), table);
  EXPECT_EQ(again.oldest(), table.oldest());
  EXPECT_EQ(again.next(), table.next());
  EXPECT_EQ(again.windows(), table.windows());
  EXPECT_EQ(again.barred_windows(), 2u);
  EXPECT_EQ(again.stored_bytes(), table.stored_bytes());
  EXPECT_EQ(WindowStarts(again), WindowStarts(table));
  Table untouched = MakeTableFrom(Options(30), table);
  const std::vector<StoredRow> rows = ReadAll(untouched, 0, 100);
  const std::vector<StoredRow> before = ReadAll(table, 0, 100);
  ASSERT_EQ(rows.size(), before.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(rows[i].address, before[i].address);
    EXPECT_EQ(rows[i].segment, before[i].segment);
    EXPECT_EQ(rows[i].row, before[i].row);
    EXPECT_EQ(rows[i].draws, before[i].draws);
    EXPECT_EQ(rows[i].barred, before[i].barred);
  }
  untouched.Read(10, 1, [&](const StoredRow& row) {
    EXPECT_THAT(row.rows.Get<float>("plan_mean"), ElementsAre(0.5f, 0.25f));
    EXPECT_THAT(row.rows.Get<float>("plan_std"), ElementsAre(1.5f, 1.25f));
    EXPECT_THAT(row.rows.Get<float>("rewards"), ElementsAre(RowBuilder::Reward(10)));
  });
  // It continues like the other one.
  a.Add(&again, 19, 3);
  EXPECT_EQ(again.stored_rows(), table.stored_rows() + 3);
}

TEST(TableTest, TableMadeFromAnotherHasItsOwnCapacityAndHorizon) {
  Table table = MakeTable(Options(50));
  for (uint64_t episode = 0; episode < 5; ++episode) {
    Writer writer{.id = {.episode = episode}};
    writer.Append(&table,
                  RowBuilder(kSpec).AddMany(episode * 10, 8).Terminal().Final(episode * 10 + 8));
  }
  Table smaller = MakeTableFrom(Options(12), table);
  EXPECT_EQ(smaller.oldest(), 33u);
  EXPECT_EQ(smaller.next(), 45u);
  // The windows of a table whose rows have come one after the other.
  Table fresh = MakeTable(Options(12));
  fresh.StartAt(33);
  std::map<uint64_t, uint64_t> tails;
  Read(table, 33, 100, [&](const StoredRow& row) {
    uint64_t& tail = tails.try_emplace(row.segment.episode, Table::kNoAddress).first->second;
    fresh.Append({row.segment, row.row, row.rows, 0}, &tail);
  });
  EXPECT_EQ(WindowStarts(smaller), WindowStarts(fresh));
  TableOptions longer = Options(50);
  longer.horizon = 10;
  Table by_ten = MakeTableFrom(longer, table);
  EXPECT_EQ(by_ten.windows(), 5u) << "each segment is one window now";
  EXPECT_EQ(WindowStarts(by_ten), (std::set<uint64_t>{0, 9, 18, 27, 36}));
  TableOptions shorter = Options(50);
  shorter.horizon = 1;
  EXPECT_EQ(MakeTableFrom(shorter, by_ten).windows(), 40u);
}

TEST(TableTest, RestOfASegmentWhoseBeginningIsGoneMakesNoShortWindow) {
  Table table = MakeTable(Options(4));
  Writer slow, other;
  slow.Add(&table, 0, 1);
  other.Add(&table, 10, 4);  // evicts the row of the slow segment
  ASSERT_EQ(table.windows(), 1);
  slow.Append(&table, RowBuilder(kSpec).Add(1).Terminal().Final(2));
  EXPECT_EQ(table.windows(), 0);
}

TEST(TableTest, AddressesAndRowNumbersBeyond32BitsAreKept) {
  constexpr uint64_t kMany = uint64_t{1} << 40;
  Table table = MakeTable(Options(20));
  table.StartAt(kMany);
  // Its rows before were evicted long ago.
  Writer old{.next_row = kMany, .tail = 7};
  old.Add(&table, 0, 4);
  EXPECT_EQ(table.oldest(), kMany);
  EXPECT_EQ(table.windows(), 1);
  EXPECT_EQ(DrawStarts(table, 1, 1).begin()->first, kMany);
  // Slots hold 32 bits of a row's number.
  Writer endless{.id = {.episode = 1}, .next_row = (uint64_t{1} << 32) - 2};
  for (uint64_t i = 0; i < 5; ++i) endless.Add(&table, i, 1);
  EXPECT_EQ(table.windows(), 3);
  const std::vector<StoredRow> rows = ReadAll(table, 0, 100);
  ASSERT_EQ(rows.size(), 9);
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(rows[i].row, kMany + i);
  for (size_t i = 4; i < 9; ++i) EXPECT_EQ(rows[i].row, (uint64_t{1} << 32) + i - 6);
}

TEST(TableTest, HugeCapacityCostsNothingUntilUsed) {
  TableOptions options = Options(uint64_t{1} << 40);
  options.capacity_bytes = uint64_t{1} << 50;
  Table table = MakeTable(options);
  EXPECT_EQ(table.capacity(), Table::kMaxSlots);
  Writer writer;
  writer.Add(&table, 0, 10);
  EXPECT_EQ(table.windows(), 7);
}

TEST(TableTest, OptionsThatHoldNoWindowAreRefused) {
  EXPECT_TRUE(Options(4).Validate().ok());
  const absl::Status rows = Options(3).Validate();
  EXPECT_EQ(rows.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(rows.message(), HasSubstr("one window needs 4"));
  TableOptions bytes = Options(100);
  bytes.capacity_bytes = Table::SlotBytes(kSpec) * 4 + SegmentRecords::kRecordBytes - 1;
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
  Writer writer;
  RowBuilder rows(kSpec);
  rows.AddMany(0, 2).Add(2).Add(3, /*has_plan=*/false).Add(4).Final(5);
  writer.Append(&table, rows);  // evicts row 0; addresses 1..5 are stored
  const std::vector<uint64_t> addresses = {0, 3, 5, 6};
  const std::vector<float> mean = {90, 91, 92, 93, 94, 95, 96, 97};
  const std::vector<float> std = {80, 81, 82, 83, 84, 85, 86, 87};
  const Table::UpdateCounts counts = table.UpdatePlans(addresses, mean, std);
  EXPECT_EQ(counts.updated, 1) << "address 3; 5 is the final observation";
  EXPECT_EQ(counts.evicted, 2) << "0 is gone, 6 never was";

  WindowBuffer buffer(kSpec, kHorizon, 50);
  EXPECT_TRUE(table.Sample(1, buffer.Columns()).ok());
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
    Writer writer;
    writer.Append(&table, RowBuilder(kSpec).AddMany(episode * 10, 6).Final(episode * 10 + 6));
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
  Writer writer;
  RowBuilder rows(kSpec);
  rows.AddMany(0, 6);
  for (uint64_t i = 0; i < 6; ++i) rows.versions_[i] = {3, 10 + i};
  writer.Append(&table, rows);
  ASSERT_EQ(table.windows(), 3);
  std::map<uint64_t, uint32_t> drawn;
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    WindowBuffer buffer(kSpec, kHorizon, 5);
    EXPECT_TRUE(table.Sample(seed, buffer.Columns()).ok());
    for (size_t b = 0; b < 5; ++b) {
      const uint64_t start = buffer.addresses[b * (kHorizon + 1)];
      EXPECT_EQ(buffer.versions[b], (ParameterVersion{3, 10 + start}));
      EXPECT_EQ(buffer.draws[b], ++drawn[start]);
    }
  }
  // Whatever takes the slots of evicted rows begins at 1.
  writer.Add(&table, 6, 6);
  WindowBuffer buffer(kSpec, kHorizon, 1);
  EXPECT_TRUE(table.Sample(1, buffer.Columns()).ok());
  EXPECT_GE(buffer.addresses[0], 6u);
  EXPECT_EQ(buffer.draws[0], 1u);
}

TEST(TableTest, SameSeedOnTheSameRowsDrawsTheSameWindows) {
  Table a = MakeTable(Options(50)), b = MakeTable(Options(50));
  Writer writer_a, writer_b;
  writer_a.Add(&a, 0, 80);
  writer_b.Add(&b, 0, 80);
  EXPECT_EQ(DrawStarts(a, 100, 7), DrawStarts(b, 100, 7));
  EXPECT_NE(DrawStarts(a, 100, 7), DrawStarts(a, 100, 8));
}

TEST(TableDeathTest, RowsOfOtherSizesAndUnknownTailsAreBugs) {
  Table table = MakeTable(Options(100));
  Writer writer;
  constexpr RowSpec kOther{.observation_size = 2, .action_size = 2};
  EXPECT_DEATH(writer.Append(&table, RowBuilder(kOther).Add(1)), "observations");
  Writer never{.tail = 7};
  EXPECT_DEATH(never.Add(&table, 0, 1), "the segment's tail was never stored");
  WindowBuffer buffer(kSpec, kHorizon + 1, 1);
  EXPECT_DEATH(table.Sample(1, buffer.Columns()).IgnoreError(), "other sizes");
  writer.Add(&table, 0, 1);
  EXPECT_DEATH(table.StartAt(5), "rows were appended");
}

}  // namespace
}  // namespace pompc::replay
