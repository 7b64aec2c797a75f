#include "run/control/phase_machine.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace pompc::run {

void PhaseMachine::StartTraining() {
  if (phase_ == Phase::kSeed) phase_ = Phase::kTraining;
}

void PhaseMachine::Stop(std::string reason) {
  if (IsOver(phase_)) return;
  phase_ = Phase::kStopping;
  reason_ = std::move(reason);
}

void PhaseMachine::Finish(std::string reason) {
  phase_ = Phase::kFinished;
  reason_ = std::move(reason);
}

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
        "all ", options_.max_rows, " rows are there",
        progress.cannot_refill ? "; replay has lost those that the last updates needed" : ""));
  }
}

bool PhaseMachine::RowsAreDone(const RunProgress& progress, uint64_t seed_rows,
                               absl::Duration now) {
  if (!HasAllRows(progress.rows)) return false;
  if (phase_ == Phase::kSeed) return progress.rows < seed_rows || progress.cannot_refill;
  if (!progress.caught_up) return false;
  if (!done_since_.has_value()) done_since_ = now;
  return !progress.evaluating || now - *done_since_ >= options_.last_evaluations;
}

}  // namespace pompc::run
