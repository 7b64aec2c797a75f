#include <atomic>
#include <memory>
#include <vector>

#include "common/base/thread.h"
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

// Samples until told to stop; a window's observations must be consecutive rows of one writer.
void Read(Shard* shard, uint64_t seed, const std::atomic<bool>* stop) {
  WindowBuffer buffer(kSpec, kHorizon, 32);
  const std::vector<float> mean(4, 0.5f), std(4, 2.0f);
  while (!stop->load()) {
    if (!shard->Sample(seed++, buffer.Columns()).ok()) continue;
    for (size_t b = 0; b < 32; ++b) {
      for (uint32_t t = 0; t <= kHorizon; ++t) {
        ASSERT_EQ(buffer.observations[(b * 4 + t) * 2], buffer.observations[b * 8] + t);
      }
    }
    ASSERT_TRUE(shard->UpdatePlans(1, {buffer.addresses.data(), 4}, mean, std).ok());
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
  }
  for (Thread& writer : writers) writer.Join();
  stop = true;
  for (Thread& reader : readers) reader.Join();
  EXPECT_EQ(accepted, kWriters * kRowsEach);
  EXPECT_EQ(shard.counts().stored_rows, 500);
  EXPECT_EQ(shard.counts().blocked_writers, 0);
}

}  // namespace
}  // namespace pompc::replay
