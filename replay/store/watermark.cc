#include "replay/store/watermark.h"

#include <bit>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/process/log.h"
#include "common/values/crc32c.h"

namespace pompc::replay {
namespace {

static_assert(std::endian::native == std::endian::little);

// Four numbers, and their CRC-32C.
constexpr size_t kNumbers = 4;
constexpr size_t kEntryBytes = kNumbers * sizeof(uint64_t) + sizeof(uint32_t);
// A file of so many entries is replaced by one that has the newest alone.
constexpr uint64_t kMaxEntries = 32768;
// After a failure, so many notes are left out before the file is tried again.
constexpr uint64_t kTryAgainAfter = 1024;

std::string Encode(const WatermarkEntry& entry) {
  const uint64_t numbers[kNumbers] = {entry.commit, entry.manifest, entry.manifest_bytes,
                                      entry.unsynced};
  std::string text(reinterpret_cast<const char*>(numbers), sizeof(numbers));
  const uint32_t crc = Crc32c(text);
  text.append(reinterpret_cast<const char*>(&crc), sizeof(crc));
  return text;
}

// Zeros, which a power cut leaves, are no entry.
bool Decode(absl::string_view text, WatermarkEntry* entry) {
  uint64_t numbers[kNumbers];
  std::memcpy(numbers, text.data(), sizeof(numbers));
  uint32_t crc = 0;
  std::memcpy(&crc, text.data() + sizeof(numbers), sizeof(crc));
  if (crc == 0 || crc != Crc32c(text.substr(0, sizeof(numbers)))) return false;
  *entry = {numbers[0], numbers[1], numbers[2], numbers[3] != 0};
  return true;
}

}  // namespace

rocksdb::Status Watermark::Read(rocksdb::Env* env, const std::string& folder,
                                WatermarkEntry* entry) {
  *entry = {};
  const std::string path = absl::StrCat(folder, "/", kFile);
  if (!env->FileExists(path).ok()) return rocksdb::Status::OK();
  std::string content;
  if (rocksdb::Status status = rocksdb::ReadFileToString(env, path, &content); !status.ok()) {
    return status;
  }
  bool found = false;
  for (size_t at = 0; at + kEntryBytes <= content.size(); at += kEntryBytes) {
    found |= Decode(absl::string_view(content).substr(at, kEntryBytes), entry);
  }
  if (!found) {
    Log().warn("{} is damaged: whether the newest rows are missing cannot be told this time", path);
  }
  return rocksdb::Status::OK();
}

Watermark::Watermark(rocksdb::Env* env, const std::string& folder) : env_(env), folder_(folder) {}

void Watermark::Start(const WatermarkEntry& entry) {
  MutexLock lock(&mu_);
  entry_ = entry;
  file_.reset();
  missed_ = kTryAgainAfter;
  Append(/*sync=*/true);
}

void Watermark::NoteCommit(uint64_t commit) {
  MutexLock lock(&mu_);
  entry_.commit = commit;
  Append(/*sync=*/false);
}

void Watermark::NoteManifest(uint64_t manifest, uint64_t bytes) {
  MutexLock lock(&mu_);
  // Several files may be flushed at once, and the notes of them come in any order.
  if (std::pair(manifest, bytes) < std::pair(entry_.manifest, entry_.manifest_bytes)) return;
  entry_.manifest = manifest;
  entry_.manifest_bytes = bytes;
  Append(/*sync=*/true);
}

void Watermark::NoteUnsynced() {
  MutexLock lock(&mu_);
  if (entry_.unsynced) return;
  entry_.unsynced = true;
  Append(/*sync=*/true);
}

void Watermark::Append(bool sync) {
  rocksdb::Status status;
  if (file_ == nullptr || file_entries_ >= kMaxEntries) {
    if (file_ == nullptr && ++missed_ < kTryAgainAfter) return;
    missed_ = 0;
    status = Replace();
  } else {
    status = file_->Append(Encode(entry_));
    if (status.ok()) status = sync ? file_->Sync() : file_->Flush();
    ++file_entries_;
  }
  if (status.ok()) return;
  // An entry may have been written in part; whatever came behind it would not be found.
  file_.reset();
  Log().debug("{}: {} is not written: {}", folder_, kFile, status.ToString());
}

rocksdb::Status Watermark::Replace() {
  const std::string path = absl::StrCat(folder_, "/", kFile), fresh = absl::StrCat(path, ".new");
  std::unique_ptr<rocksdb::WritableFile> file;
  rocksdb::Status status = env_->NewWritableFile(fresh, &file, rocksdb::EnvOptions());
  if (status.ok()) status = file->Append(Encode(entry_));
  if (status.ok()) status = file->Sync();
  if (status.ok()) status = env_->RenameFile(fresh, path);
  std::unique_ptr<rocksdb::Directory> directory;
  if (status.ok()) status = env_->NewDirectory(folder_, &directory);
  if (status.ok()) status = directory->Fsync();
  if (!status.ok()) return status;
  file_ = std::move(file);
  file_entries_ = 1;
  return status;
}

}  // namespace pompc::replay
