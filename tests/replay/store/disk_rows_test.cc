// Shards whose rows are on disk.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/threads.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "replay/core/shard.h"
#include "replay/store/database.h"
#include "replay/store/rocks_store.h"
#include "tests/replay/row_builder.h"
#include "tests/replay/shard_duel.h"
#include "tests/replay/store/store_env.h"
#include "tests/rundir/scratch_folder.h"

namespace pompc::replay {
namespace {

using testing::HasSubstr;

constexpr RowSpec kSpec{.observation_size = 20, .action_size = 4};
constexpr uint32_t kHorizon = 3;
constexpr uint64_t kRowCache = uint64_t{1} << 20;

class NoWaiter : public RoomWaiter {
 public:
  void OnRoom() override {}
};

ShardConfig Config(uint64_t capacity_rows) {
  return {.run_id = "run",
          .table = {kSpec,
                    kHorizon,
                    capacity_rows,
                    uint64_t{1} << 40,
                    {{.name = "uniform"}, {.name = "oldest", .selector = {.name = "FIFO"}}}}};
}

std::unique_ptr<Shard> OpenShard(const std::string& folder, uint64_t capacity_rows) {
  auto store = RocksStore::Open(
      {.folder = folder, .durability = Durability::kBackground, .row_cache_bytes = kRowCache});
  EXPECT_TRUE(store.ok()) << store.status();
  auto shard = std::make_unique<Shard>(1, Clock::Real(), *std::move(store));
  const absl::Status loaded =
      shard->Load([=](const std::string&) { return Config(capacity_rows); });
  EXPECT_TRUE(loaded.ok()) << loaded;
  EXPECT_TRUE(shard->Configure(Config(capacity_rows)).ok());
  EXPECT_TRUE(shard->Grant({~uint64_t{0}, "test"}).ok());
  return shard;
}

void WaitUntilDurable(Shard* shard) {
  Event durable;
  shard->WhenDurable([&](const absl::Status& status) {
    EXPECT_TRUE(status.ok()) << status;
    durable.Set();
  });
  durable.Wait();
}

// Appends segments of kEpisode rows whose ids are their addresses, for no other writer is there.
class Writer {
 public:
  static constexpr uint32_t kEpisode = 500, kChunk = 50;

  explicit Writer(Shard* shard) : shard_(shard) {}
  void Append() {
    const RowBuilder rows = RowBuilder(kSpec).AddMany(next_, kChunk);
    const SegmentId id{.actor_index = 1, .incarnation = 1, .episode = next_ / kEpisode};
    while (shard_->Append(id, next_ % kEpisode, rows.View(), waiter_).kind !=
           AppendOutcome::Kind::kAcked) {
      WaitUntilDurable(shard_);
    }
    next_ += kChunk;
  }
  uint64_t next() const { return next_; }

