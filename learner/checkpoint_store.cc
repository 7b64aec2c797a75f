#include "learner/checkpoint_store.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status_macros.h"
#include "learner/files.h"
#include "nlohmann/json.hpp"

namespace pompc::learner {
namespace {

namespace fs = std::filesystem;

constexpr char kPrefix[] = "update-";
constexpr char kTemporary[] = "writing-";
constexpr char kChecksums[] = "checksums.json";
constexpr char kBest[] = "best";

std::string FolderName(uint64_t updates) { return absl::StrFormat("update-%09u", updates); }

std::optional<uint64_t> ParseFolderName(const std::string& name) {
  uint64_t updates = 0;
  if (!absl::StartsWith(name, kPrefix) ||
      !absl::SimpleAtoi(absl::string_view(name).substr(sizeof(kPrefix) - 1), &updates)) {
    return std::nullopt;
  }
  return updates;
}

bool Exists(const std::string& path) {
  std::error_code error;
  return fs::exists(path, error);
}

absl::StatusOr<std::vector<std::string>> NamesIn(const std::string& folder) {
  std::error_code error;
  std::vector<std::string> names;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    names.push_back(it->path().filename().string());
  }
  if (error) return absl::ErrnoToStatus(error.value(), absl::StrCat("listing ", folder));
  std::sort(names.begin(), names.end());
  return names;
}

// Makes all files durable and writes their checksums beside them.
absl::Status Seal(const std::string& folder) {
  POMPC_ASSIGN_OR_RETURN(const std::vector<std::string> names, NamesIn(folder));
  nlohmann::json files;
  for (const std::string& name : names) {
    const std::string path = absl::StrCat(folder, "/", name);
    POMPC_RETURN_IF_ERROR(SyncPath(path));
    POMPC_ASSIGN_OR_RETURN(const Checksum checksum, ChecksumFile(path));
    files[name] = {{"bytes", checksum.bytes}, {"crc32", checksum.crc32}};
  }
  const nlohmann::json sealed = {{"format", 1}, {"files", files}};
  return WriteFileAtomically(absl::StrCat(folder, "/", kChecksums), sealed.dump(2) + "\n");
}

}  // namespace

absl::StatusOr<std::unique_ptr<CheckpointStore>> CheckpointStore::Open(const std::string& folder,
                                                                       uint32_t keep) {
  POMPC_RETURN_IF_ERROR(MakeFolders(folder));
  POMPC_ASSIGN_OR_RETURN(const std::vector<std::string> names, NamesIn(folder));
  for (const std::string& name : names) {
    if (absl::StartsWith(name, kTemporary)) {
      POMPC_RETURN_IF_ERROR(RemoveAll(absl::StrCat(folder, "/", name)));
    }
  }
  return std::unique_ptr<CheckpointStore>(new CheckpointStore(folder, keep));
}

absl::StatusOr<std::vector<uint64_t>> CheckpointStore::List() const {
  POMPC_ASSIGN_OR_RETURN(const std::vector<std::string> names, NamesIn(folder_));
  std::vector<uint64_t> all;
  for (const std::string& name : names) {
    if (const std::optional<uint64_t> updates = ParseFolderName(name)) all.push_back(*updates);
  }
  std::sort(all.begin(), all.end());
  return all;
}

std::string CheckpointStore::Path(uint64_t updates) const {
  return absl::StrCat(folder_, "/", FolderName(updates));
}

absl::Status CheckpointStore::Write(
    uint64_t updates, absl::FunctionRef<absl::Status(const std::string& folder)> fill) {
  const std::string path = Path(updates);
  if (Exists(path)) return absl::OkStatus();
  const std::string temporary = absl::StrCat(folder_, "/", kTemporary, FolderName(updates));
  POMPC_RETURN_IF_ERROR(RemoveAll(temporary));
  POMPC_RETURN_IF_ERROR(MakeFolders(temporary));
  absl::Status status = fill(temporary);
  if (status.ok()) status = Seal(temporary);
  if (status.ok()) status = SyncPath(temporary);
  if (status.ok()) status = Rename(temporary, path);
  if (!status.ok()) {
    // What was written may be what fills the disk.
    RemoveAll(temporary).IgnoreError();
    return status;
  }
  POMPC_RETURN_IF_ERROR(SyncPath(folder_));
  return DeleteOld();
}

