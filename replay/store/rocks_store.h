#ifndef POMPC_REPLAY_STORE_ROCKS_STORE_H_
#define POMPC_REPLAY_STORE_ROCKS_STORE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/backoff.h"
#include "common/base/threads.h"
#include "replay/core/store.h"

namespace rocksdb {
class Env;
}

namespace pompc::replay {

struct RocksStoreOptions {
  // Folder of the data; made if it does not exist.
  std::string folder;
  // kSync or kBackground.
  Durability durability = Durability::kSync;
  // Opens without what is damaged, instead of failing.
  bool skip_damaged = false;
  // Bytes that wait to be written at most, give or take a chunk. As much again is being written.
  uint64_t max_pending_bytes = uint64_t{8} << 20;
  // Rows are served from disk (Store::disk_rows), with so much memory for what was read; 0: not.
  uint64_t row_cache_bytes = 0;
  // With kBackground: the time after which what was written is put on disk.
  absl::Duration sync_every = absl::Seconds(1);
  // Pauses between attempts to write, while writing fails.
  BackoffOptions retry = {.initial = absl::Milliseconds(100), .max = absl::Seconds(2)};
  // The file system; if absent, the operating system's. Must outlive the store.
  rocksdb::Env* env = nullptr;
  Clock* clock = Clock::Real();
};

// Keeps the content of a shard in a RocksDB. Records are collected in memory; a thread of the store
// writes all that have come meanwhile as one batch (group commit), puts it on disk (kSync) or hands
// it to the operating system (kBackground), and then calls back whoever waits for them. While
// writing fails, it tries the same batch again and again: nothing is acknowledged, Admits says why,
// and whatever waits becomes durable once there is room.
//
// Memory: two groups of records of about max_pending_bytes, and Database::kMemoryBytes. Where rows
// are served from disk, row_cache_bytes, and as much again as the groups take.
class RocksStore : public Store {
 public:
  // Opens what is stored in the folder and counts the opening. FAILED_PRECONDITION if another store
  // has it open, DATA_LOSS naming the file that is damaged, RESOURCE_EXHAUSTED if the disk is full.
  // Takes as long as it takes to read all files once, and to replay the write-ahead log, some 100
  // MB at most.
  static absl::StatusOr<std::unique_ptr<RocksStore>> Open(const RocksStoreOptions& options);
  // Writes what waits, if that is possible, and closes. Callbacks that are still owed get
  // CANCELLED.
  ~RocksStore() override;

  // Drawn at random when the folder was new; identifies its content.
  uint64_t incarnation() const;

  absl::Status Load(const Visitor& visitor) override;
  absl::Status Admits() const override;
  void Record(std::span<const StoreRecord> records) override;
  void WhenDurable(std::function<void(absl::Status)> done) override;
  void OnChange(std::function<void()> changed) override;
  uint64_t opening() const override;
  absl::StatusOr<std::string> Snapshot(const std::string& name) override;
  StoreStats stats() const override;
  DiskRows* disk_rows() override;

 private:
  class Impl;
  explicit RocksStore(std::unique_ptr<Impl> impl);

  const std::unique_ptr<Impl> impl_;
};

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_STORE_ROCKS_STORE_H_
