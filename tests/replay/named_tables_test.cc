#include "replay/core/named_tables.h"

#include <map>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "replay/core/random.h"
#include "tests/replay/chi_square.h"

namespace pompc::replay {
namespace {

using Key = Selector::Key;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

NamedTableOptions Of(const std::string& name, const std::string& selector, uint32_t limit = 0) {
  return {.name = name, .selector = {.name = selector, .alpha = 1}, .max_times_sampled = limit};
}

std::vector<Key> DrawFrom(NamedTables& tables, size_t table, uint64_t seed, size_t count) {
  std::vector<Draw> draws(count);
  tables.Sample(table, seed, draws);
  std::vector<Key> keys;
  for (const Draw& draw : draws) keys.push_back(draw.key);
  return keys;
}

TEST(NamedTablesTest, TablesThatCannotBeAreRefused) {
  EXPECT_THAT(CheckNamedTables({}).message(), HasSubstr("at least one"));
  EXPECT_THAT(CheckNamedTables({Of("", "FIFO")}).message(), HasSubstr("no name"));
  EXPECT_THAT(CheckNamedTables({Of("a", "FIFO"), Of("a", "LIFO")}).message(),
              HasSubstr("two tables are called \"a\""));
  EXPECT_THAT(CheckNamedTables({Of("a", "BEST")}).message(),
              HasSubstr("\"BEST\" does not exist; allowed: UNIFORM"));
}

TEST(NamedTablesTest, AnUnknownNameListsTheTables) {
  const NamedTables tables({Of("all", "UNIFORM"), Of("hard", "PRIORITIZED")});
  EXPECT_EQ(*tables.Find(""), 0);
  EXPECT_EQ(*tables.Find("hard"), 1);
  const absl::Status unknown = tables.Find("har").status();
  EXPECT_TRUE(absl::IsInvalidArgument(unknown));
  EXPECT_THAT(unknown.message(), HasSubstr("table \"har\" does not exist; allowed: all, hard"));
}

TEST(NamedTablesTest, AWindowLeavesAQueueAfterSoManyDraws) {
  NamedTables tables({Of("queue", "FIFO", 2), Of("stack", "LIFO", 1)});
  for (const Key key : {7, 8, 9}) tables.Insert(key);
  EXPECT_THAT(DrawFrom(tables, 0, 1, 3), ElementsAre(7, 7, 8));
  // Of window 8 one draw is left, wherever the request begins.
  EXPECT_THAT(DrawFrom(tables, 0, 1, 2), ElementsAre(8, 9));
  EXPECT_EQ(tables.counts(0).windows, 1);
  EXPECT_EQ(tables.counts(0).draws_left, 1);
  EXPECT_EQ(tables.counts(0).mass, 1);
  EXPECT_EQ(tables.counts(0).sampled_windows, 5);
  EXPECT_THAT(DrawFrom(tables, 1, 1, 3), ElementsAre(9, 8, 7));
  EXPECT_EQ(tables.counts(1).windows, 0);
  EXPECT_EQ(tables.windows(), 3);
}

TEST(NamedTablesTest, ARequestBeyondTheLimitDrawsNothing) {
  NamedTables tables({Of("queue", "FIFO", 2)});
  EXPECT_THAT(tables.CheckDraws(0, 1).message(), HasSubstr("no window is in table \"queue\""));
  tables.Insert(4);
  tables.Insert(6);
  const absl::Status refused = tables.CheckDraws(0, 5);
  EXPECT_TRUE(absl::IsFailedPrecondition(refused));
  EXPECT_THAT(refused.message(), HasSubstr("can be drawn 4 times"));
  EXPECT_THAT(DrawFrom(tables, 0, 1, 4), ElementsAre(4, 4, 6, 6));
  EXPECT_FALSE(tables.CheckDraws(0, 1).ok());
  // A key that comes again is another window.
  tables.Remove(4);
  tables.Insert(4);
  EXPECT_THAT(DrawFrom(tables, 0, 1, 2), ElementsAre(4, 4));
  tables.Remove(6);
  tables.Remove(4);
  EXPECT_EQ(tables.windows(), 0);
}

// Every window of a limited table is drawn exactly as often as allowed, in random order.
TEST(NamedTablesTest, LimitedTablesDrawEveryWindowExactlySoOften) {
  for (const std::string& selector : SelectorNames()) {
    NamedTables tables({Of("limited", selector, 3)});
    std::map<Key, int> drawn;
    Random random(3);
    uint64_t seed = 0;
    for (Key key = 0; key < 200; ++key) {
      tables.Insert(key);
      const size_t count = random.Below(4);
      if (!tables.CheckDraws(0, count).ok()) continue;
      for (const Key each : DrawFrom(tables, 0, ++seed, count)) ++drawn[each];
    }
    while (tables.counts(0).windows > 0) {
      for (const Key each : DrawFrom(tables, 0, ++seed, 1)) ++drawn[each];
    }
    ASSERT_EQ(drawn.size(), 200) << selector;
    for (const auto& [key, times] : drawn) EXPECT_EQ(times, 3) << selector << ", key " << key;
  }
}

// One draw at a time leaves what the limit leaves: the first draw is as in a table without limit.
TEST(NamedTablesTest, TheFirstDrawOfALimitedTableIsByPriority) {
  ChiSquare<Key> test({{0, 0.1}, {1, 0.3}, {2, 0.6}});
  for (uint64_t seed = 0; seed < 3000; ++seed) {
    NamedTables tables({Of("limited", "PRIORITIZED", 1)});
    for (Key key = 0; key < 3; ++key) tables.Insert(key);
    tables.SetPriority(0, 0, 1);
    tables.SetPriority(0, 1, 3);
    tables.SetPriority(0, 2, 6);
    test.Add(DrawFrom(tables, 0, seed, 2)[0]);
  }
  EXPECT_TRUE(test.Passes());
}

TEST(NamedTablesTest, TablesAreIndependentOfEachOther) {
  NamedTables tables({Of("a", "UNIFORM"), Of("b", "PRIORITIZED"), Of("c", "FIFO", 1)});
  NamedTables alone({Of("a", "UNIFORM")});
  for (Key key = 0; key < 50; ++key) {
    tables.Insert(key);
    alone.Insert(key);
  }
  EXPECT_TRUE(tables.SetPriority(1, 3, 500));
  for (int i = 0; i < 20; ++i) DrawFrom(tables, 2, i, 2);
  EXPECT_EQ(tables.counts(0).windows, 50);
  EXPECT_EQ(tables.counts(1).windows, 50);
  EXPECT_EQ(tables.counts(2).windows, 10);
  EXPECT_EQ(tables.counts(0).mass, 50);
  for (Key key = 0; key < 45; ++key) {
    tables.Remove(key);
    alone.Remove(key);
  }
  EXPECT_EQ(tables.counts(2).windows, 5);
  EXPECT_EQ(DrawFrom(tables, 0, 9, 100), DrawFrom(alone, 0, 9, 100));
}

TEST(NamedTablesTest, DrawsTellTheirProbability) {
  NamedTables tables({Of("hard", "PRIORITIZED"), Of("queue", "FIFO", 1), Of("all", "UNIFORM")});
  for (Key key = 0; key < 4; ++key) tables.Insert(key);
  tables.SetPriority(0, 2, 5);
  std::vector<Draw> draws(40);
  tables.Sample(0, 1, draws);
  for (const Draw& draw : draws) {
    EXPECT_FLOAT_EQ(draw.probability, draw.key == 2 ? 5 / 8.0f : 1 / 8.0f);
  }
  tables.Sample(2, 1, draws);
  for (const Draw& draw : draws) EXPECT_FLOAT_EQ(draw.probability, 0.25f);
  draws.resize(4);
  tables.Sample(1, 1, draws);
  for (const Draw& draw : draws) EXPECT_FLOAT_EQ(draw.probability, 1);
}

TEST(NamedTablesTest, AWindowThatHasLeftTakesNoPriority) {
  NamedTables tables({Of("hard", "PRIORITIZED", 1)});
  tables.Insert(0);
  EXPECT_TRUE(tables.SetPriority(0, 0, 2));
  EXPECT_THAT(DrawFrom(tables, 0, 1, 1), ElementsAre(0));
  EXPECT_FALSE(tables.SetPriority(0, 0, 2));
}

TEST(NamedTablesTest, BytesAreThoseOfAllSelectors) {
  const size_t uniform = NamedTables::BytesPerKey({Of("a", "UNIFORM")});
  const size_t queue = NamedTables::BytesPerKey({Of("a", "FIFO", 1)});
  EXPECT_EQ(uniform, 8);
  EXPECT_EQ(NamedTables::BytesPerKey({Of("a", "UNIFORM"), Of("b", "FIFO", 1)}), uniform + queue);
}

}  // namespace
}  // namespace pompc::replay
