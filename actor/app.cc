#include "actor/app.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "actor/environments.h"
#include "common/base/check.h"
#include "common/base/random_id.h"
#include "common/base/retry.h"
#include "common/process/log.h"
#include "common/process/program.h"

namespace pompc::actor {
namespace {

// The interval at which the log repeats why the process waits.
constexpr absl::Duration kLogEvery = absl::Seconds(30);
// The time for which the result of an evaluation waits for an unreachable learner before it is
// dropped.
constexpr absl::Duration kReportTimeout = absl::Minutes(10);

}  // namespace

absl::StatusOr<std::unique_ptr<App>> App::Start(AppOptions options) {
  POMPC_RETURN_IF_ERROR(options.Validate());
  std::unique_ptr<App> app(new App(std::move(options)));
  app->thread_ = Thread("actor", [app = app.get()] { app->Work(); });
  return app;
}

// An evaluator has one worker thread, an actor as many as it has threads: metrics are labelled by
// it.
App::App(AppOptions options)
    : options_(std::move(options)),
      name_(options_.name.empty() ? ProcessName() : options_.name),
      jitter_seed_(RandomId()),
      stats_(options_.evaluate ? "evaluator" : "actor", options_.evaluate ? 1 : options_.threads,
             options_.clock, options_.metrics),
      planners_(
          options_.planners,
          {.service = "planner", .interval = options_.lookup_interval, .clock = options_.clock}) {}

App::~App() { Stop(); }

void App::Work() {
  absl::Status status = Register();
  const auto [client, worker] = parts();
  if (status.ok()) {
    // The news of Register comes before those of the heartbeats: later, it could undo the news that
    // the run is over.
    OnNews(client->news());
    // From here on the client's thread calls OnNews.
    client->Start([this](const run::RunClient::News& news) { OnNews(news); });
    status = worker->Run();
  }
  if (status.ok() || stop_.IsSet()) {
    Log().info("{} ends", options_.evaluate ? "evaluator" : "actor");
    status = absl::OkStatus();
  }
  // Leaving tells the learner that this process ends, so that it need not wait for the lease to
  // end.
  if (client != nullptr) {
    client->Close();
    // Reports what was done since the last heartbeat; a short run may have had none.
    TellCounts(*client);
    client->Leave(status);
  }
  {
    MutexLock lock(&mu_);
    result_ = status;
  }
  done_.Set();
}

// Joins the run, and makes the worker for it. client_ is set before registering, which may block
// for ever, so that Stop can close it; if Stop came first, stop_ is seen here.
absl::Status App::Register() {
  run::RunClientOptions options;
  options.learner = options_.learner;
  options.role = options_.evaluate ? proto::EVALUATOR : proto::ACTOR;
  options.name = name_;
  options.clock = options_.clock;
  options.seed = jitter_seed_;
  POMPC_ASSIGN_OR_RETURN(options.environments, Environments());
  const auto client = std::make_shared<run::RunClient>(options);
  {
    MutexLock lock(&mu_);
    client_ = client;
    if (stop_.IsSet()) return absl::CancelledError("stopped");
  }
  POMPC_ASSIGN_OR_RETURN(const proto::RegisterReply registration,
                         client->Register(absl::InfiniteDuration()));
  stats_.SetRun(registration.run_id());
  SetLogContext({.run = registration.run_id(),
                 .role = options_.evaluate ? "evaluator" : "actor",
                 .index = absl::StrCat(registration.index())});
  POMPC_ASSIGN_OR_RETURN(std::shared_ptr<Worker> worker, MakeWorker(registration));
  MutexLock lock(&mu_);
  worker_ = std::move(worker);
  problem_.clear();
  return stop_.IsSet() ? absl::CancelledError("stopped") : absl::OkStatus();
}

// The learner must be asked before registering, because the lease covers a number of environments.
absl::StatusOr<uint32_t> App::Environments() {
  if (options_.evaluate || options_.environments > 0) return options_.environments;
  uint32_t environments = 0;
  RetryOptions retry;
  retry.seed = jitter_seed_;
  retry.on_retry = [this](const absl::Status& error, absl::Duration) {
    LogWaiting(absl::StrCat("learner at ", options_.learner.address(), ": ", error.message()));
    MutexLock lock(&mu_);
    problem_ = std::string(error.message());
  };
  POMPC_RETURN_IF_ERROR(RetryWhileUnavailable(options_.clock, &stop_, retry, [&] {
    const auto run = run::GetRun(options_.learner, absl::Seconds(2));
    if (run.ok()) environments = run->config().actor().environments();
    return run.status();
  }));
  return environments;
}

absl::StatusOr<std::shared_ptr<Worker>> App::MakeWorker(const proto::RegisterReply& registration) {
  // The factory is made before the worker runs: a task that this program does not know should end
  // the process at once.
  EnvironmentFactory factory = options_.factory;
  if (!factory) {
    POMPC_ASSIGN_OR_RETURN(factory, FactoryForTask(registration.config().env(), options_.assets));
  }
  if (!options_.evaluate) {
    return std::make_shared<ActorWorker>(ActorWorkerOptions{.planners = &planners_,
                                                            .replay = options_.replay,
                                                            .threads = options_.threads,
                                                            .flush_timeout = options_.flush_timeout,
                                                            .turns = options_.turns},
                                         std::move(factory), &stats_, options_.clock);
  }
  EvaluatorWorkerOptions options = {.planners = &planners_};
  if (options_.environments > 0) {
    options.evaluator.parallel = static_cast<int>(options_.environments);
  }
  auto report = [this](const proto::EvaluationAssignment& assignment,
                       const EvaluationOutcome& outcome) {
    return parts().client->ReportEvaluation(assignment, outcome.returns, outcome.decisions,
                                            kReportTimeout);
  };
  return std::make_shared<EvaluatorWorker>(options, std::move(factory), std::move(report), &stats_,
                                           options_.clock);
}

void App::TellCounts(run::RunClient& client) {
  const ActorStats::Counts counts = stats_.counts();
  client.SetCounters({.rows = counts.rows,
                      .episodes = counts.finished_episodes(),
                      .last_return = counts.last_return});
}

// Called by the run client at each heartbeat. The counters go out with the next one.
void App::OnNews(const run::RunClient::News& news) {
  const auto [client, worker] = parts();
  TellCounts(*client);
  client->SetWaiting(WorkWaiting(worker.get()));
  worker->OnNews(news);
  LogWaiting(Waiting());
}

// Logs when a wait begins and ends, and repeats its reason now and then.
void App::LogWaiting(const std::string& waiting) {
  const absl::Duration now = options_.clock->Now();
  if (waiting.empty()) {
    if (logged_) Log().info("waits no longer");
    logged_ = false;
  } else if (!logged_ || now - logged_at_ >= kLogEvery) {
    Log().info("waits: {}", waiting);
    logged_ = true;
    logged_at_ = now;
  }
}

// The worker and the client are told outside of the lock: both call back into this object.
void App::Stop() {
  stop_.Set();
  const auto [client, worker] = parts();
  if (worker != nullptr) worker->Stop();
  if (client != nullptr) client->Close();
  done_.Wait();
}

absl::Status App::Wait() {
  done_.Wait();
  MutexLock lock(&mu_);
  return result_;
}

std::optional<absl::Status> App::WaitUntil(absl::Duration deadline) {
  if (!done_.WaitUntil(options_.clock, deadline)) return std::nullopt;
  return Wait();
}

absl::Status App::Health() const {
  const auto [client, worker] = parts();
  const std::string problem = LearnerProblem(client.get());
  if (worker == nullptr) {
    return absl::UnavailableError(absl::StrCat("not registered with ", options_.learner.address(),
                                               problem.empty() ? "" : ": ", problem));
  }
  return problem.empty() ? absl::OkStatus() : absl::UnavailableError(problem);
}

App::Parts App::parts() const {
  MutexLock lock(&mu_);
  return {client_, worker_};
}

std::string App::LearnerProblem(const run::RunClient* client) const {
  if (client != nullptr) return client->news().problem;
  MutexLock lock(&mu_);
  return problem_;
}

std::string App::Waiting() const {
  const auto [client, worker] = parts();
  std::vector<std::string> reasons = {LearnerProblem(client.get())};
  if (worker != nullptr) reasons.push_back(WorkWaiting(worker.get()));
  std::erase(reasons, "");
  return absl::StrJoin(reasons, "; ");
}

std::string App::WorkWaiting(Worker* worker) const {
  std::vector<std::string> reasons = {stats_.Waiting(), worker->Waiting()};
  std::erase(reasons, "");
  return absl::StrJoin(reasons, "; ");
}

std::string App::StatusText() const {
  const ActorStats::Counts counts = stats_.counts();
  const std::string waiting = Waiting();
  return absl::StrCat(name_, "\nrows: ", counts.rows, " (random phase: ", counts.random_rows,
                      ")\nepisodes: ", counts.finished_episodes(),
                      "\nlast return: ", counts.last_return, "\nevaluations: ", counts.evaluations,
                      "\nwaiting: ", waiting.empty() ? "no" : waiting, "\n");
}

}  // namespace pompc::actor
