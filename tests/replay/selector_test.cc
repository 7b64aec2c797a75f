#include "replay/core/selectors/selector.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "common/base/clock.h"
#include "gtest/gtest.h"
#include "replay/core/shard.h"
#include "tests/replay/row_builder.h"

namespace pompc::replay {
namespace {

constexpr RowSpec kSpec{.observation_size = 3, .action_size = 2};
constexpr uint32_t kHorizon = 3;

// Draws the window that came last, again and again.
class NewestSelector : public Selector {
 public:
  void Insert(Key key) override { keys_.push_back(key); }
  void Remove(Key key) override { std::erase(keys_, key); }
  size_t size() const override { return keys_.size(); }
  void Sample(uint64_t seed, std::span<Key> keys) const override {
    std::fill(keys.begin(), keys.end(), keys_.back());
  }

 private:
  std::vector<Key> keys_;
};

TEST(SelectorTest, ShardDrawsWithTheSelectorOfItsConfig) {
  FakeClock clock;
  Shard shard(77, &clock, std::make_unique<MemoryStore>());
  ShardConfig config = {.run_id = "run-a", .table = {kSpec, kHorizon, 1000, uint64_t{1} << 30}};
  config.make_selector = [] { return std::make_unique<NewestSelector>(); };
  ASSERT_TRUE(shard.Configure(config).ok());
  ASSERT_TRUE(shard.Grant({1000, "", false}).ok());
  const RowBuilder rows = RowBuilder(kSpec).AddMany(0, 10);
  ASSERT_EQ(shard.Append({.incarnation = 1}, 0, rows.View(), nullptr).kind,
            AppendOutcome::Kind::kAcked);
  WindowBuffer buffer(kSpec, kHorizon, 5);
  ASSERT_TRUE(shard.Sample(1, buffer.Columns()).ok());
  // Rows 6 to 9 make the last of 7 windows.
  for (size_t b = 0; b < 5; ++b) EXPECT_EQ(buffer.addresses[b * (kHorizon + 1)], 6);
}

}  // namespace
}  // namespace pompc::replay
