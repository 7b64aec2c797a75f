#ifndef POMPC_REPLAY_STORE_DATABASE_H_
#define POMPC_REPLAY_STORE_DATABASE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/base/shared_mutex.h"
#include "replay/store/watermark.h"
#include "rocksdb/db.h"
#include "rocksdb/write_batch.h"

namespace pompc::replay {

// What the database keeps apart, because it is written, read and deleted in different ways.
enum class Family : uint8_t {
  kShard,    // one value each: the config, the grant, ...
  kChunks,   // rows, by address
  kStreams,  // what is known of writers
  kPlans,    // plans that replaced those of the rows, by address
  kBarred,   // windows that are not drawn, by address
};
inline constexpr size_t kFamilies = 5;

struct DatabaseOptions {
  std::string folder;
  // Opens with what was written before a damaged place of the write-ahead log, instead of failing.
  bool skip_damaged = false;
  // Memory for blocks of what was read. 0 if rows are read only when the database was opened.
  uint64_t row_cache_bytes = 0;
  rocksdb::Env* env = nullptr;
};

// The RocksDB of one shard: its options, its column families, and statuses that name the folder.
// Thread-safe but for Recover, beside which only MultiGet and CopyTo may be called.
class Database {
 public:
  // Memory that RocksDB takes for this database at most: write buffers and block cache; beside it,
  // row_cache_bytes.
  static constexpr uint64_t kMemoryBytes = uint64_t{44} << 20;

  // Opens the database in the folder, which is made if it does not exist, once its files are found
  // to be what was written. FAILED_PRECONDITION if another process has it open; DATA_LOSS, naming
  // what is damaged or that the newest commits are missing; RESOURCE_EXHAUSTED if the disk is full.
  static absl::StatusOr<std::unique_ptr<Database>> Open(const DatabaseOptions& options);
  ~Database();

  rocksdb::ColumnFamilyHandle* handle(Family family) const {
    return handles_[static_cast<size_t>(family)];
  }

  // Writes the batch, all of it or nothing; with `sync` it is on disk when this returns. Each batch
  // is a commit and gets a number, by which Open knows whether the newest are missing. One call of
  // Write or Sync at a time. RESOURCE_EXHAUSTED if the disk is full.
  absl::Status Write(rocksdb::WriteBatch* batch, bool sync);
  // Puts on disk what was written without `sync`.
  absl::Status Sync();
  // After Write or Sync has failed: makes the database writable again, if that is possible now.
  // Until it was, both return the failure and touch nothing: RocksDB aborts the process where it is
  // asked to go on writing to a file after an error. With row_cache_bytes, what was written can be
  // read all the same.
  absl::Status Recover();

  // Copies what is written so far to a new folder, as files that no later call changes, and puts
  // them on disk; they are opened as this database was. Waits for Recover and holds it up.
  // UNAVAILABLE while the database could not be opened again after a failure.
  absl::Status CopyTo(const std::string& folder);
  const std::string& folder() const { return options_.folder; }

  // NOT_FOUND if there is no such key.
  absl::StatusOr<std::string> Get(Family family, absl::string_view key) const;
  // Visits the value of each key, which lives until all were visited. NOT_FOUND if there is no such
  // key, UNAVAILABLE while the database cannot be opened, the first error of `visit`. REQUIRES:
  // keys are in their order.
  absl::Status MultiGet(
      Family family, std::span<const std::string> keys,
      const std::function<absl::Status(size_t key, const absl::StatusOr<absl::string_view>&)>&
          visit) const;
  // Reads each block from disk once, and checks RocksDB's own checksums.
  std::unique_ptr<rocksdb::Iterator> Iterate(Family family) const;

  // Deletes files that hold nothing but chunks whose keys are below `key`.
  absl::Status DropChunksBefore(absl::string_view key);

  // The status in our terms; `what` says what was done.
  absl::Status Translate(const rocksdb::Status& status, absl::string_view what) const;

 private:
  class NotesFlushes;

  explicit Database(const DatabaseOptions& options);
  absl::Status OpenLocked(bool read_only = false);
  // What comes of damage: an error that names it; with skip_damaged, a line in the log.
  absl::Status Damage(const absl::Status& damage) const;
  absl::Status CheckCommits(uint64_t known);
  absl::Status CheckNotInUse() const;
  absl::Status CheckComplete() const;
  void Close();

  const DatabaseOptions options_;
  Watermark watermark_;
  // The files that the MANIFEST lists were read: once, for the first opening.
  bool files_checked_ = false;
  // Number of the newest batch that was written.
  uint64_t commit_ = 0;
  // Held exclusively while the database is closed and opened again, and shared by those who use it
  // beside that.
  mutable SharedMutex reopen_mu_;
  std::unique_ptr<rocksdb::DB> db_;
  // Not OK from a failed Write, Sync or Recover until a Recover that succeeds.
  absl::Status failure_;
  std::array<rocksdb::ColumnFamilyHandle*, kFamilies> handles_ = {};
};

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_STORE_DATABASE_H_
