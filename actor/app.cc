#include "actor/app.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "actor/actor_worker.h"
#include "actor/environments.h"
#include "actor/evaluator_worker.h"
#include "common/base/random_id.h"
#include "common/base/retry.h"
#include "common/base/status_macros.h"
#include "common/process/log.h"
#include "common/process/process_name.h"

namespace pompc::actor {
namespace {

// How often the log repeats why the process waits.
constexpr absl::Duration kTellEvery = absl::Seconds(30);
// How long the result of an evaluation waits for the learner.
constexpr absl::Duration kReportTimeout = absl::Minutes(10);

}  // namespace

absl::StatusOr<std::unique_ptr<App>> App::Start(AppOptions options) {
  POMPC_RETURN_IF_ERROR(options.Validate());
  std::unique_ptr<App> app(new App(std::move(options)));
  app->thread_ = Thread("actor", [app = app.get()] { app->Work(); });
  return app;
}

App::App(AppOptions options)
    : options_(std::move(options)),
      name_(options_.name.empty() ? ProcessName() : options_.name),
      jitter_seed_(RandomId()),
      stats_(options_.evaluate ? "evaluator" : "actor", options_.evaluate ? 1 : options_.threads,
             options_.clock, options_.metrics) {}

App::~App() { Stop(); }

void App::Work() {
  absl::Status status = Register();
  std::shared_ptr<run::RunClient> client;
  std::shared_ptr<Worker> worker;
  {
    MutexLock lock(&mu_);
    client = client_;
    worker = worker_;
  }
  if (status.ok()) {
    // What Register heard, before what heartbeats bring: later it could undo the news that the run
    // is over.
    OnNews(client->news());
    client->Start([this](const run::RunClient::News& news) { OnNews(news); });
    status = worker->Run();
  }
  if (status.ok() || stop_.IsSet()) {
    Log().info("{} ends", options_.evaluate ? "evaluator" : "actor");
    status = absl::OkStatus();
  }
  if (client != nullptr) {
    client->Close();
    // What was done since the last heartbeat, of which there may have been none.
    TellCounts(*client);
    client->Leave(status);
  }
  {
    MutexLock lock(&mu_);
    result_ = status;
  }
  done_.Set();
}

// Joins the run, and makes the worker for it.
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
  POMPC_ASSIGN_OR_RETURN(std::shared_ptr<Worker> worker, MakeWorker(registration));
  MutexLock lock(&mu_);
  worker_ = std::move(worker);
  problem_.clear();
  return stop_.IsSet() ? absl::CancelledError("stopped") : absl::OkStatus();
}

absl::StatusOr<uint32_t> App::Environments() {
  if (options_.evaluate || options_.environments > 0) return options_.environments;
  uint32_t environments = 0;
  RetryOptions retry;
  retry.seed = jitter_seed_;
  retry.on_retry = [this](const absl::Status& error, absl::Duration) {
    TellWaiting(absl::StrCat("learner at ", options_.learner.address(), ": ", error.message()));
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
  EnvironmentFactory factory = options_.factory;
  if (!factory) {
    POMPC_ASSIGN_OR_RETURN(factory, FactoryForTask(registration.config().env(), options_.assets));
  }
  if (!options_.evaluate) {
    return std::make_shared<ActorWorker>(ActorWorkerOptions{.planners = options_.planners,
                                                            .replay = options_.replay,
                                                            .threads = options_.threads,
                                                            .flush_timeout = options_.flush_timeout,
                                                            .turns = options_.turns},
                                         std::move(factory), &stats_, options_.clock);
  }
  EvaluatorWorkerOptions options = {.planners = options_.planners};
  if (options_.environments > 0) {
    options.evaluator.parallel = static_cast<int>(options_.environments);
  }
  auto report = [this](const proto::EvaluationAssignment& assignment,
                       const EvaluationOutcome& outcome) {
    std::shared_ptr<run::RunClient> client;
    {
      MutexLock lock(&mu_);
      client = client_;
    }
    return client->ReportEvaluation(assignment, outcome.returns, outcome.decisions, kReportTimeout);
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

void App::OnNews(const run::RunClient::News& news) {
  std::shared_ptr<Worker> worker;
  std::shared_ptr<run::RunClient> client;
  {
    MutexLock lock(&mu_);
    worker = worker_;
    client = client_;
  }
  TellCounts(*client);
  client->SetWaiting(WorkWaiting(worker.get()));
  worker->OnNews(news);
  TellWaiting(Waiting());
}

// Logs the beginning, the end and now and then the middle of a wait.
void App::TellWaiting(const std::string& waiting) {
  const absl::Duration now = options_.clock->Now();
  if (waiting.empty()) {
    if (told_) Log().info("goes on");
    told_ = false;
  } else if (!told_ || now - told_at_ >= kTellEvery) {
    Log().info("waiting: {}", waiting);
    told_ = true;
    told_at_ = now;
  }
}

void App::Stop() {
  stop_.Set();
  std::shared_ptr<run::RunClient> client;
  std::shared_ptr<Worker> worker;
  {
    MutexLock lock(&mu_);
    client = client_;
    worker = worker_;
  }
  if (worker != nullptr) worker->Stop();
  if (client != nullptr) client->Close();
  done_.Wait();
}

absl::Status App::Wait() {
  done_.Wait();
  MutexLock lock(&mu_);
  return result_;
}

absl::Status App::Health() const {
  MutexLock lock(&mu_);
  if (worker_ == nullptr) {
    const std::string problem = client_ == nullptr ? problem_ : client_->news().problem;
    return absl::UnavailableError(absl::StrCat("not registered with ", options_.learner.address(),
                                               problem.empty() ? "" : ": ", problem));
  }
  const std::string problem = client_->news().problem;
  return problem.empty() ? absl::OkStatus() : absl::UnavailableError(problem);
}

std::string App::Waiting() const {
  std::shared_ptr<run::RunClient> client;
  std::shared_ptr<Worker> worker;
  std::vector<std::string> reasons;
  {
    MutexLock lock(&mu_);
    client = client_;
    worker = worker_;
    if (client == nullptr) reasons.push_back(problem_);
  }
  if (client != nullptr) reasons.push_back(client->news().problem);
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
