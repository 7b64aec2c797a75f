#include "run/control/run_control.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/check.h"
#include "common/values/short_text.h"

namespace pompc::run {
namespace {

// More than all environments make in one turn.
constexpr uint64_t kLockstepRows = 1'000'000;
constexpr char kNotConnected[] = "not connected yet";
// Errors of other processes, in bytes.
constexpr size_t kMaxError = 256;
// Tick is called several times a second; if it was not for so long, the learner did not run.
constexpr absl::Duration kPause = absl::Seconds(2);

EvaluationOptions WithLastRows(EvaluationOptions options, const StopOptions& stop) {
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
      ratio_(options.ratio),
      clock_(clock),
      start_(clock->Now()),
      leases_(options.lease, static_cast<int>(options.shards.size()), options.learner_incarnation),
      evaluations_(WithLastRows(options.evaluation, options.stop)),
      phases_(Stops(options), start_),
      row_counter_(1024 + options.shards.size()),
      grants_(static_cast<int>(options.shards.size())),
      window_watch_(options.windows),
      shards_(options.shards.size()) {
  POMPC_CHECK(!options.shards.empty());
  for (size_t i = 0; i < shards_.size(); ++i) {
    shards_[i].view.address = options.shards[i];
    shards_[i].view.problem = kNotConnected;
    shards_[i].lost_at = start_;
  }
  MutexLock lock(&mu_);
  rows_at_ = start_;
}

void RunControl::Restore(const std::optional<RunProgressState>& checkpoint,
                         std::vector<EvaluationResult> evaluations) {
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
  }
  evaluations_.Restore(std::move(evaluations), row_counter_.total());
}

RunProgressState RunControl::Save() const {
  MutexLock lock(&mu_);
  return {updates_, episodes_, closing_seed_ && SeedClosed(), Elapsed(), row_counter_.Save()};
}

absl::StatusOr<RunControl::Welcome> RunControl::Register(Role role, const std::string& name,
                                                         uint32_t environments,
                                                         ProcessIdentity identity) {
  MutexLock lock(&mu_);
  had_evaluator_ |= role == Role::kEvaluator;
  if (const Lease* held = leases_.FindProcess(role, identity.process_id)) {
    // It never heard the answer.
    identity.former_index = held->index;
    evaluations_.LeaseEnded(held->id);
    leases_.End(held->id);
  }
  absl::StatusOr<Lease> lease =
      leases_.Register(role, name, environments, clock_->Now(), identity);
  if (!lease.ok()) return lease.status();
  if (IsOver(phases_.phase())) leases_.End(lease->id);
  return Welcome{*std::move(lease), phases_.phase(), static_cast<uint32_t>(shards_.size()),
                 options_.lease.duration, options_.lease.heartbeat};
}

absl::StatusOr<RunControl::Instructions> RunControl::Heartbeat(uint64_t lease,
                                                               const PeerCounters& counters,
                                                               const std::string& waiting) {
  MutexLock lock(&mu_);
  absl::StatusOr<Role> role = Beat(lease, counters, waiting);
  if (!role.ok()) return role.status();
  Instructions instructions{phases_.phase(), version_, std::nullopt};
  if (IsOver(instructions.phase)) {
    leases_.End(lease);
    evaluations_.LeaseEnded(lease);
  } else if (*role == Role::kEvaluator) {
    instructions.evaluation = evaluations_.Assign(lease);
  }
  return instructions;
}

absl::StatusOr<RunControl::Instructions> RunControl::Leave(uint64_t lease,
                                                           const PeerCounters& counters,
                                                           const std::string& error) {
  MutexLock lock(&mu_);
  absl::StatusOr<Role> role = Beat(lease, counters, "");
  if (!role.ok()) return role.status();
  EndLease(lease, *role, error.empty() ? LeaseEnd::kLeft : LeaseEnd::kFailed,
           error.empty() ? "it was told to end" : error);
  return Instructions{phases_.phase(), version_, std::nullopt};
}

absl::StatusOr<Role> RunControl::Beat(uint64_t lease, const PeerCounters& counters,
                                      const std::string& waiting) {
  if (const Lease* holder = leases_.Find(lease)) CountEpisodes(*holder, counters);
  if (absl::Status status = leases_.Heartbeat(lease, counters, clock_->Now(), waiting);
      !status.ok()) {
    return status;
  }
  return leases_.Find(lease)->role;
}

uint64_t RunControl::ProgressOf(Role role) const {
  return role == Role::kActor ? row_counter_.total() : evaluations_.results().size();
}

void RunControl::EndLease(uint64_t lease, Role role, LeaseEnd end, std::string how) {
  evaluations_.LeaseEnded(lease);
  leases_.End(lease, {.end = end,
                      .how = std::move(how),
                      .at = clock_->Now(),
                      .progress = ProgressOf(role)});
}

void RunControl::CountEpisodes(const Lease& lease, const PeerCounters& counters) {
  if (lease.role != Role::kActor || counters.episodes <= lease.counters.episodes) return;
  episodes_ += counters.episodes - lease.counters.episodes;
  news_.Add(EpisodeNews{lease.index, episodes_, row_counter_.total(), Elapsed(),
                        counters.last_return});
}

absl::StatusOr<Phase> RunControl::ReportEvaluation(uint64_t lease, uint64_t id,
                                                   ParameterVersion version,
                                                   absl::Span<const double> returns) {
  MutexLock lock(&mu_);
  if (leases_.Find(lease) == nullptr) {
    return absl::NotFoundError(absl::StrCat("lease ", lease, " has ended: register again"));
  }
  absl::StatusOr<std::optional<EvaluationResult>> result =
      evaluations_.Report(id, version, returns, options_.lockstep ? 0 : Elapsed());
  if (!result.ok()) return result.status();
  if (result->has_value()) {
    const EvaluationResult& r = **result;
    const bool best = evaluations_.results()[*evaluations_.best()].id == r.id;
    news_.Add(EvaluationNews{{r.id, r.version, r.rows, r.updates, r.episodes, 0}, r, best});
    CheckPhase();
    changed_.SignalAll();
  }
  return phases_.phase();
}

void RunControl::ShardAnswered(int shard, const ShardState& state, bool seed_phase_over) {
  MutexLock lock(&mu_);
  Shard& known = ShardAt(shard);
  known.heard = true;
  known.view.reachable = true;
  known.view.problem.clear();
  known.view.state = state;
  if (seed_phase_over) known.seed_closed = true;
  row_counter_.Observe(state.incarnation, state.accepted_rows);
  grants_.Observe(shard, state.incarnation, state.accepted_rows, state.bound, state.streams);
  changed_.SignalAll();
}

RunControl::Shard& RunControl::ShardAt(int shard) {
  POMPC_CHECK_GE(shard, 0);
  POMPC_CHECK_LT(shard, static_cast<int>(shards_.size()));
  return shards_[shard];
}

bool RunControl::ShardLost(int shard, const std::string& problem) {
  MutexLock lock(&mu_);
  ShardView& view = ShardAt(shard).view;
  const bool news = view.reachable || view.problem == kNotConnected;
  if (view.reachable) shards_[shard].lost_at = clock_->Now();
  view.reachable = false;
  view.problem = ShortText(problem, kMaxError);
  grants_.Lost(shard);
  return news;
}

ShardGrant RunControl::NextGrant(int shard) {
  MutexLock lock(&mu_);
  POMPC_CHECK(ShardAt(shard).view.reachable, "a shard that does not answer is granted nothing");
  GiveUpShards(clock_->Now());
  const ParameterVersion newest = {options_.learner_incarnation, version_.number};
  const uint64_t bound = UnheardShards().empty() ? RowsBound() : 0;
  const uint64_t rows = row_counter_.total();
  const uint64_t remaining = bound - std::min(bound, rows);
  return {grants_.Next(shard, remaining), GrantReason(), closing_seed_, newest};
}

// Shards hold rows that were accepted after the last checkpoint; unheard, they do not count.
std::string RunControl::UnheardShards() const {
  if (options_.learner_incarnation <= 1 || IsOver(phases_.phase())) return "";
  if (clock_->Now() >= start_ + options_.hear_from_shards) return "";
  std::vector<std::string> unheard;
  for (size_t i = 0; i < shards_.size(); ++i) {
    if (!shards_[i].heard) unheard.push_back(absl::StrCat(i, " (", shards_[i].view.address, ")"));
  }
  if (unheard.empty()) return "";
  return absl::StrCat("the learner was restarted and waits for the contents of these shards: ",
                      absl::StrJoin(unheard, ", "));
}

uint64_t RunControl::RowsBound() const {
  if (IsOver(phases_.phase())) return 0;
  // Turns hold the rows back, and a turn that has begun must be able to end.
  if (options_.lockstep) return row_counter_.total() + kLockstepRows;
  const ReplayContent replay = Replay();
  const uint64_t rows = row_counter_.total();
  uint64_t bound = std::max(ratio_.RowsBound(phases_.phase() == Phase::kSeed, updates_),
                            rows + replay.MissingOf(replay.min_rows));
  // Many environments may have shared these rows so thinly that none has a window.
  if (replay.windows == 0 && rows >= bound) {
    bound = rows + window_watch_.MissingRows(replay);
  }
  const uint64_t max_rows = phases_.options().max_rows;
  return max_rows > 0 ? std::min(bound, max_rows) : bound;
}

std::string RunControl::KeptGrants() const {
  const uint64_t bound = RowsBound(), rows = row_counter_.total(), kept = grants_.Kept();
  if (rows >= bound || rows + kept < bound) return "";
  std::vector<std::string> lost;
  for (size_t i = 0; i < shards_.size(); ++i) {
    const ShardView& view = shards_[i].view;
    if (!view.reachable) lost.push_back(absl::StrCat(i, " (", view.address, ")"));
  }
  return absl::StrCat(kept, " rows are kept for shards that do not answer the learner, for ",
                      absl::FormatDuration(options_.keep_grants),
                      ", as actors may reach them: ", absl::StrJoin(lost, ", "));
}

void RunControl::GiveUpShards(absl::Duration now) {
  for (size_t i = 0; i < shards_.size(); ++i) {
    const Shard& shard = shards_[i];
    if (shard.view.reachable || now < shard.lost_at + options_.keep_grants) continue;
    grants_.GiveUp(static_cast<int>(i));
  }
}

std::string RunControl::GrantReason() const {
  if (std::string unheard = UnheardShards(); !unheard.empty()) return unheard;
  if (std::string kept = KeptGrants(); !kept.empty()) return kept;
  const uint64_t rows = row_counter_.total();
  const RatioOptions& ratio = ratio_.options();
  if (IsOver(phases_.phase())) return absl::StrCat("the run is over: ", phases_.reason());
  if (phases_.HasAllRows(rows)) return absl::StrCat("the run has all its ", rows, " rows");
  if (const ReplayContent replay = Replay(); rows >= ratio.seed_rows) {
    if (replay.NeedsRefill()) return absl::StrCat("replay is being filled: ", replay.Progress());
    if (replay.windows == 0) return window_watch_.WaitReason(replay);
  }
  if (phases_.phase() == Phase::kSeed) {
    return absl::StrCat("the learner is at update ", updates_, " of ", ratio.pretrain_updates,
                        " before the first version; the run has ", rows, " rows of ",
                        ratio.seed_rows, " + ", ratio.slack_rows, " slack");
  }
  return absl::StrCat("rows run ahead of updates: ", rows, " rows, ", updates_, " updates (",
                      ratio.utd, " per row, ", ratio.slack_rows, " rows slack)");
}

ReplayContent RunControl::Replay() const {
  ReplayContent replay;
  for (const Shard& shard : shards_) {
    if (!shard.view.reachable) continue;
    replay.stored_rows += shard.view.state.stored_rows;
    replay.accepted_rows += shard.view.state.accepted_rows;
    replay.windows += shard.view.state.windows;
    replay.capacity_rows += shard.view.state.capacity_rows;
  }
  replay.min_rows = ratio_.MinRows(replay.capacity_rows);
  replay.environments = most_environments_;
  replay.complete = phases_.HasAllRows(row_counter_.total());
  return replay;
}

bool RunControl::CannotRefill() const {
  return phases_.HasAllRows(row_counter_.total()) && AllReachable() && Replay().NeedsRefill();
}

bool RunControl::AllReachable() const {
  return std::all_of(shards_.begin(), shards_.end(),
                     [](const Shard& shard) { return shard.view.reachable; });
}

void RunControl::WatchWindows(absl::Duration now) {
  uint64_t environments = 0;
  for (const auto& [id, lease] : leases_.all()) environments += lease.shards.size();
  most_environments_ = std::max(most_environments_, environments);
  const bool seed_rows_came = phases_.phase() != Phase::kSeed ||
                              row_counter_.total() >= ratio_.options().seed_rows;
  window_watch_.Observe(Replay(), AllReachable() && seed_rows_came, now);
  const absl::Status& status = window_watch_.status();
  if (!status.ok()) HaltFor(std::string(status.message()));
}

bool RunControl::CaughtUp() const {
  return updates_ >= ratio_.UpdatesAllowed(row_counter_.total()) || CannotRefill();
}

bool RunControl::SeedClosed() const {
  return seed_was_closed_ || std::all_of(shards_.begin(), shards_.end(),
                                         [](const Shard& shard) { return shard.seed_closed; });
}

std::string RunControl::OpenShards() const {
  std::vector<std::string> open;
  for (size_t i = 0; i < shards_.size(); ++i) {
    if (shards_[i].seed_closed) continue;
    const ShardView& view = shards_[i].view;
    open.push_back(
        absl::StrCat(i, " (", view.address, view.problem.empty() ? "" : ": ", view.problem, ")"));
  }
  return absl::StrJoin(open, ", ");
}

TrainerStep RunControl::AwaitStep(absl::Duration timeout) {
  MutexLock lock(&mu_);
  const absl::Duration deadline = clock_->Now() + timeout;
  TrainerStep step = NextStep();
  while (step == TrainerStep::kWait) {
    const bool woken = clock_->WaitUntil(&changed_, &mu_, deadline);
    step = NextStep();
    if (!woken) break;
  }
  if (step != TrainerStep::kWait) waits_.step.clear();
  if (step == TrainerStep::kFinish) waits_.within_step.clear();
  return step;
}

TrainerStep RunControl::WaitFor(std::string what, LearnerWaits::For whom) {
  waits_.step = std::move(what);
  waits_.step_for = whom;
  // Of a step before this one, which the trainer left without its end.
  waits_.within_step.clear();
  return TrainerStep::kWait;
}

TrainerStep RunControl::WaitForRows(std::string what) {
  return options_.lockstep ? TrainerStep::kAct
                           : WaitFor(std::move(what), LearnerWaits::For::kActors);
}

TrainerStep RunControl::NextStep() {
  if (Over()) return TrainerStep::kFinish;
  const uint64_t rows = row_counter_.total();
  if (phases_.phase() == Phase::kSeed) return NextSeedStep();
  if (options_.lockstep && evaluations_.outstanding()) {
    return WaitFor("the learner waits for the evaluation in progress",
                   LearnerWaits::For::kEvaluators);
  }
  if (evaluations_.Due(rows, CaughtUp())) return TrainerStep::kEvaluate;
  if (CaughtUp()) {
    if (phases_.HasAllRows(rows)) {
      return WaitFor(LastEvaluations(), LearnerWaits::For::kEvaluators);
    }
    return WaitForRows(absl::StrCat("the learner waits for rows: update ", updates_,
                                    " needs more than ", rows, " rows (", ratio_.options().utd,
                                    " updates per row)"));
  }
  return UpdateUnlessRefilling();
}

TrainerStep RunControl::NextSeedStep() {
  const uint64_t rows = row_counter_.total();
  const RatioOptions& ratio = ratio_.options();
  if (rows < ratio.seed_rows && updates_ == 0) {
    return WaitForRows(absl::StrCat("the learner waits for the rows of the seed phase: ", rows,
                                    " of ", ratio.seed_rows));
  }
  if (updates_ >= ratio.pretrain_updates) return TrainerStep::kCloseSeed;
  return UpdateUnlessRefilling();
}

TrainerStep RunControl::UpdateUnlessRefilling() {
  const ReplayContent replay = Replay();
  if (replay.NeedsRefill()) {
    return WaitForRows(
        absl::StrCat("the learner waits for replay to be filled: ", replay.Progress()));
  }
  if (replay.windows > 0) return TrainerStep::kUpdate;
  return WaitForRows(window_watch_.WaitReason(replay));
}

void RunControl::UpdateDone() {
  MutexLock lock(&mu_);
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
  while (!SeedClosed() && !Over()) {
    WaitFor(absl::StrCat("the learner waits for shards to close the seed phase: ", OpenShards()));
    if (!clock_->WaitUntil(&changed_, &mu_, deadline)) break;
  }
  if (SeedClosed() || Over()) waits_.step.clear();
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

EvaluationAssignment RunControl::AddEvaluation(ParameterVersion version) {
  MutexLock lock(&mu_);
  std::optional<EvaluationAssignment> given_up;
  EvaluationAssignment added =
      evaluations_.Add(version, row_counter_.total(), updates_, clock_->Now(), &given_up);
  if (given_up.has_value()) news_.Add(EvaluationNews{.assignment = *given_up});
  return added;
}

void RunControl::SetTrainerWait(std::string what) {
  MutexLock lock(&mu_);
  waits_.within_step = std::move(what);
}

bool RunControl::MaySample() const {
  if (phases_.phase() == Phase::kSeed && row_counter_.total() < ratio_.options().seed_rows) {
    return false;
  }
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
  const absl::Duration pause = now - std::exchange(ticked_at_, now).value_or(now);
  if (pause >= kPause) {
    leases_.Prolong(now + options_.lease.duration);
    evaluations_.Prolong(pause);
  }
  for (const Lease& lease : leases_.Expired(now)) {
    const absl::Duration silence = absl::Trunc(now - lease.last_heartbeat, absl::Seconds(1));
    EndLease(lease.id, lease.role, LeaseEnd::kSilent,
             absl::StrCat("no heartbeat came for ", absl::FormatDuration(silence)));
  }
  for (const EvaluationAssignment& assignment : evaluations_.Expire(now)) {
    news_.Add(EvaluationNews{.assignment = assignment});
  }
  rates_.Observe(now, row_counter_.total(), updates_);
  if (row_counter_.total() != rows_then_) rows_at_ = now;
  rows_then_ = row_counter_.total();
  const Phase before = phases_.phase();
  WatchWindows(now);
  CheckPhase();
  if (phases_.phase() != before) changed_.SignalAll();
  return pause >= kPause ? pause : absl::ZeroDuration();
}

void RunControl::Observe(std::vector<PlannerView> planners, CheckpointView checkpoints) {
  MutexLock lock(&mu_);
  planners_ = std::move(planners);
  checkpoints_ = std::move(checkpoints);
}

void RunControl::CheckPhase() {
  // Whoever goes away decides nothing any more: its successor does, with what was kept.
  if (halted_) return;
  const bool before = IsOver(phases_.phase());
  const RunProgress progress = Progress();
  phases_.Check(progress, ratio_.options().seed_rows, clock_->Now());
  // Only waiting for evaluations is given up here: if something else ends the run, what evaluators
  // still report counts.
  if (before || !IsOver(phases_.phase()) || !phases_.HasAllRows(progress.rows)) return;
  for (const EvaluationAssignment& assignment : evaluations_.GiveUp()) {
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

Phase RunControl::phase() const {
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

std::vector<uint64_t> RunControl::Windows() const {
  MutexLock lock(&mu_);
  std::vector<uint64_t> windows;
  for (const Shard& shard : shards_) {
    windows.push_back(shard.view.reachable ? shard.view.state.windows : 0);
  }
  return windows;
}

}  // namespace pompc::run
