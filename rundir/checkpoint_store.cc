#include "rundir/checkpoint_store.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/check.h"
#include "common/io/files.h"
#include "common/process/log.h"
#include "nlohmann/json.hpp"
#include "rundir/sealed_folder.h"

namespace pompc::rundir {
namespace {

namespace fs = std::filesystem;

constexpr char kPrefix[] = "update-";
constexpr char kTemporary[] = "writing-";
constexpr char kBest[] = "best";
constexpr size_t kMaxEvaluations = 4096;

std::string FolderName(uint64_t updates) { return absl::StrFormat("update-%09u", updates); }

// Nothing for what is no checkpoint, names in another spelling included.
std::optional<uint64_t> ParseFolderName(const std::string& name) {
  uint64_t updates = 0;
  if (!absl::StartsWith(name, kPrefix) ||
      !absl::SimpleAtoi(absl::string_view(name).substr(sizeof(kPrefix) - 1), &updates) ||
      name != FolderName(updates)) {
    return std::nullopt;
  }
  return updates;
}

bool Exists(const std::string& path) {
  std::error_code error;
  return fs::exists(path, error);
}

std::string PathIn(const std::string& folder, uint64_t updates) {
  return absl::StrCat(folder, "/", FolderName(updates));
}

absl::StatusOr<std::vector<uint64_t>> ListIn(const std::string& folder) {
  POMPC_ASSIGN_OR_RETURN(const std::vector<std::string> names, NamesIn(folder));
  std::vector<uint64_t> all;
  for (const std::string& name : names) {
    if (const std::optional<uint64_t> updates = ParseFolderName(name)) all.push_back(*updates);
  }
  std::sort(all.begin(), all.end());
  return all;
}

// A count in the checkpoint's state.json, where it says.
std::optional<uint64_t> CountIn(const std::string& checkpoint, const char* name) {
  const absl::StatusOr<std::string> text = ReadFile(checkpoint + "/state.json");
  if (!text.ok()) return std::nullopt;
  const nlohmann::json json = nlohmann::json::parse(*text, nullptr, false);
  if (!json.is_object() || !json.contains(name)) return std::nullopt;
  const nlohmann::json& count = json[name];
  return count.is_number_unsigned() ? std::optional(count.get<uint64_t>()) : std::nullopt;
}

// Start of the learner that wrote the checkpoint; 0, before all, where it does not say.
uint64_t IncarnationOf(const std::string& checkpoint) {
  return CountIn(checkpoint, "learner_incarnation").value_or(0);
}

// FAILED_PRECONDITION if the folder is named after another update than it holds. OK if the folder
// does not say what it holds: other checks find that.
absl::Status CheckNameIn(const std::string& folder, uint64_t updates) {
  const std::string path = PathIn(folder, updates);
  const uint64_t held = CountIn(path, "updates").value_or(updates);
  if (held == updates) return absl::OkStatus();
  const std::string name = FolderName(held);
  return absl::FailedPreconditionError(absl::StrCat(
      path, " holds update ", held, ": ",
      Exists(PathIn(folder, held)) ? absl::StrCat("remove it, or ", name, ", which exists as well")
                                   : absl::StrCat("name it ", name)));
}

// Verifies the checksums of a checkpoint, and that its folder is named after the update it holds.
absl::Status CheckIn(const std::string& folder, uint64_t updates) {
  POMPC_RETURN_IF_ERROR(VerifySealedFolder(PathIn(folder, updates)));
  return CheckNameIn(folder, updates);
}

std::optional<double> BestReturn(const std::vector<proto::EvaluationResult>& evaluations,
                                 uint64_t updates, uint64_t incarnation) {
  std::optional<double> best;
  for (const proto::EvaluationResult& result : evaluations) {
    // Starts before the one that wrote the checkpoint evaluated other parameters under the same
    // number of updates.
    if (result.updates() != updates || result.version().incarnation() < incarnation) continue;
    if (!best || result.return_mean() > *best) best = result.return_mean();
  }
  return best;
}

bool IsEvaluated(const std::vector<proto::EvaluationResult>& evaluations, uint64_t updates) {
  return std::any_of(
      evaluations.begin(), evaluations.end(),
      [&](const proto::EvaluationResult& result) { return result.updates() == updates; });
}

// The best one first.
absl::StatusOr<std::vector<RankedCheckpoint>> RankIn(
    const std::string& folder, const std::vector<proto::EvaluationResult>& evaluations) {
  POMPC_ASSIGN_OR_RETURN(const std::vector<uint64_t> all, ListIn(folder));
  std::vector<RankedCheckpoint> ranked;
  for (const uint64_t updates : all) {
    RankedCheckpoint checkpoint{updates, PathIn(folder, updates), std::nullopt};
    // The incarnation is in the checkpoint's state.json, which is read only for those where it
    // matters.
    if (IsEvaluated(evaluations, updates)) {
      checkpoint.return_mean =
          BestReturn(evaluations, updates, IncarnationOf(checkpoint.folder));
    }
    ranked.push_back(std::move(checkpoint));
  }
  std::sort(ranked.begin(), ranked.end(), [](const auto& a, const auto& b) {
    if (a.return_mean != b.return_mean) return a.return_mean > b.return_mean;  // absent comes last
    return a.return_mean.has_value() ? a.updates < b.updates : a.updates > b.updates;
  });
  return ranked;
}

}  // namespace

absl::StatusOr<ChosenCheckpoint> ChooseCheckpoint(
    const std::string& folder, const std::vector<proto::EvaluationResult>& evaluations) {
  absl::StatusOr<std::vector<RankedCheckpoint>> ranked = RankIn(folder, evaluations);
  if (!ranked.ok() && !absl::IsNotFound(ranked.status())) return ranked.status();
  if (!ranked.ok() || ranked->empty()) {
    return absl::NotFoundError(absl::StrCat(folder, ": no checkpoint here"));
  }
  ChosenCheckpoint chosen;
  // The best policy's checkpoint may have been deleted by hand, or never written. Then the best of
  // those that exist is chosen, and the caller is told.
  const auto best = std::max_element(
      evaluations.begin(), evaluations.end(),
      [](const auto& a, const auto& b) { return a.return_mean() < b.return_mean(); });
  if (best != evaluations.end() &&
      std::optional(best->return_mean()) > ranked->front().return_mean) {
    chosen.passed_over.push_back(
        absl::StrFormat("the best evaluation, return %.1f after update %u, has no checkpoint",
                        best->return_mean(), best->updates()));
  }
  absl::Status first_error;
  for (RankedCheckpoint& checkpoint : *ranked) {
    const absl::Status status = CheckIn(folder, checkpoint.updates);
    if (status.ok()) {
      chosen.checkpoint = std::move(checkpoint);
      return chosen;
    }
    first_error.Update(status);
    chosen.passed_over.push_back(absl::StrCat(
        checkpoint.return_mean
            ? absl::StrFormat("the checkpoint of return %.1f, ", *checkpoint.return_mean)
            : "the checkpoint ",
        FolderName(checkpoint.updates), ", ",
        absl::IsDataLoss(status) ? "is damaged: " : "has a wrong name: ", status.message()));
  }
  POMPC_CHECK(!first_error.ok());
  return absl::DataLossError(absl::StrCat("none of the ", ranked->size(), " checkpoints in ",
                                          folder,
                                          " can be taken; the best: ", first_error.message()));
}

absl::StatusOr<std::unique_ptr<CheckpointStore>> CheckpointStore::Open(
    const std::string& folder, uint32_t keep,
    const std::vector<proto::EvaluationResult>& evaluations) {
  POMPC_CHECK_GE(keep, 1u);
  POMPC_RETURN_IF_ERROR(MakeFolders(folder));
  POMPC_ASSIGN_OR_RETURN(const std::vector<std::string> names, NamesIn(folder));
  for (const std::string& name : names) {
    // A start that was killed while it wrote or deleted a checkpoint left these.
    if (absl::StartsWith(name, kTemporary)) {
      POMPC_RETURN_IF_ERROR(RemoveAll(absl::StrCat(folder, "/", name)));
    }
  }
  std::string run_dir = fs::path(folder).parent_path().string();
  if (run_dir.empty()) run_dir = ".";
  Descriptor held(::open(run_dir.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!held.valid()) return absl::ErrnoToStatus(errno, absl::StrCat("opening ", run_dir));
  return std::unique_ptr<CheckpointStore>(
      new CheckpointStore(std::move(run_dir), std::move(held), folder, keep, evaluations));
}

absl::Status CheckpointStore::CheckInPlace() const {
  // An open folder keeps its inode number, so that no other folder that takes its name can have it.
  // A folder that the system cannot look at (a network file system that hangs) need not be gone.
  struct stat named {};
  struct stat held {};
  const bool gone = ::stat(run_dir_.c_str(), &named) != 0
                        ? errno == ENOENT || errno == ENOTDIR
                        : ::fstat(held_run_dir_.get(), &held) == 0 &&
                              (named.st_dev != held.st_dev || named.st_ino != held.st_ino);
  if (!gone) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "the run directory ", run_dir_, " was moved or deleted while the run was going on"));
}

