#include <atomic>
#include <memory>
#include <vector>

#include "common/base/threads.h"
#include "gtest/gtest.h"
#include "replay/core/shard.h"
#include "tests/replay/row_builder.h"

namespace pompc::replay {
namespace {

constexpr RowSpec kSpec{.observation_size = 2, .action_size = 1};
constexpr uint32_t kHorizon = 3;
constexpr uint32_t kWriters = 4;
constexpr uint64_t kRowsEach = 3000;

// Lets a writer thread wait for room, as a stream does.
class BlockingWaiter : public RoomWaiter {
 public:
  void OnRoom() override {
    MutexLock lock(&mu_);
    room_ = true;
    changed_.Signal();
  }
  void Wait() {
    MutexLock lock(&mu_);
    while (!room_) changed_.Wait(&mu_);
    room_ = false;
  }

 private:
  Mutex mu_;
  CondVar changed_;
  bool room_ ABSL_GUARDED_BY(mu_) = false;
};

void Write(Shard* shard, uint32_t actor) {
  auto waiter = std::make_shared<BlockingWaiter>();
  const SegmentId id{.actor_index = actor, .incarnation = 1};
  uint64_t row = 0;
  while (row < kRowsEach) {
    const RowBuilder rows = RowBuilder(kSpec).AddMany(actor * kRowsEach + row, 4);
    const AppendOutcome outcome = shard->Append(id, row, rows.View(), waiter);
    if (outcome.kind == AppendOutcome::Kind::kBlocked) {
      waiter->Wait();
      continue;
    }
    ASSERT_EQ(outcome.kind, AppendOutcome::Kind::kAcked);
    row = outcome.next_row;
  }
}

// Samples until told to stop; a window must hold consecutive rows of one writer, each of them
// whole: with the plan that it came with, or one of those that are set here, never with parts of
// two.
void Read(Shard* shard, uint64_t seed, const std::atomic<bool>* stop) {
  WindowBuffer buffer(kSpec, kHorizon, 32);
  std::vector<float> mean(4), std(4);
  while (!stop->load()) {
    if (!shard->Sample(seed++, buffer.Columns()).ok()) continue;
    for (size_t b = 0; b < 32; ++b) {
      for (uint32_t t = 0; t <= kHorizon; ++t) {
        const size_t state = b * 4 + t;
        const uint64_t row = static_cast<uint64_t>(buffer.observations[b * 8]) + t;
        ASSERT_EQ(buffer.observations[state * 2], RowBuilder::Observation(row, 0));
        ASSERT_EQ(buffer.observations[state * 2 + 1], RowBuilder::Observation(row, 1));
        if (t < kHorizon) {
          ASSERT_EQ(buffer.rewards[b * 3 + t], RowBuilder::Reward(row));
        }
        if (buffer.plan_std[state] == 3 + buffer.plan_mean[state]) continue;
        ASSERT_EQ(buffer.plan_mean[state], RowBuilder::PlanMean(row, 0));
        ASSERT_EQ(buffer.plan_std[state], RowBuilder::PlanStd(row, 0));
      }
    }
    for (size_t i = 0; i < 4; ++i) {
      mean[i] = static_cast<float>((seed + i) % 64) / 64;
      std[i] = 3 + mean[i];
    }
    ASSERT_TRUE(shard->UpdatePlans(Opening{1}, {buffer.addresses.data(), 4}, mean, std).ok());
  }
}

TEST(ShardThreadsTest, WritersReadersAndTheLearnerShareOneShard) {
  Shard shard(1, Clock::Real(), std::make_unique<MemoryStore>());
  ASSERT_TRUE(shard.Configure({"run", 0, {kSpec, kHorizon, 500, 1 << 30}}).ok());
  std::atomic<bool> stop = false;
  std::vector<Thread> readers, writers;
  for (uint64_t r = 0; r < 2; ++r) {
    readers.emplace_back("reader", [&, r] { Read(&shard, r * 1000000, &stop); });
  }
  for (uint32_t w = 0; w < kWriters; ++w) {
    writers.emplace_back("writer", [&shard, w] { Write(&shard, w); });
  }
  uint64_t accepted = 0;
  while (accepted < kWriters * kRowsEach) {
    ASSERT_TRUE(shard.Grant({accepted + 100, "test", false}).ok());
    accepted = shard.counts().accepted_rows;
    // The capacity changes now and then, under those who write and sample.
    const uint64_t capacity = accepted / 2000 % 2 == 0 ? 500 : 700;
    ASSERT_TRUE(shard.Configure({"run", 0, {kSpec, kHorizon, capacity, 1 << 30}}).ok());
  }
  for (Thread& writer : writers) writer.Join();
  stop = true;
  for (Thread& reader : readers) reader.Join();
  EXPECT_EQ(accepted, kWriters * kRowsEach);
  ASSERT_TRUE(shard.Configure({"run", 0, {kSpec, kHorizon, 500, 1 << 30}}).ok());
  EXPECT_EQ(shard.counts().stored_rows, 500);
  EXPECT_EQ(shard.counts().blocked_writers(), 0);
}

}  // namespace
}  // namespace pompc::replay
