#ifndef POMPC_RUN_CONTROL_PHASE_MACHINE_H_
#define POMPC_RUN_CONTROL_PHASE_MACHINE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "proto/run.pb.h"

namespace pompc::run {

// The conditions that finish a run; it finishes when the first of them holds. The value 0, or none,
// switches a condition off.
struct StopOptions {
  uint64_t max_rows = 0;
  uint64_t max_updates = 0;
  // Mean return of one evaluation; may be negative.
  std::optional<double> return_mean;
  // Since this start of the learner.
  absl::Duration max_time;
  // The time for which the run waits at most for its last evaluations once it has max_rows or
  // max_updates.
  absl::Duration last_evaluations = absl::Minutes(10);
  // The time, within that one, for which the run waits while no evaluator takes part. This counts
  // from when the last one left, or from the beginning of that time if this is later; if there
  // never was an evaluator, it counts from the learner's start.
  absl::Duration evaluator_comes = absl::Minutes(2);
};

// What the conditions are checked against.
struct RunProgress {
  uint64_t rows = 0;
  uint64_t updates = 0;
  // True if all updates that the rows allow have been made, or cannot be made.
  bool caught_up = false;
  // True if replay has lost rows and needs more new ones than max_rows admits.
  bool cannot_refill = false;
  // True if an evaluation is due.
  bool evaluation_due = false;
  // Evaluations that have no result yet.
  size_t outstanding_evaluations = 0;
  // True if an evaluator takes part, and true if one ever has.
  bool evaluator = false;
  bool had_evaluator = false;
  // Best mean return of an evaluation; absent while there is none.
  std::optional<double> best_return;
};

// The phase of a run: SEED -> TRAINING -> FINISHED, and STOPPING from either of the first two. The
// last two are final. Not thread-safe.
class PhaseMachine {
 public:
  // `start`: when the learner started, on the clock that tells `now` below.
  PhaseMachine(const StopOptions& options, absl::Duration start)
      : options_(options), start_(start) {}

  proto::Phase phase() const { return phase_; }
  // Why the run is over, in words; empty while it is not.
  const std::string& reason() const { return reason_; }

  // The seed phase is closed at every shard and parameters are published.
  void StartTraining();
  void Stop(std::string reason);
  // Finishes the run if a condition holds. The condition max_rows holds once all updates for these
  // rows have been made, max_updates once they have been made, and both once the last evaluations
  // have results, or have been waited for long enough; the reason then says how many had no result.
  // If max_rows is reached before the seed phase has enough rows, the condition holds at once.
  void Check(const RunProgress& progress, uint64_t seed_rows, absl::Duration now);

  // Changes the limit of rows, 0 for none. A run that was waiting for its last evaluations begins
  // to wait again when it has so many.
  void SetMaxRows(uint64_t max_rows);

  // True if the run takes no more rows because it has all it may have.
  bool HasAllRows(uint64_t rows) const {
    return options_.max_rows > 0 && rows >= options_.max_rows;
  }
  // True if the run makes no more updates because it has made all it may make.
  bool HasAllUpdates(uint64_t updates) const {
    return options_.max_updates > 0 && updates >= options_.max_updates;
  }

  const StopOptions& options() const { return options_; }

 private:
  // Changes to `phase`. If that ends the run, `reason` says why; otherwise it is empty.
  void Enter(proto::Phase phase, std::string reason);
  void Finish(std::string reason);
  // What must hold between the fields after each change.
  void CheckInvariants() const;
  bool RowsAreDone(const RunProgress& progress, uint64_t seed_rows, absl::Duration now);
  bool UpdatesAreDone(const RunProgress& progress, absl::Duration now);
  // True while the last evaluations are waited for, which began at `done_since_`.
  bool Evaluating(const RunProgress& progress, absl::Duration now);

  StopOptions options_;
  const absl::Duration start_;
  proto::Phase phase_ = proto::SEED;
  std::string reason_;
  // When all rows were stored and all their updates made, or all updates there may be.
  std::optional<absl::Duration> done_since_;
  // Since when, after that, no evaluator has taken part.
  std::optional<absl::Duration> no_evaluator_since_;
};

}  // namespace pompc::run

#endif  // POMPC_RUN_CONTROL_PHASE_MACHINE_H_
