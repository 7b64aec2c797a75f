// A shard's rows on disk, without gRPC: what durability costs an insert, how long rows take to
// load, and what it costs to draw windows from disk. Folders are made below $TMPDIR, /tmp by
// default.
#include <unistd.h>

#include <cstdlib>
#include <deque>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "common/base/threads.h"
#include "replay/core/random.h"
#include "replay/core/shard.h"
#include "replay/store/rocks_store.h"
#include "tests/replay/row_builder.h"

namespace pompc::replay {
namespace {

// 37 floats a row: observation, action, reward, and a plan of mean, standard deviation and value.
constexpr RowSpec kSpec{.observation_size = 17, .action_size = 6};
constexpr uint32_t kHorizon = 3;
constexpr uint32_t kChunkRows = 16;
constexpr uint32_t kWriters = 64;
constexpr uint64_t kCapacity = 1'000'000;

class NoWaiter : public RoomWaiter {
 public:
  void OnRoom() override {}
};

ShardConfig Config() {
  return {.run_id = "run", .table = {kSpec, kHorizon, kCapacity, uint64_t{1} << 36}};
}

absl::StatusOr<ShardConfig> ReadConfig(const std::string&) { return Config(); }

std::string Folder() {
  const char* const tmp = std::getenv("TMPDIR");
  return absl::StrCat(tmp == nullptr ? "/tmp" : tmp, "/pompc-store-bench-", getpid());
}

std::unique_ptr<Shard> OpenShard(Durability durability, uint64_t row_cache_bytes = 0) {
  if (durability == Durability::kMemory) {
    return std::make_unique<Shard>(1, Clock::Real(), std::make_unique<MemoryStore>());
  }
  auto store = RocksStore::Open(
      {.folder = Folder(), .durability = durability, .row_cache_bytes = row_cache_bytes});
  POMPC_CHECK(store.ok(), store.status().ToString());
  auto shard = std::make_unique<Shard>(1, Clock::Real(), *std::move(store));
  POMPC_CHECK_OK(shard->Load(ReadConfig));
  return shard;
}

// Each of kWriters waits for the acknowledgement of its last chunk before it sends the next.
class Writers {
 public:
  explicit Writers(Shard* shard) : shard_(shard) {
    POMPC_CHECK_OK(shard->Configure(Config()));
    POMPC_CHECK_OK(shard->Grant({~uint64_t{0}, ""}));
    for (uint32_t writer = 0; writer < kWriters; ++writer) {
      RowBuilder& rows = rows_.emplace_back(kSpec);
      rows.AddMany(1, kChunkRows);
      for (std::vector<float>* column : {&rows.observations_, &rows.actions_, &rows.rewards_,
                                         &rows.plan_mean_, &rows.plan_std_, &rows.plan_value_}) {
        for (float& number : *column)
          number = static_cast<float>(random_.Below(1 << 24) + 1) / (1 << 24);
      }
    }
  }
  ~Writers() {
    for (const auto& acknowledged : outstanding_) acknowledged->Wait();
  }

  void Chunk() {
    if (outstanding_.size() == kWriters) {
      outstanding_.front()->Wait();
      outstanding_.pop_front();
    }
    const uint32_t writer = static_cast<uint32_t>(chunks_ % kWriters);
    const SegmentId segment{.actor_index = writer, .incarnation = 1};
    const uint64_t first_row = chunks_ / kWriters * kChunkRows;
    // A chunk for which the store has no room at the moment is tried again at once.
    while (shard_->Append(segment, first_row, rows_[writer].View(), waiter_).kind !=
           AppendOutcome::Kind::kAcked) {
      outstanding_.front()->Wait();
    }
    auto acknowledged = std::make_shared<Event>();
    shard_->WhenDurable([acknowledged](const absl::Status&) { acknowledged->Set(); });
    outstanding_.push_back(std::move(acknowledged));
    ++chunks_;
  }

