// Batches drawn from several shards, over the wire, are draws from the union of their windows.
#include <cmath>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "learner/feed/prefetcher.h"
#include "tests/learner/feed/shards_testing.h"
#include "tests/replay/chi_square.h"

namespace pompc::learner {
namespace {

using ::testing::HasSubstr;
// Shard and first row of a window.
using Window = std::pair<uint32_t, uint64_t>;

// Windows of the shards: unequal, and one without any.
constexpr uint32_t kWindows[] = {7, 0, 40, 13};
constexpr uint32_t kBatch = 256;

proto::RunConfig ConfigOf(const std::vector<std::pair<std::string, std::string>>& tables) {
  proto::RunConfig config = SmallConfig();
  for (const auto& [name, selector] : tables) {
    proto::TableConfig* table = config.mutable_replay()->add_tables();
    table->set_name(name);
    proto::TableConfig::Selector value;
    EXPECT_TRUE(proto::TableConfig::Selector_Parse(selector, &value)) << selector;
    table->set_selector(value);
  }
  return config;
}

// A priority for each window of a shard, different from window to window and from shard to shard.
std::vector<float> PrioritiesOf(size_t shard) {
  std::vector<float> priorities;
  for (uint32_t i = 0; i < kWindows[shard]; ++i) {
    priorities.push_back(0.3f * static_cast<float>(shard + 1) + static_cast<float>(i % 5));
  }
  return priorities;
}

void FillAll(FilledShards& shards) {
  for (size_t i = 0; i < std::size(kWindows); ++i) {
    if (kWindows[i] > 0) shards.Fill(i, kWindows[i]);
  }
}

// Draws `batches` batches; calls `visit` with each.
template <typename Visit>
void DrawBatches(FilledShards& shards, int table, std::optional<double> beta, int batches,
                 Visit visit) {
  TellingControl control(&shards, table);
  FakeEngine engine;
  PrefetcherOptions options;
  options.batch_size = kBatch;
  options.ahead = false;
  options.beta = beta;
  Prefetcher prefetcher(options, &control, &shards.clients(), &engine);
  for (int i = 0; i < batches; ++i) {
    const absl::StatusOr<DrawnBatch> batch = prefetcher.Next(absl::Seconds(60));
    ASSERT_TRUE(batch.ok()) << batch.status();
    ASSERT_EQ(batch->origins.windows.size(), kBatch);
    visit(*batch);
  }
}

TEST(DrawingTest, BatchesAreUniformOverTheWindowsOfAllShards) {
  FilledShards shards(ConfigOf({}), std::size(kWindows));
  FillAll(shards);
  std::map<Window, double> probabilities;
  for (uint32_t shard = 0; shard < std::size(kWindows); ++shard) {
    for (uint32_t i = 0; i < kWindows[shard]; ++i) probabilities[{shard, i}] = 1 / 60.0;
  }
  replay::ChiSquare<Window> test(probabilities);
  DrawBatches(shards, 0, std::nullopt, 100, [&](const DrawnBatch& batch) {
    for (const WindowAddress& window : batch.origins.windows) {
      test.Add({window.shard, window.address});
    }
    EXPECT_TRUE(static_cast<const FakeEngine::FakeBatch&>(*batch.batch).weights.empty());
  });
  EXPECT_TRUE(test.Passes());
}

TEST(DrawingTest, PrioritiesHoldOverTheWindowsOfAllShardsAndWeightsFollowFromThem) {
  proto::RunConfig config = ConfigOf({{"all", "UNIFORM"}, {"hard", "PRIORITIZED"}});
  config.mutable_learner()->set_table("hard");
  FilledShards shards(config, std::size(kWindows));
  FillAll(shards);
  std::map<Window, double> probabilities;
  double sum = 0;
  for (uint32_t shard = 0; shard < std::size(kWindows); ++shard) {
    const std::vector<float> priorities = PrioritiesOf(shard);
    std::vector<uint64_t> addresses;
    for (uint32_t i = 0; i < priorities.size(); ++i) {
      addresses.push_back(i);
      sum += probabilities[{shard, i}] = std::pow(priorities[i], 0.6);
    }
    const auto reply = shards.clients()[shard].UpdatePriorities(
        replay::Opening{shards.incarnation(shard)}, addresses, priorities);
    ASSERT_TRUE(reply.ok()) << reply.status();
    EXPECT_EQ(reply->updated(), kWindows[shard]);
  }
  for (auto& [window, probability] : probabilities) probability /= sum;
  replay::ChiSquare<Window> test(probabilities);
  DrawBatches(shards, 1, 0.7, 100, [&](const DrawnBatch& batch) {
    const auto& weights = static_cast<const FakeEngine::FakeBatch&>(*batch.batch).weights;
    ASSERT_EQ(weights.size(), kBatch);
    for (uint32_t b = 0; b < kBatch; ++b) {
      const Window window = {batch.origins.windows[b].shard, batch.origins.windows[b].address};
      test.Add(window);
      // Priorities are kept in steps of 1.5e-5.
      const double weight = std::pow(probabilities[window], -0.7);
      EXPECT_NEAR(weights[b], weight, 1e-4 * weight);
    }
  });
  EXPECT_TRUE(test.Passes());
}

// Each shard draws its oldest window until it has been drawn as often as it may be.
TEST(DrawingTest, AQueueIsDrawnFromOldToNewExactlySoOften) {
  proto::RunConfig config = ConfigOf({{"queue", "FIFO"}});
  config.mutable_replay()->mutable_tables(0)->set_max_times_sampled(100);
  FilledShards shards(config, std::size(kWindows));
  FillAll(shards);
  std::map<uint32_t, std::vector<uint64_t>> drawn;
  DrawBatches(shards, 0, std::nullopt, 5, [&](const DrawnBatch& batch) {
    for (const WindowAddress& window : batch.origins.windows) {
      drawn[window.shard].push_back(window.address);
    }
  });
  uint64_t draws = 0;
  for (const auto& [shard, addresses] : drawn) {
    for (size_t i = 0; i < addresses.size(); ++i) EXPECT_EQ(addresses[i], i / 100);
    draws += addresses.size();
    EXPECT_EQ(shards.Info(shard).tables(0).sampled_windows(), addresses.size());
    EXPECT_EQ(shards.Info(shard).tables(0).draws_left(), 100 * kWindows[shard] - addresses.size());
  }
  EXPECT_EQ(draws, 5 * kBatch);
  EXPECT_EQ(drawn.size(), 3);
}

TEST(DrawingTest, ATableThatNoShardHasIsAnErrorThatListsTheTables) {
  FilledShards shards(ConfigOf({{"all", "UNIFORM"}, {"hard", "PRIORITIZED"}}), 1);
  shards.Fill(0, 5);
  replay::ShardClientOptions options = shards.clients()[0].options();
  options.table = "easy";
  replay::ShardClient client(options, shards.channel(0));
  EXPECT_TRUE(absl::IsInvalidArgument(client.Sample(4, 1).status()));
  EXPECT_THAT(std::string(client.Sample(4, 1).status().message()),
              HasSubstr("table \"easy\" does not exist; allowed: all, hard"));
  const std::vector<uint64_t> addresses = {0};
  const std::vector<float> priorities = {1};
  EXPECT_THAT(
      std::string(
          client.UpdatePriorities(replay::Opening{1}, addresses, priorities).status().message()),
      HasSubstr("allowed: all, hard"));
}

}  // namespace
}  // namespace pompc::learner
