#ifndef POMPC_TESTS_REPLAY_FAULTS_FRAGILE_DISK_H_
#define POMPC_TESTS_REPLAY_FAULTS_FRAGILE_DISK_H_

#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/base/threads.h"
#include "replay/core/random.h"
#include "rocksdb/file_system.h"

namespace pompc::replay {

// A disk for RocksDB, in memory, that knows what is safe on it: content is safe once its file was
// synced, and names of files once their folder was. When the power is cut, what is not safe is lost
// in part or altogether. Folders themselves are always safe. It can also be full. Thread-safe, but
// for Restart, SetContent and Clone, for which no file may be open.
class FragileDisk : public rocksdb::FileSystemWrapper {
 public:
  // What a power cut leaves of what is not safe.
  enum class Leaves {
    // Nothing.
    kSafe,
    // A part that is drawn at random: of all changes of names the first few, and of the content of
    // each file its beginning.
    kPart,
    // All of it, as when the process alone is killed.
    kAll,
  };

  // `folders` exist and are safe.
  explicit FragileDisk(const std::vector<std::string>& folders);

  // Cuts the power at this operation, counted from 0: it fails, as does everything from then on
  // until Restart. An append that fails this way may have written a part.
  void CutPowerAt(uint64_t operation);
  // Operations so far. What changes files or makes them safe is one; reading is none.
  uint64_t operations() const;
  bool power_is_cut() const;
  // What there is after the power has come back.
  void Restart(Leaves leaves, uint64_t seed);

  // Appends fail while the files together would exceed so many bytes.
  void LimitBytes(uint64_t bytes);
  uint64_t bytes() const;

  // The paths of all files.
  std::vector<std::string> Files() const;
  std::string Content(const std::string& path) const;
  // Changes the content behind RocksDB's back.
  void SetContent(const std::string& path, std::string content);
  // Copies the files of another disk.
  void CopyFrom(const FragileDisk& disk);

  const char* Name() const override { return "FragileDisk"; }
  rocksdb::IOStatus NewSequentialFile(const std::string& path, const rocksdb::FileOptions&,
                                      std::unique_ptr<rocksdb::FSSequentialFile>* file,
                                      rocksdb::IODebugContext*) override;
  rocksdb::IOStatus NewRandomAccessFile(const std::string& path, const rocksdb::FileOptions&,
                                        std::unique_ptr<rocksdb::FSRandomAccessFile>* file,
                                        rocksdb::IODebugContext*) override;
  rocksdb::IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions&,
                                    std::unique_ptr<rocksdb::FSWritableFile>* file,
                                    rocksdb::IODebugContext*) override;
  rocksdb::IOStatus ReopenWritableFile(const std::string& path, const rocksdb::FileOptions&,
                                       std::unique_ptr<rocksdb::FSWritableFile>* file,
                                       rocksdb::IODebugContext*) override;
  rocksdb::IOStatus ReuseWritableFile(const std::string& path, const std::string& old_path,
                                      const rocksdb::FileOptions&,
                                      std::unique_ptr<rocksdb::FSWritableFile>* file,
                                      rocksdb::IODebugContext*) override;
  rocksdb::IOStatus NewRandomRWFile(const std::string& path, const rocksdb::FileOptions&,
                                    std::unique_ptr<rocksdb::FSRandomRWFile>* file,
                                    rocksdb::IODebugContext*) override;
  rocksdb::IOStatus NewMemoryMappedFileBuffer(
      const std::string& path, std::unique_ptr<rocksdb::MemoryMappedFileBuffer>* file) override;
  rocksdb::IOStatus NewDirectory(const std::string& path, const rocksdb::IOOptions&,
                                 std::unique_ptr<rocksdb::FSDirectory>* folder,
                                 rocksdb::IODebugContext*) override;
  rocksdb::IOStatus FileExists(const std::string& path, const rocksdb::IOOptions&,
                               rocksdb::IODebugContext*) override;
  rocksdb::IOStatus GetChildren(const std::string& path, const rocksdb::IOOptions&,
                                std::vector<std::string>* names, rocksdb::IODebugContext*) override;
  rocksdb::IOStatus GetChildrenFileAttributes(const std::string& path, const rocksdb::IOOptions&,
                                              std::vector<rocksdb::FileAttributes>* files,
                                              rocksdb::IODebugContext*) override;
  rocksdb::IOStatus DeleteFile(const std::string& path, const rocksdb::IOOptions&,
                               rocksdb::IODebugContext*) override;
  rocksdb::IOStatus Truncate(const std::string& path, size_t size, const rocksdb::IOOptions&,
                             rocksdb::IODebugContext*) override;
  rocksdb::IOStatus CreateDir(const std::string& path, const rocksdb::IOOptions&,
                              rocksdb::IODebugContext*) override;
  rocksdb::IOStatus CreateDirIfMissing(const std::string& path, const rocksdb::IOOptions&,
                                       rocksdb::IODebugContext*) override;
  rocksdb::IOStatus DeleteDir(const std::string& path, const rocksdb::IOOptions&,
                              rocksdb::IODebugContext*) override;
  rocksdb::IOStatus GetFileSize(const std::string& path, const rocksdb::IOOptions&, uint64_t* size,
                                rocksdb::IODebugContext*) override;
  rocksdb::IOStatus GetFileModificationTime(const std::string& path, const rocksdb::IOOptions&,
                                            uint64_t* time, rocksdb::IODebugContext*) override;
  rocksdb::IOStatus RenameFile(const std::string& from, const std::string& to,
                               const rocksdb::IOOptions&, rocksdb::IODebugContext*) override;
  rocksdb::IOStatus LinkFile(const std::string& from, const std::string& to,
                             const rocksdb::IOOptions&, rocksdb::IODebugContext*) override;
  rocksdb::IOStatus NumFileLinks(const std::string& path, const rocksdb::IOOptions&,
                                 uint64_t* count, rocksdb::IODebugContext*) override;
  rocksdb::IOStatus AreFilesSame(const std::string& first, const std::string& second,
                                 const rocksdb::IOOptions&, bool* same,
                                 rocksdb::IODebugContext*) override;
  rocksdb::IOStatus LockFile(const std::string& path, const rocksdb::IOOptions&,
                             rocksdb::FileLock** lock, rocksdb::IODebugContext*) override;
  rocksdb::IOStatus UnlockFile(rocksdb::FileLock* lock, const rocksdb::IOOptions&,
                               rocksdb::IODebugContext*) override;
  rocksdb::IOStatus NewLogger(const std::string& path, const rocksdb::IOOptions&,
                              std::shared_ptr<rocksdb::Logger>* logger,
                              rocksdb::IODebugContext*) override;
  rocksdb::IOStatus GetAbsolutePath(const std::string& path, const rocksdb::IOOptions&,
                                    std::string* absolute, rocksdb::IODebugContext*) override;
  rocksdb::IOStatus GetFreeSpace(const std::string& path, const rocksdb::IOOptions&,
                                 uint64_t* bytes, rocksdb::IODebugContext*) override;
  rocksdb::IOStatus IsDirectory(const std::string& path, const rocksdb::IOOptions&, bool* is_folder,
                                rocksdb::IODebugContext*) override;