 private:
  Shard* const shard_;
  Random random_{1};
  // A chunk for each writer, of random numbers: those of real tasks hardly compress either.
  std::vector<RowBuilder> rows_;
  std::shared_ptr<NoWaiter> waiter_ = std::make_shared<NoWaiter>();
  uint64_t chunks_ = 0;
  std::deque<std::shared_ptr<Event>> outstanding_;
};

void BM_Insert(benchmark::State& state) {
  std::filesystem::remove_all(Folder());
  {
    const std::unique_ptr<Shard> shard = OpenShard(static_cast<Durability>(state.range(0)));
    Writers writers(shard.get());
    for (auto _ : state) writers.Chunk();
  }
  state.SetItemsProcessed(state.iterations() * kChunkRows);
  std::filesystem::remove_all(Folder());
}
BENCHMARK(BM_Insert)
    ->ArgName("durability")
    ->Arg(static_cast<int>(Durability::kMemory))
    ->Arg(static_cast<int>(Durability::kBackground))
    ->Arg(static_cast<int>(Durability::kSync))
    ->MinTime(3)
    ->UseRealTime();

// Twelve million rows, of which a million are kept: the rate of the second million, when rows are
// first evicted, against that of the last.
void BM_InsertForLong(benchmark::State& state) {
  std::filesystem::remove_all(Folder());
  for (auto _ : state) {
    const std::unique_ptr<Shard> shard = OpenShard(Durability::kBackground);
    Writers writers(shard.get());
    const auto million = [&] {
      const absl::Duration begin = Clock::Real()->Now();
      for (uint64_t row = 0; row < kCapacity; row += kChunkRows) writers.Chunk();
      return kCapacity / absl::ToDoubleSeconds(Clock::Real()->Now() - begin);
    };
    million();
    state.counters["second_million"] = million();
    for (int i = 0; i < 9; ++i) million();
    state.counters["twelfth_million"] = million();
  }
  std::filesystem::remove_all(Folder());
}
BENCHMARK(BM_InsertForLong)->Iterations(1)->Unit(benchmark::kMillisecond);

void BM_Load(benchmark::State& state) {
  std::filesystem::remove_all(Folder());
  {
    const std::unique_ptr<Shard> shard = OpenShard(Durability::kBackground);
    Writers writers(shard.get());
    for (uint64_t row = 0; row < kCapacity; row += kChunkRows) writers.Chunk();
  }
  for (auto _ : state) {
    std::unique_ptr<Shard> shard =
        OpenShard(Durability::kBackground, static_cast<uint64_t>(state.range(0)) << 20);
    POMPC_CHECK_EQ(shard->counts().stored_rows, kCapacity);
    state.PauseTiming();
    shard.reset();
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * kCapacity);
  std::filesystem::remove_all(Folder());
}
BENCHMARK(BM_Load)
    ->ArgName("row_cache_mib")
    ->Arg(0)
    ->Arg(16)
    ->Iterations(3)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

// Batches of 256 windows of a million rows of random numbers, with so much memory for rows from
// disk; 0: rows in memory. Before it is measured, each row was read once. The operating system has
// the files in memory, so that what is not in the cache costs a system call and not a disk's time.
void BM_Sample(benchmark::State& state) {
  constexpr size_t kWindows = 256;
  std::filesystem::remove_all(Folder());
  {
    const std::unique_ptr<Shard> shard = OpenShard(Durability::kBackground);
    Writers writers(shard.get());
    for (uint64_t row = 0; row < kCapacity; row += kChunkRows) writers.Chunk();
  }
  {
    const std::unique_ptr<Shard> shard =
        OpenShard(Durability::kBackground, static_cast<uint64_t>(state.range(0)) << 20);
    POMPC_CHECK_OK(shard->Configure(Config()));
    POMPC_CHECK_OK(shard->ReadRows(0, kCapacity, [](const StoredRow&) {}).status());
    WindowBuffer buffer(kSpec, kHorizon, kWindows);
    uint64_t seed = 0;
    for (auto _ : state) POMPC_CHECK_OK(shard->Sample(seed++, buffer.Columns()));
    state.counters["stored_mib"] =
        static_cast<double>(shard->counts().stored_bytes) / (uint64_t{1} << 20);
  }
  state.SetItemsProcessed(state.iterations() * kWindows);
  std::filesystem::remove_all(Folder());
}
BENCHMARK(BM_Sample)->ArgName("row_cache_mib")->Arg(0)->Arg(512)->Arg(16)->MinTime(2);

}  // namespace
}  // namespace pompc::replay
