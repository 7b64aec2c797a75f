#ifndef POMPC_TESTS_REPLAY_FAULTS_STORE_MACHINE_H_
#define POMPC_TESTS_REPLAY_FAULTS_STORE_MACHINE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/base/threads.h"
#include "replay/store/rocks_store.h"
#include "rocksdb/env.h"
#include "tests/replay/faults/fragile_disk.h"
#include "tests/replay/faults/store_model.h"

namespace pompc::replay {

// A machine with a fragile disk, on which stores live one after the other in the same folder.
class StoreMachine {
 public:
  StoreMachine(uint64_t seed, Durability durability);

  FragileDisk& disk() { return *disk_; }
  const RocksStoreOptions& options() const { return options_; }

  // Opens a store, compares what it holds, and gives it `groups` groups of the workload. Ends early
  // when the power is cut. Returns what was wrong before that.
  absl::Status Work(int groups);

  // Opens a store once more. INTERNAL, saying what differs, if its content is not what it was after
  // some group, the `at_least`-th or a later one; else as RocksStore::Open and Load.
  absl::Status Check(size_t at_least);

  // Groups that were given to stores, those of them that were said to be durable, and those that
  // were for so long that with kBackground they must be on disk.
  size_t given() const { return contents_.size() - 1; }
  size_t durable() const { return durable_; }
  size_t settled() const { return settled_; }

 private:
  absl::Status AwaitDurable();
  // Lets the time pass after which the store puts on disk what was written.
  absl::Status Settle();

  FakeClock clock_;
  const std::shared_ptr<FragileDisk> disk_;
  const std::unique_ptr<rocksdb::Env> env_;
  RocksStoreOptions options_;
  StoreWorkload workload_;
  Random random_;
  ContentWords content_;
  // The content after each group.
  std::vector<std::set<std::string>> contents_;
  std::atomic<size_t> durable_ = 0;
  size_t settled_ = 0;
  // Something was given since that the store puts on disk in time.
  bool unsettled_ = false;
};

}  // namespace pompc::replay

#endif  // POMPC_TESTS_REPLAY_FAULTS_STORE_MACHINE_H_
