// What RunControl tells of the run: everything here only reads.
#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "run/control/run_control.h"
#include "run/control/waiting.h"

namespace pompc::run {

double RunControl::Elapsed() const {
  return earlier_seconds_ + absl::ToDoubleSeconds(clock_->Now() - start_);
}

double RunControl::Remaining(uint64_t rows) const {
  double seconds = 0;
  const StopOptions& stop = phases_.options();
  // An upper bound, not a forecast: the goal may be reached before either limit.
  // The rates of the seed phase tell nothing of the time that training takes.
  if (phases_.phase() == proto::TRAINING && stop.max_rows > rows && rates_.rows_per_second() > 0) {
    seconds = static_cast<double>(stop.max_rows - rows) / rates_.rows_per_second();
  }
  const double updates = rates_.updates_per_second();
  if (phases_.phase() == proto::TRAINING && stop.max_updates > updates_ && updates > 0) {
    const double limit = static_cast<double>(stop.max_updates - updates_) / updates;
    seconds = seconds > 0 ? std::min(seconds, limit) : limit;
  }
  if (stop.max_time > absl::ZeroDuration()) {
    const double limit =
        std::max(0.0, absl::ToDoubleSeconds(stop.max_time - (clock_->Now() - start_)));
    seconds = seconds > 0 ? std::min(seconds, limit) : limit;
  }
  return seconds;
}

void RunControl::FillPeers(proto::RunStatus* status) const {
  for (const auto& [id, lease] : leases_.all()) {
    proto::PeerStatus* const peer = status->add_peers();
    peer->set_role(lease.role);
    peer->set_index(lease.index);
    peer->set_name(lease.name);
    peer->set_rows(lease.counters.rows);
    peer->set_episodes(lease.counters.episodes);
    peer->set_seconds_since_heartbeat(SecondsSince(lease.last_heartbeat));
    peer->set_waiting(lease.waiting);
  }
  // nothing_since tells a death that stalls the run from one that others have made up for.
  for (const EndedLease& ended : leases_.ended()) {
    proto::EndedPeer* const peer = status->add_ended_peers();
    peer->set_role(ended.lease.role);
    peer->set_index(ended.lease.index);
    peer->set_name(ended.lease.name);
    peer->set_rows(ended.lease.counters.rows);
    peer->set_episodes(ended.lease.counters.episodes);
    peer->set_seconds_ago(SecondsSince(ended.at));
    peer->set_how(ended.how);
    peer->set_end(ended.end);
    peer->set_nothing_since(ProgressOf(ended.lease.role) == ended.progress);
  }
  for (const auto& [end, leases] : leases_.ends()) {
    proto::EndedLeases* const entry = status->add_ended_leases();
    entry->set_end(end);
    entry->set_leases(leases);
  }
}

void RunControl::FillShards(proto::RunStatus* status) const {
  for (const Shard& shard : shards_) {
    const int index = status->shards_size();
    proto::ShardStatus* const view = status->add_shards();
    view->set_index(static_cast<uint32_t>(index));
    view->set_address(shard.address);
    view->set_reachable(shard.reachable);
    view->set_accepted_rows(shard.info.accepted_rows());
    view->set_planned_rows(shard.info.planned_rows());
    view->set_stored_rows(shard.info.stored_rows());
    view->set_capacity_rows(shard.info.capacity_rows());
    view->set_windows(shard.info.windows());
    view->set_blocked_streams(shard.info.blocked_streams());
    view->set_problem(shard.problem);
    if (!shard.reachable) view->set_unreachable_seconds(SecondsSince(shard.lost_at));
  }
}

RunProgress RunControl::Progress() const {
  RunProgress progress;
  progress.rows = row_counter_.total();
  progress.updates = updates_;
  progress.caught_up = CaughtUp();
  progress.cannot_refill = CannotRefill();
  progress.evaluation_due = evaluations_.Due(progress.rows, updates_, progress.caught_up);
  progress.outstanding_evaluations = evaluations_.Outstanding().size();
  progress.evaluator = leases_.Any(proto::EVALUATOR);
  // Results in the run directory prove an evaluator in an earlier start of the learner.
  progress.had_evaluator = had_evaluator_ || !evaluations_.results().empty();
  if (evaluations_.best().has_value()) {
    progress.best_return = evaluations_.results()[*evaluations_.best()].return_mean();
  }
  return progress;
}

uint64_t RunControl::given_up_evaluations() const {
  MutexLock lock(&mu_);
  return evaluations_.given_up();
}

std::string RunControl::LastEvaluations() const {
  const char what[] = "the learner waits for the last evaluations";
  if (leases_.Any(proto::EVALUATOR)) return what;
  return absl::StrCat(what, " and for an evaluator to make them, ",
                      absl::FormatDuration(phases_.options().evaluator_comes), " at most");
}

absl::Status RunControl::CheckBarred() const {
  MutexLock lock(&mu_);
  // A few windows without a usable update are the environment's accidents. Where a quarter of all
  // is barred, what is left no longer stands for what the environments do.
  uint64_t barred = 0, windows = 0;
  for (const Shard& shard : shards_) {
    if (!shard.reachable) continue;
    barred += shard.info.barred_windows();
    windows += shard.info.windows() + shard.info.barred_windows();
  }
  if (barred * 4 <= windows) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(barred, " of the ", windows,
                   " windows in replay are barred, more than a quarter: updates with them give NaN "
                   "or infinity. See the log for the losses, and what the environment returns"));
}

proto::RunStatus RunControl::Status() const {
  MutexLock lock(&mu_);
  // Planners and checkpoints, which others see, stand beside what is known here.
  proto::RunStatus status = observed_;
  status.set_phase(phases_.phase());
  status.set_over_reason(phases_.reason());
  status.set_rows(row_counter_.total());
  status.set_updates(updates_);
  status.set_episodes(episodes_);
  status.set_restorations(restorations_);
  status.set_last_restoration(last_restoration_);
  status.set_rows_per_second(rates_.rows_per_second());
  status.set_updates_per_second(rates_.updates_per_second());
  status.set_elapsed_seconds(Elapsed());
  status.set_remaining_seconds(IsOver(status.phase()) ? 0 : Remaining(status.rows()));
  status.set_seconds_since_rows(SecondsSince(rows_at_));
  *status.mutable_version() = ToProto(version_);
  const std::vector<proto::EvaluationResult>& results = evaluations_.results();
  status.mutable_evaluations()->Add(results.begin(), results.end());
  if (const std::optional<size_t> best = evaluations_.best()) {
    status.set_best_evaluation(static_cast<uint32_t>(*best));
  }
  if (const std::optional<double> mean = news_.training_return_mean()) {
    status.set_training_return_mean(*mean);
  }
  status.set_environments(Environments());
  if (!options_.lockstep && !ratio_.options().offline) {
    status.set_wanted_environments(demand_.wanted());
  }
  FillPeers(&status);
  FillShards(&status);
  // The words are made last: they name what stands in the other fields.
  LearnerWaits waits = waits_;
  GrantReason grant = WhyWritersWait(WhyNoMoreRows());
  FillLimiter(grant, status.mutable_limiter());
  waits.grant = std::move(grant.text);
  status.set_waiting(WaitingText(status, waits));
  return status;
}

}  // namespace pompc::run