absl::StatusOr<std::vector<uint64_t>> CheckpointStore::List() const { return ListIn(folder_); }

std::string CheckpointStore::Path(uint64_t updates) const { return PathIn(folder_, updates); }

absl::Status CheckpointStore::Write(uint64_t updates,
                                    absl::FunctionRef<absl::Status(const std::string& folder)> fill,
                                    bool replace) {
  POMPC_RETURN_IF_ERROR(CheckInPlace());
  const std::string path = Path(updates);
  const std::string temporary = absl::StrCat(folder_, "/", kTemporary, FolderName(updates));
  if (Exists(path)) {
    POMPC_RETURN_IF_ERROR(CheckName(updates));
    // It may have been renamed to its place without having been made durable there.
    if (!replace) return SyncPath(folder_);
    const absl::Status status = WriteSealedFolder(path, temporary, fill, /*replace=*/true);
    // What is there is a checkpoint of the same parameters: better than none.
    if (absl::IsInvalidArgument(status) || absl::IsUnimplemented(status)) {
      Log().warn("{} keeps its older counters: {}", path, status.ToString());
      return SyncPath(folder_);
    }
    if (status.ok()) intact_[updates] = true;
    return status;
  }
  // Somebody may have removed it with all checkpoints.
  std::error_code error;
  fs::create_directory(folder_, error);
  if (error) return absl::ErrnoToStatus(error.value(), absl::StrCat("creating folder ", folder_));
  POMPC_RETURN_IF_ERROR(WriteSealedFolder(path, temporary, fill));
  intact_[updates] = true;
  return absl::OkStatus();
}

