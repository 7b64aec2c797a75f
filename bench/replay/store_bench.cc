// A shard's rows on disk, without gRPC: what durability costs an insert, and how long rows take to
// load. Folders are made below $TMPDIR, /tmp by default.
#include <unistd.h>

#include <cstdlib>
#include <deque>
#include <filesystem>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "common/base/threads.h"
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

std::unique_ptr<Shard> OpenShard(Durability durability) {
  if (durability == Durability::kMemory) {
    return std::make_unique<Shard>(1, Clock::Real(), std::make_unique<MemoryStore>());
  }
  auto store = RocksStore::Open({.folder = Folder(), .durability = durability});
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
    rows_.AddMany(1, kChunkRows);
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
    while (shard_->Append(segment, first_row, rows_.View(), waiter_).kind !=
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
  RowBuilder rows_{kSpec};
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

void BM_Load(benchmark::State& state) {
  std::filesystem::remove_all(Folder());
  {
    const std::unique_ptr<Shard> shard = OpenShard(Durability::kBackground);
    Writers writers(shard.get());
    for (uint64_t row = 0; row < kCapacity; row += kChunkRows) writers.Chunk();
  }
  for (auto _ : state) {
    std::unique_ptr<Shard> shard = OpenShard(Durability::kBackground);
    POMPC_CHECK_EQ(shard->counts().stored_rows, kCapacity);
    state.PauseTiming();
    shard.reset();
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * kCapacity);
  std::filesystem::remove_all(Folder());
}
BENCHMARK(BM_Load)->Iterations(3)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace pompc::replay
