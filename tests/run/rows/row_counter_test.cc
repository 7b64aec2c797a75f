#include "run/rows/row_counter.h"

#include "gtest/gtest.h"

namespace pompc::run {
namespace {

TEST(RowCounterTest, SumsOverShards) {
  RowCounter counter;
  counter.Observe(11, 100);
  counter.Observe(22, 50);
  counter.Observe(11, 130);
  EXPECT_EQ(counter.total(), 180u);
}

TEST(RowCounterTest, KeepsRowsOfAMemoryThatWasLost) {
  RowCounter counter;
  counter.Observe(11, 100);
  counter.Observe(12, 30);
  EXPECT_EQ(counter.total(), 130u);
}

TEST(RowCounterTest, AnOvertakenReplyChangesNothing) {
  RowCounter counter;
  counter.Observe(11, 100);
  counter.Observe(11, 90);
  EXPECT_EQ(counter.total(), 100u);
}

TEST(RowCounterTest, RestoredCounterGoesOnWithTheSameMemories) {
  RowCounter before;
  before.Observe(11, 100);
  before.Observe(22, 40);
  RowCounter after;
  after.Restore(before.Save());
  EXPECT_EQ(after.total(), 140u);
  // Shard 11 lived on and took 60 more; 22 restarted.
  after.Observe(11, 160);
  after.Observe(23, 5);
  EXPECT_EQ(after.total(), 205u);
}

TEST(RowCounterTest, ManyRestartsAreSummedUpInBoundedSpace) {
  RowCounter counter(4);
  for (uint64_t i = 0; i < 100; ++i) counter.Observe(i, 10);
  EXPECT_EQ(counter.total(), 1000u);
  EXPECT_EQ(counter.Save().incarnations.size(), 4u);
  EXPECT_EQ(counter.Save().past_rows, 960u);
}

TEST(RowCounterTest, ARunThatGoesOnWithFewerShardsKeepsItsRows) {
  RowCounter before(4);
  for (uint64_t i = 0; i < 4; ++i) before.Observe(i, 10);
  RowCounter after(2);
  after.Restore(before.Save());
  EXPECT_EQ(after.total(), 40u);
  EXPECT_EQ(after.Save().past_rows, 20u);
  EXPECT_EQ(after.Save().incarnations.size(), 2u);
  after.Observe(3, 15);
  EXPECT_EQ(after.total(), 45u);
}

}  // namespace
}  // namespace pompc::run
