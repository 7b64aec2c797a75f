#ifndef POMPC_REPLAY_CORE_STORE_H_
#define POMPC_REPLAY_CORE_STORE_H_

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "replay/core/disk_rows.h"
#include "replay/core/store_record.h"

namespace pompc::replay {

// What an acknowledgement of a row promises.
enum class Durability : uint8_t {
  kMemory,      // it is in the memory of the process
  kBackground,  // the operating system has it, and puts it on disk within a second
  kSync,        // it is on disk
};

// What has become of a store's writes.
struct StoreStats {
  // Bytes of records that are not written yet.
  uint64_t pending_bytes = 0;
  // Groups of records that were written, and attempts that failed.
  uint64_t commits = 0;
  uint64_t failed_writes = 0;
  // Time that writing the groups took, that of the present one so far included.
  absl::Duration write_time;
  // Not OK while writing fails; RESOURCE_EXHAUSTED if the disk is full.
  absl::Status failure;
};

// Keeps the content of a shard beyond its process, and so decides what an acknowledgement promises.
// Thread-safe; Load comes first, and nothing else is called while it runs.
class Store {
 public:
  // Gets a record and the share of the rows that were loaded, 0 to 1.
  using Visitor = std::function<absl::Status(const StoreRecord&, double loaded)>;

  virtual ~Store() = default;

  // False if it keeps nothing: then there is nothing to load, and nothing needs to be recorded.
  virtual bool persistent() const { return true; }

  // Hands over everything that is stored, in this order: the config, what is known of actors and
  // segments, the grant, the eviction frontier, chunks in the order of their addresses, plans,
  // barred windows. Nothing, if the store is new. Returns the visitor's first error, or DATA_LOSS
  // naming the record that is damaged and how.
  virtual absl::Status Load(const Visitor& visitor) = 0;

  // OK while the store takes rows. RESOURCE_EXHAUSTED with the reason while too much waits to be
  // written, or the disk is full. Then no row is to be accepted until OnChange calls.
  virtual absl::Status Admits() const = 0;

  // Takes records, copying what it keeps. They become durable in the order of the calls; those of
  // one call at once or not at all. Does not block.
  virtual void Record(std::span<const StoreRecord> records) = 0;

  // Calls `done` exactly once, possibly before this returns, when everything recorded so far is as
  // durable as this store makes it. If the status is not OK, these rows may be lost and must not be
  // acknowledged. Does not block.
  virtual void WhenDurable(std::function<void(absl::Status)> done) = 0;

  // Sets what is called, from a thread of the store and without locks held, whenever Admits may
  // have changed. To be set once, before the first record; an empty function ends the calls, and
  // none is running when it returns.
  virtual void OnChange(std::function<void()> changed) = 0;

  // Counts how often the content was opened. Addresses are valid within one opening: after a crash,
  // those of rows that were not durable yet are given again.
  virtual uint64_t opening() const = 0;

  // Keeps a copy of the content under this name, beside the content itself, and returns where it
  // is. The copy holds everything that was durable before the call, and of what came later the
  // first records up to some of them. Blocks, for seconds; records are taken meanwhile.
  // INVALID_ARGUMENT for what is no name; ALREADY_EXISTS if it is taken; RESOURCE_EXHAUSTED if
  // there is no room on disk, or too many copies are kept; UNAVAILABLE while another one is made;
  // FAILED_PRECONDITION if the store keeps nothing.
  virtual absl::StatusOr<std::string> Snapshot(const std::string& name) = 0;

  virtual StoreStats stats() const = 0;

  // The place that the numbers of rows are read from; null if the shard's table holds them.
  virtual DiskRows* disk_rows() { return nullptr; }
};

// Keeps nothing: rows live as long as the process.
class MemoryStore : public Store {
 public:
  bool persistent() const override { return false; }
  absl::Status Load(const Visitor&) override { return absl::OkStatus(); }
  absl::Status Admits() const override { return absl::OkStatus(); }
  void Record(std::span<const StoreRecord>) override {}
  void WhenDurable(std::function<void(absl::Status)> done) override { done(absl::OkStatus()); }
  void OnChange(std::function<void()>) override {}
  uint64_t opening() const override { return 1; }
  absl::StatusOr<std::string> Snapshot(const std::string&) override {
    return absl::FailedPreconditionError(
        "the shard's rows live in memory alone (durability MEMORY), so there is nothing on disk to "
        "make a snapshot of");
  }
  StoreStats stats() const override { return {}; }
};

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_CORE_STORE_H_