 private:
  class WritableFile;
  class ReadableFile;
  class RandomFile;
  class Folder;
  struct File {
    std::string content;
    std::string safe;
  };
  using Names = std::map<std::string, std::shared_ptr<File>>;
  // A change of names that is not safe yet: path -> its file, or none.
  struct Change {
    std::string folder;
    std::vector<std::pair<std::string, std::shared_ptr<File>>> names;
  };

  static std::string FolderOf(const std::string& path);
  // To be called first by everything that changes something, with its mutex held.
  rocksdb::IOStatus Operation() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  rocksdb::IOStatus CheckPower() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  rocksdb::IOStatus Find(const std::string& path, std::shared_ptr<File>* file) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Apply(Change change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  static void ApplyTo(const Change& change, Names* names);
  void MakeSafe(const std::string& folder) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  rocksdb::IOStatus AppendTo(File* file, const rocksdb::Slice& data) ABSL_LOCKS_EXCLUDED(mu_);
  rocksdb::IOStatus SyncFile(File* file) ABSL_LOCKS_EXCLUDED(mu_);
  rocksdb::IOStatus ReadFrom(const File& file, uint64_t offset, size_t n, rocksdb::Slice* result,
                             char* scratch) const ABSL_LOCKS_EXCLUDED(mu_);
  static std::string LeftOf(const File& file, Leaves leaves, Random* random);
  uint64_t BytesLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  mutable Mutex mu_;
  uint64_t operations_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t cut_at_ ABSL_GUARDED_BY(mu_) = std::numeric_limits<uint64_t>::max();
  bool cut_ ABSL_GUARDED_BY(mu_) = false;
  uint64_t limit_ ABSL_GUARDED_BY(mu_) = std::numeric_limits<uint64_t>::max();
  std::set<std::string> folders_ ABSL_GUARDED_BY(mu_);
  std::set<std::string> locks_ ABSL_GUARDED_BY(mu_);
  Names names_ ABSL_GUARDED_BY(mu_);
  Names safe_names_ ABSL_GUARDED_BY(mu_);
  // In the order in which they happened.
  std::vector<Change> changes_ ABSL_GUARDED_BY(mu_);
};

}  // namespace pompc::replay

#endif  // POMPC_TESTS_REPLAY_FAULTS_FRAGILE_DISK_H_
