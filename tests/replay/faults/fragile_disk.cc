#include "tests/replay/faults/fragile_disk.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/base/check.h"
#include "rocksdb/env.h"

namespace pompc::replay {

using rocksdb::FileOptions;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

namespace {

IOStatus NotFound(const std::string& path) {
  return IOStatus::PathNotFound(path, "no such file or directory");
}

// Folders are named with and without a slash at the end.
std::string Clean(std::string path) {
  while (path.ends_with('/')) path.pop_back();
  return path;
}

// What RocksDB says of itself is not kept.
class SilentLogger : public rocksdb::Logger {
 public:
  using rocksdb::Logger::Logv;
  void Logv(const char*, va_list) override {}
  size_t GetLogFileSize() const override { return 0; }
};

class Lock : public rocksdb::FileLock {
 public:
  explicit Lock(std::string path) : path_(std::move(path)) {}
  const std::string& path() const { return path_; }

 private:
  const std::string path_;
};

}  // namespace

class FragileDisk::WritableFile : public rocksdb::FSWritableFile {
 public:
  WritableFile(FragileDisk* disk, std::shared_ptr<File> file)
      : disk_(disk), file_(std::move(file)) {}

  using rocksdb::FSWritableFile::Append;
  IOStatus Append(const Slice& data, const IOOptions&, IODebugContext*) override {
    return disk_->AppendTo(file_.get(), data);
  }
  IOStatus Truncate(uint64_t size, const IOOptions&, IODebugContext*) override {
    MutexLock lock(&disk_->mu_);
    const IOStatus status = disk_->Operation();
    if (status.ok()) file_->content.resize(size);
    return status;
  }
  IOStatus Close(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
  IOStatus Flush(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
  IOStatus Sync(const IOOptions&, IODebugContext*) override { return disk_->SyncFile(file_.get()); }
  // A range that was synced is not safe: its file may have grown since, which takes a whole sync.
  IOStatus RangeSync(uint64_t, uint64_t, const IOOptions&, IODebugContext*) override {
    return IOStatus::OK();
  }
  bool IsSyncThreadSafe() const override { return true; }
  uint64_t GetFileSize(const IOOptions&, IODebugContext*) override {
    MutexLock lock(&disk_->mu_);
    return file_->content.size();
  }

 private:
  FragileDisk* const disk_;
  const std::shared_ptr<File> file_;
};

class FragileDisk::ReadableFile : public rocksdb::FSSequentialFile {
 public:
  ReadableFile(FragileDisk* disk, std::shared_ptr<File> file)
      : disk_(disk), file_(std::move(file)) {}

  IOStatus Read(size_t n, const IOOptions&, Slice* result, char* scratch,
                IODebugContext*) override {
    const IOStatus status = disk_->ReadFrom(*file_, offset_, n, result, scratch);
    if (status.ok()) offset_ += result->size();
    return status;
  }
  IOStatus Skip(uint64_t n) override {
    offset_ += n;
    return IOStatus::OK();
  }

 private:
  FragileDisk* const disk_;
  const std::shared_ptr<File> file_;
  uint64_t offset_ = 0;
};

class FragileDisk::RandomFile : public rocksdb::FSRandomAccessFile {
 public:
  RandomFile(FragileDisk* disk, std::shared_ptr<File> file) : disk_(disk), file_(std::move(file)) {}

  IOStatus Read(uint64_t offset, size_t n, const IOOptions&, Slice* result, char* scratch,
                IODebugContext*) const override {
    return disk_->ReadFrom(*file_, offset, n, result, scratch);
  }

 private:
  FragileDisk* const disk_;
  const std::shared_ptr<File> file_;
};

class FragileDisk::Folder : public rocksdb::FSDirectory {
 public:
  Folder(FragileDisk* disk, std::string path) : disk_(disk), path_(std::move(path)) {}

  IOStatus Fsync(const IOOptions&, IODebugContext*) override {
    MutexLock lock(&disk_->mu_);
    const IOStatus status = disk_->Operation();
    if (status.ok()) disk_->MakeSafe(path_);
    return status;
  }
  IOStatus Close(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }

 private:
  FragileDisk* const disk_;
  const std::string path_;
};

FragileDisk::FragileDisk(const std::vector<std::string>& folders)
    : FileSystemWrapper(rocksdb::FileSystem::Default()), folders_(folders.begin(), folders.end()) {}

std::string FragileDisk::FolderOf(const std::string& path) {
  return path.substr(0, path.find_last_of('/'));
}

void FragileDisk::CutPowerAt(uint64_t operation) {
  MutexLock lock(&mu_);
  cut_at_ = operation;
}

uint64_t FragileDisk::operations() const {
  MutexLock lock(&mu_);
  return operations_;
}

bool FragileDisk::power_is_cut() const {
  MutexLock lock(&mu_);
  return cut_;
}

void FragileDisk::LimitBytes(uint64_t bytes) {
  MutexLock lock(&mu_);
  limit_ = bytes;
}

uint64_t FragileDisk::bytes() const {
  MutexLock lock(&mu_);
  return BytesLocked();
}

uint64_t FragileDisk::BytesLocked() const {
  uint64_t sum = 0;
  for (const auto& [path, file] : names_) sum += file->content.size();
  return sum;
}

std::vector<std::string> FragileDisk::Files() const {
  MutexLock lock(&mu_);
  std::vector<std::string> paths;
  for (const auto& [path, file] : names_) paths.push_back(path);
  return paths;
}

std::string FragileDisk::Content(const std::string& path) const {
  MutexLock lock(&mu_);
  return names_.at(path)->content;
}

void FragileDisk::SetContent(const std::string& path, std::string content) {
  MutexLock lock(&mu_);
  const auto file = std::make_shared<File>(File{content, content});
  names_[path] = safe_names_[path] = file;
}

void FragileDisk::CopyFrom(const FragileDisk& disk) {
  std::map<std::string, std::string> contents;
  for (const std::string& path : disk.Files()) contents[path] = disk.Content(path);
  MutexLock lock(&mu_);
  names_.clear();
  for (auto& [path, content] : contents) {
    names_[path] = std::make_shared<File>(File{content, content});
  }
  safe_names_ = names_;
  changes_.clear();
  locks_.clear();
}

IOStatus FragileDisk::CheckPower() const {
  return cut_ ? IOStatus::IOError("the power is cut") : IOStatus::OK();
}

IOStatus FragileDisk::Operation() {
  cut_ = cut_ || operations_ >= cut_at_;
  if (!cut_) ++operations_;
  return CheckPower();
}

IOStatus FragileDisk::Find(const std::string& path, std::shared_ptr<File>* file) const {
  const IOStatus status = CheckPower();
  if (!status.ok()) return status;
  const auto it = names_.find(path);
  if (it == names_.end()) return NotFound(path);
  *file = it->second;
  return IOStatus::OK();
}

void FragileDisk::ApplyTo(const Change& change, Names* names) {
  for (const auto& [path, file] : change.names) {
    if (file == nullptr) {
      names->erase(path);
    } else {
      (*names)[path] = file;
    }
  }
}

void FragileDisk::Apply(Change change) {
  ApplyTo(change, &names_);
  changes_.push_back(std::move(change));
}

void FragileDisk::MakeSafe(const std::string& folder) {
  std::erase_if(changes_, [&](const Change& change) {
    if (change.folder != folder) return false;
    ApplyTo(change, &safe_names_);
    return true;
  });
}

IOStatus FragileDisk::AppendTo(File* file, const Slice& data) {
  MutexLock lock(&mu_);
  if (BytesLocked() + data.size() > limit_) return IOStatus::NoSpace("the disk is full");
  const bool was_cut = cut_;
  const IOStatus status = Operation();
  // What the append that meets the power cut has written is not safe: Restart draws how much of it
  // is left.
  if (!was_cut) file->content.append(data.data(), data.size());
  return status;
}

IOStatus FragileDisk::SyncFile(File* file) {
  MutexLock lock(&mu_);
  const IOStatus status = Operation();
  if (status.ok()) file->safe = file->content;
  return status;
}

IOStatus FragileDisk::ReadFrom(const File& file, uint64_t offset, size_t n, Slice* result,
                               char* scratch) const {
  MutexLock lock(&mu_);
  *result = Slice();
  const IOStatus status = CheckPower();
  if (!status.ok()) return status;
  if (offset < file.content.size()) {
    n = std::min<uint64_t>(n, file.content.size() - offset);
    std::memcpy(scratch, file.content.data() + offset, n);
    *result = Slice(scratch, n);
  }
  return IOStatus::OK();
}

std::string FragileDisk::LeftOf(const File& file, Leaves leaves, Random* random) {
  if (leaves == Leaves::kAll) return file.content;
  if (leaves == Leaves::kSafe) return file.safe;
  if (file.content.size() < file.safe.size()) {
    return random->Below(2) == 0 ? file.content : file.safe;
  }
  POMPC_CHECK(file.content.starts_with(file.safe), "RocksDB only appends");
  std::string left = file.content;
  const uint64_t unsafe = file.content.size() - file.safe.size();
  left.resize(file.safe.size() + random->Below(unsafe + 1));
  return left;
}

void FragileDisk::Restart(Leaves leaves, uint64_t seed) {
  MutexLock lock(&mu_);
  Random random(seed);
  Names left = safe_names_;
  size_t changes = leaves == Leaves::kAll ? changes_.size() : 0;
  if (leaves == Leaves::kPart) changes = random.Below(changes_.size() + 1);
  for (size_t i = 0; i < changes; ++i) ApplyTo(changes_[i], &left);
  // New files, since the handles of the time before the cut still have the old ones.
  std::map<std::shared_ptr<File>, std::shared_ptr<File>> again;
  for (auto& [path, file] : left) {
    std::shared_ptr<File>& made = again[file];
    if (made == nullptr) {
      const std::string content = LeftOf(*file, leaves, &random);
      made = std::make_shared<File>(File{content, content});
    }
    file = made;
  }
  names_ = safe_names_ = left;
  changes_.clear();
  locks_.clear();
  cut_ = false;
  cut_at_ = std::numeric_limits<uint64_t>::max();
}

IOStatus FragileDisk::NewSequentialFile(const std::string& path, const FileOptions&,
                                        std::unique_ptr<rocksdb::FSSequentialFile>* file,
                                        IODebugContext*) {
  MutexLock lock(&mu_);
  std::shared_ptr<File> found;
  const IOStatus status = Find(path, &found);
  if (status.ok()) *file = std::make_unique<ReadableFile>(this, found);
  return status;
}

IOStatus FragileDisk::NewRandomAccessFile(const std::string& path, const FileOptions&,
                                          std::unique_ptr<rocksdb::FSRandomAccessFile>* file,
                                          IODebugContext*) {
  MutexLock lock(&mu_);
  std::shared_ptr<File> found;
  const IOStatus status = Find(path, &found);
  if (status.ok()) *file = std::make_unique<RandomFile>(this, found);
  return status;
}

IOStatus FragileDisk::NewWritableFile(const std::string& path, const FileOptions&,
                                      std::unique_ptr<rocksdb::FSWritableFile>* file,
                                      IODebugContext*) {
  MutexLock lock(&mu_);
  const IOStatus status = Operation();
  if (!status.ok()) return status;
  if (!folders_.contains(FolderOf(path))) return NotFound(path);
  const auto made = std::make_shared<File>();
  Apply({FolderOf(path), {{path, made}}});
  *file = std::make_unique<WritableFile>(this, made);
  return status;
}

IOStatus FragileDisk::ReopenWritableFile(const std::string& path, const FileOptions& options,
                                         std::unique_ptr<rocksdb::FSWritableFile>* file,
                                         IODebugContext* debug) {
  {
    MutexLock lock(&mu_);
    std::shared_ptr<File> found;
    const IOStatus status = Find(path, &found);
    if (status.ok()) *file = std::make_unique<WritableFile>(this, found);
    if (status.ok() || !status.IsPathNotFound()) return status;
  }
  return NewWritableFile(path, options, file, debug);
}

IOStatus FragileDisk::ReuseWritableFile(const std::string&, const std::string&, const FileOptions&,
                                        std::unique_ptr<rocksdb::FSWritableFile>*,
                                        IODebugContext*) {
  return IOStatus::NotSupported("files are not written over");
}

IOStatus FragileDisk::NewRandomRWFile(const std::string&, const FileOptions&,
                                      std::unique_ptr<rocksdb::FSRandomRWFile>*, IODebugContext*) {
  return IOStatus::NotSupported("files are not written over");
}

IOStatus FragileDisk::NewMemoryMappedFileBuffer(const std::string&,
                                                std::unique_ptr<rocksdb::MemoryMappedFileBuffer>*) {
  return IOStatus::NotSupported("files are not mapped");
}

IOStatus FragileDisk::NewDirectory(const std::string& given, const IOOptions&,
                                   std::unique_ptr<rocksdb::FSDirectory>* folder, IODebugContext*) {
  const std::string path = Clean(given);
  MutexLock lock(&mu_);
  if (!folders_.contains(path)) return NotFound(path);
  *folder = std::make_unique<Folder>(this, path);
  return CheckPower();
}

IOStatus FragileDisk::FileExists(const std::string& given, const IOOptions&, IODebugContext*) {
  const std::string path = Clean(given);
  MutexLock lock(&mu_);
  if (folders_.contains(path)) return CheckPower();
  std::shared_ptr<File> found;
  const IOStatus status = Find(path, &found);
  return status.IsPathNotFound() ? IOStatus::NotFound(path) : status;
}

IOStatus FragileDisk::GetChildren(const std::string& given, const IOOptions&,
                                  std::vector<std::string>* names, IODebugContext*) {
  const std::string path = Clean(given);
  MutexLock lock(&mu_);
  names->clear();
  if (!folders_.contains(path)) return NotFound(path);
  for (const auto& [file, content] : names_) {
    if (FolderOf(file) == path) names->push_back(file.substr(path.size() + 1));
  }
  for (const std::string& folder : folders_) {
    if (folder != path && FolderOf(folder) == path)
      names->push_back(folder.substr(path.size() + 1));
  }
  return CheckPower();
}

IOStatus FragileDisk::GetChildrenFileAttributes(const std::string& path, const IOOptions& options,
                                                std::vector<rocksdb::FileAttributes>* files,
                                                IODebugContext* debug) {
  return FileSystem::GetChildrenFileAttributes(path, options, files, debug);
}

IOStatus FragileDisk::DeleteFile(const std::string& path, const IOOptions&, IODebugContext*) {
  MutexLock lock(&mu_);
  const IOStatus status = Operation();
  if (!status.ok()) return status;
  if (!names_.contains(path)) return NotFound(path);
  Apply({FolderOf(path), {{path, nullptr}}});
  return status;
}

IOStatus FragileDisk::Truncate(const std::string& path, size_t size, const IOOptions&,
                               IODebugContext*) {
  MutexLock lock(&mu_);
  std::shared_ptr<File> found;
  IOStatus status = Find(path, &found);
  if (status.ok()) status = Operation();
  if (status.ok()) found->content.resize(size);
  return status;
}

IOStatus FragileDisk::CreateDir(const std::string& given, const IOOptions&, IODebugContext*) {
  const std::string path = Clean(given);
  MutexLock lock(&mu_);
  const IOStatus status = Operation();
  if (!status.ok()) return status;
  return folders_.insert(path).second ? status : IOStatus::IOError(path, "file exists");
}

IOStatus FragileDisk::CreateDirIfMissing(const std::string& given, const IOOptions&,
                                         IODebugContext*) {
  const std::string path = Clean(given);
  MutexLock lock(&mu_);
  if (folders_.contains(path)) return CheckPower();
  const IOStatus status = Operation();
  if (status.ok()) folders_.insert(path);
  return status;
}

IOStatus FragileDisk::DeleteDir(const std::string& given, const IOOptions&, IODebugContext*) {
  const std::string path = Clean(given);
  MutexLock lock(&mu_);
  const IOStatus status = Operation();
  if (!status.ok()) return status;
  return folders_.erase(path) == 1 ? status : NotFound(path);
}

IOStatus FragileDisk::GetFileSize(const std::string& path, const IOOptions&, uint64_t* size,
                                  IODebugContext*) {
  MutexLock lock(&mu_);
  std::shared_ptr<File> found;
  const IOStatus status = Find(path, &found);
  if (status.ok()) *size = found->content.size();
  return status;
}

IOStatus FragileDisk::GetFileModificationTime(const std::string& path, const IOOptions&,
                                              uint64_t* time, IODebugContext*) {
  MutexLock lock(&mu_);
  std::shared_ptr<File> found;
  *time = 0;
  return Find(path, &found);
}

IOStatus FragileDisk::RenameFile(const std::string& from, const std::string& to, const IOOptions&,
                                 IODebugContext*) {
  MutexLock lock(&mu_);
  std::shared_ptr<File> found;
  IOStatus status = Find(from, &found);
  if (status.ok()) status = Operation();
  if (!status.ok()) return status;
  if (FolderOf(from) != FolderOf(to)) return IOStatus::NotSupported("renaming between folders");
  Apply({FolderOf(from), {{from, nullptr}, {to, found}}});
  return status;
}

IOStatus FragileDisk::LinkFile(const std::string& from, const std::string& to, const IOOptions&,
                               IODebugContext*) {
  MutexLock lock(&mu_);
  std::shared_ptr<File> found;
  IOStatus status = Find(from, &found);
  if (status.ok()) status = Operation();
  if (status.ok()) Apply({FolderOf(to), {{to, found}}});
  return status;
}

IOStatus FragileDisk::NumFileLinks(const std::string& path, const IOOptions&, uint64_t* count,
                                   IODebugContext*) {
  MutexLock lock(&mu_);
  std::shared_ptr<File> found;
  const IOStatus status = Find(path, &found);
  *count = 0;
  for (const auto& [name, file] : names_) *count += status.ok() && file == found ? 1 : 0;
  return status;
}

IOStatus FragileDisk::AreFilesSame(const std::string& first, const std::string& second,
                                   const IOOptions&, bool* same, IODebugContext*) {
  MutexLock lock(&mu_);
  std::shared_ptr<File> a, b;
  IOStatus status = Find(first, &a);
  if (status.ok()) status = Find(second, &b);
  *same = a == b;
  return status;
}

IOStatus FragileDisk::LockFile(const std::string& path, const IOOptions&, rocksdb::FileLock** lock,
                               IODebugContext*) {
  MutexLock held(&mu_);
  *lock = nullptr;
  const IOStatus status = CheckPower();
  if (!status.ok()) return status;
  if (!locks_.insert(path).second) return IOStatus::IOError(path, "lock held");
  *lock = new Lock(path);
  return status;
}

IOStatus FragileDisk::UnlockFile(rocksdb::FileLock* lock, const IOOptions&, IODebugContext*) {
  MutexLock held(&mu_);
  const std::unique_ptr<Lock> owned(static_cast<Lock*>(lock));
  locks_.erase(owned->path());
  return IOStatus::OK();
}

IOStatus FragileDisk::NewLogger(const std::string&, const IOOptions&,
                                std::shared_ptr<rocksdb::Logger>* logger, IODebugContext*) {
  *logger = std::make_shared<SilentLogger>();
  return IOStatus::OK();
}

IOStatus FragileDisk::GetAbsolutePath(const std::string& path, const IOOptions&,
                                      std::string* absolute, IODebugContext*) {
  *absolute = path;
  return IOStatus::OK();
}

IOStatus FragileDisk::GetFreeSpace(const std::string&, const IOOptions&, uint64_t* bytes,
                                   IODebugContext*) {
  MutexLock lock(&mu_);
  *bytes = limit_ - std::min(limit_, BytesLocked());
  return CheckPower();
}

IOStatus FragileDisk::IsDirectory(const std::string& given, const IOOptions&, bool* is_folder,
                                  IODebugContext*) {
  const std::string path = Clean(given);
  MutexLock lock(&mu_);
  *is_folder = folders_.contains(path);
  return *is_folder || names_.contains(path) ? CheckPower() : NotFound(path);
}

}  // namespace pompc::replay
