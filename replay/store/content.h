#ifndef POMPC_REPLAY_STORE_CONTENT_H_
#define POMPC_REPLAY_STORE_CONTENT_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "replay/core/store.h"
#include "replay/store/database.h"
#include "rocksdb/write_batch.h"

namespace pompc::replay {

// How the content of a shard stands in a database.

// What identifies it.
struct StoreIdentity {
  uint64_t incarnation = 0;
  // The number of times that it was opened, this one included.
  uint64_t opening = 0;
};

// Reads the identity and writes it back with one opening more; a database without content gets
// `new_incarnation`. FAILED_PRECONDITION if another version of the program wrote the content in
// another form.
absl::StatusOr<StoreIdentity> OpenIdentity(Database* database, uint64_t new_incarnation);

// Lets the next opening be so many later than it would be, and returns its number.
absl::StatusOr<uint64_t> SkipOpenings(Database* database, uint64_t count);

// Adds the changes that a record makes to the database.
void AddRecord(const StoreRecord& record, rocksdb::WriteBatch* batch);

// Notes that rows before `oldest` are evicted, and adds the deletion of what is recorded of rows
// before `end`, their chunks excepted. REQUIRES: end <= oldest.
void AddEviction(uint64_t end, uint64_t oldest, rocksdb::WriteBatch* batch);
// Deletes files that hold nothing but chunks of rows before `end`. REQUIRES: that these are evicted
// is on disk.
absl::Status DropEvictedChunks(Database* database, uint64_t end);

// Store::Load. With `skip_damaged`, records that are damaged are logged and left out, and chunks
// have gaps.
absl::Status LoadContent(Database* database, bool skip_damaged, const Store::Visitor& visitor);

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_STORE_CONTENT_H_
