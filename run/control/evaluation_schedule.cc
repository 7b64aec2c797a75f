#include "run/control/evaluation_schedule.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/values/number_check.h"
#include "common/values/split_mix.h"
#include "run/control/statistics.h"

namespace pompc::run {

EvaluationSchedule::EvaluationSchedule(const EvaluationOptions& options) : options_(options) {
  POMPC_CHECK_GT(options.every_rows, 0u);
  POMPC_CHECK_GT(options.episodes, 0u);
  POMPC_CHECK_GT(options.max_outstanding, 0u);
  POMPC_CHECK_GT(options.max_results, 0u);
}

void EvaluationSchedule::Restore(std::vector<proto::EvaluationResult> results, uint64_t rows,
                                 uint64_t updates) {
  for (const proto::EvaluationResult& result : results) {
    next_id_ = std::max(next_id_, result.evaluation_id() + 1);
    if (result.rows() <= rows) served_rows_ = std::max(served_rows_, result.rows());
    if (result.updates() <= updates) served_updates_ = std::max(served_updates_, result.updates());
    AddResult(result);
  }
}

bool EvaluationSchedule::Due(uint64_t rows, uint64_t updates, bool caught_up) const {
  const uint64_t last = options_.last_rows, last_updates = options_.last_updates;
  if (last_updates > 0 && updates >= last_updates) return served_updates_ < last_updates;
  const uint64_t every = options_.every_updates;
  if (every > 0 && updates / every > served_updates_ / every) return true;
  // The last evaluation is that of the final policy, so it waits for the updates that the last rows
  // allow. The others are due as soon as their milestone is crossed.
  if (last > 0 && rows >= last) return served_rows_ < last && caught_up;
  // This compares milestones and not distances, so that a late evaluation does not shift the next
  // ones.
  return rows / options_.every_rows > served_rows_ / options_.every_rows;
}

proto::EvaluationAssignment EvaluationSchedule::Add(
    ParameterVersion version, uint64_t rows, uint64_t updates, absl::Duration now,
    std::optional<proto::EvaluationAssignment>* given_up) {
  // Milestones that were crossed together are served together: the policy between them is gone.
  served_rows_ = std::max(served_rows_, rows);
  served_updates_ = std::max(served_updates_, updates);
  if (outstanding_.size() >= options_.max_outstanding) {
    // One that an evaluator plays would be wasted work, so the oldest that nobody plays goes first.
    auto victim = std::find_if(outstanding_.begin(), outstanding_.end(),
                               [](const Pending& pending) { return !pending.lease.has_value(); });
    if (victim == outstanding_.end()) victim = outstanding_.begin();
    if (given_up != nullptr) *given_up = victim->assignment;
    outstanding_.erase(victim);
    ++given_up_;
  }
  proto::EvaluationAssignment assignment;
  assignment.set_evaluation_id(next_id_);
  *assignment.mutable_version() = ToProto(version);
  assignment.set_rows(rows);
  assignment.set_updates(updates);
  assignment.set_episodes(options_.episodes);
  assignment.set_seed(MixSeed(options_.seed, next_id_));
  ++next_id_;
  outstanding_.push_back({.assignment = assignment, .since = now});
  CheckInvariants();
  return assignment;
}

std::optional<proto::EvaluationAssignment> EvaluationSchedule::Assign(uint64_t lease) {
  // The evaluator's own comes first: it asks with every heartbeat and must hear the same answer
  // until it has reported, even where its report was lost on the way.
  auto held = [&](const Pending& pending) { return pending.lease == lease; };
  auto free = [](const Pending& pending) { return !pending.lease.has_value(); };
  auto found = std::find_if(outstanding_.begin(), outstanding_.end(), held);
  if (found == outstanding_.end()) {
    found = std::find_if(outstanding_.begin(), outstanding_.end(), free);
  }
  if (found == outstanding_.end()) return std::nullopt;
  found->lease = lease;
  found->assigned = true;
  return found->assignment;
}

void EvaluationSchedule::LeaseEnded(uint64_t lease) {
  for (Pending& pending : outstanding_) {
    if (pending.lease == lease) pending.lease.reset();
  }
}

absl::StatusOr<std::optional<proto::EvaluationResult>> EvaluationSchedule::Report(
    uint64_t lease, uint64_t id, ParameterVersion version, absl::Span<const double> returns,
    double elapsed_seconds) {
  // A report whose answer was lost comes again. The version is compared too, because evaluations
  // are numbered again from the last checkpoint when a learner resumes.
  if (const proto::EvaluationResult* known = FindResult(id);
      known != nullptr && FromProto(known->version()) == version) {
    return std::nullopt;
  }
  auto found = std::find_if(outstanding_.begin(), outstanding_.end(), [&](const Pending& pending) {
    return pending.assignment.evaluation_id() == id;
  });
  if (found == outstanding_.end() || FromProto(found->assignment.version()) != version) {
    return absl::FailedPreconditionError(
        absl::StrCat("evaluation ", id, " of version ", version.ToString(), " is not outstanding"));
  }
  if (!found->assigned || (found->lease.has_value() && *found->lease != lease)) {
    return absl::FailedPreconditionError(
        absl::StrCat("evaluation ", id, " is not assigned to lease ", lease));
  }
  const proto::EvaluationAssignment& assignment = found->assignment;
  if (returns.size() != assignment.episodes()) {
    return absl::InvalidArgumentError(absl::StrCat("evaluation ", id, ": ", returns.size(),
                                                   " returns instead of ", assignment.episodes()));
  }
  if (const auto bad = std::find_if_not(returns.begin(), returns.end(), IsReturn);
      bad != returns.end()) {
    return absl::InvalidArgumentError(absl::StrCat("evaluation ", id, ": a return is ", *bad,
                                                   ", must be at most ", kMaxReturn,
                                                   " in magnitude"));
  }
  // Only the returns come from the evaluator. Everything else is taken from the assignment, so that
  // a report cannot be recorded under another version or update.
  const SampleStatistics statistics = Summarize(returns);
  proto::EvaluationResult result;
  result.set_evaluation_id(id);
  *result.mutable_version() = assignment.version();
  result.set_rows(assignment.rows());
  result.set_updates(assignment.updates());
  result.set_episodes(assignment.episodes());
  result.set_return_mean(statistics.mean);
  result.set_return_ci95(statistics.ci95);
  result.set_return_min(statistics.min);
  result.set_return_max(statistics.max);
  result.set_elapsed_seconds(elapsed_seconds);
  outstanding_.erase(found);
  AddResult(result);
  return result;
}

void EvaluationSchedule::Prolong(absl::Duration pause) {
  for (Pending& pending : outstanding_) pending.since += pause;
}

std::vector<proto::EvaluationAssignment> EvaluationSchedule::Expire(absl::Duration now) {
  std::vector<proto::EvaluationAssignment> given_up;
  std::erase_if(outstanding_, [&](const Pending& pending) {
    if (now - pending.since < options_.timeout) return false;
    given_up.push_back(pending.assignment);
    return true;
  });
  given_up_ += given_up.size();
  return given_up;
}

std::vector<proto::EvaluationAssignment> EvaluationSchedule::GiveUp() {
  std::vector<proto::EvaluationAssignment> given_up = Outstanding();
  outstanding_.clear();
  given_up_ += given_up.size();
  return given_up;
}

std::vector<proto::EvaluationAssignment> EvaluationSchedule::Outstanding() const {
  std::vector<proto::EvaluationAssignment> assignments;
  for (const Pending& pending : outstanding_) assignments.push_back(pending.assignment);
  return assignments;
}

void EvaluationSchedule::AddResult(const proto::EvaluationResult& result) {
  if (results_.size() >= options_.max_results) {
    // The oldest goes, but for the best: which checkpoint is the best follows from it.
    const size_t victim = best_ == size_t{0} && results_.size() > 1 ? 1 : 0;
    results_.erase(results_.begin() + victim);
    if (best_.has_value() && *best_ > victim) --*best_;
  }
  results_.push_back(result);
  if (!best_.has_value() || result.return_mean() > results_[*best_].return_mean()) {
    best_ = results_.size() - 1;
  }
  CheckInvariants();
}

void EvaluationSchedule::CheckInvariants() const {
  POMPC_CHECK_LE(outstanding_.size(), options_.max_outstanding);
  POMPC_CHECK_LE(results_.size(), options_.max_results);
  POMPC_CHECK_EQ(best_.has_value(), !results_.empty());
  POMPC_CHECK(!best_.has_value() || *best_ < results_.size());
}

const proto::EvaluationResult* EvaluationSchedule::FindResult(uint64_t id) const {
  for (auto it = results_.rbegin(); it != results_.rend(); ++it) {
    if (it->evaluation_id() == id) return &*it;
  }
  return nullptr;
}

}  // namespace pompc::run