absl::Status CheckpointStore::Verify(uint64_t updates) const {
  return VerifySealedFolder(Path(updates));
}

absl::Status CheckpointStore::CheckName(uint64_t updates) const {
  return CheckNameIn(folder_, updates);
}

absl::Status CheckpointStore::SetAside(uint64_t updates) {
  const std::string aside = absl::StrCat(folder_, "/corrupt-", FolderName(updates));
  POMPC_RETURN_IF_ERROR(RemoveAll(aside));
  POMPC_RETURN_IF_ERROR(Rename(Path(updates), aside));
  intact_.erase(updates);
  return absl::OkStatus();
}

void CheckpointStore::AddEvaluation(const proto::EvaluationResult& result) {
  if (evaluations_.size() >= kMaxEvaluations) {
    // evaluations.csv has all results; this list only has to rank the checkpoints that exist.
    const auto forgotten = std::find_if(
        evaluations_.begin(), evaluations_.end(), [&](const proto::EvaluationResult& old) {
          return !Exists(Path(old.updates())) && !IsPinned(old.updates());
        });
    if (forgotten != evaluations_.end()) evaluations_.erase(forgotten);
  }
  evaluations_.push_back(result);
}

std::optional<double> CheckpointStore::ReturnOf(uint64_t updates,
                                                uint64_t learner_incarnation) const {
  return BestReturn(evaluations_, updates, learner_incarnation);
}

