#include "learner/checkpoint_store.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/files.h"
#include "common/status_macros.h"
#include "learner/sealed_folder.h"

namespace pompc::learner {
namespace {

namespace fs = std::filesystem;

constexpr char kPrefix[] = "update-";
constexpr char kTemporary[] = "writing-";
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
  POMPC_RETURN_IF_ERROR(WriteSealedFolder(path, temporary, fill));
  return DeleteOld();
}

absl::Status CheckpointStore::Verify(uint64_t updates) const {
  return VerifySealedFolder(Path(updates));
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
