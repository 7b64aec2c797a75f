// The named tables of one shard: what is drawn from each, and priorities that come back.
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/base/threads.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "replay/core/shard.h"
#include "tests/replay/row_builder.h"

namespace pompc::replay {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr RowSpec kSpec{.observation_size = 3, .action_size = 2};
constexpr uint32_t kHorizon = 3;
const Opening kOpening{77};

NamedTableOptions Of(const std::string& name, const std::string& selector, uint32_t limit = 0) {
  return {.name = name, .selector = {.name = selector, .alpha = 1}, .max_times_sampled = limit};
}

class ShardTablesTest : public ::testing::Test {
 protected:
  void Open(std::vector<NamedTableOptions> tables, uint64_t capacity_rows = 1000) {
    config_ = {.run_id = "run-a",
               .table = {kSpec, kHorizon, capacity_rows, uint64_t{1} << 30, std::move(tables)}};
    ASSERT_TRUE(shard_.Configure(config_).ok());
    ASSERT_TRUE(shard_.Grant({1000, "", false}).ok());
  }
  // A segment of so many windows. Rows have the addresses 0, 1, 2, ... over all calls.
  void Add(uint32_t windows) {
    const RowBuilder rows = RowBuilder(kSpec).AddMany(0, windows + kHorizon);
    ASSERT_EQ(
        shard_.Append({.incarnation = 1, .episode = ++segments_}, 0, rows.View(), nullptr).kind,
        AppendOutcome::Kind::kAcked);
  }
  // Addresses of the first rows of the windows drawn.
  std::vector<uint64_t> Draw(size_t count, const std::string& table, uint64_t seed = 1) {
    buffer_ = std::make_unique<WindowBuffer>(kSpec, kHorizon, count);
    const absl::Status status = shard_.Sample(seed, buffer_->Columns(), table);
    EXPECT_TRUE(status.ok()) << status;
    std::vector<uint64_t> starts;
    for (size_t b = 0; b < count; ++b) starts.push_back(buffer_->addresses[b * (kHorizon + 1)]);
    return starts;
  }
  absl::Status TryDraw(size_t count, const std::string& table) {
    WindowBuffer buffer(kSpec, kHorizon, count);
    return shard_.Sample(1, buffer.Columns(), table);
  }
  NamedTableCounts Counts(size_t table) const { return shard_.counts().tables[table]; }

