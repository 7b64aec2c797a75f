#ifndef POMPC_REPLAY_STORE_MANIFEST_H_
#define POMPC_REPLAY_STORE_MANIFEST_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "replay/store/watermark.h"
#include "rocksdb/env.h"
#include "rocksdb/file_checksum.h"

namespace pompc::replay {

// The number in a name MANIFEST-000012; none, if it is the name of no MANIFEST.
std::optional<uint64_t> ManifestNumber(absl::string_view name);

// Looks at the MANIFEST of a RocksDB, the list of its files, before it is opened. RocksDB takes a
// list that ends early for a shorter one, and forgets the files that are missing from it. DATA_LOSS
// if less of it is whole than `known` says was on disk. What a power cut has left behind that, and
// is no part of the list, is cut off: RocksDB would not open with it. OK where RocksDB itself finds
// what is wrong: CURRENT or the list is missing.
absl::Status CheckManifest(rocksdb::Env* env, const std::string& folder,
                           const WatermarkEntry& known);

// The checksums that CheckListedFiles asks for, for rocksdb::DBOptions.
std::shared_ptr<rocksdb::FileChecksumGenFactory> ListedChecksums();

// Reads the files that the MANIFEST lists and compares them with their checksums there. After
// CheckManifest, because a list with something else behind it is not read; before the database is
// opened, because RocksDB reads parts of a file before their checksums, and aborts the process over
// some bits in them. DATA_LOSS naming a file that is not what was written. Files of a database
// that was written without ListedChecksums are not read.
absl::Status CheckListedFiles(rocksdb::Env* env, const std::string& folder);

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_STORE_MANIFEST_H_
