#include "replay/app.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/random_id.h"
#include "common/io/disk_space.h"
#include "common/process/log.h"
#include "common/values/utf8.h"
#include "replay/messages.h"
#include "replay/store/rocks_store.h"

namespace pompc::replay {
namespace {

constexpr absl::Duration kShutdownGrace = absl::Milliseconds(500);
// Time between two looks at the reasons that blocked writers were given.
constexpr absl::Duration kRenewReasons = absl::Seconds(5);

void AddTables(const std::vector<NamedTableCounts>& tables, const std::string& shard,
               MetricSamples& out) {
  for (const NamedTableCounts& table : tables) {
    const MetricLabels labels = {{"shard", shard}, {"table", ToUtf8(table.name)}};
    out.Gauge("pompc_replay_table_windows", "Windows that the table can draw.", table.windows,
              labels);
    out.Gauge("pompc_replay_table_mass",
              "The number in proportion to which batches of the table are split over shards.",
              table.mass, labels);
    out.Counter("pompc_replay_table_sampled_windows_total",
                "Windows that were drawn from the table.", table.sampled_windows, labels);
  }
}

void AddBlocked(const ShardCounts& counts, const std::string& shard, MetricSamples& out) {
  const auto add = [&](const char* reason, uint32_t streams) {
    out.Gauge("pompc_replay_blocked_streams",
              "Append streams that wait: for more rows to be granted, for the learner to announce "
              "the version of a plan, or for the store.",
              streams, {{"shard", shard}, {"reason", reason}});
  };
  add("grant", counts.waiting_for_grant);
  add("version", counts.waiting_for_version);
  add("store", counts.waiting_for_store);
}

void AddStore(const StoreStats& store, const std::string& folder, const MetricLabels& labels,
              MetricSamples& out) {
  out.Gauge("pompc_replay_store_pending_bytes", "Bytes that wait to be written to disk.",
            store.pending_bytes, labels);
  out.Counter("pompc_replay_store_commits_total", "Groups of rows that were written to disk.",
              store.commits, labels);
  out.Counter("pompc_replay_store_commit_seconds_total",
              "Time that writing these groups took, that of the present one so far included.",
              absl::ToDoubleSeconds(store.write_time), labels);
  out.Counter("pompc_replay_store_failed_writes_total", "Attempts to write to disk that failed.",
              store.failed_writes, labels);
  out.Gauge("pompc_replay_store_failing", "1 while rows cannot be written to disk, else 0.",
            store.failure.ok() ? 0 : 1, labels);
  const DiskSpace disk = DiskSpaceOf(folder);
  out.Gauge("pompc_replay_disk_free_bytes",
            "Room on the disk of the shard's rows; NaN where they live in memory alone.",
            disk.free_bytes, labels);
  out.Gauge("pompc_replay_disk_bytes",
            "Size of the disk of the shard's rows; NaN where they live in memory alone.",
            disk.total_bytes, labels);
}

}  // namespace

absl::Status AppOptions::Validate() const {
  if (metrics == nullptr) return absl::InvalidArgumentError("replay: metrics is not set");
  if (clock == nullptr) return absl::InvalidArgumentError("replay: clock is not set");
  if (data_dir.empty() != (durability == Durability::kMemory)) {
    return absl::InvalidArgumentError(
        data_dir.empty()
            ? "--durability: rows can be kept only where --data-dir says in which folder"
            : "--durability: MEMORY keeps no rows, so --data-dir must be absent");
  }
  if (data_dir.empty() && row_cache_bytes > 0) {
    return absl::InvalidArgumentError(
        "--on-disk: rows can be served from disk only where --data-dir says in which folder");
  }
  if (data_dir.empty() && skip_damaged) {
    return absl::InvalidArgumentError(
        "--skip-damaged: only rows in a --data-dir can be damaged, and none is given");
  }
  if (shard.empty() || !IsUtf8(shard)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--shard: \"", ToUtf8(shard), "\"; allowed: text (UTF-8) that is not empty"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Durability> ParseDurability(const std::string& text, const std::string& data_dir) {
  if (text.empty()) return data_dir.empty() ? Durability::kMemory : Durability::kSync;
  if (text == "SYNC") return Durability::kSync;
  if (text == "BACKGROUND") return Durability::kBackground;
  if (text == "MEMORY") return Durability::kMemory;
  return absl::InvalidArgumentError(
      absl::StrCat("--durability: \"", ToUtf8(text), "\"; allowed: SYNC, BACKGROUND, MEMORY"));
}

App::App(const AppOptions& options, uint64_t incarnation, std::unique_ptr<Store> store)
    : clock_(options.clock), shard_(incarnation, options.clock, std::move(store)) {}

App::~App() { Stop(); }

absl::StatusOr<std::unique_ptr<App>> App::Start(const AppOptions& options) {
  POMPC_RETURN_IF_ERROR(options.Validate());
  SetLogContext({.index = options.shard});
  std::unique_ptr<App> app;
  if (options.data_dir.empty()) {
    // A shard without data remembers nothing of its earlier lives, and must not take an address of
    // one of them for its own.
    app.reset(new App(options, RandomId(), std::make_unique<MemoryStore>()));
  } else {
    Log().info("checking the files in {}", options.data_dir);
    POMPC_ASSIGN_OR_RETURN(std::unique_ptr<RocksStore> store,
                           RocksStore::Open({.folder = options.data_dir,
                                             .durability = options.durability,
                                             .skip_damaged = options.skip_damaged,
                                             .row_cache_bytes = options.row_cache_bytes,
                                             .clock = options.clock}));
    const uint64_t incarnation = store->incarnation();
    app.reset(new App(options, incarnation, std::move(store)));
  }
  rpc::ServerOptions server;
  server.listen = options.listen;
  server.certificates = options.certificates;
  server.insecure = options.insecure;
  POMPC_ASSIGN_OR_RETURN(app->server_, rpc::Server::Start(server, {&app->service_}));
  // Metrics and the thread come after the server, since both read what it serves; health comes
  // last, so that no client is sent here before all of it works.
  app->AddMetrics(options);
  POMPC_RETURN_IF_ERROR(app->Load(options));
  {
    MutexLock lock(&app->thread_mu_);
    app->reasons_ = Thread("shard-reasons", [app = app.get()] { app->RenewReasons(); });
  }
  app->server_->SetServing(proto::ReplayService::service_full_name(), true);
  Log().info("replay shard {} ready, incarnation {:x}", options.shard, app->shard_.incarnation());
  return app;
}

absl::Status App::Load(const AppOptions& options) {
  if (options.data_dir.empty()) return absl::OkStatus();
  const absl::Duration start = clock_->Now();
  Log().info("loading the rows in {}", options.data_dir);
  POMPC_RETURN_IF_ERROR(shard_.Load(ReadShardConfig));
  const ShardCounts counts = shard_.counts();
  SetLogContext({.run = counts.run_id});
  Log().info("{} rows loaded in {:.1f} s", counts.stored_rows,
             absl::ToDoubleSeconds(clock_->Now() - start));
  return absl::OkStatus();
}

void App::AddMetrics(const AppOptions& options) {
  const MetricLabels labels = {{"shard", options.shard}};
  metrics_ = options.metrics->AddSource([this, labels, shard = options.shard,
                                         folder = options.data_dir](MetricSamples& out) {
    const ShardCounts counts = shard_.counts();
    out.SetRun(counts.run_id);
    const auto counter = [&](const char* name, const char* help, uint64_t value) {
      out.Counter(name, help, value, labels);
    };
    const auto gauge = [&](const char* name, const char* help, uint64_t value) {
      out.Gauge(name, help, value, labels);
    };
    counter("pompc_replay_accepted_rows_total", "Rows that the shard accepted.",
            counts.accepted_rows);
    counter("pompc_replay_planned_rows_total", "Rows with a plan that the shard accepted.",
            counts.planned_rows);
    counter("pompc_replay_imported_rows_total", "Rows of data sets that the shard took.",
            counts.imported_rows);
    counter("pompc_replay_sampled_windows_total", "Windows that the shard delivered.",
            counts.sampled_windows);
    gauge("pompc_replay_stored_rows", "Rows that the shard holds.", counts.stored_rows);
    gauge("pompc_replay_stored_bytes", "Bytes of the rows that the shard holds.",
          counts.stored_bytes);
    gauge("pompc_replay_capacity_rows", "Rows that the shard can hold.", counts.capacity_rows);
    gauge("pompc_replay_windows", "Windows that can be sampled.", counts.windows);
    gauge("pompc_replay_barred_windows", "Windows that no update can be made with.",
          counts.barred_windows);
    gauge("pompc_replay_granted_rows", "Number of accepted rows at which the shard stops reading.",
          counts.max_accepted_rows);
    gauge("pompc_replay_loaded_percent",
          "Share of the stored rows that the shard has loaded, 100 once it serves.",
          static_cast<uint64_t>(100 * counts.loaded));
    gauge("pompc_replay_streams", "Append streams open.", service_.streams());
    AddStore(counts.store, folder, labels, out);
    AddBlocked(counts, shard, out);
    AddTables(counts.tables, shard, out);
    out.StateSeconds("pompc_replay_state_seconds_total",
                     "Time that the shard has spent in each state; the states sum to its age.",
                     shard_.activity(), {"idle", "inserting", "sampling", "blocked"}, labels);
  });
}

// A writer is told once why it waits. The learner may die meanwhile, and then nothing would ever
// change what the writer says, so the shard looks at what it told from time to time.
void App::RenewReasons() {
  while (!stopping_.WaitUntil(clock_, clock_->Now() + kRenewReasons)) shard_.RenewReasons();
}

void App::Stop() {
  // The order matters. Streams are ended before the shard is closed, so that writers hear
  // UNAVAILABLE and come back instead of an answer that the shard refuses their rows. The server
  // goes last: a stream that waits for room would hold up its shutdown for the whole grace time.
  stopping_.Set();
  {
    MutexLock lock(&thread_mu_);
    reasons_.Join();
  }
  if (server_ != nullptr) {
    server_->SetServing(proto::ReplayService::service_full_name(), false);
    service_.Drain();
    shard_.Close();
    server_->Shutdown(kShutdownGrace);
  }
  stopped_.Set();
}

}  // namespace pompc::replay
