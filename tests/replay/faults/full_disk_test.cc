#include <atomic>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "replay/core/shard.h"
#include "replay/store/rocks_store.h"
#include "rocksdb/env.h"
#include "tests/replay/faults/fragile_disk.h"
#include "tests/replay/row_builder.h"
#include "tests/support/await.h"

namespace pompc::replay {
namespace {

using Kind = AppendOutcome::Kind;

constexpr RowSpec kSpec{.observation_size = 3, .action_size = 2};
constexpr uint32_t kHorizon = 3;
constexpr uint32_t kChunk = 64;

class CountingWaiter : public RoomWaiter {
 public:
  void OnRoom() override { ++calls; }
  std::atomic<int> calls = 0;
};

// A shard whose rows are on a disk that a test fills.
class FullDiskTest : public testing::Test {
 protected:
  FullDiskTest()
      : disk_(std::make_shared<FragileDisk>(std::vector<std::string>{"/disk"})),
        env_(rocksdb::NewCompositeEnv(disk_)) {}

  void Open() {
    RocksStoreOptions options{.folder = "/disk/shard-0", .env = env_.get()};
    options.retry = {.initial = absl::Milliseconds(5), .max = absl::Milliseconds(20)};
    auto store = RocksStore::Open(options);
    ASSERT_TRUE(store.ok()) << store.status();
    const uint64_t incarnation = (*store)->incarnation();
    shard_ = std::make_unique<Shard>(incarnation, Clock::Real(), *std::move(store));
    const ShardConfig config{.run_id = "run",
                             .table = {kSpec, kHorizon, 100000, uint64_t{1} << 30},
                             .encoded = "the config"};
    const absl::Status loaded = shard_->Load([&](const std::string&) { return config; });
    ASSERT_TRUE(loaded.ok()) << loaded;
    ASSERT_TRUE(shard_->Configure(config).ok());
    ASSERT_TRUE(shard_->Grant({std::numeric_limits<uint32_t>::max(), "", false}).ok());
  }

  // Gives the shard the rows behind those that it has.
  AppendOutcome Append() {
    const RowBuilder rows = RowBuilder(kSpec).AddMany(next_row_, kChunk);
    const AppendOutcome outcome = shard_->Append(id_, next_row_, rows.View(), waiter_);
    if (outcome.kind == Kind::kAcked) {
      next_row_ = outcome.next_row;
      shard_->WhenDurable([this, next = next_row_](const absl::Status& status) {
        if (status.ok()) durable_ = next;
      });
    }
    return outcome;
  }

  absl::Status Sample() {
    WindowBuffer windows(kSpec, kHorizon, 16);
    return shard_->Sample(next_row_, windows.Columns());
  }

  const std::shared_ptr<FragileDisk> disk_;
  const std::unique_ptr<rocksdb::Env> env_;
  const std::shared_ptr<CountingWaiter> waiter_ = std::make_shared<CountingWaiter>();
  const SegmentId id_{.actor_index = 1, .incarnation = 1};
  uint64_t next_row_ = 0;
  std::atomic<uint64_t> durable_ = 0;
  // Last: its store calls back.
  std::unique_ptr<Shard> shard_;
};

TEST_F(FullDiskTest, SamplingGoesOnAndRowsComeAgainOnceThereIsRoom) {
  Open();
  for (int round = 0; round < 3; ++round) {
    ASSERT_EQ(Append().kind, Kind::kAcked);
    ASSERT_TRUE(Await([&] { return durable_ == next_row_; }));

    disk_->LimitBytes(disk_->bytes());
    AppendOutcome outcome;
    ASSERT_TRUE(Await([&] {
      outcome = Append();
      return outcome.kind != Kind::kAcked;
    }));
    EXPECT_EQ(outcome.kind, Kind::kBlocked);
    EXPECT_EQ(outcome.status.code(), absl::StatusCode::kResourceExhausted) << outcome.status;
    EXPECT_GT(shard_->counts().store.failed_writes, 0u);
    EXPECT_FALSE(shard_->counts().store.failure.ok());
    EXPECT_LT(durable_, next_row_) << "rows were acknowledged that the disk does not have";
    EXPECT_TRUE(Sample().ok());
    const int calls = waiter_->calls;

    disk_->LimitBytes(std::numeric_limits<uint64_t>::max());
    ASSERT_TRUE(Await([&] { return waiter_->calls > calls; }));
    ASSERT_TRUE(Await([&] { return durable_ == next_row_; }));
    EXPECT_TRUE(shard_->counts().store.failure.ok());
    EXPECT_TRUE(Sample().ok());
  }
  ASSERT_EQ(Append().kind, Kind::kAcked);
  ASSERT_TRUE(Await([&] { return durable_ == next_row_; }));
  const uint64_t windows = shard_->counts().windows;

  shard_.reset();
  Open();
  EXPECT_EQ(shard_->counts().stored_rows, durable_);
  EXPECT_EQ(shard_->counts().accepted_rows, durable_);
  EXPECT_EQ(shard_->counts().windows, windows);
  EXPECT_EQ(Append().kind, Kind::kAcked);
}

}  // namespace
}  // namespace pompc::replay
