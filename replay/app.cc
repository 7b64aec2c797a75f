#include "replay/app.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/random_id.h"
#include "common/base/status_macros.h"
#include "common/process/log.h"
#include "common/values/utf8.h"

namespace pompc::replay {
namespace {

constexpr absl::Duration kShutdownGrace = absl::Milliseconds(500);
// Time between two looks at the reasons that blocked writers were given.
constexpr absl::Duration kRenewReasons = absl::Seconds(5);

}  // namespace

absl::Status AppOptions::Validate() const {
  if (metrics == nullptr) return absl::InvalidArgumentError("replay: metrics is not set");
  if (clock == nullptr) return absl::InvalidArgumentError("replay: clock is not set");
  if (shard.empty() || !IsUtf8(shard)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--shard: \"", ToUtf8(shard), "\"; allowed: text (UTF-8) that is not empty"));
  }
  return absl::OkStatus();
}

// The incarnation is drawn at random: a shard remembers nothing of its earlier lives, and must not
// take an address of one of them for its own.
App::App(const AppOptions& options)
    : clock_(options.clock), shard_(RandomId(), options.clock, std::make_unique<MemoryStore>()) {}

App::~App() { Stop(); }

absl::StatusOr<std::unique_ptr<App>> App::Start(const AppOptions& options) {
  POMPC_RETURN_IF_ERROR(options.Validate());
  std::unique_ptr<App> app(new App(options));
  rpc::ServerOptions server;
  server.listen = options.listen;
  server.insecure = options.insecure;
  POMPC_ASSIGN_OR_RETURN(app->server_, rpc::Server::Start(server, {&app->service_}));
  // Metrics and the thread come after the server, since both read what it serves; health comes
  // last, so that no client is sent here before all of it works.
  app->AddMetrics(options);
  {
    MutexLock lock(&app->thread_mu_);
    app->reasons_ = Thread("shard-reasons", [app = app.get()] { app->RenewReasons(); });
  }
  app->server_->SetServing(proto::ReplayService::service_full_name(), true);
  Log().info("replay shard {} ready, incarnation {:x}", options.shard, app->shard_.incarnation());
  return app;
}

void App::AddMetrics(const AppOptions& options) {
  const MetricLabels labels = {{"shard", options.shard}};
  metrics_ = options.metrics->AddSource([this, labels](MetricSamples& out) {
    const ShardCounts counts = shard_.counts();
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
    gauge("pompc_replay_streams", "Append streams open.", service_.streams());
    gauge("pompc_replay_blocked_streams", "Append streams that wait for the limiter.",
          counts.blocked_writers);
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
