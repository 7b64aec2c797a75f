#include "run/control/run_control.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/check.h"
#include "common/values/short_text.h"

namespace pompc::run {
namespace {

constexpr char kNotConnected[] = "not connected yet";
// Errors of other processes, in bytes.
constexpr size_t kMaxError = 256;
// Tick is called several times a second; if it was not for so long, the learner did not run.
constexpr absl::Duration kPause = absl::Seconds(2);

EvaluationOptions WithLast(EvaluationOptions options, const StopOptions& stop) {
  options.last_rows = stop.max_rows;
  return options;
}

// In lockstep the evaluator is of the same process: if it is not there, none comes.
StopOptions Stops(const RunControlOptions& options) {
  StopOptions stop = options.stop;
  if (options.lockstep) stop.evaluator_comes = absl::ZeroDuration();
  return stop;
}

}  // namespace

RunControl::RunControl(const RunControlOptions& options, Clock* clock)
    : options_(options),
      clock_(clock),
      start_(clock->Now()),
      learner_waits_(clock, proto::LimiterStatus::NONE),
      writers_wait_(clock, proto::LimiterStatus::NONE),
      leases_(options.lease, static_cast<int>(options.shards.size()), options.learner_incarnation),
      evaluations_(WithLast(options.evaluation, options.stop)),
      phases_(Stops(options), start_),
      ratio_(options.ratio),
      limit_changes_(options.limit_changes.begin(), options.limit_changes.end()),
      row_counter_(1024 + options.shards.size()),
      grants_(static_cast<int>(options.shards.size())),
      window_watch_(options.windows),
      demand_(options.first_environments),
      shards_(options.shards.size()) {
  POMPC_CHECK(!options.shards.empty());
  for (size_t i = 0; i < shards_.size(); ++i) {
    shards_[i].address = options.shards[i];
    shards_[i].problem = kNotConnected;
    shards_[i].lost_at = start_;
  }
  MutexLock lock(&mu_);
  rows_at_ = start_;
}

void RunControl::Restore(const std::optional<RunProgressState>& checkpoint,
                         std::vector<proto::EvaluationResult> evaluations) {
  MutexLock lock(&mu_);
  POMPC_CHECK(updates_ == 0 && row_counter_.total() == 0 && leases_.all().empty() &&
                  evaluations_.results().empty() && !ticked_at_.has_value(),
              "the run has begun already");
  if (checkpoint.has_value()) {
    updates_ = checkpoint->updates;
    episodes_ = checkpoint->episodes;
    earlier_seconds_ = checkpoint->elapsed_seconds;
    row_counter_.Restore(checkpoint->rows);
    seed_was_closed_ = checkpoint->seed_closed;
    // The checkpoint at the end of pretraining is made before the first version is published;
    // whether it was is not known, so no random rows may come any more.
    closing_seed_ = checkpoint->seed_closed || updates_ >= ratio_.options().pretrain_updates;
    if (checkpoint->seed_closed) phases_.StartTraining();
    if (checkpoint->seed_closed && checkpoint->line.has_value()) {
      ratio_.Continue(checkpoint->line->since, checkpoint->line->utd, row_counter_.total());
    }
  }
  // After the rows, for they decide which milestones are yet to come.
  evaluations_.Restore(std::move(evaluations), row_counter_.total(), updates_);
}

RunProgressState RunControl::Save() const {
  MutexLock lock(&mu_);
  RunProgressState state{updates_,  episodes_,           closing_seed_ && SeedClosed(),
                         Elapsed(), row_counter_.Save(), std::nullopt};
  if (state.seed_closed && !ratio_.options().offline) {
    state.line = RunProgressState::Line{ratio_.since(), ratio_.options().utd};
  }
  return state;
}

absl::StatusOr<proto::RegisterReply> RunControl::Register(proto::Role role, const std::string& name,
                                                          uint32_t environments,
                                                          ProcessIdentity identity) {
  MutexLock lock(&mu_);
  had_evaluator_ |= role == proto::EVALUATOR;
  // A process that asks twice got no answer the first time. Its lease ends before the new one is
  // made, or its index would still be taken and it would come back as another actor.
  if (const Lease* held = leases_.FindProcess(role, identity.process_id)) {
    identity.former_index = held->index;
    evaluations_.LeaseEnded(held->id);
    leases_.End(held->id);
  }
  POMPC_ASSIGN_OR_RETURN(const Lease lease,
                         leases_.Register(role, name, environments, clock_->Now(), identity));
  // Drained() is true once no lease is left. A process that registers after the end of the run
  // learns this from the reply and needs no lease.
  if (IsOver(phases_.phase())) leases_.End(lease.id);
  proto::RegisterReply reply;
  reply.set_lease_id(lease.id);
  reply.set_index(lease.index);
  reply.set_incarnation(lease.incarnation);
  reply.mutable_shards()->Add(lease.shards.begin(), lease.shards.end());
  reply.set_num_shards(static_cast<uint32_t>(shards_.size()));
  reply.set_lease_ms(static_cast<uint32_t>(absl::ToInt64Milliseconds(options_.lease.duration)));
  reply.set_heartbeat_ms(
      static_cast<uint32_t>(absl::ToInt64Milliseconds(options_.lease.heartbeat)));
  reply.set_phase(phases_.phase());
  return reply;
}

proto::HeartbeatReply RunControl::Instructions() const {
  proto::HeartbeatReply reply;
  reply.set_phase(phases_.phase());
  *reply.mutable_version() = ToProto(version_);
  return reply;
}

absl::StatusOr<proto::HeartbeatReply> RunControl::Heartbeat(uint64_t lease,
                                                            const PeerCounters& counters,
                                                            const std::string& waiting) {
  MutexLock lock(&mu_);
  POMPC_ASSIGN_OR_RETURN(const proto::Role role, Beat(lease, counters, waiting));
  proto::HeartbeatReply reply = Instructions();
  // Once told that the run is over the holder ends: Drained() waits for exactly that, so its lease
  // ends with the answer and not with its time.
  if (IsOver(reply.phase())) {
    leases_.End(lease);
    evaluations_.LeaseEnded(lease);
  } else if (role == proto::EVALUATOR) {
    if (auto assignment = evaluations_.Assign(lease)) {
      *reply.mutable_evaluation() = *std::move(assignment);
    }
  }
  return reply;
}

absl::StatusOr<proto::HeartbeatReply> RunControl::Leave(uint64_t lease,
                                                        const PeerCounters& counters,
                                                        const std::string& error) {
  MutexLock lock(&mu_);
  POMPC_ASSIGN_OR_RETURN(const proto::Role role, Beat(lease, counters, ""));
  EndLease(lease, role, error.empty() ? proto::LEFT : proto::FAILED,
           error.empty() ? "it was told to end" : error);
  return Instructions();
}

absl::StatusOr<proto::Role> RunControl::Beat(uint64_t lease, const PeerCounters& counters,
                                             const std::string& waiting) {
  // Episodes are counted against the counters of the heartbeat before, which Heartbeat replaces.
  if (const Lease* holder = leases_.Find(lease)) CountEpisodes(*holder, counters);
  POMPC_RETURN_IF_ERROR(leases_.Heartbeat(lease, counters, clock_->Now(), waiting));
  return leases_.Find(lease)->role;
}

uint64_t RunControl::ProgressOf(proto::Role role) const {
  return role == proto::ACTOR ? row_counter_.total() : evaluations_.results().size();
}

void RunControl::EndLease(uint64_t lease, proto::Role role, proto::LeaseEnd end, std::string how) {
  evaluations_.LeaseEnded(lease);
  leases_.End(lease, {.end = end,
                      .how = std::move(how),
                      .at = clock_->Now(),
                      .progress = ProgressOf(role)});
}

void RunControl::CountEpisodes(const Lease& lease, const PeerCounters& counters) {
  if (lease.role != proto::ACTOR || counters.episodes <= lease.counters.episodes) return;
  episodes_ += counters.episodes - lease.counters.episodes;
  // Several episodes may have ended since the last heartbeat. They make one entry, with the return
  // of the newest: heartbeats do not carry the others.
  news_.Add(EpisodeNews{lease.index, episodes_, row_counter_.total(), Elapsed(),
                        counters.last_return});
}

absl::StatusOr<proto::Phase> RunControl::ReportEvaluation(uint64_t lease, uint64_t id,
                                                          ParameterVersion version,
                                                          absl::Span<const double> returns) {
  MutexLock lock(&mu_);
  // With its lease the holder lost its evaluation, which another evaluator may be playing by now.
  const Lease* const holder = leases_.Find(lease);
  if (holder == nullptr) {
    return absl::NotFoundError(absl::StrCat("lease ", lease, " has ended: register again"));
  }
  if (holder->role != proto::EVALUATOR) {
    return absl::FailedPreconditionError(
        absl::StrCat("lease ", lease, " is no evaluator's: no evaluation is assigned to it"));
  }
  POMPC_ASSIGN_OR_RETURN(
      std::optional<proto::EvaluationResult> result,
      evaluations_.Report(lease, id, version, returns, options_.lockstep ? 0 : Elapsed()));
  if (result.has_value()) {
    // Results may arrive long after others of newer versions, so the best is asked of the schedule,
    // which takes the earliest of equals.
    const proto::EvaluationResult& best = evaluations_.results()[*evaluations_.best()];
    EvaluationNews news = {.best = best.evaluation_id() == id};
    news.assignment.set_evaluation_id(id);
    *news.assignment.mutable_version() = result->version();
    news.assignment.set_updates(result->updates());
    news.result = *std::move(result);
    news_.Add(std::move(news));
    CheckPhase();
    changed_.SignalAll();
  }
  return phases_.phase();
}

void RunControl::ShardAnswered(int shard, const proto::ShardInfo& info, bool seed_phase_over) {
  MutexLock lock(&mu_);
  Shard& known = ShardAt(shard);
  known.heard = true;
  known.reachable = true;
  known.loading = false;
  known.problem.clear();
  known.info = info;
  // An agreement is never taken back. A shard that lost its memory is told again with its next
  // grant, before it takes any rows.
  if (seed_phase_over) known.seed_closed = true;
  // Rows count by the memory they are in: a shard that lost its memory counts from 0 again, and the
  // run's count continues from the sum of both.
  row_counter_.Observe(info.shard_incarnation(), info.accepted_rows());
  grants_.Observe(shard, info.shard_incarnation(), info.accepted_rows(), info.max_accepted_rows(),
                  info.streams());
  TimeWriters();
  changed_.SignalAll();
}

RunControl::Shard& RunControl::ShardAt(int shard) {
  POMPC_CHECK_GE(shard, 0);
  POMPC_CHECK_LT(shard, static_cast<int>(shards_.size()));
  return shards_[shard];
}

bool RunControl::ShardLost(int shard, const std::string& problem, bool loading) {
  MutexLock lock(&mu_);
  Shard& lost = ShardAt(shard);
  // Said once, and not at every attempt: a shard that never answered is lost when it first fails
  // to.
  const bool news = lost.reachable || lost.problem == kNotConnected;
  if (lost.reachable) lost.lost_at = clock_->Now();
  lost.reachable = false;
  lost.loading = loading;
  lost.problem = ShortText(problem, kMaxError);
  // Its grant stays reserved: actors may still reach the shard. GiveUpShards ends that.
  grants_.Lost(shard);
  return news;
}

bool RunControl::CaughtUp() const {
  return phases_.HasAllUpdates(updates_) ||
         updates_ >= ratio_.UpdatesAllowed(row_counter_.total()) || CannotRefill();
}

bool RunControl::SeedClosed() const {
  return seed_was_closed_ || std::all_of(shards_.begin(), shards_.end(),
                                         [](const Shard& shard) { return shard.seed_closed; });
}

std::string RunControl::OpenShards() const {
  std::vector<std::string> open;
  for (size_t i = 0; i < shards_.size(); ++i) {
    if (shards_[i].seed_closed) continue;
    const std::string& problem = shards_[i].problem;
    open.push_back(
        absl::StrCat(i, " (", shards_[i].address, problem.empty() ? "" : ": ", problem, ")"));
  }
  return absl::StrJoin(open, ", ");
}

TrainerStep RunControl::AwaitStep(absl::Duration timeout) {
  MutexLock lock(&mu_);
  const absl::Duration deadline = clock_->Now() + timeout;
  // Whatever changes the answer signals changed_, but time passes unsignalled (grants are given up,
  // evaluations expire), so the caller looks again after `timeout` in any case.
  TrainerStep step = NextStep();
  while (step == TrainerStep::kWait) {
    const bool woken = clock_->WaitUntil(&changed_, &mu_, deadline);
    step = NextStep();
    if (!woken) break;
  }
  if (step != TrainerStep::kWait) StopWaiting();
  if (step == TrainerStep::kFinish) waits_.within_step.clear();
  return step;
}

TrainerStep RunControl::WaitFor(Reason reason, std::string what) {
  if (reason != waits_.step_reason) learner_waits_.Enter(reason);
  waits_.step = std::move(what);
  waits_.step_reason = reason;
  // This belongs to a step before this one, which the trainer left without its end.
  waits_.within_step.clear();
  return TrainerStep::kWait;
}

TrainerStep RunControl::WaitForRows(Reason reason, std::string what) {
  return options_.lockstep ? TrainerStep::kAct : WaitFor(reason, std::move(what));
}

void RunControl::StopWaiting() {
  if (waits_.step_reason != proto::LimiterStatus::NONE) {
    learner_waits_.Enter(proto::LimiterStatus::NONE);
  }
  waits_.step.clear();
  waits_.step_reason = proto::LimiterStatus::NONE;
}

TrainerStep RunControl::NextStep() {
  if (Over()) return TrainerStep::kFinish;
  const uint64_t rows = row_counter_.total();
  // The order below is that of the contract: an evaluation in lockstep holds everything, a
  // milestone comes before the updates after it, and updates wait for rows, not the other way
  // round.
  if (phases_.phase() == proto::SEED) return NextSeedStep();
  if (options_.lockstep && evaluations_.outstanding()) {
    return WaitFor(proto::LimiterStatus::EVALUATION,
                   "the learner waits for the evaluation in progress");
  }
  // Before the next update: the policy that is evaluated is that of the milestone, not a later one.
  if (evaluations_.Due(rows, updates_, CaughtUp())) return TrainerStep::kEvaluate;
  if (CaughtUp()) {
    if (phases_.HasAllRows(rows) || phases_.HasAllUpdates(updates_)) {
      return WaitFor(proto::LimiterStatus::EVALUATION, LastEvaluations());
    }
    return WaitForRows(
        proto::LimiterStatus::RATIO,
        absl::StrCat("the learner waits for rows: update ", updates_, " needs more than ", rows,
                     " rows (", ratio_.options().utd, " updates per row)"));
  }
  return UpdateUnlessRefilling();
}

TrainerStep RunControl::NextSeedStep() {
  const uint64_t rows = row_counter_.total();
  const RatioOptions& ratio = ratio_.options();
  // In lockstep rows would otherwise come between those of the data sets, wherever the clock puts
  // them.
  if (Importing()) return WaitFor(proto::LimiterStatus::MIN_ROWS, ImportProgress());
  if (rows < ratio.seed_rows && updates_ == 0) {
    return WaitForRows(proto::LimiterStatus::SEED_ROWS,
                       absl::StrCat("the learner waits for the rows of the seed phase: ", rows,
                                    " of ", ratio.seed_rows));
  }
  // Also after a restart in the middle of pretraining: its updates count, and replay is refilled
  // before the rest are made.
  if (updates_ >= ratio.pretrain_updates) return TrainerStep::kCloseSeed;
  return UpdateUnlessRefilling();
}

void RunControl::ShardImported(int shard, uint64_t rows, uint64_t of) {
  MutexLock lock(&mu_);
  POMPC_CHECK(options_.imports);
  POMPC_CHECK_LE(rows, of);
  ShardAt(shard).imported_rows = rows;
  ShardAt(shard).rows_to_import = of;
  changed_.SignalAll();
}

bool RunControl::Importing() const {
  return options_.imports && std::any_of(shards_.begin(), shards_.end(), [](const Shard& shard) {
           return !shard.rows_to_import.has_value() || shard.imported_rows < *shard.rows_to_import;
         });
}

std::string RunControl::ImportProgress() const {
  uint64_t rows = 0, of = 0;
  for (const Shard& shard : shards_) {
    rows += shard.imported_rows;
    of += shard.rows_to_import.value_or(0);
  }
  return absl::StrCat("the learner waits for the shards to take the rows of replay.import: ", rows,
                      " of ", of);
}

TrainerStep RunControl::UpdateUnlessRefilling() {
  // A shard that has lost its memory gets its part of the data sets again.
  if (Importing()) return WaitFor(proto::LimiterStatus::MIN_ROWS, ImportProgress());
  const ReplayContent replay = Replay();
  if (replay.NeedsRefill() || replay.windows == 0) {
    // What is missing may be there already.
    if (std::string loading = LoadingShards(); !loading.empty()) {
      return WaitFor(proto::LimiterStatus::SHARDS, std::move(loading));
    }
  }
  if (replay.NeedsRefill()) {
    return WaitForRows(
        proto::LimiterStatus::MIN_ROWS,
        absl::StrCat("the learner waits for replay to be filled: ", replay.Progress()));
  }
  // Rows without a window: episodes so short, or environments so many, that none has H rows in a
  // row.
  if (replay.windows > 0) return TrainerStep::kUpdate;
  return WaitForRows(proto::LimiterStatus::NO_WINDOW, window_watch_.WaitReason(replay));
}

void RunControl::UpdateDone() {
  MutexLock lock(&mu_);
  // Nobody is woken. Outside the trainer only the grants depend on this number, and they are
  // computed several times a second anyway.
  ++updates_;
}

void RunControl::Restored(uint64_t updates, std::string why) {
  MutexLock lock(&mu_);
  updates_ = updates;
  ++restorations_;
  last_restoration_ = std::move(why);
}

void RunControl::BeginSeedClosing() {
  MutexLock lock(&mu_);
  closing_seed_ = true;
}

bool RunControl::AwaitSeedClosed(absl::Duration timeout) {
  MutexLock lock(&mu_);
  const absl::Duration deadline = clock_->Now() + timeout;
  // Each shard agrees by answering a grant that says so. One that is unreachable holds the first
  // version up, because it could let random rows in after it.
  while (!SeedClosed() && !Over()) {
    WaitFor(proto::LimiterStatus::SHARDS,
            absl::StrCat("the learner waits for shards to close the seed phase: ", OpenShards()));
    if (!clock_->WaitUntil(&changed_, &mu_, deadline)) break;
  }
  if (SeedClosed() || Over()) StopWaiting();
  return SeedClosed() && !Over();
}

void RunControl::StartTraining() {
  MutexLock lock(&mu_);
  phases_.StartTraining();
}

void RunControl::Published(ParameterVersion version) {
  MutexLock lock(&mu_);
  POMPC_CHECK_GE(version, version_, "versions ascend");
  version_ = version;
}

proto::EvaluationAssignment RunControl::AddEvaluation(ParameterVersion version) {
  MutexLock lock(&mu_);
  std::optional<proto::EvaluationAssignment> given_up;
  proto::EvaluationAssignment added =
      evaluations_.Add(version, row_counter_.total(), updates_, clock_->Now(), &given_up);
  if (given_up.has_value()) news_.Add(EvaluationNews{.assignment = *given_up});
  return added;
}

void RunControl::SetTrainerWait(std::string what) {
  MutexLock lock(&mu_);
  waits_.within_step = std::move(what);
}

bool RunControl::MaySample() const {
  // Batches are drawn ahead of the updates. In the seed phase they must not come from the first few
  // rows, which is why the prefetcher asks here.
  if (phases_.phase() == proto::SEED && row_counter_.total() < ratio_.options().seed_rows) {
    return false;
  }
  if (Importing()) return false;
  const ReplayContent replay = Replay();
  return !replay.NeedsRefill() && replay.windows > 0;
}

bool RunControl::AwaitSampling(absl::Duration timeout) {
  MutexLock lock(&mu_);
  const absl::Duration deadline = clock_->Now() + timeout;
  while (!MaySample() && !Over()) {
    if (!clock_->WaitUntil(&changed_, &mu_, deadline)) break;
  }
  return MaySample() && !Over();
}

void RunControl::Halt(const std::string& why) {
  MutexLock lock(&mu_);
  HaltFor(why);
}

void RunControl::HaltFor(const std::string& why) {
  // The first reason is the cause; what follows from it comes here too.
  halted_ = true;
  if (waits_.halted.empty()) waits_.halted = ShortText(why, kMaxError);
  changed_.SignalAll();
}

void RunControl::Stop(std::string reason) {
  MutexLock lock(&mu_);
  phases_.Stop(std::move(reason));
  changed_.SignalAll();
}

absl::Duration RunControl::Tick() {
  MutexLock lock(&mu_);
  const absl::Duration now = clock_->Now();
  // First of all, for what follows must not end leases whose heartbeats wait to be read: after a
  // pause (SIGSTOP, a machine that slept) all of them look expired at once.
  const absl::Duration pause = now - std::exchange(ticked_at_, now).value_or(now);
  if (pause >= kPause) {
    leases_.Prolong(now + options_.lease.duration);
    evaluations_.Prolong(pause);
  }
  for (const Lease& lease : leases_.Expired(now)) {
    const absl::Duration silence = absl::Trunc(now - lease.last_heartbeat, absl::Seconds(1));
    EndLease(lease.id, lease.role, proto::SILENT,
             absl::StrCat("no heartbeat came for ", absl::FormatDuration(silence)));
  }
  for (const proto::EvaluationAssignment& assignment : evaluations_.Expire(now)) {
    news_.Add(EvaluationNews{.assignment = assignment});
  }
  // Rates and the time since the newest row are measured here and not where rows are counted, so
  // that they fall while nothing comes.
  rates_.Observe(now, row_counter_.total(), updates_);
  if (row_counter_.total() != rows_then_) rows_at_ = now;
  rows_then_ = row_counter_.total();
  ObserveWaits(pause);
  const proto::Phase before = phases_.phase();
  WatchWindows(now);
  CheckPhase();
  if (phases_.phase() != before) changed_.SignalAll();
  return pause >= kPause ? pause : absl::ZeroDuration();
}

void RunControl::Observe(proto::RunStatus observed) {
  MutexLock lock(&mu_);
  observed_ = std::move(observed);
}

void RunControl::CheckPhase() {
  // Whoever goes away decides nothing any more: its successor does, with what was kept.
  if (halted_) return;
  // Progress is read before the phase may change, so that all conditions see the same moment.
  const bool before = IsOver(phases_.phase());
  const RunProgress progress = Progress();
  phases_.Check(progress, ratio_.options().seed_rows, clock_->Now());
  // Only waiting for evaluations is given up here: if something else ends the run, what evaluators
  // still report counts.
  if (before || !IsOver(phases_.phase()) || !phases_.HasAllRows(progress.rows)) return;
  for (const proto::EvaluationAssignment& assignment : evaluations_.GiveUp()) {
    news_.Add(EvaluationNews{.assignment = assignment});
  }
}

std::vector<EvaluationNews> RunControl::TakeEvaluationNews() {
  MutexLock lock(&mu_);
  return news_.TakeEvaluations();
}

std::vector<EpisodeNews> RunControl::TakeEpisodeNews() {
  MutexLock lock(&mu_);
  return news_.TakeEpisodes();
}

bool RunControl::Done() const {
  MutexLock lock(&mu_);
  return Over();
}

proto::Phase RunControl::phase() const {
  MutexLock lock(&mu_);
  return phases_.phase();
}

absl::Status RunControl::Failure() const {
  MutexLock lock(&mu_);
  return window_watch_.status();
}

uint64_t RunControl::rows() const {
  MutexLock lock(&mu_);
  return row_counter_.total();
}

uint64_t RunControl::updates() const {
  MutexLock lock(&mu_);
  return updates_;
}

ParameterVersion RunControl::version() const {
  MutexLock lock(&mu_);
  return version_;
}

bool RunControl::Drained() const {
  MutexLock lock(&mu_);
  return leases_.all().empty();
}

}  // namespace pompc::run
