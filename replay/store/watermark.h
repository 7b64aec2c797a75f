#ifndef POMPC_REPLAY_STORE_WATERMARK_H_
#define POMPC_REPLAY_STORE_WATERMARK_H_

#include <cstdint>
#include <memory>
#include <string>

#include "common/base/threads.h"
#include "rocksdb/env.h"

namespace pompc::replay {

// What was known to be on disk at some time.
struct WatermarkEntry {
  // Number of the newest commit; 0: none.
  uint64_t commit = 0;
  // Number of the newest MANIFEST of RocksDB, and how many bytes of it; 0: unknown.
  uint64_t manifest = 0;
  uint64_t manifest_bytes = 0;
  // Commits behind `commit` may have been acknowledged before they were on disk, so that a power
  // cut leaves out any of them.
  bool unsynced = false;
};

// A file of our own beside those of RocksDB, which says how far the content of the folder reaches.
// RocksDB takes a log that is cut off for one that was not written any further; only a number that
// stands somewhere else tells the difference. Entries are appended, each with a checksum; the last
// one that is whole counts. It may lag behind what is on disk, but never runs ahead. Since it is
// only a check, nothing fails where it cannot be written: then it lags. Thread-safe.
class Watermark {
 public:
  static constexpr const char* kFile = "WATERMARK";

  // What the folder's file says; nothing, if it is missing or no entry of it is whole. The error of
  // a file that cannot be read.
  static rocksdb::Status Read(rocksdb::Env* env, const std::string& folder, WatermarkEntry* entry);

  Watermark(rocksdb::Env* env, const std::string& folder);

  // The newest commit that was noted.
  uint64_t commit() {
    MutexLock lock(&mu_);
    return entry_.commit;
  }

  // Begins a new file, with this entry.
  void Start(const WatermarkEntry& entry);
  // Notes that this commit is on disk, and all before it. The operating system puts the note itself
  // on disk when it likes.
  void NoteCommit(uint64_t commit);
  // Notes that so many bytes of the MANIFEST are on disk. So is the note when this returns, if that
  // is possible.
  void NoteManifest(uint64_t manifest, uint64_t bytes);
  // Notes that from now on commits are acknowledged before they are on disk. The note is on disk
  // when this returns, if that is possible.
  void NoteUnsynced();

 private:
  void Append(bool sync) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  rocksdb::Status Replace() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  rocksdb::Env* const env_;
  const std::string folder_;
  Mutex mu_;
  WatermarkEntry entry_ ABSL_GUARDED_BY(mu_);
  // None before Start, and after an entry could not be written.
  std::unique_ptr<rocksdb::WritableFile> file_ ABSL_GUARDED_BY(mu_);
  uint64_t file_entries_ ABSL_GUARDED_BY(mu_) = 0;
  // Commits since the file could not be written, after some of which it is tried again.
  uint64_t missed_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace pompc::replay

#endif  // POMPC_REPLAY_STORE_WATERMARK_H_
