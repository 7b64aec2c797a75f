// This part of RunControl changes its limits and tells how they hold rows and updates back.
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "common/base/check.h"
#include "common/base/threads.h"
#include "run/control/run_control.h"

namespace pompc::run {

RunLimits RunControl::Limits() const {
  const RatioOptions& ratio = ratio_.options();
  return {ratio.utd, ratio.slack_rows, ratio.min_rows, phases_.options().max_rows};
}

RunLimits RunControl::limits() const {
  MutexLock lock(&mu_);
  return Limits();
}

// Planning and setting are two calls, because the service writes the changes to the run directory
// in between: a limit must not be in force that a learner started again would not know.
absl::StatusOr<std::vector<proto::LimitChange>> RunControl::PlanLimits(
    const RunLimits& limits) const {
  MutexLock lock(&mu_);
  const ReplayContent replay = Replay();
  LimitFacts facts;
  facts.lockstep = options_.lockstep;
  facts.offline = ratio_.options().offline;
  if (IsOver(phases_.phase())) facts.over = phases_.reason();
  facts.rows = row_counter_.total();
  facts.granted_rows = grants_.Outstanding();
  facts.stored_rows = replay.stored_rows;
  facts.capacity_rows = replay.capacity_rows;
  POMPC_RETURN_IF_ERROR(CheckLimits(Limits(), limits, facts));
  const NamedLimits before = Named(Limits()), now = Named(limits);
  std::vector<proto::LimitChange> changes;
  for (size_t i = 0; i < now.size(); ++i) {
    if (now[i].second == before[i].second) continue;
    proto::LimitChange& change = changes.emplace_back();
    change.set_setting(now[i].first);
    change.set_before(before[i].second);
    change.set_now(now[i].second);
    change.set_rows(row_counter_.total());
    change.set_updates(updates_);
    change.set_at(absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", WallTime(), absl::UTCTimeZone()));
  }
  return changes;
}

void RunControl::SetLimits(const RunLimits& limits,
                           const std::vector<proto::LimitChange>& changes) {
  MutexLock lock(&mu_);
  RatioOptions ratio = ratio_.options();
  ratio.utd = limits.utd;
  ratio.slack_rows = limits.slack_rows;
  ratio.min_rows = limits.min_rows;
  // From the present rows on, so that a new utd does not allow or forbid updates in retrospect.
  ratio_.Change(ratio, row_counter_.total());
  // The last evaluation is due at the last row, so the two move together.
  if (limits.max_rows != phases_.options().max_rows) {
    phases_.SetMaxRows(limits.max_rows);
    evaluations_.SetLastRows(limits.max_rows);
  }
  limit_changes_.insert(limit_changes_.end(), changes.begin(), changes.end());
  while (limit_changes_.size() > kMaxLimitChanges) limit_changes_.pop_front();
  // The trainer may have waited for what is allowed now.
  changed_.SignalAll();
}

void RunControl::FillLimiter(const GrantReason& grant, proto::LimiterStatus* limiter) const {
  *limiter->mutable_limits() = ToProto(Limits());
  const uint64_t rows = row_counter_.total();
  const RatioOptions& ratio = ratio_.options();
  // In lockstep the turns hold the rows back, not a bound; offline no row holds an update back.
  if (!options_.lockstep) limiter->set_rows_bound(RowsBound());
  if (!ratio.offline) {
    // In the seed phase the ratio allows no update yet. The pretraining that follows its last row
    // has a bound of its own.
    limiter->set_updates_bound(phases_.phase() == proto::SEED && rows >= ratio.seed_rows
                                   ? ratio.pretrain_updates
                                   : ratio_.UpdatesAllowed(rows));
  }
  const ReplayContent replay = Replay();
  limiter->set_min_rows(replay.min_rows);
  limiter->set_stored_rows(replay.stored_rows);
  limiter->set_windows(replay.windows);
  limiter->set_learner_reason(waits_.step_reason);
  limiter->set_learner_waits(waits_.step);
  limiter->set_blocked_streams(BlockedStreams());
  // There is a bound on rows at any time. Only while it holds somebody back is it worth a reason.
  if (limiter->blocked_streams() > 0) {
    limiter->set_writers_reason(grant.reason);
    limiter->set_writers_wait(grant.text);
  }
  limiter->set_ratio_rows(ratio_.since().rows);
  limiter->set_ratio_updates(ratio_.since().updates);
  limiter->mutable_changes()->Add(limit_changes_.begin(), limit_changes_.end());
}

}  // namespace pompc::run
