#include "cli/replay/source.h"

#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/metrics/metrics.h"
#include "common/rpc/endpoint.h"
#include "rundir/run_directory.h"

namespace pompc::cli {
namespace {

namespace fs = std::filesystem;

// A page of rows, or a megabyte of rows on its way into a shard, takes far less.
constexpr absl::Duration kTimeout = absl::Seconds(30);

// Rows are read once, in their order.
constexpr uint64_t kRowCacheBytes = uint64_t{16} << 20;

// RocksDB keeps a file of this name in each of its folders. A folder without it would be filled
// with an empty database when a shard opened it.
bool HoldsData(const std::string& folder) {
  std::error_code unknown;
  return fs::exists(fs::path(folder) / "CURRENT", unknown);
}

// The data folders at `folder`, which is one itself or has those of a run's shards. DATA_LOSS if
// one of these is empty, for what is read would be a part of the rows only.
absl::StatusOr<std::vector<std::string>> DataFolders(const std::string& folder) {
  if (HoldsData(folder)) return std::vector<std::string>{folder};
  std::error_code unknown;
  std::vector<std::string> folders;
  for (int shard = 0; fs::exists(rundir::ShardFolder(folder, shard), unknown); ++shard) {
    folders.push_back(rundir::ShardFolder(folder, shard));
    if (!HoldsData(folders.back())) {
      return absl::DataLossError(
          absl::StrCat(folders.back(), " holds no rows: its file CURRENT is missing"));
    }
  }
  return folders;
}

}  // namespace

ReplaySource::~ReplaySource() = default;

absl::StatusOr<std::unique_ptr<ReplaySource>> ReplaySource::Open(const std::string& where,
                                                                 const std::string& certificates) {
  POMPC_RETURN_IF_ERROR(rpc::SetUpGrpc());
  std::unique_ptr<ReplaySource> source(new ReplaySource);
  std::error_code unknown;
  if (fs::is_directory(where, unknown)) {
    POMPC_ASSIGN_OR_RETURN(const std::vector<std::string> folders, DataFolders(where));
    if (folders.empty()) {
      return absl::NotFoundError(absl::StrCat(
          where,
          " holds no rows: it is neither a shard's data folder nor the directory of a run "
          "that keeps its rows (replay.durability)"));
    }
    for (const std::string& folder : folders) POMPC_RETURN_IF_ERROR(source->Serve(folder));
  } else {
    POMPC_ASSIGN_OR_RETURN(const rpc::Trust trust,
                           rpc::LoadTrust(certificates, proto::Access::REPLAY));
    POMPC_ASSIGN_OR_RETURN(
        const std::vector<rpc::Endpoint> endpoints,
        rpc::ParseEndpoints("addresses of shards, or a folder that exists", where, trust));
    for (const rpc::Endpoint& endpoint : endpoints) {
      POMPC_RETURN_IF_ERROR(source->Connect(endpoint, endpoint.address()));
    }
  }
  POMPC_RETURN_IF_ERROR(source->CheckOneRun());
  return source;
}

absl::Status ReplaySource::Connect(const rpc::Endpoint& endpoint, const std::string& place) {
  absl::StatusOr<std::unique_ptr<replay::RowReader>> reader =
      replay::RowReader::Connect(endpoint, kTimeout);
  if (!reader.ok()) return Annotate(reader.status(), place);
  shards_.push_back({*std::move(reader), place});
  return absl::OkStatus();
}

absl::Status ReplaySource::Serve(const std::string& folder) {
  replay::AppOptions options;
  options.data_dir = folder;
  options.durability = replay::Durability::kSync;
  // There may be more rows than memory.
  options.row_cache_bytes = kRowCacheBytes;
  options.metrics = std::make_shared<MetricsRegistry>();
  absl::StatusOr<std::unique_ptr<replay::App>> app = replay::App::Start(options);
  if (absl::IsFailedPrecondition(app.status())) {
    return Annotate(app.status(),
                    "if its shard runs, give the shard's address instead of the folder");
  }
  if (!app.ok()) return app.status();
  served_.push_back(*std::move(app));
  return Connect(served_.back()->server().InProcessEndpoint(), folder);
}

absl::Status ReplaySource::CheckOneRun() const {
  for (const Shard& shard : shards_) {
    const std::string& other = shard.reader->description().run_id();
    if (other == run().run_id()) continue;
    return absl::FailedPreconditionError(
        absl::StrCat("the shards belong to different runs: ", run().run_id(), " at ",
                     shards_.front().place, ", ", other, " at ", shard.place));
  }
  return absl::OkStatus();
}

}  // namespace pompc::cli