 private:
  Shard* const shard_;
  const std::shared_ptr<NoWaiter> waiter_ = std::make_shared<NoWaiter>();
  uint64_t next_ = 0;
};

// A plan that replaces another: its numbers follow from the row and from one another.
float NewMean(uint64_t address) { return static_cast<float>(address % 97) / 97; }
float NewStd(uint64_t address) { return 20 + static_cast<float>(address % 97); }

// Checks every number of a window; plans are those that the rows came with, or new ones.
void CheckWindow(const WindowBuffer& buffer, size_t b, uint64_t* replanned) {
  constexpr size_t kO = kSpec.observation_size, kA = kSpec.action_size, kStates = kHorizon + 1;
  const uint64_t first = buffer.addresses[b * kStates];
  for (uint32_t t = 0; t < kStates; ++t) {
    const size_t state = b * kStates + t;
    const uint64_t row = first + t;
    ASSERT_EQ(buffer.addresses[state], row);
    for (size_t j = 0; j < kO; ++j) {
      ASSERT_EQ(buffer.observations[state * kO + j], RowBuilder::Observation(row, j)) << row;
    }
    const bool is_new = buffer.plan_std[state * kA] >= 20;
    *replanned += is_new;
    for (size_t j = 0; j < kA; ++j) {
      ASSERT_EQ(buffer.plan_mean[state * kA + j],
                is_new ? NewMean(row) : RowBuilder::PlanMean(row, j));
      ASSERT_EQ(buffer.plan_std[state * kA + j],
                is_new ? NewStd(row) : RowBuilder::PlanStd(row, j));
    }
    ASSERT_EQ(buffer.has_plan[state], 1);
    if (t == kHorizon) break;
    ASSERT_EQ(buffer.rewards[b * kHorizon + t], RowBuilder::Reward(row));
    ASSERT_EQ(buffer.terminated[b * kHorizon + t], 0);
    for (size_t j = 0; j < kA; ++j) {
      ASSERT_EQ(buffer.actions[(b * kHorizon + t) * kA + j], RowBuilder::Action(row, j));
    }
  }
  ASSERT_EQ(buffer.versions[b], (ParameterVersion{1, first + 1}));
}

TEST(DiskRowsTest, RandomOperationsAgreeWithThePlainModel) {
  const ScratchFolder scratch;
  int folders = 0;
  RunDuels(8, [&] {
    auto store = RocksStore::Open({.folder = scratch.File(absl::StrCat(folders++)),
                                   .durability = Durability::kBackground,
                                   .row_cache_bytes = kRowCache});
    EXPECT_TRUE(store.ok()) << store.status();
    return *std::move(store);
  });
}

// The data are forty times the cache, and rows are evicted, also from disk, under those who draw
// the oldest.
TEST(DiskRowsTest, EveryWindowIsWhatWasWrittenWhateverGoesOnBesideIt) {
  constexpr uint64_t kCapacity = 120'000, kRows = 400'000;
  const ScratchFolder scratch;
  const std::unique_ptr<Shard> shard = OpenShard(scratch.File("data"), kCapacity);
  Writer writer(shard.get());
  while (writer.next() < 1000) writer.Append();
  std::atomic<bool> stop = false;
  std::atomic<uint64_t> replanned = 0, windows = 0;
  const auto read = [&](uint64_t seed, const char* table) {
    WindowBuffer buffer(kSpec, kHorizon, 64);
    std::vector<float> mean, std;
    do {
      const absl::Status status = shard->Sample(seed++, buffer.Columns(), table);
      ASSERT_TRUE(status.ok()) << status;
      uint64_t seen = 0;
      for (size_t b = 0; b < buffer.count && !testing::Test::HasFatalFailure(); ++b) {
        CheckWindow(buffer, b, &seen);
      }
      if (testing::Test::HasFatalFailure()) return;
      replanned += seen;
      windows += buffer.count;
      const std::vector<uint64_t> addresses(buffer.addresses.begin(), buffer.addresses.begin() + 8);
      mean.clear(), std.clear();
      for (const uint64_t address : addresses) {
        mean.insert(mean.end(), kSpec.action_size, NewMean(address));
        std.insert(std.end(), kSpec.action_size, NewStd(address));
      }
      const auto updated = shard->UpdatePlans(shard->opening(), addresses, mean, std);
      // The store may have too much to write.
      ASSERT_TRUE(updated.ok() || absl::IsResourceExhausted(updated.status())) << updated.status();
    } while (!stop);
  };
  std::vector<Thread> readers;
  readers.emplace_back("uniform", [&] { read(1, "uniform"); });
  readers.emplace_back("oldest", [&] { read(1'000'000'000, "oldest"); });
  readers.emplace_back("rows", [&] {
    for (uint64_t address = 0; !stop;) {
      const auto ends = shard->ReadRows(address, 1000, [&](const StoredRow& row) {
        ASSERT_EQ(row.rows.Get<float>("rewards")[0], RowBuilder::Reward(row.address));
        ASSERT_EQ(row.rows.Get<float>("observations")[19],
                  RowBuilder::Observation(row.address, 19));
      });
      ASSERT_TRUE(ends.ok()) << ends.status();
      address = ends->first == ends->second ? 0 : ends->first;
    }
  });
  while (writer.next() < kRows && !testing::Test::HasFailure()) writer.Append();
  stop = true;
  for (Thread& reader : readers) reader.Join();
  EXPECT_EQ(shard->counts().stored_rows, kCapacity);
  EXPECT_GT(windows, 10'000u);
  EXPECT_GT(replanned, 0u);
}

TEST(DiskRowsTest, RowsOfAFullDiskAreReadOnAndAllRecovers) {
  const ScratchFolder scratch;
  StoreEnv env;
  auto opened =
      RocksStore::Open({.folder = scratch.File("data"),
                        .row_cache_bytes = kRowCache,
                        .retry = {.initial = absl::Milliseconds(1), .max = absl::Milliseconds(1)},
                        .env = &env});
  ASSERT_TRUE(opened.ok()) << opened.status();
  RocksStore* const store = opened->get();
  Shard shard(1, Clock::Real(), *std::move(opened));
  ASSERT_TRUE(shard.Load([](const std::string&) { return Config(10'000); }).ok());
  ASSERT_TRUE(shard.Configure(Config(10'000)).ok());
  ASSERT_TRUE(shard.Grant({~uint64_t{0}, "test"}).ok());
  Writer writer(&shard);
  while (writer.next() < 5'000) writer.Append();
  WaitUntilDurable(&shard);
  env.SetFull(true);
  // This is stored, and waits to be written.
  writer.Append();
  WindowBuffer buffer(kSpec, kHorizon, 16);
  uint64_t seed = 0, replanned = 0;
  const auto sample = [&] {
    const absl::Status status = shard.Sample(seed++, buffer.Columns());
    ASSERT_TRUE(status.ok()) << status;
    for (size_t b = 0; b < buffer.count; ++b) {
      ASSERT_NO_FATAL_FAILURE(CheckWindow(buffer, b, &replanned));
    }
  };
  while (store->stats().failed_writes < 10) ASSERT_NO_FATAL_FAILURE(sample());
  for (int i = 0; i < 100; ++i) ASSERT_NO_FATAL_FAILURE(sample());
  EXPECT_EQ(shard.Snapshot("none").status().code(), absl::StatusCode::kResourceExhausted);
  env.SetFull(false);
  WaitUntilDurable(&shard);
  while (writer.next() < 20'000) writer.Append();
  WaitUntilDurable(&shard);
  for (int i = 0; i < 100; ++i) ASSERT_NO_FATAL_FAILURE(sample());
  EXPECT_EQ(shard.counts().stored_rows, 10'000u);
  EXPECT_TRUE(shard.Snapshot("one").ok());
}

// Files of rows in the folder.
std::vector<std::filesystem::path> RowFiles(const std::string& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".sst" && entry.file_size() > 100'000) {
      files.push_back(entry.path());
    }
  }
  return files;
}

TEST(DiskRowsTest, ADamagedChunkIsNamedAndOtherWindowsAreWhatTheyWere) {
  const ScratchFolder scratch;
  const std::string folder = scratch.File("data");
  {
    const std::unique_ptr<Shard> shard = OpenShard(folder, 100'000);
    Writer writer(shard.get());
    while (writer.next() < 20'000) writer.Append();
  }
  // Opening writes what the log holds to files.
  const std::unique_ptr<Shard> shard = OpenShard(folder, 100'000);
  ASSERT_EQ(shard->counts().stored_rows, 20'000u);
  const std::vector<std::filesystem::path> files = RowFiles(folder);
  ASSERT_FALSE(files.empty());
  for (const std::filesystem::path& path : files) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    const auto middle = static_cast<std::streamoff>(std::filesystem::file_size(path) / 2);
    file.seekg(middle);
    const char byte = static_cast<char>(file.get());
    file.seekp(middle);
    file.put(static_cast<char>(byte ^ 1));
    ASSERT_TRUE(file.good());
  }
  WindowBuffer buffer(kSpec, kHorizon, 1);
  uint64_t damaged = 0, replanned = 0;
  for (uint64_t seed = 0; seed < 3000; ++seed) {
    const absl::Status status = shard->Sample(seed, buffer.Columns());
    if (status.ok()) {
      ASSERT_NO_FATAL_FAILURE(CheckWindow(buffer, 0, &replanned));
      continue;
    }
    ++damaged;
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(status.message(), HasSubstr("the rows stored at address "));
    EXPECT_THAT(status.message(), HasSubstr(folder));
  }
  EXPECT_GT(damaged, 0u);
  EXPECT_LT(damaged, 1000u);
}

double ResidentBytes() {
  uint64_t all = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> all >> resident;
  return static_cast<double>(resident) * static_cast<double>(sysconf(_SC_PAGESIZE));
}

// What docs/replay.md promises of a shard with rows on disk: its index, the cache, and a constant.
TEST(DiskRowsTest, MemoryDoesNotGrowWithTheBytesOfRows) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers need memory of their own";
#endif
  constexpr uint64_t kRows = 1'000'000;
  const ScratchFolder scratch;
  const double before = ResidentBytes();
  const std::unique_ptr<Shard> shard = OpenShard(scratch.File("data"), kRows);
  Writer writer(shard.get());
  while (writer.next() < kRows) writer.Append();
  WaitUntilDurable(shard.get());
  WindowBuffer buffer(kSpec, kHorizon, 256);
  for (uint64_t seed = 0; seed < 100; ++seed) {
    ASSERT_TRUE(shard->Sample(seed, buffer.Columns()).ok());
  }
  const ShardCounts counts = shard->counts();
  ASSERT_EQ(counts.stored_rows, kRows);
  ASSERT_GT(counts.stored_bytes, 170'000'000u);
  const double index = static_cast<double>(
      kRows * (Table::kDiskSlotBytes + NamedTables::BytesPerKey(Config(1).table.tables)));
  EXPECT_LT(ResidentBytes() - before,
            1.2 * index + kRowCache + Database::kMemoryBytes + (uint64_t{48} << 20));
}

}  // namespace
}  // namespace pompc::replay
