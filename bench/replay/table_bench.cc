// The core without gRPC: rows in and windows out of one shard.
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "benchmark/benchmark.h"
#include "common/base/threads.h"
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

// `selector` is that of its one table, which has priorities of its own choice where it can.
std::unique_ptr<Shard> OpenShard(uint64_t capacity_rows, const std::string& selector = "UNIFORM") {
  auto shard = std::make_unique<Shard>(1, Clock::Real(), std::make_unique<MemoryStore>());
  (void)shard->Configure({"run",
                          0,
                          {kSpec,
                           kHorizon,
                           capacity_rows,
                           uint64_t{1} << 40,
                           {{.name = "table", .selector = {.name = selector}}}}});
  (void)shard->Grant({~uint64_t{0}, "", false});
  return shard;
}

// Appends chunks of `chunk_rows` rows, episode after episode.
class Writer {
 public:
  Writer(Shard* shard, uint32_t chunk_rows, uint32_t actor = 0)
      : shard_(shard), chunk_rows_(chunk_rows), id_{.actor_index = actor, .incarnation = 1} {
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
  SegmentId id_;
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

void BM_Sample(benchmark::State& state, const std::string& selector) {
  const size_t count = state.range(0);
  const uint64_t rows = state.range(1);
  const std::unique_ptr<Shard> shard = OpenShard(rows, selector);
  Writer writer(shard.get(), 100);
  for (uint64_t i = 0; i < rows; i += 100) writer.Append();
  WindowBuffer buffer(kSpec, kHorizon, count);
  uint64_t seed = 0;
  for (auto _ : state) {
    if (!shard->Sample(seed++, buffer.Columns()).ok()) state.SkipWithError("no windows");
  }
  state.SetItemsProcessed(state.iterations() * count);
}
BENCHMARK_CAPTURE(BM_Sample, uniform, "UNIFORM")
    ->ArgNames({"windows", "rows"})
    ->Args({256, 10000})
    ->Args({256, 1000000})
    ->Args({4096, 1000000});
BENCHMARK_CAPTURE(BM_Sample, prioritized, "PRIORITIZED")
    ->ArgNames({"windows", "rows"})
    ->Args({256, 10000})
    ->Args({256, 1000000})
    ->Args({4096, 1000000});

// Threads that sample beside one that appends chunks of so many rows as fast as it can. Items are
// windows; rows_per_second is what the other thread appends meanwhile.
void BM_SampleBesideAppend(benchmark::State& state) {
  static std::unique_ptr<Shard> shard;
  static std::atomic<bool> stop;
  static std::atomic<uint64_t> rows;
  static std::unique_ptr<Thread> writer;
  constexpr size_t kWindows = 256;
  const uint32_t chunk_rows = static_cast<uint32_t>(state.range(0));
  absl::Duration begin;
  if (state.thread_index() == 0) {
    shard = OpenShard(100000);
    Writer filler(shard.get(), 100, 1);
    for (int i = 0; i < 1000; ++i) filler.Append();
    stop = false;
    rows = 0;
    writer = std::make_unique<Thread>("writer", [chunk_rows] {
      Writer appends(shard.get(), chunk_rows, 2);
      for (; !stop; rows += chunk_rows) appends.Append();
    });
    begin = Clock::Real()->Now();
  }
  WindowBuffer buffer(kSpec, kHorizon, kWindows);
  uint64_t seed = state.thread_index() * 1000000;
  for (auto _ : state) {
    if (!shard->Sample(seed++, buffer.Columns()).ok()) state.SkipWithError("no windows");
  }
  state.SetItemsProcessed(state.iterations() * kWindows);
  if (state.thread_index() != 0) return;
  const double seconds = absl::ToDoubleSeconds(Clock::Real()->Now() - begin);
  state.counters["rows_per_second"] = static_cast<double>(rows) / seconds;
  stop = true;
  writer->Join();
  writer.reset();
}
BENCHMARK(BM_SampleBesideAppend)
    ->ArgName("chunk_rows")
    ->Arg(1)
    ->Arg(16)
    ->Arg(128)
    ->ThreadRange(1, 2)
    ->UseRealTime();

double ResidentBytes() {
  uint64_t all = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> all >> resident;
  return static_cast<double>(resident) * static_cast<double>(sysconf(_SC_PAGESIZE));
}

// Twelve million rows, of which a million are kept: the rate of the second million, when rows are
// first evicted, against that of the last, and how much memory came between.
void BM_AppendForLong(benchmark::State& state) {
  constexpr uint64_t kMillion = 1000000;
  for (auto _ : state) {
    const std::unique_ptr<Shard> shard = OpenShard(kMillion);
    Writer writer(shard.get(), 16);
    const auto million = [&] {
      const absl::Duration begin = Clock::Real()->Now();
      for (uint64_t i = 0; i < kMillion; i += 16) writer.Append();
      return kMillion / absl::ToDoubleSeconds(Clock::Real()->Now() - begin);
    };
    million();
    state.counters["second_million"] = million();
    const double resident = ResidentBytes();
    for (int i = 0; i < 9; ++i) million();
    state.counters["twelfth_million"] = million();
    state.counters["resident_growth"] = ResidentBytes() - resident;
  }
}
BENCHMARK(BM_AppendForLong)->Iterations(1)->Unit(benchmark::kMillisecond);

// An update draws windows, and sends their priorities back.
void BM_SampleAndUpdatePriorities(benchmark::State& state) {
  const size_t count = state.range(0);
  const uint64_t rows = state.range(1);
  const std::unique_ptr<Shard> shard = OpenShard(rows, "PRIORITIZED");
  Writer writer(shard.get(), 100);
  for (uint64_t i = 0; i < rows; i += 100) writer.Append();
  WindowBuffer buffer(kSpec, kHorizon, count);
  std::vector<uint64_t> addresses(count);
  std::vector<float> priorities(count);
  uint64_t seed = 0;
  for (auto _ : state) {
    if (!shard->Sample(seed++, buffer.Columns()).ok()) state.SkipWithError("no windows");
    for (size_t b = 0; b < count; ++b) {
      addresses[b] = buffer.addresses[b * (kHorizon + 1)];
      priorities[b] = static_cast<float>((seed + b) % 100) / 10;
    }
    if (!shard->UpdatePriorities(Opening{1}, "", addresses, priorities).ok())
      state.SkipWithError("refused");
  }
  state.SetItemsProcessed(state.iterations() * count);
}
BENCHMARK(BM_SampleAndUpdatePriorities)
    ->ArgNames({"windows", "rows"})
    ->Args({256, 10000})
    ->Args({256, 1000000});

}  // namespace
}  // namespace pompc::replay
