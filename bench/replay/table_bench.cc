// The core without gRPC: rows in and windows out of one shard, on one thread.
#include <memory>

#include "benchmark/benchmark.h"
#include "replay/core/shard.h"
#include "tests/replay/row_builder.h"

namespace pompc::replay {
namespace {

// The sizes of quadruped- and humanoid-like tasks in between: 24 numbers observed, 6 acted.
constexpr RowSpec kSpec{.observation_size = 24, .action_size = 6};
constexpr uint32_t kHorizon = 3;
constexpr uint32_t kEpisodeRows = 500;

class NoWaiter : public RoomWaiter {
 public:
  void OnRoom() override {}
};

std::unique_ptr<Shard> OpenShard(uint64_t capacity_rows) {
  auto shard = std::make_unique<Shard>(1, Clock::Real(), std::make_unique<MemoryStore>());
  (void)shard->Configure({"run", 0, {kSpec, kHorizon, capacity_rows, uint64_t{1} << 40}});
  (void)shard->Grant({~uint64_t{0}, "", false});
  return shard;
}

// Appends chunks of `chunk_rows` rows, episode after episode.
class Writer {
 public:
  Writer(Shard* shard, uint32_t chunk_rows) : shard_(shard), chunk_rows_(chunk_rows) {
    rows_.AddMany(0, chunk_rows);
  }
  void Append() {
    const AppendOutcome outcome = shard_->Append(id_, row_, rows_.View(), waiter_);
    benchmark::DoNotOptimize(outcome.next_row);
    row_ += chunk_rows_;
    if (row_ < kEpisodeRows) return;
    ++id_.episode;
    row_ = 0;
  }

 private:
  Shard* const shard_;
  const uint32_t chunk_rows_;
  RowBuilder rows_{kSpec};
  SegmentId id_{.actor_index = 0, .incarnation = 1};
  uint64_t row_ = 0;
  std::shared_ptr<NoWaiter> waiter_ = std::make_shared<NoWaiter>();
};

void BM_Append(benchmark::State& state) {
  const uint32_t chunk_rows = static_cast<uint32_t>(state.range(0));
  const std::unique_ptr<Shard> shard = OpenShard(200000);
  Writer writer(shard.get(), chunk_rows);
  for (auto _ : state) writer.Append();
  state.SetItemsProcessed(state.iterations() * chunk_rows);
}
BENCHMARK(BM_Append)->ArgName("chunk_rows")->Arg(1)->Arg(16)->Arg(128);

void BM_Sample(benchmark::State& state) {
  const size_t count = state.range(0);
  const uint64_t rows = state.range(1);
  const std::unique_ptr<Shard> shard = OpenShard(rows);
  Writer writer(shard.get(), 100);
  for (uint64_t i = 0; i < rows; i += 100) writer.Append();
  WindowBuffer buffer(kSpec, kHorizon, count);
  uint64_t seed = 0;
  for (auto _ : state) {
    if (!shard->Sample(seed++, buffer.Columns()).ok()) state.SkipWithError("no windows");
  }
  state.SetItemsProcessed(state.iterations() * count);
}
BENCHMARK(BM_Sample)
    ->ArgNames({"windows", "rows"})
    ->Args({256, 10000})
    ->Args({256, 1000000})
    ->Args({4096, 1000000});

}  // namespace
}  // namespace pompc::replay
