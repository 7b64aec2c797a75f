#include "learner/feed/priority_writer.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/learner/feed/shards_testing.h"
#include "tests/support/metrics_text.h"

namespace pompc::learner {
namespace {

using ::testing::ElementsAre;

TEST(PendingPrioritiesTest, TheNewestPriorityOfAWindowStands) {
  PendingPriorities pending(10);
  EXPECT_EQ(pending.Add({0, replay::Opening{7}, {4, 5}, {1, 2}}), 0);
  EXPECT_EQ(pending.Add({0, replay::Opening{7}, {5, 6, 6}, {3, 4, 5}}), 0);
  EXPECT_EQ(pending.size(), 3);
  const auto taken = pending.Take(100);
  ASSERT_TRUE(taken.has_value());
  EXPECT_EQ(taken->shard, 0);
  EXPECT_EQ(taken->opening, replay::Opening{7});
  EXPECT_THAT(taken->addresses, ElementsAre(4, 5, 6));
  EXPECT_THAT(taken->priorities, ElementsAre(1, 3, 5));
  EXPECT_FALSE(pending.Take(100).has_value());
  EXPECT_EQ(pending.size(), 0);
}

TEST(PendingPrioritiesTest, WhatDoesNotFitIsDroppedAndCounted) {
  PendingPriorities pending(3);
  EXPECT_EQ(pending.Add({0, replay::Opening{7}, {1, 2}, {1, 1}}), 0);
  EXPECT_EQ(pending.Add({1, replay::Opening{8}, {1, 2, 3}, {1, 1, 1}}), 2);
  // A window that waits takes no more room.
  EXPECT_EQ(pending.Add({0, replay::Opening{7}, {2}, {9}}), 0);
  EXPECT_EQ(pending.size(), 3);
}

TEST(PendingPrioritiesTest, ShardsTakeTurnsAndMemoriesAreToldApart) {
  PendingPriorities pending(100);
  pending.Add({0, replay::Opening{7}, {1, 2, 3}, {1, 1, 1}});
  pending.Add({1, replay::Opening{8}, {1}, {1}});
  pending.Add({0, replay::Opening{9}, {1}, {2}});
  std::vector<std::pair<uint32_t, uint64_t>> order;
  size_t windows = 0;
  while (const auto taken = pending.Take(2)) {
    order.emplace_back(taken->shard, taken->opening.incarnation);
    windows += taken->addresses.size();
  }
  using Target = std::pair<uint32_t, uint64_t>;
  EXPECT_THAT(order, ElementsAre(Target{0, 7}, Target{0, 9}, Target{1, 8}, Target{0, 7}));
  EXPECT_EQ(windows, 5);
}

proto::RunConfig Prioritized() {
  proto::RunConfig config = SmallConfig();
  proto::TableConfig* table = config.mutable_replay()->add_tables();
  table->set_name("hard");
  table->set_selector(proto::TableConfig::PRIORITIZED);
  table->set_alpha(1);
  return config;
}

TEST(PriorityWriterTest, CountsWhatBecameOfThePriorities) {
  FilledShards shards(Prioritized(), 2);
  shards.Fill(0, 4);
  shards.Fill(1, 4);
  PriorityWriter writer(&shards.clients());
  // Window 99 was never there, and the last ones are of another memory.
  writer.WriteAndWait({{0, replay::Opening{shards.incarnation(0)}, {0, 1, 99}, {2, 3, 4}},
                       {1, replay::Opening{4711}, {0, 1}, {2, 2}}});
  EXPECT_EQ(writer.stats().written, 2);
  EXPECT_EQ(writer.stats().gone, 3);
  EXPECT_EQ(writer.stats().lost, 0);
  // The other two came before a priority was set.
  EXPECT_EQ(shards.Info(0).tables(0).mass(), (2 + 3 + 1 + 1) * 65536);
  EXPECT_EQ(shards.Info(1).tables(0).mass(), 4 * 65536);
  writer.Write({{1, replay::Opening{shards.incarnation(1)}, {2}, {7}}});
  AwaitThat([&] { return writer.stats().written == 3; });
  EXPECT_EQ(shards.Info(1).tables(0).mass(), 10 * 65536);
}

TEST(PriorityWriterTest, WhatAShardDoesNotTakeIsLost) {
  FilledShards shards(Prioritized(), 1);
  shards.Fill(0, 4);
  PriorityWriter writer(&shards.clients());
  shards.clients().Close();
  writer.Write({{0, replay::Opening{shards.incarnation(0)}, {0, 1}, {2, 3}}});
  AwaitThat([&] { return writer.stats().lost == 2; });
  writer.Close();
  writer.Write({{0, replay::Opening{shards.incarnation(0)}, {0, 1}, {2, 3}}});
  EXPECT_EQ(writer.stats().lost, 2);
}

using LearnersTableTest = LearnerFixture;

TEST_F(LearnersTableTest, BatchesComeFromTheLearnersTableAndPrioritiesGoBackToIt) {
  for (const char* name : {"all", "hard"}) config_.mutable_replay()->add_tables()->set_name(name);
  config_.mutable_replay()->mutable_tables(1)->set_selector(proto::TableConfig::PRIORITIZED);
  config_.mutable_learner()->set_table("hard");
  StartShards(2);
  StartLearner();
  FinishSeedPhase();
  // Of each shard one window of each batch gets a priority of 50, where new ones had 1.
  AwaitThat([&] {
    uint64_t highest = 0;
    for (const auto& shard : shards_) {
      const replay::ShardCounts counts = shard->shard().counts();
      EXPECT_EQ(counts.tables[0].sampled_windows, 0);
      EXPECT_EQ(counts.tables[1].sampled_windows, counts.sampled_windows);
      EXPECT_EQ(counts.tables[0].mass, counts.windows);
      if (counts.windows > 0) highest = std::max(highest, counts.tables[1].mass / counts.windows);
    }
    return highest > 65536;
  });
  AwaitThat([&] {
    return WithoutRun(metrics_->ToText())
               .find("pompc_learner_priorities_total{result=\"written\"} 0") == std::string::npos;
  });
}

}  // namespace
}  // namespace pompc::learner
