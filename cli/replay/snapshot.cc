#include "cli/replay/snapshot.h"

#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cli/replay/source.h"
#include "common/base/check.h"
#include "common/rpc/endpoint.h"
#include "replay/store/snapshot.h"
#include "run/run_client.h"
#include "rundir/run_directory.h"

namespace pompc::cli {
namespace {

namespace fs = std::filesystem;

// The learner waits for one shard after the other, for up to RowReader::kSnapshotTimeout each.
constexpr absl::Duration kRunTimeout = absl::Minutes(30);

absl::Status SnapshotRun(const std::string& run_dir, const std::string& certificates,
                         const std::string& name, std::ostream& out) {
  POMPC_ASSIGN_OR_RETURN(const rpc::Trust trust,
                         rpc::LoadTrust(certificates, proto::Access::LEARNER));
  POMPC_ASSIGN_OR_RETURN(const rundir::ServedRun served, rundir::ReadServedRun(run_dir));
  POMPC_ASSIGN_OR_RETURN(const auto endpoints,
                         rpc::ParseEndpoints("address", served.address, trust));
  POMPC_ASSIGN_OR_RETURN(const proto::SnapshotReplayReply reply,
                         run::SnapshotReplay(endpoints.front(), served.run_id, name, kRunTimeout));
  for (const std::string& folder : reply.folders()) out << folder << "\n";
  return absl::OkStatus();
}

// True for a run directory, whose shards have folders of their own.
bool IsRun(const std::string& folder) {
  std::error_code unknown;
  return fs::exists(rundir::ShardFolder(folder, 0), unknown);
}

}  // namespace

absl::Status SnapshotShards(const std::string& where, const std::string& certificates,
                            const std::string& name, std::ostream& out) {
  POMPC_RETURN_IF_ERROR(replay::SnapshotFolder("", name).status());
  std::error_code unknown;
  if (fs::is_directory(where, unknown)) {
    POMPC_RETURN_IF_ERROR(rpc::SetUpGrpc());
    return SnapshotRun(where, certificates, name, out);
  }
  POMPC_ASSIGN_OR_RETURN(const std::unique_ptr<ReplaySource> source,
                         ReplaySource::Open(where, certificates));
  for (const ReplaySource::Shard& shard : source->shards()) {
    POMPC_ASSIGN_OR_RETURN(const std::string folder, shard.reader->Snapshot(name));
    out << shard.place << ": " << folder << "\n";
  }
  return absl::OkStatus();
}

absl::Status RestoreShards(const std::string& from, const std::string& name, const std::string& to,
                           std::ostream& out) {
  std::error_code unknown;
  std::vector<std::pair<std::string, std::string>> folders;
  if (!IsRun(from)) {
    folders.emplace_back(from, to);
  } else {
    for (int shard = 0; fs::exists(rundir::ShardFolder(from, shard), unknown); ++shard) {
      folders.emplace_back(rundir::ShardFolder(from, shard), rundir::ShardFolder(to, shard));
    }
  }
  for (const auto& [source, target] : folders) {
    if (!fs::exists(target, unknown)) continue;
    return absl::AlreadyExistsError(
        absl::StrCat(target, " exists: a snapshot is restored to a new folder only"));
  }
  for (size_t i = 0; i < folders.size(); ++i) {
    const auto& [source, target] = folders[i];
    absl::StatusOr<std::string> snapshot = replay::SnapshotFolder(source, name);
    absl::Status status = snapshot.status();
    if (status.ok()) {
      const absl::StatusOr<replay::RestoredContent> restored =
          replay::RestoreSnapshot(*snapshot, target);
      status = restored.status();
      if (status.ok()) out << target << ": " << restored->rows << " rows\n";
    }
    if (status.ok()) continue;
    for (size_t made = 0; made < i; ++made) fs::remove_all(folders[made].second, unknown);
    return status;
  }
  return absl::OkStatus();
}

}  // namespace pompc::cli
