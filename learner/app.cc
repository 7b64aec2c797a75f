#include "learner/app.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/random_id.h"
#include "common/config/fields.h"
#include "common/config/run_config.h"
#include "common/io/listener.h"
#include "common/process/log.h"
#include "learner/checkpoint.h"
#include "learner/metrics.h"
#include "learner/status/published_curves.h"
#include "replay/client/row_reader.h"
#include "run/control/limits.h"
#include "run/control/names.h"
#include "run/control/status_report.h"
#include "rundir/checkpoint_store.h"
#include "rundir/evaluation_log.h"

namespace pompc::learner {

absl::StatusOr<std::unique_ptr<App>> App::Start(AppOptions options) {
  POMPC_RETURN_IF_ERROR(options.Validate());
  std::unique_ptr<App> app(new App(std::move(options)));
  if (const absl::Status status = app->Begin(); !status.ok()) {
    // The run directory tells of it, if this start came so far as to hold it.
    MutexLock lock(&app->mu_);
    return app->error_ = status;
  }
  return app;
}

absl::Status App::Begin() {
  POMPC_RETURN_IF_ERROR(Open());
  POMPC_RETURN_IF_ERROR(Serve());
  return StartTraining(options_.engine->update_count());
}

// Takes over the run directory. What can be refused is refused before anything is changed: first
// the port and the data sets, then the directory's lock and config, then the checkpoint.
absl::Status App::Open() {
  // A port that is taken must not leave a run directory behind.
  if (!options_.server.listen.empty()) {
    POMPC_ASSIGN_OR_RETURN(const ListenAddress address, ParseListenAddress(options_.server.listen));
    POMPC_RETURN_IF_ERROR(Listener::Open(address).status());
  }
  if (options_.data_sets.has_value()) {
    data_sets_ = *options_.data_sets;
  } else {
    POMPC_ASSIGN_OR_RETURN(data_sets_, OpenDataSets(options_.config));
  }
  POMPC_ASSIGN_OR_RETURN(run_, rundir::RunDirectory::Open(options_.run_dir, options_.config));
  POMPC_ASSIGN_OR_RETURN(std::vector<proto::EvaluationResult> evaluations,
                         rundir::EvaluationLog::Read(run_->File("evaluations.csv")));
  POMPC_ASSIGN_OR_RETURN(
      std::unique_ptr<rundir::CheckpointStore> store,
      rundir::CheckpointStore::Open(run_->File("checkpoints"),
                                    options_.config.learner().keep_checkpoints(), evaluations));
  POMPC_ASSIGN_OR_RETURN(const std::optional<CheckpointInfo> checkpoint,
                         RestoreNewest(store.get(), run_->run_id(), options_.engine.get()));
  // A run that was resumed before keeps its config until a shard agrees to this one.
  POMPC_RETURN_IF_ERROR(run_->WriteConfigIfMissing(options_.config));
  POMPC_ASSIGN_OR_RETURN(const proto::KeptLimits kept, rundir::ReadKeptLimits(run_->path()));
  POMPC_ASSIGN_OR_RETURN(const run::RunControlOptions control, ControlOptions(kept));
  control_ = std::make_unique<run::RunControl>(control, options_.clock);
  keeps_limits_ = kept.has_limits();
  std::optional<run::RunProgressState> progress;
  if (checkpoint.has_value()) progress = checkpoint->progress;
  control_->Restore(progress, std::move(evaluations));
  // Before any shard tells of rows that came after the checkpoint.
  restored_rows_ = control_->rows();
  restored_incarnation_ =
      checkpoint.has_value() ? checkpoint->learner_incarnation : run_->learner_incarnation();
  // The token tells this start from that of a copy of the run directory, which has the same run id
  // and may have the same incarnation.
  start_ = {run_->learner_incarnation(), RandomId()};
  SetLogContext({.run = run_->run_id(), .index = "0"});
  Log().info(
      "run {} in {}: start {}, {}", run_->run_id(), run_->path(), run_->learner_incarnation(),
      checkpoint.has_value() ? absl::StrCat("going on from update ", checkpoint->progress.updates)
                             : "from the beginning");
  checkpoints_ = std::make_unique<CheckpointWriter>(std::move(store), options_.clock);
  return absl::OkStatus();
}

// Limits that were changed while an earlier start went on are those of this start too, unless its
// config was changed in them since. They must fit the rest of the config all the same.
absl::StatusOr<run::RunControlOptions> App::ControlOptions(const proto::KeptLimits& kept) const {
  const proto::KeptLimits limits = run::LimitsAtStart(options_.config, kept);
  AppOptions options = options_;
  options.config =
      run::WithLimits(options_.config, run::WithChanges(run::RunLimits(), limits.limits()));
  POMPC_RETURN_IF_ERROR(Annotate(config::Validate(options.config),
                                 "with the limits that were changed while the run went on"));
  run::RunControlOptions control = MakeRunControlOptions(options, run_->learner_incarnation());
  control.limit_changes.assign(limits.changes().begin(), limits.changes().end());
  for (const config::FieldDifference& field :
       config::Differences(options_.config, options.config, "")) {
    Log().info("{} is {}, as it was changed while the run went on; the config says {}", field.path,
               field.now, field.before);
  }
  return control;
}

// The server is up before training is: actors, planners and ranks that wait for a learner get
// leases and a status that says what it waits for while shards are configured and replay fills.
absl::Status App::Serve() {
  publisher_ = std::make_unique<parameters::Publisher>(
      parameters::PublisherOptions{.clock = options_.clock});
  parameter_service_ = std::make_unique<parameters::ParameterService>(
      publisher_.get(),
      parameters::ParameterServiceOptions{.run_id = run_->run_id(), .clock = options_.clock});
  run_service_ = std::make_unique<run::RunService>(
      control_.get(),
      run::RunServiceOptions{
          run_->run_id(), options_.config, run_->path(),
          [this](const proto::KeptLimits& limits) { return run_->WriteLimits(limits); },
          [this](const std::string& name) { return SnapshotReplay(name); }});
  ranks_ = std::make_shared<RankGroup>(options_.world_size, options_.clock);
  rank_values_ = std::make_shared<MemoryRendezvous>(options_.clock);
  RankServiceOptions ranks = {run_->run_id(), options_.config,
                              static_cast<uint32_t>(options_.replay.size())};
  ranks.start.set_incarnation(start_.incarnation);
  ranks.start.set_token(start_.token);
  rank_service_ = std::make_unique<RankService>(ranks_, rank_values_, ranks);
  POMPC_ASSIGN_OR_RETURN(
      server_, rpc::Server::Start(options_.server, {run_service_.get(), parameter_service_.get(),
                                                    rank_service_.get()}));
  // For those who know the run directory alone.
  return server_->address().empty() ? absl::OkStatus() : run_->WriteAddress(server_->address());
}

absl::StatusOr<std::vector<std::string>> App::SnapshotReplay(const std::string& name) const {
  std::vector<std::string> folders;
  for (const rpc::Endpoint& shard : options_.replay) {
    // Stop waits for this call.
    if (stopping_.IsSet()) return absl::UnavailableError("the learner is stopping");
    POMPC_ASSIGN_OR_RETURN(const std::unique_ptr<replay::RowReader> reader,
                           replay::RowReader::Connect(shard, options_.shard_timeout));
    if (reader->description().run_id() != run_->run_id()) {
      return absl::FailedPreconditionError(
          absl::StrCat("replay shard at ", shard.address(), " serves another run"));
    }
    POMPC_ASSIGN_OR_RETURN(std::string folder, reader->Snapshot(name));
    folders.push_back(std::move(folder));
  }
  return folders;
}

ShardManagerOptions App::MakeShardManagerOptions() {
  ShardManagerOptions shards;
  shards.run_id = run_->run_id();
  shards.start = start_;
  shards.shards = options_.replay;
  shards.config = options_.config;
  shards.data_sets = data_sets_;
  shards.grant_interval = options_.grant_interval;
  shards.timeout = options_.shard_timeout;
  shards.clock = options_.clock;
  // The run directory gets the new config only once a shard has agreed to it: settings that every
  // shard refuses must not be left there for the next start.
  shards.on_agreed = [this] {
    if (const absl::Status status = KeepConfig(); !status.ok()) Fail(status);
  };
  shards.on_refused = [this](const absl::Status& status) { Fail(status); };
  return shards;
}

namespace {

PrefetcherOptions PrefetchOptions(const AppOptions& options, uint64_t restored_updates) {
  PrefetcherOptions prefetch =
      MakePrefetcherOptions(options.config, 0, options.world_size, restored_updates);
  // In turns a batch is drawn when it is asked for: batches that were drawn ahead would depend on
  // timing.
  prefetch.ahead = options.turns == nullptr;
  prefetch.clock = options.clock;
  return prefetch;
}

}  // namespace

// Makes everything between the shards and the engine, in the order in which the parts need one
// another.
absl::Status App::StartTraining(uint64_t restored_updates) {
  Engine* engine = options_.engine.get();
  std::vector<std::string> states;
  for (absl::string_view state : Trainer::StateNames()) states.emplace_back(state);
  if (options_.config.learner().tensorboard()) {
    POMPC_ASSIGN_OR_RETURN(events_,
                           rundir::EventFile::Create(run_->File("tensorboard"), restored_updates));
  }
  // The tables are cut at the restored update before anything is appended, because the updates
  // after it are made again.
  POMPC_ASSIGN_OR_RETURN(log_, TrainingLog::Open(run_->path(), Trainer::ValueNames(*engine), states,
                                                 restored_updates, events_.get()));
  board_ = std::make_unique<StatusBoard>(MakeStatusBoardOptions());
  shards_ = std::make_unique<ShardManager>(MakeShardManagerOptions(), control_.get());
  prefetcher_ = std::make_unique<Prefetcher>(PrefetchOptions(options_, restored_updates),
                                             control_.get(), &shards_->clients(), engine);
  plan_writer_ = std::make_unique<PlanWriter>(&shards_->clients());
  priority_writer_ = std::make_unique<PriorityWriter>(&shards_->clients());
  TrainerOptions trainer;
  trainer.run_id = run_->run_id();
  trainer.learner_incarnation = run_->learner_incarnation();
  trainer.restored_incarnation = restored_incarnation_;
  trainer.restored_rows = restored_rows_;
  trainer.config = options_.config;
  trainer.write_timeout = options_.write_timeout;
  trainer.keep_evaluated = options_.evaluation_timeout;
  trainer.clock = options_.clock;
  trainer_ = std::make_unique<Trainer>(
      trainer,
      TrainerParts{control_.get(), engine, prefetcher_.get(), publisher_.get(), checkpoints_.get(),
                   log_.get(), plan_writer_.get(), priority_writer_.get(), options_.turns,
                   shards_.get(), ranks_.get(), rank_values_});
  const bool offline = options_.config.schedule() == proto::RunConfig::OFFLINE;
  // The monitor takes evaluations from the control and settles their checkpoints, and goes on when
  // the trainer has ended: results may come in after the last update. It reads the trainer's times.
  MonitorOptions monitor;
  monitor.run_dir = run_->path();
  monitor.on_moved = [this](const absl::Status& status) { Fail(status); };
  monitor.on_round = [this](const std::vector<run::EpisodeNews>& episodes) { Show(episodes); };
  monitor.clock = options_.clock;
  POMPC_ASSIGN_OR_RETURN(monitor_, Monitor::Start(monitor, control_.get(), checkpoints_.get(),
                                                  parameter_service_.get(), events_.get()));
  metrics_ = AddLearnerMetrics(
      *options_.metrics,
      {control_.get(), trainer_.get(), prefetcher_.get(), checkpoints_.get(),
       parameter_service_.get(), plan_writer_.get(), priority_writer_.get(),
       Trainer::ValueNames(*engine), engine->LossNames(), ranks_.get(), run_->run_id(),
       run_->path(), options_.config.env().task(), offline ? 0 : options_.expected_actors});
  // The thread starts last, since it uses everything made above.
  training_ = Thread("trainer", [this] { Train(); });
  return absl::OkStatus();
}

absl::Status App::KeepConfig() {
  POMPC_RETURN_IF_ERROR(run_->WriteConfig(options_.config));
  // With the limits that this config has in place of kept ones.
  return keeps_limits_ ? run_service_->KeepLimits() : absl::OkStatus();
}

void App::Train() {
  const absl::Status status = trainer_->Run();
  if (!status.ok()) Fail(status);
  // Evaluations decide which policy is the best and whether the goal is reached: none may be lost.
  if (const absl::Status written = monitor_->Finish(options_.write_timeout); !written.ok()) {
    Fail(written);
  }
  {
    MutexLock lock(&mu_);
    // The other ranks end as this one does, in order or with its error.
    ranks_->Close(error_);
  }
  trained_.Set();
}

App::~App() { Stop(); }

void App::Fail(const absl::Status& status) {
  // Nothing but the loss of a rank is UNAVAILABLE where there are others.
  absl::Status error = status;
  if (absl::IsUnavailable(status) && options_.world_size > 1) {
    error = absl::UnavailableError(absl::StrCat(
        status.message(),
        "; the run resumes from its newest checkpoint when all ranks are started again"));
  }
  {
    MutexLock lock(&mu_);
    if (error_ == error) return;
    if (error_.ok()) error_ = error;
  }
  Log().error("this learner ends: {}", status.ToString());
  // Peers of a run that is over have been told so, or still are.
  if (run::IsOver(control_->phase())) return;
  // The run does not end with this learner: its phase stays, and actors and evaluators wait for the
  // next start.
  control_->Halt(std::string(status.message()));
  failed_.Set();
}

namespace {

using Reason = run::RunControl::Reason;
using Limiter = proto::LimiterStatus;

// The training thread's time is split into what it does and, in place of its two states of waiting
// for the control, why it waits.
bool WaitsForControl(size_t state) {
  return state == static_cast<size_t>(Trainer::State::kWaitingForRows) ||
         state == static_cast<size_t>(Trainer::State::kClosingSeed);
}
constexpr Reason kLearnerReasons[] = {Limiter::SEED_ROWS, Limiter::RATIO,      Limiter::MIN_ROWS,
                                      Limiter::NO_WINDOW, Limiter::EVALUATION, Limiter::SHARDS};
constexpr Reason kWriterReasons[] = {Limiter::PRETRAINING, Limiter::RATIO,  Limiter::MIN_ROWS,
                                     Limiter::NO_WINDOW,   Limiter::SHARDS, Limiter::ALL_ROWS,
                                     Limiter::RUN_OVER};

}  // namespace

StatusBoardOptions App::MakeStatusBoardOptions() const {
  StatusBoardOptions status;
  status.run_dir = run_->path();
  status.config = options_.config;
  status.published_dir = DefaultPublishedDir();
  status.learner_start = run_->learner_incarnation();
  status.ranks = options_.world_size;
  for (size_t state = 0; state < Trainer::kStates; ++state) {
    if (!WaitsForControl(state)) status.activities.emplace_back(Trainer::StateNames()[state]);
  }
  for (const Reason reason : kLearnerReasons) status.activities.push_back(run::Name(reason));
  for (const Reason reason : kWriterReasons) status.hold_reasons.push_back(run::Name(reason));
  status.clock = options_.clock;
  return status;
}

void App::Show(const std::vector<run::EpisodeNews>& episodes) {
  if (!episodes.empty()) board_->AddEpisodes(episodes);
  if (!board_->Due()) return;
  LearnerCounters counters;
  const auto states = trainer_->timer().Seconds();
  for (size_t state = 0; state < states.size(); ++state) {
    if (!WaitsForControl(state)) counters.activity_seconds.push_back(states[state]);
  }
  const auto waits = control_->learner_waits().Seconds();
  for (const Reason reason : kLearnerReasons) counters.activity_seconds.push_back(waits[reason]);
  const auto held = control_->writers_wait().Seconds();
  for (const Reason reason : kWriterReasons) counters.held_seconds.push_back(held[reason]);
  counters.ranks_present = ranks_->present();
  board_->Observe(control_->Status(), counters);
}

std::string App::StatusPage() const { return board_->Html(run_service_->Describe()); }

std::string App::StatusJson() const { return board_->Json(run_service_->Describe()); }

HttpPage App::StatusVideo(size_t position) const { return board_->VideoPage(position); }

absl::Status App::Health() const {
  if (stopping_.IsSet()) return absl::UnavailableError("stopping");
  {
    MutexLock lock(&mu_);
    if (!error_.ok()) return error_;
  }
  return server_->Health();
}

absl::Status App::Wait() {
  trained_.Wait();
  const absl::Duration give_up = options_.clock->Now() + options_.drain_timeout;
  // When the run is over, the server still answers heartbeats until every actor and evaluator has
  // been told so. Each ends with status 0 then; one that was not told would wait for another
  // learner.
  while (!failed_.IsSet() && !control_->Drained() && options_.clock->Now() < give_up) {
    if (stopping_.WaitUntil(options_.clock, options_.clock->Now() + absl::Milliseconds(50))) break;
  }
  MutexLock lock(&mu_);
  return error_;
}

void App::Stop() {
  MutexLock lock(&stop_mu_);
  if (std::exchange(stopped_, true)) return;
  // 1. New clients should not find this learner any more, and Wait() stops waiting for peers.
  stopping_.Set();
  if (server_ != nullptr) server_->SetServing("", false);
  // 2. Training ends with a last checkpoint; it may use everything that is closed below.
  if (control_ != nullptr) control_->Halt();
  training_.Join();
  // 3. The shard manager comes first: it owns the clients of the shards, and closing it cancels the
  // calls of the others, which they would wait for.
  if (shards_ != nullptr) shards_->Close();
  if (prefetcher_ != nullptr) prefetcher_->Close();
  if (plan_writer_ != nullptr) plan_writer_->Close();
  if (priority_writer_ != nullptr) priority_writer_->Close();
  // 4. Closing the publisher ends the planners' streams, for which the server would otherwise wait.
  if (publisher_ != nullptr) publisher_->Close();
  if (server_ != nullptr) server_->Shutdown(options_.stop_grace);
  // 5. No call can bring news any more, so the last round of the monitor writes all there is.
  if (monitor_ != nullptr) monitor_->Close();
  if (checkpoints_ != nullptr) checkpoints_->Close();
  metrics_.Remove();
  RecordEnd();
  trained_.Set();
}

void App::RecordEnd() {
  // Whatever lies at the path of a folder that was moved belongs to somebody else.
  if (run_ == nullptr || (checkpoints_ != nullptr && !checkpoints_->CheckInPlace().ok())) return;
  rundir::RunEnd end;
  if (control_ != nullptr) {
    const proto::RunStatus status = control_->Status();
    end.outcome = run::IsOver(status.phase()) ? run::PhaseText(status) : "";
    end.rows = status.rows();
    end.updates = status.updates();
    end.elapsed_seconds = status.elapsed_seconds();
  }
  {
    MutexLock lock(&mu_);
    if (!error_.ok()) end.outcome = absl::StrCat("failed: ", error_.message());
  }
  if (end.outcome.empty()) end.outcome = "interrupted: the learner was told to end";
  const absl::Status written = run_->WriteEnd(end);
  if (!written.ok()) Log().error("how this learner ended is not written: {}", written.ToString());
}

}  // namespace pompc::learner
