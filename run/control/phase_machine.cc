#include "run/control/phase_machine.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/check.h"

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
bool MayFollow(Phase from, Phase to) {
  return to == Phase::kTraining ? from == Phase::kSeed : IsOver(to) && !IsOver(from);
}

}  // namespace

void PhaseMachine::Enter(Phase phase, std::string reason) {
  POMPC_CHECK(MayFollow(phase_, phase),
              absl::StrCat(PhaseName(phase), " does not follow ", PhaseName(phase_)));
  phase_ = phase;
  reason_ = std::move(reason);
  CheckInvariants();
}

void PhaseMachine::CheckInvariants() const {
  POMPC_CHECK(IsOver(phase_) || reason_.empty(), "a reason to end, but it goes on");
  POMPC_CHECK(!done_since_.has_value() || phase_ != Phase::kSeed);
}

void PhaseMachine::StartTraining() {
  if (phase_ == Phase::kSeed) Enter(Phase::kTraining, "");
}

void PhaseMachine::Stop(std::string reason) {
  if (IsOver(phase_)) return;
  Enter(Phase::kStopping, std::move(reason));
}

void PhaseMachine::Finish(std::string reason) { Enter(Phase::kFinished, std::move(reason)); }

void PhaseMachine::Check(const RunProgress& progress, uint64_t seed_rows, absl::Duration now) {
  if (IsOver(phase_)) return;
  if (options_.return_mean.has_value() && progress.best_return.has_value() &&
      *progress.best_return >= *options_.return_mean) {
    return Finish(absl::StrFormat("an evaluation reached a mean return of %.1f (goal %.1f)",
                                  *progress.best_return, *options_.return_mean));
  }
  if (options_.max_time > absl::ZeroDuration() && now - start_ >= options_.max_time) {
    return Finish(
        absl::StrCat("the time limit of ", absl::FormatDuration(options_.max_time), " has passed"));
  }
  if (RowsAreDone(progress, seed_rows, now)) {
    return Finish(absl::StrCat(
        "all ", options_.max_rows, " rows are stored",
        progress.cannot_refill ? "; replay has lost those that the last updates needed" : "",
        MissingEvaluations(progress, options_)));
  }
}

bool PhaseMachine::RowsAreDone(const RunProgress& progress, uint64_t seed_rows,
                               absl::Duration now) {
  if (!HasAllRows(progress.rows)) return false;
  if (phase_ == Phase::kSeed) return progress.rows < seed_rows || progress.cannot_refill;
  if (!progress.caught_up) return false;
  if (!done_since_.has_value()) done_since_ = now;
  return !Evaluating(progress, now);
}

bool PhaseMachine::Evaluating(const RunProgress& progress, absl::Duration now) {
  if (!progress.evaluation_due && progress.outstanding_evaluations == 0) return false;
  if (now - *done_since_ >= options_.last_evaluations) return false;
  if (progress.evaluator) no_evaluator_since_.reset();
  if (progress.evaluation_due || progress.evaluator) return true;
  if (!no_evaluator_since_.has_value()) no_evaluator_since_ = now;
  const absl::Duration since = progress.had_evaluator ? *no_evaluator_since_ : start_;
  return now - since < options_.evaluator_comes;
}

}  // namespace pompc::run
