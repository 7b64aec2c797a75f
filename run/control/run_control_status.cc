// What RunControl tells of the run: everything here only reads.
#include <algorithm>

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
  // The rates of the seed phase tell nothing of the time that training takes.
  if (phases_.phase() == Phase::kTraining && stop.max_rows > rows &&
      rates_.rows_per_second() > 0) {
    seconds = static_cast<double>(stop.max_rows - rows) / rates_.rows_per_second();
  }
  if (stop.max_time > absl::ZeroDuration()) {
    const double limit =
        std::max(0.0, absl::ToDoubleSeconds(stop.max_time - (clock_->Now() - start_)));
    seconds = seconds > 0 ? std::min(seconds, limit) : limit;
  }
  return seconds;
}

void RunControl::FillPeers(RunStatus* status) const {
  for (const auto& [id, lease] : leases_.all()) {
    status->peers.push_back({lease.role, lease.index, lease.name, lease.counters.rows,
                             lease.counters.episodes, SecondsSince(lease.last_heartbeat),
                             lease.waiting});
  }
  for (const EndedLease& ended : leases_.ended()) {
    const Lease& lease = ended.lease;
    status->ended_peers.push_back({lease.role, lease.index, lease.name, lease.counters.rows,
                                   lease.counters.episodes, ended.end, ended.how,
                                   SecondsSince(ended.at),
                                   ProgressOf(lease.role) == ended.progress});
  }
  status->lease_ends = leases_.ends();
  status->seconds_since_rows = SecondsSince(rows_at_);
}

RunProgress RunControl::Progress() const {
  RunProgress progress;
  progress.rows = row_counter_.total();
  progress.caught_up = CaughtUp();
  progress.cannot_refill = CannotRefill();
  progress.evaluation_due = evaluations_.Due(progress.rows, progress.caught_up);
  progress.outstanding_evaluations = evaluations_.Outstanding().size();
  progress.evaluator = leases_.Any(Role::kEvaluator);
  progress.had_evaluator = had_evaluator_ || !evaluations_.results().empty();
  if (evaluations_.best().has_value()) {
    progress.best_return = evaluations_.results()[*evaluations_.best()].return_mean;
  }
  return progress;
}

std::string RunControl::LastEvaluations() const {
  const char what[] = "the learner waits for the last evaluations";
  if (leases_.Any(Role::kEvaluator)) return what;
  return absl::StrCat(what, " and for an evaluator to make them, ",
                      absl::FormatDuration(phases_.options().evaluator_comes), " at most");
}

absl::Status RunControl::CheckBarred() const {
  MutexLock lock(&mu_);
  uint64_t barred = 0, windows = 0;
  for (const Shard& shard : shards_) {
    if (!shard.view.reachable) continue;
    barred += shard.view.state.barred_windows;
    windows += shard.view.state.windows + shard.view.state.barred_windows;
  }
  if (barred * 4 <= windows) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(barred, " of the ", windows,
                   " windows in replay are barred, more than a quarter: updates with them give NaN "
                   "or infinity. See the log for the losses, and what the environment returns"));
}

RunStatus RunControl::Status() const {
  MutexLock lock(&mu_);
  RunStatus status;
  status.phase = phases_.phase();
  status.over_reason = phases_.reason();
  status.rows = row_counter_.total();
  status.updates = updates_;
  status.episodes = episodes_;
  status.restorations = restorations_;
  status.last_restoration = last_restoration_;
  status.rows_per_second = rates_.rows_per_second();
  status.updates_per_second = rates_.updates_per_second();
  status.elapsed_seconds = Elapsed();
  status.remaining_seconds = IsOver(status.phase) ? 0 : Remaining(status.rows);
  status.version = version_;
  status.evaluations = evaluations_.results();
  status.best_evaluation = evaluations_.best();
  status.training_return_mean = news_.training_return_mean();
  FillPeers(&status);
  for (const Shard& shard : shards_) {
    ShardView& view = status.shards.emplace_back(shard.view);
    if (!view.reachable) view.unreachable_seconds = SecondsSince(shard.lost_at);
  }
  status.planners = planners_;
  status.checkpoints = checkpoints_;
  LearnerWaits waits = waits_;
  waits.grant = GrantReason();
  status.waiting = WaitingText(status, waits);
  return status;
}

}  // namespace pompc::run
