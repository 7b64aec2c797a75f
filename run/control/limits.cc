#include "run/control/limits.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace pompc::run {

NamedLimits Named(const RunLimits& limits) {
  return {{{"learner.utd", limits.utd},
           {"replay.slack_rows", static_cast<double>(limits.slack_rows)},
           {"replay.min_rows", static_cast<double>(limits.min_rows)},
           {"stop.max_rows", static_cast<double>(limits.max_rows)}}};
}

RunLimits LimitsOf(const proto::RunConfig& config) {
  return {config.learner().utd(), config.replay().slack_rows(), config.replay().min_rows(),
          config.stop().max_rows()};
}

proto::RunConfig WithLimits(proto::RunConfig config, const RunLimits& limits) {
  config.mutable_learner()->set_utd(limits.utd);
  config.mutable_replay()->set_slack_rows(limits.slack_rows);
  config.mutable_replay()->set_min_rows(limits.min_rows);
  config.mutable_stop()->set_max_rows(limits.max_rows);
  return config;
}

RunLimits WithChanges(RunLimits limits, const proto::RunLimits& changes) {
  if (changes.has_utd()) limits.utd = changes.utd();
  if (changes.has_slack_rows()) limits.slack_rows = changes.slack_rows();
  if (changes.has_min_rows()) limits.min_rows = changes.min_rows();
  if (changes.has_max_rows()) limits.max_rows = changes.max_rows();
  return limits;
}

proto::RunLimits ToProto(const RunLimits& limits) {
  proto::RunLimits message;
  message.set_utd(limits.utd);
  message.set_slack_rows(limits.slack_rows);
  message.set_min_rows(limits.min_rows);
  message.set_max_rows(limits.max_rows);
  return message;
}

std::string ChangesText(const std::vector<proto::LimitChange>& changes) {
  return absl::StrJoin(changes, ", ", [](std::string* out, const proto::LimitChange& change) {
    absl::StrAppend(out, change.setting(), " ", change.before(), " -> ", change.now());
  });
}

// Each limit is judged by itself: the config of this start may raise stop.max_rows and leave alone
// an utd that was changed while the run went on.
proto::KeptLimits LimitsAtStart(const proto::RunConfig& config, const proto::KeptLimits& kept) {
  const RunLimits given = LimitsOf(config);
  // What the run directory does not keep counts as unchanged.
  const RunLimits before = WithChanges(given, kept.config());
  const RunLimits changed = WithChanges(given, kept.limits());
  RunLimits limits = given;
  if (given.utd == before.utd) limits.utd = changed.utd;
  if (given.slack_rows == before.slack_rows) limits.slack_rows = changed.slack_rows;
  if (given.min_rows == before.min_rows) limits.min_rows = changed.min_rows;
  if (given.max_rows == before.max_rows) limits.max_rows = changed.max_rows;
  // The config of this start is what the next one compares its own with.
  proto::KeptLimits present = kept;
  *present.mutable_limits() = ToProto(limits);
  *present.mutable_config() = ToProto(given);
  return present;
}

absl::Status CheckLimits(const RunLimits& before, const RunLimits& now, const LimitFacts& facts) {
  if (now == before) return absl::OkStatus();
  if (!facts.over.empty()) {
    return absl::FailedPreconditionError(absl::StrCat("the run is over: ", facts.over));
  }
  if (facts.lockstep) {
    return absl::FailedPreconditionError(
        "the run has schedule: LOCKSTEP: it could not be repeated if its limits changed on the "
        "way; resume it with another config instead");
  }
  if (facts.offline) {
    return absl::FailedPreconditionError(
        "the run has schedule: OFFLINE: it takes no rows that its limits could hold back");
  }
  // Without an end to the rows, whatever waits for rows gets them.
  if (now.max_rows == 0) return absl::OkStatus();
  // Shards may have taken rows that the learner has not heard of, up to what they were granted.
  const uint64_t taken = facts.rows + facts.granted_rows;
  if (now.max_rows != before.max_rows && now.max_rows < taken) {
    return absl::InvalidArgumentError(
        absl::StrCat("stop.max_rows: ", now.max_rows, "; the run has ", facts.rows,
                     " rows, and its shards were "
                     "granted ",
                     facts.granted_rows, " more; allowed: 0 (no limit), or ", taken,
                     " and more (`pompc stop` ends the run)"));
  }
  // Nothing is known of shards that have not answered.
  if (facts.capacity_rows == 0) return absl::OkStatus();
  // Updates wait for min_rows or for half of what the shards can hold, whichever is less.
  const uint64_t needed = std::min(now.min_rows, facts.capacity_rows / 2);
  const uint64_t to_come = now.max_rows - std::min(now.max_rows, facts.rows);
  if (needed <= facts.stored_rows || needed - facts.stored_rows <= to_come) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "replay.min_rows: ", now.min_rows, "; replay holds ", facts.stored_rows, " rows, and ",
      to_come, " more may come until stop.max_rows ", now.max_rows,
      ": updates would wait for rows that never come; allowed: ", facts.stored_rows + to_come,
      " and less"));
}

}  // namespace pompc::run