bool CheckpointStore::IsIntact(uint64_t updates) {
  const auto known = intact_.find(updates);
  if (known != intact_.end()) return known->second;
  // Verifying reads the whole checkpoint, and Tidy asks after every evaluation, so the answer is
  // remembered.
  const absl::Status status = CheckIn(folder_, updates);
  if (!status.ok()) Log().warn("checkpoint {} is passed over: {}", updates, status.ToString());
  return intact_[updates] = status.ok();
}

absl::StatusOr<std::optional<RankedCheckpoint>> CheckpointStore::Best() {
  POMPC_ASSIGN_OR_RETURN(std::vector<RankedCheckpoint> ranked, RankIn(folder_, evaluations_));
  for (RankedCheckpoint& checkpoint : ranked) {
    // Evaluated checkpoints come first, so from here on there are none.
    if (!checkpoint.return_mean.has_value()) break;
    if (IsIntact(checkpoint.updates)) return std::optional(std::move(checkpoint));
  }
  return std::optional<RankedCheckpoint>();
}

absl::Status CheckpointStore::Tidy() {
  POMPC_RETURN_IF_ERROR(CheckInPlace());
  POMPC_ASSIGN_OR_RETURN(const std::optional<RankedCheckpoint> best, Best());
  std::optional<uint64_t> updates;
  if (best.has_value()) updates = best->updates;
  absl::Status linked = PointBestAt(updates);
  const absl::Status deleted = DeleteOld(updates);
  // What was deleted may have made the room that the link needs.
  if (!linked.ok()) linked = PointBestAt(updates);
  linked.Update(deleted);
  return linked;
}

absl::Status CheckpointStore::PointBestAt(std::optional<uint64_t> updates) {
  const std::string link = absl::StrCat(folder_, "/", kBest);
  std::error_code error;
  const fs::path target = fs::read_symlink(link, error);
  const bool is_link = !error;
  std::optional<uint64_t> now;
  if (is_link) now = ParseFolderName(target.string());
  if (is_link == updates.has_value() && now == updates) return absl::OkStatus();
  // Programs that copy folders may have followed the link.
  if (!is_link && Exists(link)) POMPC_RETURN_IF_ERROR(PutAside(link).status());
  absl::Status status;
  if (updates.has_value()) status = Link(*updates);
  if (updates.has_value() && status.ok()) return SyncPath(folder_);
  // No link is better than one to a worse checkpoint.
  if (is_link) status.Update(RemoveAll(link));
  return status;
}

absl::Status CheckpointStore::Link(uint64_t updates) {
  const std::string link = absl::StrCat(folder_, "/", kBest);
  const std::string temporary = absl::StrCat(folder_, "/", kTemporary, kBest);
  POMPC_RETURN_IF_ERROR(RemoveAll(temporary));
  std::error_code error;
  fs::create_directory_symlink(FolderName(updates), temporary, error);
  // FAT and some network file systems have no symbolic links and answer so.
  const int code = error.value();
  if (code == EPERM || code == EOPNOTSUPP || code == ENOSYS) {
    if (!std::exchange(told_of_no_links_, true)) {
      Log().warn(
          "the file system of {} has no symbolic links: there is no {}; nothing else needs it",
          folder_, link);
    }
    return absl::OkStatus();
  }
  if (error) return absl::ErrnoToStatus(code, absl::StrCat("linking ", link));
  return Rename(temporary, link);
}

absl::Status CheckpointStore::DeleteOld(std::optional<uint64_t> best) {
  POMPC_ASSIGN_OR_RETURN(std::vector<uint64_t> all, List());
  while (all.size() > keep_) {
    const uint64_t updates = all.front();
    all.erase(all.begin());
    // These stay in addition to the newest `keep_`.
    if (pinned_.contains(updates) || updates == best) continue;
    // Not to be taken for a checkpoint while half of it is deleted.
    const std::string doomed = absl::StrCat(folder_, "/", kTemporary, FolderName(updates));
    POMPC_RETURN_IF_ERROR(RemoveAll(doomed));
    POMPC_RETURN_IF_ERROR(Rename(Path(updates), doomed));
    intact_.erase(updates);
    POMPC_RETURN_IF_ERROR(RemoveAll(doomed));
  }
  return absl::OkStatus();
}

}  // namespace pompc::rundir
