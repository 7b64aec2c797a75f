#include "replay/store/snapshot.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <system_error>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/random_id.h"
#include "common/io/files.h"
#include "common/values/utf8.h"
#include "replay/store/content.h"
#include "replay/store/database.h"

namespace pompc::replay {
namespace {

namespace fs = std::filesystem;

constexpr char kSnapshots[] = "snapshots";
// A snapshot has this name while it is being made; what a crash has left of it is removed.
constexpr char kUnfinished[] = ".unfinished";
constexpr size_t kMaxNameBytes = 64;
// Whoever opens a folder makes this file in it, where it is missing, and locks it.
constexpr char kLock[] = "LOCK";

absl::Status FileError(const std::string& what, const std::error_code& error) {
  const std::string text = absl::StrCat(what, ": ", error.message());
  return error == std::errc::no_space_on_device ? absl::ResourceExhaustedError(text)
                                                : absl::UnavailableError(text);
}

absl::Status CopyFiles(const std::string& from, const std::string& to) {
  std::error_code error;
  fs::create_directories(to, error);
  if (error) return FileError(to, error);
  POMPC_ASSIGN_OR_RETURN(const std::vector<std::string> names, NamesIn(from));
  for (const std::string& name : names) {
    const fs::path file = fs::path(from) / name;
    if (!fs::is_regular_file(file, error) || name == kLock) continue;
    const std::string copy = (fs::path(to) / name).string();
    fs::copy_file(file, copy, error);
    if (error) return FileError(copy, error);
    POMPC_RETURN_IF_ERROR(SyncPath(copy));
  }
  return SyncPath(to);
}

// Reads everything in the folder, and makes its next opening one that no other copy has.
absl::StatusOr<RestoredContent> CheckAndRenew(const std::string& folder) {
  POMPC_ASSIGN_OR_RETURN(const std::unique_ptr<Database> database,
                         Database::Open({.folder = folder}));
  RestoredContent content;
  uint64_t oldest = 0;
  const absl::Status loaded =
      LoadContent(database.get(), /*skip_damaged=*/false, [&](const StoreRecord& record, double) {
        if (const auto* evicted = std::get_if<EvictedRecord>(&record)) oldest = evicted->oldest;
        if (const auto* chunk = std::get_if<ChunkRecord>(&record)) {
          // The rows of the first chunk may be evicted in part.
          const uint64_t gone = std::max(oldest, chunk->address) - chunk->address;
          const uint64_t rows = chunk->rows.count - chunk->begin;
          content.rows += rows - std::min(rows, gone);
        }
        return absl::OkStatus();
      });
  if (!loaded.ok()) return Annotate(loaded, folder);
  POMPC_ASSIGN_OR_RETURN(content.opening, SkipOpenings(database.get(), RandomId() >> 16));
  return content;
}

}  // namespace

absl::StatusOr<std::string> SnapshotFolder(const std::string& data_folder,
                                           const std::string& name) {
  const bool allowed =
      !name.empty() && name.size() <= kMaxNameBytes && name.front() != '.' &&
      std::all_of(name.begin(), name.end(), [](char c) {
        return absl::ascii_isalnum(static_cast<unsigned char>(c)) || absl::StrContains("-_.", c);
      });
  if (!allowed) {
    return absl::InvalidArgumentError(
        absl::StrCat("name of the snapshot: \"", ToUtf8(name), "\"; allowed: 1 to ", kMaxNameBytes,
                     " letters, digits, '-', '_' and '.', not beginning with '.'"));
  }
  return absl::StrCat(data_folder, "/", kSnapshots, "/", name);
}

absl::StatusOr<std::string> MakeSnapshot(Database* database, const std::string& name) {
  const std::string& data = database->folder();
  POMPC_ASSIGN_OR_RETURN(const std::string folder, SnapshotFolder(data, name));
  std::error_code error;
  const fs::path parent = fs::path(folder).parent_path();
  fs::create_directories(parent, error);
  if (error) return FileError(parent.string(), error);
  POMPC_RETURN_IF_ERROR(SyncPath(data));
  if (fs::exists(folder, error)) {
    return absl::AlreadyExistsError(absl::StrCat("there is a snapshot at ", folder, " already"));
  }
  POMPC_ASSIGN_OR_RETURN(const std::vector<std::string> names, NamesIn(parent.string()));
  const auto kept = std::count_if(names.begin(), names.end(),
                                  [](const std::string& entry) { return entry.front() != '.'; });
  if (kept >= static_cast<int64_t>(kMaxSnapshots)) {
    return absl::ResourceExhaustedError(
        absl::StrCat(parent.string(), " holds ", kept,
                     " snapshots, the most that are kept: delete the folder of one first"));
  }
  const fs::path unfinished = parent / kUnfinished;
  // RocksDB writes into a folder of its own beside it first.
  const auto remove = [&unfinished] {
    std::error_code ignored;
    fs::remove_all(unfinished, ignored);
    fs::remove_all(unfinished.string() + ".tmp", ignored);
  };
  remove();
  absl::Cleanup clean_up = remove;
  POMPC_RETURN_IF_ERROR(database->CopyTo(unfinished.string()));
  fs::rename(unfinished, folder, error);
  if (error) return FileError(folder, error);
  POMPC_RETURN_IF_ERROR(SyncPath(parent.string()));
  return folder;
}

absl::StatusOr<RestoredContent> RestoreSnapshot(const std::string& snapshot,
                                                const std::string& given) {
  std::error_code error;
  fs::path folder = fs::absolute(given).lexically_normal();
  if (!folder.has_filename()) folder = folder.parent_path();
  if (!fs::exists(fs::path(snapshot) / "CURRENT", error)) {
    return absl::NotFoundError(absl::StrCat(snapshot, " is no snapshot of a shard's rows"));
  }
  // What nobody has opened has no such file, and a snapshot stays as it is.
  rocksdb::Env* const env = rocksdb::Env::Default();
  rocksdb::FileLock* lock = nullptr;
  const std::string lock_file = (fs::path(snapshot) / kLock).string();
  if (fs::exists(lock_file, error) && !env->LockFile(lock_file, &lock).ok()) {
    return absl::FailedPreconditionError(
        absl::StrCat(snapshot, " is in use: a shard or another program has it open"));
  }
  absl::Cleanup unlock = [env, lock] {
    if (lock != nullptr) env->UnlockFile(lock).PermitUncheckedError();
  };
  if (fs::exists(folder, error)) {
    return absl::AlreadyExistsError(
        absl::StrCat(folder.string(), " exists: only a new folder is written"));
  }
  const std::string copy = folder.string() + ".unfinished";
  if (fs::exists(copy, error)) {
    return absl::AlreadyExistsError(absl::StrCat(
        copy, " exists: it is left of a restore that did not end; delete it, or wait for it"));
  }
  absl::Cleanup clean_up = [&copy] {
    std::error_code ignored;
    fs::remove_all(copy, ignored);
  };
  POMPC_RETURN_IF_ERROR(CopyFiles(snapshot, copy));
  const absl::StatusOr<RestoredContent> content = CheckAndRenew(copy);
  if (!content.ok()) return Annotate(content.status(), absl::StrCat("a copy of ", snapshot));
  fs::rename(copy, folder, error);
  if (error) return FileError(folder.string(), error);
  POMPC_RETURN_IF_ERROR(SyncPath(folder.parent_path().string()));
  return content;
}

}  // namespace pompc::replay
