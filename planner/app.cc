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
  // waits for parameters. The subscriber comes last, because its thread calls Take at once.
  app->SetServing(false);
  parameters::ParameterSubscriberOptions subscriber;
  subscriber.learner = app->options_.learner;
  subscriber.run_id = app->options_.run_id;
  subscriber.name = app->options_.name.empty() ? ProcessName() : app->options_.name;
  subscriber.clock = app->options_.clock;
  subscriber.backoff = app->options_.learner_backoff;
  subscriber.seed = app->options_.seed;
  subscriber.wrong_peer_timeout = app->options_.wrong_peer_timeout;
  subscriber.on_wrong_peer = [app = app.get()](const absl::Status& status) { app->Fail(status); };
  app->subscriber_ = std::make_unique<parameters::ParameterSubscriber>(
      subscriber, [app = app.get()](const parameters::ParameterSnapshot& snapshot) {
        return app->Take(snapshot);
      });
  app->watched_ = app->metrics_.Watch(app->batcher_, app->store_, *app->subscriber_);
  return app;
}

App::App(AppOptions options)
    : options_(std::move(options)),
      store_(options_.clock, options_.max_kept_versions),
      metrics_(options_.metrics),
      batcher_(options_.engine.get(), &store_,
               {.clock = options_.clock,
                .on_batch = [this](const BatchReport& report) { metrics_.Observe(report); }}),
      service_(&batcher_, &store_,
               {.max_queue_wait = options_.max_queue_wait, .clock = options_.clock}) {}

App::~App() { Stop(); }

absl::Status App::Health() const {
  // Before the first parameters the reason is more useful than the state: what the learner last
  // said, or how far the connection has come.
  if (store_.Newest() != nullptr) return server_->Health();
  const parameters::ParameterSubscriber::Status status = subscriber_->status();
  if (!status.last_error.empty()) {
    return absl::UnavailableError(absl::StrCat("no parameters: ", status.last_error));
  }
  return absl::UnavailableError(status.connected ? "the learner has not published parameters yet"
                                                 : "not connected to the learner yet");
}

absl::Status App::Take(const parameters::ParameterSnapshot& snapshot) {
  POMPC_ASSIGN_OR_RETURN(std::shared_ptr<const PlannerModel> model,
                         options_.engine->Load(snapshot));
  // Serving starts only after the store has a version: a request that health has invited must find
  // parameters.
  const bool first = store_.Newest() == nullptr;
  store_.Put(std::move(model), absl::Seconds(snapshot.description.keep_seconds()));
  if (first) {
    Log().info("serving run {} from parameters {}", snapshot.description.run_id(),
               snapshot.version().ToString());
    SetServing(true);
  }
  return absl::OkStatus();
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
  // 1. No more parameters, and health tells clients to ask another planner.
  if (subscriber_ != nullptr) subscriber_->Close();
  if (server_ != nullptr) SetServing(false);
  // 2. Every call that the server still has is answered here, ...
  batcher_.Close();
  // 3. ... so that its shutdown finds none to wait for.
  if (server_ != nullptr) server_->Shutdown(options_.stop_grace);
  ended_.Set();
}

}  // namespace pompc::planner
