#include "learner/trainer.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/config/run_config.h"
#include "common/process/log.h"
#include "common/rpc/wire.h"
#include "common/values/not_finite.h"
#include "learner/feed/sample_values.h"
#include "parameters/parameter_snapshot.h"

namespace pompc::learner {
namespace {

// What was barred by this rank, rank 0, and by the others, as the end of a sentence.
std::string BarredText(const BatchHistory::Barred& own, const std::vector<int64_t>& by_rank) {
  std::string text;
  if (own.windows > 0) {
    absl::StrAppend(&text, "; barred from replay, for no update can be made with: ", own.names);
  }
  for (size_t rank = 1; rank < by_rank.size(); ++rank) {
    if (by_rank[rank] == 0) continue;
    absl::StrAppend(&text, "; barred by rank ", rank, " (see its log): ", by_rank[rank],
                    by_rank[rank] == 1 ? " window" : " windows");
  }
  return text;
}

}  // namespace

const std::array<absl::string_view, Trainer::kStates>& Trainer::StateNames() {
  static constexpr std::array<absl::string_view, kStates> kNames = {
      "waiting_for_rows", "waiting_for_data", "updating", "publishing",
      "checkpointing",    "closing_seed",     "ended"};
  return kNames;
}

Trainer::Trainer(const TrainerOptions& options, const TrainerParts& parts)
    : options_(options),
      parts_(parts),
      config_text_(config::ToText(options.config)),
      timer_(options.clock, State::kWaitingForRows),
      version_{options.learner_incarnation, 0},
      restored_updates_(parts.engine->update_count()),
      saved_rows_(options.restored_rows),
      history_(parts.engine, &parts.shards->clients()) {
  POMPC_CHECK(parts.control != nullptr && parts.batches != nullptr && parts.publisher != nullptr);
  POMPC_CHECK(parts.checkpoints != nullptr && parts.log != nullptr && parts.plans != nullptr);
  POMPC_CHECK(parts.priorities != nullptr && parts.ranks != nullptr);
}

absl::Status Trainer::Run() {
  parts_.engine->PrepareThread();
  absl::Status status = Train();
  timer_.Enter(State::kEnded);
  // A failed exchange says only that some rank is gone. Which one it is can be seen from the ranks'
  // streams to rank 0, and these may end a moment later.
  if (absl::IsUnavailable(status) && parts_.ranks->size() > 1) {
    return parts_.ranks->WhoIsGone(status, options_.hear_of_loss);
  }
  return status;
}

absl::Status Trainer::Train() {
  POMPC_ASSIGN_OR_RETURN(const bool gathered, GatherRanks());
  if (!gathered) return absl::OkStatus();
  // There must be a state to return to before the first update can fail.
  absl::Status status = Keep();
  if (status.ok()) status = RunSteps();
  // A run that ends while its newest updates turn out to be no good keeps those before.
  if (status.ok()) status = Restore(Keep());
  // That an earlier checkpoint of this update was requested does not mean that it was written. Too
  // many barred windows are no fault of the parameters. Those that no update can be made from are
  // not written: the next start would fail with them too.
  if ((status.ok() || too_many_barred_) && HasNews()) {
    const absl::Status written = SaveCheckpointNow("the last checkpoint");
    if (!status.ok() && !written.ok()) Log().error("{}", written.ToString());
    status.Update(written);
  }
  if (const absl::Status log = parts_.log->Flush(); !log.ok()) Log().error("{}", log.ToString());
  return status.ok() ? parts_.control->Failure() : status;
}

// Rows that no update followed count too: without them in a checkpoint, the next start would know
// fewer rows than its evaluations name. A run without any checkpoint begins from nothing in any
// case.
bool Trainer::HasNews() const {
  if (parts_.engine->update_count() > restored_updates_) return true;
  return parts_.control->rows() != saved_rows_ && parts_.checkpoints->stats().newest.has_value();
}

void Trainer::Tell(proto::RankOrder::Kind kind) const {
  proto::RankOrder order;
  order.set_kind(kind);
  parts_.ranks->Tell(order);
}

absl::StatusOr<bool> Trainer::GatherRanks() {
  timer_.Enter(State::kWaitingForData);
  while (!parts_.ranks->AwaitAll(options_.look_up)) {
    if (parts_.control->Done()) return false;
    parts_.control->SetTrainerWait(
        absl::StrCat("the learner waits for ", parts_.ranks->Missing(), " to join"));
  }
  parts_.control->SetTrainerWait("");
  // Connecting is itself an exchange, so the other ranks must be told to take part before rank 0
  // does.
  Tell(proto::RankOrder::CONNECT);
  POMPC_RETURN_IF_ERROR(parts_.engine->Connect(parts_.rank_values));
  return true;
}

absl::StatusOr<bool> Trainer::AwaitOtherBatches() {
  if (parts_.ranks->size() == 1) return true;
  // Exchanges within an update wait for every rank, with a timeout that ends the run. So an update
  // begins only when all have their part of the batch: a rank whose shards have no rows yet can
  // then be waited for as long as it takes, and the status names it.
  while (!parts_.control->Done()) {
    proto::RankOrder draw;
    draw.set_kind(proto::RankOrder::DRAW);
    for (const uint64_t mass : parts_.control->Masses()) draw.add_masses(mass);
    parts_.ranks->Tell(draw);
    POMPC_ASSIGN_OR_RETURN(const std::vector<int64_t> ready, parts_.engine->Exchange(1));
    POMPC_CHECK_EQ(ready.size(), static_cast<size_t>(parts_.ranks->size()));
    const auto missing = std::find(ready.begin(), ready.end(), 0);
    if (missing == ready.end()) return true;
    parts_.control->SetTrainerWait(
        absl::StrCat("the learner waits for rank ", missing - ready.begin(), " to get its batch"));
  }
  return false;
}

absl::Status Trainer::RunSteps() {
  // A resumed run: its planners need the parameters before anything else moves.
  if (parts_.control->phase() == proto::TRAINING) {
    POMPC_RETURN_IF_ERROR(Publish(absl::ZeroDuration()));
  }
  while (true) {
    POMPC_RETURN_IF_ERROR(parts_.ranks->Lost());
    // The line above finds a rank that was lost while no update was due. During updates the
    // exchanges find it.
    timer_.Enter(State::kWaitingForRows);
    switch (parts_.control->AwaitStep(options_.look_up)) {
      case run::TrainerStep::kWait:
        break;
      case run::TrainerStep::kFinish:
        return absl::OkStatus();
      case run::TrainerStep::kUpdate:
        POMPC_RETURN_IF_ERROR(Update());
        break;
      case run::TrainerStep::kCloseSeed:
        POMPC_RETURN_IF_ERROR(Restore(CloseSeed()));
        break;
      case run::TrainerStep::kEvaluate:
        POMPC_RETURN_IF_ERROR(Restore(Evaluate()));
        break;
      case run::TrainerStep::kAct:
        POMPC_RETURN_IF_ERROR(Act());
        break;
    }
  }
}

absl::Status Trainer::Update() {
  timer_.Enter(State::kWaitingForData);
  absl::StatusOr<DrawnBatch> batch = parts_.batches->Next(options_.look_up);
  if (absl::IsDeadlineExceeded(batch.status())) {
    parts_.control->SetTrainerWait(std::string(batch.status().message()));
    return absl::OkStatus();
  }
  // Batches are cancelled when the run ends; the control says how it ended.
  if (absl::IsCancelled(batch.status()) && parts_.control->Done()) return absl::OkStatus();
  if (!batch.ok()) return batch.status();
  // If the run ends while others have no batch, this one is dropped: no rank has begun the update.
  POMPC_ASSIGN_OR_RETURN(const bool complete, AwaitOtherBatches());
  if (!complete) return absl::OkStatus();
  parts_.control->SetTrainerWait("");

  return Restore(Step(*std::move(batch)));
}

absl::Status Trainer::Step(DrawnBatch next_batch) {
  timer_.Enter(State::kUpdating);
  // The batch is remembered before anything is done with it: if the update fails, it is where the
  // windows at fault are looked for.
  const DrawnBatch& drawn = history_.Add(std::move(next_batch));
  Engine::Batch& batch = *drawn.batch;
  POMPC_RETURN_IF_ERROR(Reanalyze(batch));
  const uint64_t next = parts_.engine->update_count() + 1;
  const bool logged = next % options_.config.learner().log_every_updates() == 0;
  // Values are computed only for updates that are logged: on a GPU the host then has to wait for
  // the device, which it does not do otherwise (docs/algorithm.md, On a GPU).
  proto::RankOrder step;
  step.set_kind(proto::RankOrder::STEP);
  step.set_want_values(logged);
  parts_.ranks->Tell(step);
  POMPC_ASSIGN_OR_RETURN(NamedValues values, parts_.engine->Step(batch, logged));
  POMPC_CHECK_EQ(parts_.engine->update_count(), next);
  parts_.control->UpdateDone();
  WritePriorities();
  if (logged) {
    for (auto& value : SampleValues(drawn.origins, version_)) values.push_back(std::move(value));
  }
  return AfterUpdate(values, logged);
}

absl::Status Trainer::Keep() {
  // One update can log, publish, save and be evaluated: its state is kept once.
  const uint64_t updates = parts_.engine->update_count();
  if (kept_ == updates) return absl::OkStatus();
  Tell(proto::RankOrder::KEEP);
  POMPC_RETURN_IF_ERROR(parts_.engine->Keep());
  kept_ = updates;
  restored_ = 0;
  history_.Clear();
  return absl::OkStatus();
}

absl::Status Trainer::Restore(const absl::Status& status) {
  const std::string loss = NotFiniteName(status);
  if (loss.empty()) return status;
  POMPC_CHECK(kept_.has_value(), "there is nothing to go back to");
  if (restored_ >= options_.max_restorations) {
    return Annotate(status, absl::StrCat("after ", restored_, " restorations of update ", *kept_));
  }
  Tell(proto::RankOrder::GO_BACK);
  // Going back comes first: the history tests the windows with the last good state, because every
  // window may look unusable with the failed one.
  parts_.engine->GoBack();
  const BatchHistory::Barred own = history_.BarUnusable();
  POMPC_ASSIGN_OR_RETURN(const std::vector<int64_t> barred,
                         parts_.engine->Exchange(static_cast<int64_t>(own.windows)));
  // Without the windows that were at fault the next try is another one: replay has fewer of them
  // each time, and too many end the run.
  if (std::all_of(barred.begin(), barred.end(), [](int64_t windows) { return windows == 0; })) {
    ++restored_;
    keeps_often_ = true;
  }
  const std::string what =
      absl::StrCat(status.message(), "; gone back to update ", *kept_, BarredText(own, barred));
  Log().warn("{}", what);
  // The control then counts these updates as not made, so that the ratio admits them again, from
  // other batches.
  parts_.control->Restored(*kept_, what);
  {
    MutexLock lock(&mu_);
    ++restorations_[loss];
  }
  // The control judges by what the shards say now. One that does not answer is reported by the
  // shard manager, and here its last answer counts.
  parts_.shards->Refresh().IgnoreError();
  const absl::Status replay = parts_.control->CheckBarred();
  too_many_barred_ = !replay.ok();
  return replay;
}

absl::Status Trainer::Reanalyze(Engine::Batch& batch) {
  const uint64_t every = options_.config.learner().reanalyze().every_updates();
  // Before the first version the model has not learned to plan.
  if (every == 0 || !version_.valid()) return absl::OkStatus();
  if ((parts_.engine->update_count() + 1) % every != 0) return absl::OkStatus();
  Tell(proto::RankOrder::REANALYZE);
  POMPC_ASSIGN_OR_RETURN(std::vector<PlanUpdate> plans, parts_.engine->Reanalyze(batch));
  // In turns the next batch is drawn from rows that have these plans, or the run could not be
  // repeated. Otherwise updates go on while the shards take them.
  if (parts_.turns != nullptr) {
    parts_.plans->WriteAndWait(plans);
  } else {
    parts_.plans->Write(std::move(plans));
  }
  return absl::OkStatus();
}

void Trainer::WritePriorities() {
  const std::vector<PriorityUpdate> priorities = parts_.engine->TakePriorities();
  // In turns the next batch must be drawn by these priorities, or the run could not be repeated.
  if (parts_.turns == nullptr) return parts_.priorities->Write(priorities);
  parts_.priorities->WriteAndWait(priorities);
  // The masses by which the next batch is split follow from them too.
  if (!priorities.empty()) parts_.shards->Refresh().IgnoreError();
}

absl::Status Trainer::AfterUpdate(const NamedValues& values, bool logged) {
  const uint64_t updates = parts_.engine->update_count();
  const proto::LearnerConfig& learner = options_.config.learner();
  const bool publishes = updates % learner.publish_every_updates() == 0;
  const bool saves = updates % learner.checkpoint_every_updates() == 0;
  // Beyond the history's batches the window that is at fault would not be found.
  const bool checks = keeps_often_ && updates >= *kept_ + BatchHistory::kBatches;
  // Nothing is taken from the engine before its state has been found finite, not even a row of
  // metrics.csv. A copy of the state after every update would cost too much.
  if (logged || publishes || saves || checks) POMPC_RETURN_IF_ERROR(Keep());
  if (logged) LogUpdate(values);
  // Before the first version nothing is published: it marks the end of the random phase.
  if (publishes && version_.valid()) POMPC_RETURN_IF_ERROR(Publish(absl::ZeroDuration()));
  if (saves) SaveCheckpoint(false);
  return absl::OkStatus();
}

absl::Status Trainer::CloseSeed() {
  POMPC_RETURN_IF_ERROR(Keep());
  // On disk before anybody sees the version: a learner that resumes knows then that no random rows
  // are wanted any more.
  POMPC_RETURN_IF_ERROR(SaveCheckpointNow("the checkpoint before the first version"));
  timer_.Enter(State::kClosingSeed);
  parts_.control->BeginSeedClosing();
  while (!parts_.control->AwaitSeedClosed(options_.look_up)) {
    if (parts_.control->Done()) return absl::OkStatus();
    POMPC_RETURN_IF_ERROR(parts_.ranks->Lost());
  }
  // Every shard refuses rows without a plan by now. The version is published before the phase
  // changes: when actors hear of TRAINING there is something to plan with.
  POMPC_RETURN_IF_ERROR(Publish(absl::ZeroDuration()));
  parts_.control->StartTraining();
  Log().info("seed phase closed at {} rows, {} updates; training with plans",
             parts_.control->rows(), parts_.engine->update_count());
  return absl::OkStatus();
}

absl::Status Trainer::Evaluate() {
  POMPC_RETURN_IF_ERROR(Keep());
  POMPC_RETURN_IF_ERROR(Publish(options_.keep_evaluated));
  const proto::EvaluationAssignment assignment = parts_.control->AddEvaluation(version_);
  Log().info("evaluation {} of version {}: {} rows, {} updates", assignment.evaluation_id(),
             version_.ToString(), assignment.rows(), assignment.updates());
  SaveCheckpoint(true);
  return absl::OkStatus();
}

// Lets the actor make its rows of one turn.
absl::Status Trainer::Act() {
  POMPC_CHECK(parts_.turns != nullptr);
  parts_.turns->Give({version_});
  while (!parts_.turns->AwaitBack(options_.look_up)) {
    if (parts_.control->Done()) return absl::OkStatus();
    parts_.control->SetTrainerWait("the learner waits for the actor to end its turn");
  }
  parts_.control->SetTrainerWait("");
  // The rows of the turn are stored. The control learns of them now and not with the next grant,
  // whose time depends on the clock.
  return parts_.control->Done() ? absl::OkStatus() : parts_.shards->Refresh();
}

absl::Status Trainer::Publish(absl::Duration keep) {
  POMPC_CHECK(kept_ == parts_.engine->update_count(), "what is published has not been kept");
  timer_.Enter(State::kPublishing);
  proto::ParametersDescription description;
  POMPC_ASSIGN_OR_RETURN(std::shared_ptr<const std::string> data,
                         parts_.engine->PackParameters(&description));
  // Versions are numbered by publications, not by updates: an evaluation publishes its update even
  // if that was published before.
  ++version_.number;
  *description.mutable_version() = ToProto(version_);
  description.set_run_id(options_.run_id);
  description.set_update_count(parts_.engine->update_count());
  description.set_keep_seconds(static_cast<uint32_t>(absl::ToInt64Seconds(keep)));
  // Shards hear of a version before planners do, so that no row planned by it has to wait for them;
  // in turns its first row may be asked for at once.
  parts_.control->Published(version_);
  if (parts_.turns != nullptr) {
    parts_.shards->Refresh().IgnoreError();
  } else {
    parts_.shards->GrantNow();
  }
  parts_.publisher->Publish(parameters::MakeSnapshot(std::move(description), std::move(data)));
  return absl::OkStatus();
}

void Trainer::LogUpdate(const NamedValues& values) {
  // The status is read once, so that the numbers of one row belong together.
  const proto::RunStatus status = parts_.control->Status();
  const auto seconds = timer_.Seconds();
  TrainingLog::Entry entry;
  entry.updates = parts_.engine->update_count();
  entry.rows = status.rows();
  entry.values = values;
  entry.elapsed_seconds = status.elapsed_seconds();
  entry.rows_per_second = status.rows_per_second();
  entry.updates_per_second = status.updates_per_second();
  entry.state_seconds.assign(seconds.begin(), seconds.end());
  {
    MutexLock lock(&mu_);
    values_ = values;
  }
  // A table that cannot be written does not end the run.
  const absl::Status written = parts_.log->Append(entry);
  if (!written.ok() && log_failed_.Count(options_.clock->Now()) > 0) {
    Log().error("{}", written.ToString());
  }
}

void Trainer::SaveCheckpoint(bool pin) {
  BeginCheckpointing();
  parts_.checkpoints->Write(MakeCheckpoint(), pin);
  parts_.control->SetTrainerWait("");
}

void Trainer::BeginCheckpointing() {
  timer_.Enter(State::kCheckpointing);
  parts_.control->SetTrainerWait(absl::StrCat(
      "the learner waits to write the checkpoint of update ", parts_.engine->update_count()));
}

absl::Status Trainer::SaveCheckpointNow(absl::string_view which) {
  BeginCheckpointing();
  // A checkpoint of this update may be there with fewer rows in its counters.
  const bool replace = parts_.control->rows() != saved_rows_;
  const absl::Status status =
      parts_.checkpoints->WriteAndWait(MakeCheckpoint(), options_.write_timeout, replace);
  parts_.control->SetTrainerWait("");
  if (status.ok()) return status;
  // If the folder was moved, that is the cause, and the failed write only follows from it.
  POMPC_RETURN_IF_ERROR(parts_.checkpoints->CheckInPlace());
  const std::optional<uint64_t> newest = parts_.checkpoints->stats().newest;
  return Annotate(status, absl::StrCat(which, ", of update ", parts_.engine->update_count(),
                                       ", could not be written within ",
                                       absl::FormatDuration(options_.write_timeout),
                                       newest ? absl::StrCat("; the newest is of update ", *newest)
                                              : "; there is no other one"));
}

std::unique_ptr<Checkpoint> Trainer::MakeCheckpoint() {
  POMPC_CHECK(kept_ == parts_.engine->update_count(), "what is written has not been kept");
  auto checkpoint = std::make_unique<Checkpoint>();
  checkpoint->info.run_id = options_.run_id;
  // The start that made these updates: evaluations of an earlier start count for a checkpoint only
  // if no later one repeated its updates.
  checkpoint->info.learner_incarnation = parts_.engine->update_count() > restored_updates_
                                             ? options_.learner_incarnation
                                             : options_.restored_incarnation;
  // This is read before Save: rows that arrive between the two calls are saved, and at worst count
  // as news once more. In the other order they would count as saved although no checkpoint has
  // them.
  saved_rows_ = parts_.control->rows();
  checkpoint->info.progress = parts_.control->Save();
  checkpoint->info.config = config_text_;
  checkpoint->engine = parts_.engine->Export();
  return checkpoint;
}

std::vector<std::string> Trainer::ValueNames(const Engine& engine) {
  std::vector<std::string> names = engine.ValueNames();
  for (std::string& name : SampleValueNames()) names.push_back(std::move(name));
  return names;
}

NamedValues Trainer::values() const {
  MutexLock lock(&mu_);
  return values_;
}

uint64_t Trainer::restorations(const std::string& loss) const {
  MutexLock lock(&mu_);
  const auto found = restorations_.find(loss);
  return found == restorations_.end() ? 0 : found->second;
}

}  // namespace pompc::learner
