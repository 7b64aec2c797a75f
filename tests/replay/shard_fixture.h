#ifndef POMPC_TESTS_REPLAY_SHARD_FIXTURE_H_
#define POMPC_TESTS_REPLAY_SHARD_FIXTURE_H_

#include <functional>
#include <memory>
#include <vector>

#include "gtest/gtest.h"
#include "replay/core/shard.h"
#include "tests/replay/row_builder.h"

namespace pompc::replay {

using Kind = AppendOutcome::Kind;

inline constexpr RowSpec kSpec{.observation_size = 3, .action_size = 2};
inline constexpr uint32_t kHorizon = 3;

// A config of a small shard of run-a.
inline ShardConfig Config() {
  return {.run_id = "run-a", .shard_index = 1, .table = {kSpec, kHorizon, 1000, uint64_t{1} << 30}};
}

// Counts how often it was woken.
class CountingWaiter : public RoomWaiter {
 public:
  void OnRoom() override { ++calls; }
  int calls = 0;
};

// A store that can be told to be full or slow.
class FakeStore : public MemoryStore {
 public:
  absl::Status Admits() const override { return status; }
  void OnChange(std::function<void()> on_change) override { changed = std::move(on_change); }
  void WhenDurable(std::function<void(absl::Status)> done) override {
    waiting.push_back(std::move(done));
  }

  absl::Status status;
  std::function<void()> changed;
  std::vector<std::function<void(absl::Status)>> waiting;
};

// A shard with a FakeStore and a FakeClock.
class ShardTest : public ::testing::Test {
 protected:
  ShardTest() {
    auto store = std::make_unique<FakeStore>();
    store_ = store.get();
    shard_ = std::make_unique<Shard>(77, &clock_, std::move(store));
  }

  void Open(uint64_t granted = 1000000) {
    ASSERT_TRUE(shard_->Configure(Config()).ok());
    ASSERT_TRUE(shard_->Grant({granted, "rows run ahead of updates", false}).ok());
  }

  AppendOutcome Append(const SegmentId& id, uint64_t first_row, const RowBuilder& rows) {
    return shard_->Append(id, first_row, rows.View(), waiter_);
  }

  FakeClock clock_;
  FakeStore* store_;
  std::unique_ptr<Shard> shard_;
  std::shared_ptr<CountingWaiter> waiter_ = std::make_shared<CountingWaiter>();
  const SegmentId id_{.actor_index = 1, .incarnation = 1};
};

}  // namespace pompc::replay

#endif  // POMPC_TESTS_REPLAY_SHARD_FIXTURE_H_