  FakeClock clock_;
  Shard shard_{kOpening.incarnation, &clock_, std::make_unique<MemoryStore>()};
  ShardConfig config_;
  uint64_t segments_ = 0;
  std::unique_ptr<WindowBuffer> buffer_;
};

TEST_F(ShardTablesTest, TheDefaultIsOneUniformTable) {
  Open({NamedTableOptions()});
  Add(7);
  EXPECT_THAT(shard_.counts().tables, SizeIs(1));
  EXPECT_EQ(Counts(0).name, "default");
  EXPECT_EQ(Draw(50, ""), Draw(50, "default"));
  EXPECT_THAT(buffer_->probabilities, Each(1 / 7.0f));
}

TEST_F(ShardTablesTest, EachTableDrawsTheSameWindowsInItsOwnWay) {
  Open({Of("all", "UNIFORM"), Of("queue", "FIFO"), Of("newest", "LIFO", 2)});
  Add(4);
  EXPECT_THAT(Draw(3, "queue"), Each(0));
  EXPECT_THAT(Draw(3, "newest"), ElementsAre(3, 3, 2));
  EXPECT_THAT(Draw(2, "newest"), ElementsAre(2, 1));
  // A window that becomes valid later is newer than all.
  Add(1);
  EXPECT_THAT(Draw(3, "newest"), ElementsAre(7, 7, 1));
  const std::vector<uint64_t> all = Draw(200, "");
  EXPECT_THAT(std::set<uint64_t>(all.begin(), all.end()), ElementsAre(0, 1, 2, 3, 7));
  EXPECT_EQ(shard_.counts().windows, 5);
  EXPECT_EQ(Counts(0).windows, 5);
  EXPECT_EQ(Counts(1).windows, 5);
  EXPECT_EQ(Counts(2).windows, 1);
  EXPECT_EQ(Counts(0).sampled_windows, 200);
  EXPECT_EQ(Counts(1).sampled_windows, 3);
  EXPECT_EQ(shard_.counts().sampled_windows, 211);
}

TEST_F(ShardTablesTest, RowsAreStoredOnceWhateverTheTables) {
  const uint64_t one = Table::SlotBytes(kSpec, {Of("a", "UNIFORM")});
  const uint64_t three =
      Table::SlotBytes(kSpec, {Of("a", "UNIFORM"), Of("b", "PRIORITIZED"), Of("c", "FIFO", 1)});
  // What selectors keep: 5 bytes for priorities, 8 for the order, 4 for the number of draws.
  EXPECT_EQ(three - one, 5 + 8 + 4);
}

TEST_F(ShardTablesTest, AnUnknownTableIsAnErrorThatListsTheTables) {
  Open({Of("all", "UNIFORM"), Of("hard", "PRIORITIZED")});
  Add(4);
  EXPECT_TRUE(absl::IsInvalidArgument(TryDraw(1, "easy")));
  EXPECT_THAT(std::string(TryDraw(1, "easy").message()), HasSubstr("allowed: all, hard"));
  EXPECT_THAT(std::string(shard_.UpdatePriorities(kOpening, "easy", {}, {}).status().message()),
              HasSubstr("allowed: all, hard"));
}

TEST_F(ShardTablesTest, WithoutEnoughDrawsNothingIsDrawn) {
  Open({Of("queue", "FIFO", 2)});
  EXPECT_THAT(std::string(TryDraw(1, "").message()), HasSubstr("no window of 3 rows yet"));
  Add(2);
  EXPECT_TRUE(absl::IsFailedPrecondition(TryDraw(5, "")));
  EXPECT_THAT(Draw(4, ""), ElementsAre(0, 0, 1, 1));
  EXPECT_THAT(std::string(TryDraw(1, "").message()), HasSubstr("no window is in table \"queue\""));
}

TEST_F(ShardTablesTest, PrioritiesDecideWhatIsDrawn) {
  Open({Of("all", "UNIFORM"), Of("hard", "PRIORITIZED")});
  Add(4);
  const auto counts = shard_.UpdatePriorities(kOpening, "hard", std::vector<uint64_t>{0, 1, 2},
                                              std::vector<float>{0, 0, 6});
  ASSERT_TRUE(counts.ok()) << counts.status();
  EXPECT_EQ(counts->updated, 3);
  // Window 3 still has the first priority, 1; those of 0 are drawn once in a hundred thousand.
  for (const uint64_t start : Draw(100, "hard")) EXPECT_GE(start, 2);
  for (size_t b = 0; b < 100; ++b) {
    EXPECT_NEAR(buffer_->probabilities[b],
                buffer_->addresses[b * (kHorizon + 1)] == 2 ? 6 / 7.0 : 1 / 7.0, 1e-4);
  }
  const std::vector<uint64_t> all = Draw(100, "all");
  EXPECT_THAT(std::set<uint64_t>(all.begin(), all.end()), ElementsAre(0, 1, 2, 3));
}

TEST_F(ShardTablesTest, PrioritiesOfWindowsThatAreGoneAreCounted) {
  Open({Of("hard", "PRIORITIZED"), Of("once", "PRIORITIZED", 1)}, /*capacity_rows=*/10);
  Add(7);
  ASSERT_TRUE(shard_.BarWindows(kOpening, std::vector<uint64_t>{4}).ok());
  // Evicts the first row.
  Add(0);
  const std::vector<uint64_t> addresses = {0, 4, 5, 9, 99};
  const std::vector<float> priorities = {1, 1, 1, 1, 1};
  const auto counts = shard_.UpdatePriorities(kOpening, "", addresses, priorities);
  ASSERT_TRUE(counts.ok()) << counts.status();
  // Evicted, barred, set, a row without a window, never stored.
  EXPECT_EQ(counts->updated, 1);
  EXPECT_EQ(counts->gone, 4);
  EXPECT_EQ(shard_.UpdatePriorities(Opening{78}, "", addresses, priorities)->gone, 5);
  Draw(3, "once");
  EXPECT_EQ(Counts(1).windows, 0);
  EXPECT_EQ(shard_.UpdatePriorities(kOpening, "once", addresses, priorities)->gone, 5);
}

TEST_F(ShardTablesTest, BadPrioritiesAreRefusedAndNothingIsSet) {
  Open({Of("hard", "PRIORITIZED"), Of("all", "UNIFORM")});
  Add(4);
  const std::vector<uint64_t> addresses = {0, 1};
  for (const float bad :
       {-1.0f, std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    const absl::Status status =
        shard_.UpdatePriorities(kOpening, "hard", addresses, std::vector<float>{9, bad}).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << bad;
    EXPECT_THAT(std::string(status.message()), HasSubstr("priority 1 is"));
  }
  EXPECT_TRUE(absl::IsInvalidArgument(
      shard_.UpdatePriorities(kOpening, "hard", addresses, std::vector<float>{1}).status()));
  const std::vector<uint64_t> many(kMaxWindows + 1);
  EXPECT_TRUE(absl::IsInvalidArgument(
      shard_.UpdatePriorities(kOpening, "hard", many, std::vector<float>(many.size())).status()));
  EXPECT_EQ(Counts(0).mass, 4 * 65536);
  const absl::Status uniform =
      shard_.UpdatePriorities(kOpening, "all", addresses, std::vector<float>{1, 1}).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(uniform));
  EXPECT_THAT(std::string(uniform.message()), HasSubstr("draws UNIFORM, without priorities"));
}

TEST_F(ShardTablesTest, OtherTablesOfAResumedRunDrawTheRowsThatAreHere) {
  Open({Of("all", "UNIFORM"), Of("hard", "PRIORITIZED")});
  Add(4);
  ASSERT_TRUE(
      shard_.UpdatePriorities(kOpening, "hard", std::vector<uint64_t>{0}, std::vector<float>{6})
          .ok());
  // The same settings change nothing.
  ASSERT_TRUE(shard_.Configure(config_).ok());
  EXPECT_EQ(Counts(1).mass, 9 * 65536);
  config_.table.tables = {Of("hard", "PRIORITIZED"), Of("queue", "FIFO", 1)};
  ASSERT_TRUE(shard_.Configure(config_).ok());
  EXPECT_EQ(shard_.counts().windows, 4);
  // Priorities begin anew.
  EXPECT_EQ(Counts(0).mass, 4 * 65536);
  EXPECT_THAT(Draw(4, "queue"), ElementsAre(0, 1, 2, 3));
  config_.table.tables = {Of("a", "UNIFORM"), Of("a", "FIFO")};
  const absl::Status refused = shard_.Configure(config_);
  EXPECT_TRUE(absl::IsInvalidArgument(refused));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("two tables are called"));
  EXPECT_EQ(Counts(0).name, "hard");
}

TEST_F(ShardTablesTest, EvictionTakesWindowsOutOfAllTables) {
  Open({Of("queue", "FIFO"), Of("hard", "PRIORITIZED"), Of("once", "LIFO", 1)},
       /*capacity_rows=*/10);
  Add(7);
  Draw(2, "once");
  for (int i = 0; i < 5; ++i) Add(3);
  const uint64_t windows = shard_.counts().windows;
  EXPECT_EQ(Counts(0).windows, windows);
  EXPECT_EQ(Counts(1).windows, windows);
  EXPECT_EQ(Counts(1).mass, windows * 65536);
  EXPECT_EQ(Counts(2).windows, windows);
  EXPECT_EQ(Counts(2).draws_left, windows);
}

}  // namespace
}  // namespace pompc::replay
