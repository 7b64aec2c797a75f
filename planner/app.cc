#include "planner/app.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/process/log.h"
#include "common/process/program.h"

namespace pompc::planner {

absl::StatusOr<std::unique_ptr<App>> App::Start(AppOptions options) {
  POMPC_RETURN_IF_ERROR(options.Validate());
  std::unique_ptr<App> app(new App(std::move(options)));
  POMPC_ASSIGN_OR_RETURN(app->server_, rpc::Server::Start(app->options_.server, {&app->service_}));
  // The server comes first: its address is known, and health answered, while the planner still
  // waits for parameters. The learners come last, because their parameters may come at once.
  app->SetServing(app->options_.accept_runs);
  app->watched_ = app->metrics_.Watch(app->batcher_, app->runs_);
  for (const rpc::Endpoint& learner : app->options_.learners) {
    POMPC_RETURN_IF_ERROR(app->runs_.Follow(learner, /*run_id=*/"", RunTable::Origin::kHost));
  }
  return app;
}

App::App(AppOptions options)
    : options_(std::move(options)),
      metrics_(options_.metrics),
      batcher_(options_.engine.get(),
               {.clock = options_.clock,
                .on_batch = [this](const BatchReport& report) { metrics_.Observe(report); }}),
      runs_(MakeRunOptions()),
      service_(&batcher_, &runs_,
               {.max_queue_wait = options_.max_queue_wait,
                .certificates = options_.server.certificates,
                .clock = options_.clock,
                .arithmetic = options_.engine->arithmetic()}) {}

RunTableOptions App::MakeRunOptions() {
  RunTableOptions runs;
  runs.max_runs = static_cast<size_t>(options_.max_runs);
  runs.accept_guests = options_.accept_runs;
  runs.max_kept_versions = options_.max_kept_versions;
  runs.name = options_.name.empty() ? ProcessName() : options_.name;
  runs.backoff = options_.learner_backoff;
  runs.seed = options_.seed;
  runs.wrong_peer_timeout = options_.wrong_peer_timeout;
  runs.clock = options_.clock;
  runs.load = [engine = options_.engine](const parameters::ParameterSnapshot& snapshot) {
    return engine->Load(snapshot);
  };
  runs.on_first = [this](const parameters::ParameterSnapshot& snapshot) { OnFirst(snapshot); };
  runs.on_wrong_peer = [this](const absl::Status& status) { Fail(status); };
  return runs;
}

App::~App() { Stop(); }

absl::Status App::Health() const {
  {
    MutexLock lock(&mu_);
    if (stopping_) return absl::UnavailableError("the planner is stopping");
  }
  // Before the first parameters the reason is more useful than the state: what the learner last
  // said, or how far the connection has come.
  if (options_.accept_runs || runs_.HasParameters()) return server_->Health();
  std::string why = "no learner is followed yet";
  for (const RunTable::Entry& entry : runs_.List()) {
    if (!entry.status.last_error.empty()) {
      return absl::UnavailableError(absl::StrCat("no parameters: ", entry.status.last_error));
    }
    why = entry.status.connected ? "the learner has not published parameters yet"
                                 : "not connected to the learner yet";
  }
  return absl::UnavailableError(why);
}

void App::OnFirst(const parameters::ParameterSnapshot& snapshot) {
  // The lines of a planner that may serve several runs belong to none of them.
  if (!options_.accept_runs && options_.learners.size() == 1) {
    SetLogContext({.run = snapshot.description.run_id()});
  }
  Log().info("serving run {} from parameters {}", snapshot.description.run_id(),
             snapshot.version().ToString());
  MutexLock lock(&mu_);
  if (!stopping_) SetServing(true);
}

void App::Fail(const absl::Status& status) {
  {
    MutexLock lock(&mu_);
    failure_ = status;
  }
  ended_.Set();
}

absl::Status App::Wait() {
  ended_.Wait();
  MutexLock lock(&mu_);
  return failure_;
}

void App::SetServing(bool serving) {
  server_->SetServing("", serving);
  server_->SetServing(proto::PlannerService::service_full_name(), serving);
}

void App::Stop() {
  {
    MutexLock lock(&mu_);
    stopping_ = true;
    if (server_ != nullptr) SetServing(false);
  }
  if (!batcher_.Drain(options_.drain_timeout)) {
    Log().warn("{} requests still wait after {}: their callers are sent to another planner",
               batcher_.queued(), absl::FormatDuration(options_.drain_timeout));
  }
  batcher_.Close();
  runs_.Close();
  // Every call has been answered, so that the shutdown waits for the answers' way alone.
  if (server_ != nullptr) server_->Shutdown(options_.stop_grace);
  ended_.Set();
}

}  // namespace pompc::planner