absl::Status CheckpointStore::Verify(uint64_t updates) const {
  const std::string folder = Path(updates);
  const absl::StatusOr<std::string> text = ReadFile(absl::StrCat(folder, "/", kChecksums));
  if (!text.ok()) return absl::DataLossError(absl::StrCat(folder, ": ", text.status().message()));
  const nlohmann::json sealed = nlohmann::json::parse(*text, nullptr, false);
  if (!sealed.is_object() || !sealed.contains("files") || !sealed["files"].is_object()) {
    return absl::DataLossError(absl::StrCat(folder, "/", kChecksums, " is not readable"));
  }
  for (const auto& [name, entry] : sealed["files"].items()) {
    const std::string path = absl::StrCat(folder, "/", name);
    const absl::StatusOr<Checksum> found = ChecksumFile(path);
    if (!found.ok()) return absl::DataLossError(found.status().message());
    const Checksum expected{entry.value("bytes", uint64_t{0}), entry.value("crc32", uint32_t{0})};
    if (*found == expected) continue;
    return absl::DataLossError(
        absl::StrFormat("%s is corrupt: %u bytes with CRC-32 %08x, written were %u with %08x", path,
                        found->bytes, found->crc32, expected.bytes, expected.crc32));
  }
  return absl::OkStatus();
}

absl::Status CheckpointStore::SetAside(uint64_t updates) {
  const std::string aside = absl::StrCat(folder_, "/corrupt-", FolderName(updates));
  POMPC_RETURN_IF_ERROR(RemoveAll(aside));
  return Rename(Path(updates), aside);
}

absl::Status CheckpointStore::Unpin(uint64_t updates) {
  pinned_.erase(updates);
  return DeleteOld();
}

absl::Status CheckpointStore::SetBest(uint64_t updates) {
  if (!Exists(Path(updates))) {
    return absl::NotFoundError(absl::StrCat("there is no checkpoint ", Path(updates)));
  }
  const std::string link = absl::StrCat(folder_, "/", kBest);
  const std::string temporary = absl::StrCat(folder_, "/", kTemporary, kBest);
  POMPC_RETURN_IF_ERROR(RemoveAll(temporary));
  std::error_code error;
  fs::create_directory_symlink(FolderName(updates), temporary, error);
  if (error) return absl::ErrnoToStatus(error.value(), absl::StrCat("linking ", link));
  POMPC_RETURN_IF_ERROR(Rename(temporary, link));
  POMPC_RETURN_IF_ERROR(SyncPath(folder_));
  return DeleteOld();
}

std::optional<uint64_t> CheckpointStore::best() const {
  std::error_code error;
  const fs::path target = fs::read_symlink(absl::StrCat(folder_, "/", kBest), error);
  if (error) return std::nullopt;
  return ParseFolderName(target.filename().string());
}

absl::Status CheckpointStore::DeleteOld() {
  POMPC_ASSIGN_OR_RETURN(std::vector<uint64_t> all, List());
  const std::optional<uint64_t> best_one = best();
  while (all.size() > keep_) {
    const uint64_t updates = all.front();
    all.erase(all.begin());
    if (pinned_.contains(updates) || updates == best_one) continue;
    // Not to be taken for a checkpoint while half of it is deleted.
    const std::string doomed = absl::StrCat(folder_, "/", kTemporary, FolderName(updates));
    POMPC_RETURN_IF_ERROR(Rename(Path(updates), doomed));
    POMPC_RETURN_IF_ERROR(RemoveAll(doomed));
  }
  return absl::OkStatus();
}

}  // namespace pompc::learner
