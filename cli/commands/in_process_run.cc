#include "cli/commands/in_process_run.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/io/listener.h"
#include "learner/engine/torch_engine.h"
#include "learner/feed/data_sets.h"
#include "planner/torch_engine.h"
#include "run/run_client.h"
#include "rundir/run_directory.h"

namespace pompc::cli {
namespace {

// The actor has this long to register with the learner of the same process. It takes milliseconds;
// a machine that is swapping takes longer.
constexpr absl::Duration kRegistration = absl::Seconds(60);

// In LOCKSTEP, planners of other processes have this long to say what they compute with.
constexpr absl::Duration kPlannerInfo = absl::Seconds(60);

// Fails if one of the planners would make other plans than this process.
absl::Status CheckArithmetic(const InProcessRunOptions& options) {
  POMPC_ASSIGN_OR_RETURN(const std::string here, planner::TorchArithmetic(options.device));
  for (const rpc::Endpoint& planner : options.planners) {
    POMPC_ASSIGN_OR_RETURN(const proto::PlannerInfoReply info,
                           planner::AwaitPlannerInfo(planner, kPlannerInfo, Clock::Real()));
    if (info.arithmetic() == here) continue;
    return absl::FailedPreconditionError(absl::StrCat(
        "--planners: ", planner.address(), " computes with \"", info.arithmetic(),
        "\", this process with \"", here,
        "\": a run of schedule LOCKSTEP could not be repeated; "
        "allowed are planners that compute with the same, and others with schedule CONCURRENT"));
  }
  return absl::OkStatus();
}

replay::Durability DurabilityOf(const proto::ReplayConfig& config) {
  switch (config.durability()) {
    case proto::ReplayConfig::MEMORY:
      return replay::Durability::kMemory;
    case proto::ReplayConfig::SYNC:
      return replay::Durability::kSync;
    default:
      return replay::Durability::kBackground;
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<InProcessRun>> InProcessRun::Start(
    const InProcessRunOptions& options) {
  POMPC_CHECK_GE(options.shards, 1);
  POMPC_CHECK(!options.run_dir.empty());
  POMPC_CHECK(options.planners.empty() || !options.listen.empty());
  const bool lockstep = options.config.schedule() == proto::RunConfig::LOCKSTEP;
  POMPC_CHECK(!options.fleet || (!options.planners.empty() &&
                                 options.config.schedule() == proto::RunConfig::CONCURRENT));
  if (lockstep) POMPC_RETURN_IF_ERROR(CheckArithmetic(options));
  std::unique_ptr<InProcessRun> run(new InProcessRun);
  // Each role is given the endpoints of those before it. They call one another through channels as
  // they would over a network, so that no role needs code for this case.
  // Shards keep rows in the run's folder, so what would refuse the start later is tried before.
  POMPC_RETURN_IF_ERROR(rundir::RunDirectory::Check(options.run_dir, options.config));
  POMPC_ASSIGN_OR_RETURN(std::shared_ptr<learner::Engine> engine,
                         learner::MakeTorchEngine(options.config, {.device = options.device,
                                                                   .threads = options.threads}));
  POMPC_ASSIGN_OR_RETURN(run->data_sets_, learner::OpenDataSets(options.config));
  POMPC_RETURN_IF_ERROR(run->StartShards(options));
  POMPC_RETURN_IF_ERROR(run->StartLearner(options, std::move(engine)));
  POMPC_RETURN_IF_ERROR(run->StartPlanner(options));
  POMPC_RETURN_IF_ERROR(run->StartActors(options));
  return run;
}

InProcessRun::~InProcessRun() { Stop(); }

absl::Status InProcessRun::StartShards(const InProcessRunOptions& options) {
  const proto::ReplayConfig& replay = options.config.replay();
  std::string listen;
  if (options.fleet) {
    POMPC_ASSIGN_OR_RETURN(ListenAddress address, ParseListenAddress(options.listen));
    address.port = 0;
    listen = address.ToString();
  }
  for (int i = 0; i < options.shards; ++i) {
    replay::AppOptions shard;
    shard.shard = absl::StrCat(i);
    shard.listen = listen;
    shard.certificates = options.certificates;
    shard.insecure = options.insecure;
    shard.metrics = options.metrics;
    shard.durability = DurabilityOf(replay);
    if (shard.durability != replay::Durability::kMemory) {
      shard.data_dir = rundir::ShardFolder(options.run_dir, i);
      if (replay.on_disk()) shard.row_cache_bytes = replay.row_cache_bytes();
    }
    POMPC_ASSIGN_OR_RETURN(auto app, replay::App::Start(shard));
    shard_endpoints_.push_back(app->server().InProcessEndpoint());
    shards_.push_back(std::move(app));
  }
  return absl::OkStatus();
}

absl::Status InProcessRun::StartLearner(const InProcessRunOptions& options,
                                        std::shared_ptr<learner::Engine> engine) {
  learner::AppOptions learner;
  learner.server.listen = options.listen;
  learner.server.certificates = options.certificates;
  if (options.certificates != nullptr) {
    certificate_metrics_ = rpc::AddCertificateMetrics(*options.metrics, options.certificates);
  }
  learner.server.insecure = options.insecure;
  learner.run_dir = options.run_dir;
  learner.config = options.config;
  learner.data_sets = data_sets_;
  learner.replay = shard_endpoints_;
  learner.metrics = options.metrics;
  if (options.config.schedule() == proto::RunConfig::LOCKSTEP) {
    learner.turns = &turns_;
    // A lease that ends because the machine was busy would give the actor other seeds.
    learner.lease.duration = absl::Hours(24);
    // Everything waits while an evaluator does not know what to evaluate.
    learner.lease.heartbeat = absl::Milliseconds(100);
  }
  learner.engine = std::move(engine);
  POMPC_ASSIGN_OR_RETURN(learner_, learner::App::Start(std::move(learner)));
  learner_endpoint_ = learner_->server().InProcessEndpoint();
  Watch("learner", learner_.get(), /*ends_the_run=*/true);
  return absl::OkStatus();
}

absl::Status InProcessRun::StartPlanner(const InProcessRunOptions& options) {
  POMPC_CHECK(learner_ != nullptr);
  if (!options.planners.empty()) {
    planner::RunAnnouncerOptions announcer = {
        .run_id = learner_->run_id(), .learner = learner_->address(), .planners = options.planners};
    if (options.fleet) announcer.demand = [this] { return Demand(); };
    announcer_ = std::make_unique<planner::RunAnnouncer>(std::move(announcer));
    return absl::OkStatus();
  }
  planner::AppOptions planner;
  planner.learners = {learner_endpoint_};
  planner.name = "planner";
  planner.metrics = options.metrics;
  POMPC_ASSIGN_OR_RETURN(planner.engine, planner::MakeTorchEngine({.device = options.device,
                                                                   .threads = options.plan_threads,
                                                                   .shares_blas = true}));
  POMPC_ASSIGN_OR_RETURN(planner_, planner::App::Start(std::move(planner)));
  return absl::OkStatus();
}

proto::ActorDemand InProcessRun::Demand() const {
  const proto::RunStatus status = learner_->Status();
  proto::ActorDemand demand;
  for (const auto& shard : shards_) demand.add_replay(shard->server().address());
  demand.set_environments(status.environments());
  demand.set_wanted_environments(status.wanted_environments());
  return demand;
}

std::vector<rpc::Place> InProcessRun::PlannersOf(const InProcessRunOptions& options) const {
  if (planner_ != nullptr) return {planner_->server().InProcessEndpoint()};
  return {options.planners.begin(), options.planners.end()};
}

absl::Status InProcessRun::StartActors(const InProcessRunOptions& options) {
  POMPC_CHECK(planner_ != nullptr || announcer_ != nullptr);
  // A run that learns offline has nobody who acts, and an evaluator only if it evaluates.
  const bool offline = options.config.schedule() == proto::RunConfig::OFFLINE;
  if (offline && options.config.evaluation().every_updates() == 0) return absl::OkStatus();
  actor::AppOptions actor;
  actor.learner = learner_endpoint_;
  actor.planners = PlannersOf(options);
  actor.replay = shard_endpoints_;
  actor.name = "actor";
  actor.assets = options.assets;
  actor.metrics = options.metrics;
  // The options are copied before the turns are set, because the evaluator does not act in turns.
  actor::AppOptions evaluator = actor;
  const bool lockstep = options.config.schedule() == proto::RunConfig::LOCKSTEP;
  if (lockstep) actor.turns = &turns_;
  evaluator.evaluate = true;
  evaluator.name = "evaluator";
  if (!offline && !options.fleet) {
    POMPC_ASSIGN_OR_RETURN(actor_, actor::App::Start(std::move(actor)));
    Watch("actor", actor_.get(), /*ends_the_run=*/false);
  }
  // Seeds follow from the order in which leases are taken: in LOCKSTEP the actor must have the
  // first.
  if (lockstep) POMPC_RETURN_IF_ERROR(AwaitActor());
  POMPC_ASSIGN_OR_RETURN(evaluator_, actor::App::Start(std::move(evaluator)));
  Watch("evaluator", evaluator_.get(), /*ends_the_run=*/false);
  return absl::OkStatus();
}

absl::Status InProcessRun::AwaitActor() {
  const absl::Duration deadline = Clock::Real()->Now() + kRegistration;
  while (learner_->Status().peers().empty()) {
    const absl::Duration now = Clock::Real()->Now();
    if (now > deadline) return absl::DeadlineExceededError("the actor did not register");
    // If the learner ends meanwhile, there is nobody left to register with.
    if (over_.WaitUntil(Clock::Real(), now + absl::Milliseconds(5))) break;
  }
  return absl::OkStatus();
}

template <typename App>
void InProcessRun::Watch(const char* name, App* app, bool ends_the_run) {
  watchers_.emplace_back("watch-role", [this, name, app, ends_the_run] {
    const absl::Status status = app->Wait();
    {
      MutexLock lock(&mu_);
      // While the run stops, the other roles miss one another, which is no failure. The learner is
      // the one that knows whether everything was saved.
      const bool counts = !stopping_ || ends_the_run;
      if (!status.ok() && counts && error_.ok()) error_ = Annotate(status, name);
    }
    // An actor ends without an error only when the learner has told it to. The learner then ends
    // too, and its end is that of the run.
    if (!status.ok() || ends_the_run) over_.Set();
  });
}

absl::StatusOr<proto::GetRunReply> InProcessRun::Get() {
  return run::GetRun(learner_endpoint_, absl::Seconds(5));
}

absl::Status InProcessRun::error() const {
  MutexLock lock(&mu_);
  return error_;
}

void InProcessRun::Stop() {
  {
    MutexLock lock(&mu_);
    stopping_ = true;
  }
  // Actors stop before those they call, so that no call waits for a role that is gone; the shards
  // stop last, because the learner still samples them.
  if (evaluator_ != nullptr) evaluator_->Stop();
  if (actor_ != nullptr) actor_->Stop();
  announcer_.reset();
  if (planner_ != nullptr) planner_->Stop();
  if (learner_ != nullptr) learner_->Stop();
  for (const auto& shard : shards_) shard->Stop();
  for (Thread& watcher : watchers_) watcher.Join();
}

}  // namespace pompc::cli
