#ifndef POMPC_REPLAY_STORE_SNAPSHOT_H_
#define POMPC_REPLAY_STORE_SNAPSHOT_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace pompc::replay {

class Database;

// Snapshots of a shard stand in folders `snapshots/NAME` of its data folder. Files that do not
// change any more are shared with it (hard links), so that a snapshot costs little room until the
// shard evicts what is in it.

// That many are kept at most: one more is refused.
inline constexpr size_t kMaxSnapshots = 16;

// The folder of the snapshot of this name. INVALID_ARGUMENT if that is no name: allowed are 1 to 64
// letters, digits, '-', '_' and '.', of which '.' is not the first.
absl::StatusOr<std::string> SnapshotFolder(const std::string& data_folder, const std::string& name);

// Copies what the database holds now, and returns the folder. The copy is on disk when this
// returns, or there is none. ALREADY_EXISTS if there is a snapshot of this name; RESOURCE_EXHAUSTED
// if there are kMaxSnapshots, or if the disk is full. One call at a time.
absl::StatusOr<std::string> MakeSnapshot(Database* database, const std::string& name);

// What a restored folder holds.
struct RestoredContent {
  uint64_t rows = 0;
  uint64_t opening = 0;
};

// Makes a new data folder of a snapshot, which stays as it is. The copy is opened and read
// completely before it gets the name `folder`. Opening it counts as very many openings, so that no
// address that the original gives after the snapshot is one of the copy. NOT_FOUND if there is no
// snapshot; ALREADY_EXISTS if there is anything at `folder`; FAILED_PRECONDITION if somebody has
// the snapshot open as the data folder of a shard; DATA_LOSS naming what in it is damaged;
// RESOURCE_EXHAUSTED if the disk is full.
absl::StatusOr<RestoredContent> RestoreSnapshot(const std::string& snapshot,
                                                const std::string& folder);

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_STORE_SNAPSHOT_H_
