#include "run/control/phase_machine.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/check.h"
#include "run/control/names.h"

namespace pompc::run {
namespace {

// Which evaluations the run ends without; empty when all have a result.
std::string MissingEvaluations(const RunProgress& progress, const StopOptions& options) {
  const size_t missing = progress.outstanding_evaluations;
  if (missing == 0) return "";
  return absl::StrCat(
      "; ", missing, missing == 1 ? " evaluation" : " evaluations", " had no result: ",
      progress.evaluator
          ? absl::StrCat("none came within ", absl::FormatDuration(options.last_evaluations))
          : "no evaluator");
}

// SEED -> TRAINING -> FINISHED, and STOPPING or FINISHED from either of the first two.
bool MayFollow(proto::Phase from, proto::Phase to) {
  return to == proto::TRAINING ? from == proto::SEED : IsOver(to) && !IsOver(from);
}

}  // namespace

void PhaseMachine::Enter(proto::Phase phase, std::string reason) {
  POMPC_CHECK(MayFollow(phase_, phase), absl::StrCat(proto::Phase_Name(phase), " does not follow ",
                                                     proto::Phase_Name(phase_)));
  phase_ = phase;
  reason_ = std::move(reason);
  CheckInvariants();
}

void PhaseMachine::CheckInvariants() const {
  POMPC_CHECK(IsOver(phase_) || reason_.empty(), "a reason to end, but the run continues");
  POMPC_CHECK(!done_since_.has_value() || phase_ != proto::SEED);
}

void PhaseMachine::StartTraining() {
  if (phase_ == proto::SEED) Enter(proto::TRAINING, "");
}

void PhaseMachine::Stop(std::string reason) {
  if (IsOver(phase_)) return;
  Enter(proto::STOPPING, std::move(reason));
}

void PhaseMachine::SetMaxRows(uint64_t max_rows) {
  options_.max_rows = max_rows;
  done_since_.reset();
  no_evaluator_since_.reset();
}

void PhaseMachine::Finish(std::string reason) { Enter(proto::FINISHED, std::move(reason)); }

void PhaseMachine::Check(const RunProgress& progress, uint64_t seed_rows, absl::Duration now) {
  if (IsOver(phase_)) return;
  // The goal is looked at first: if a limit is reached at the same time, the reason names the goal.
  if (options_.return_mean.has_value() && progress.best_return.has_value() &&
      *progress.best_return >= *options_.return_mean) {
    return Finish(absl::StrFormat("an evaluation reached a mean return of %.1f (goal %.1f)",
                                  *progress.best_return, *options_.return_mean));
  }
  if (options_.max_time > absl::ZeroDuration() && now - start_ >= options_.max_time) {
    return Finish(
        absl::StrCat("the time limit of ", absl::FormatDuration(options_.max_time), " has passed"));
  }
  if (UpdatesAreDone(progress, now)) {
    return Finish(absl::StrCat("all ", options_.max_updates, " updates are made",
                               MissingEvaluations(progress, options_)));
  }
  if (RowsAreDone(progress, seed_rows, now)) {
    const char* const lost =
        "; replay has lost the rows that the last updates needed, or has too few draws left";
    return Finish(absl::StrCat("all ", options_.max_rows, " rows are stored",
                               progress.cannot_refill ? lost : "",
                               MissingEvaluations(progress, options_)));
  }
}

bool PhaseMachine::RowsAreDone(const RunProgress& progress, uint64_t seed_rows,
                               absl::Duration now) {
  if (!HasAllRows(progress.rows)) return false;
  // Training would need more rows than the limit admits, so waiting would not help.
  if (phase_ == proto::SEED) return progress.rows < seed_rows || progress.cannot_refill;
  // The last rows are worth nothing before the updates that they allow.
  if (!progress.caught_up) return false;
  if (!done_since_.has_value()) done_since_ = now;
  return !Evaluating(progress, now);
}

bool PhaseMachine::UpdatesAreDone(const RunProgress& progress, absl::Duration now) {
  // In the seed phase the last update is followed by the first version, which closes that phase.
  if (phase_ == proto::SEED || !HasAllUpdates(progress.updates)) return false;
  if (!done_since_.has_value()) done_since_ = now;
  return !Evaluating(progress, now);
}

bool PhaseMachine::Evaluating(const RunProgress& progress, absl::Duration now) {
  if (!progress.evaluation_due && progress.outstanding_evaluations == 0) return false;
  if (now - *done_since_ >= options_.last_evaluations) return false;
  // Two clocks: how long results are waited for in all, and within that how long for an evaluator
  // to come at all. The second starts again whenever one leaves; if there never was one, it began
  // with the learner.
  if (progress.evaluator) no_evaluator_since_.reset();
  if (progress.evaluation_due || progress.evaluator) return true;
  if (!no_evaluator_since_.has_value()) no_evaluator_since_ = now;
  const absl::Duration since = progress.had_evaluator ? *no_evaluator_since_ : start_;
  return now - since < options_.evaluator_comes;
}

}  // namespace pompc::run
