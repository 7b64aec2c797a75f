#ifndef POMPC_RUN_CONTROL_EVALUATION_SCHEDULE_H_
#define POMPC_RUN_CONTROL_EVALUATION_SCHEDULE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "proto/parameter_version.h"
#include "proto/run.pb.h"

namespace pompc::run {

struct EvaluationOptions {
  // Rows between evaluations.
  uint64_t every_rows = 0;
  uint32_t episodes = 0;
  // Rows after which the run's last evaluation is due; 0: none.
  uint64_t last_rows = 0;
  // Updates between evaluations, beside every_rows; 0: none.
  uint64_t every_updates = 0;
  // Updates after which the run's last evaluation is due; 0: none.
  uint64_t last_updates = 0;
  // Seed of the run; evaluation n has its own seed, which follows from it.
  uint64_t seed = 1;
  // Evaluations outstanding at most. With one more, the oldest that nobody works on is given up.
  size_t max_outstanding = 4;
  // An evaluation that has no result after this long is given up.
  absl::Duration timeout = absl::Minutes(15);
  // Results kept in memory; the oldest go first, the best stays.
  size_t max_results = 4096;
};

// Decides what is evaluated and when, assigns it to evaluators, and keeps the results. Not
// thread-safe. Bounded: max_outstanding evaluations, max_results results.
class EvaluationSchedule {
 public:
  // REQUIRES: every_rows, episodes, max_outstanding and max_results are at least 1.
  explicit EvaluationSchedule(const EvaluationOptions& options);

  // Takes over the results of earlier starts of the run, in the order in which they arrived, and
  // continues at `rows` and `updates`. A milestone before these that has no result is due again. A
  // milestone after them is due again even if it has a result, because the run has yet to reach it
  // once more.
  void Restore(std::vector<proto::EvaluationResult> results, uint64_t rows, uint64_t updates);

  // Returns true if rows have crossed a milestone (a multiple of every_rows, or last_rows) since
  // the last Add, or updates one of theirs. The evaluation of the last rows is due only once
  // updates have caught up with them.
  bool Due(uint64_t rows, uint64_t updates, bool caught_up) const;

  // Adds the evaluation of a version that was published for the milestone; it is outstanding from
  // now on. When several milestones were crossed at once, this evaluation serves for all of them.
  // `given_up` receives the evaluation that had to make room, if any.
  proto::EvaluationAssignment Add(ParameterVersion version, uint64_t rows, uint64_t updates,
                                  absl::Duration now,
                                  std::optional<proto::EvaluationAssignment>* given_up = nullptr);

  // What the evaluator with `lease` is to do: the same until it has reported, then the oldest that
  // nobody works on; nothing when there is none.
  std::optional<proto::EvaluationAssignment> Assign(uint64_t lease);
  // Makes the evaluation that was assigned to the lease, if any, available to others.
  void LeaseEnded(uint64_t lease);

  // Records a result that the holder of `lease` reports, and returns it. The first result of an
  // evaluation counts: reporting the same evaluation again is OK, changes nothing and returns
  // nothing. FAILED_PRECONDITION: no such evaluation is outstanding (never was, or was given up),
  // it is of another version, or it is not the holder's: it was never assigned, or is assigned to
  // another lease. One whose lease has ended may be reported under any, for its evaluator has a new
  // one. INVALID_ARGUMENT: not one finite return for each episode.
  absl::StatusOr<std::optional<proto::EvaluationResult>> Report(uint64_t lease, uint64_t id,
                                                                ParameterVersion version,
                                                                absl::Span<const double> returns,
                                                                double elapsed_seconds);

  // Extends the time limits of the outstanding evaluations by `pause`.
  void Prolong(absl::Duration pause);
  // Gives up what is older than the timeout and returns it.
  std::vector<proto::EvaluationAssignment> Expire(absl::Duration now);
  // Gives up all that is outstanding and returns it.
  std::vector<proto::EvaluationAssignment> GiveUp();

  // Changes the rows after which the run's last evaluation is due; 0: none.
  void SetLastRows(uint64_t rows) { options_.last_rows = rows; }

  // Evaluations that were given up: without a result, they had to make room or took too long.
  uint64_t given_up() const { return given_up_; }
  bool outstanding() const { return !outstanding_.empty(); }
  std::vector<proto::EvaluationAssignment> Outstanding() const;
  const std::vector<proto::EvaluationResult>& results() const { return results_; }
  // Position in results() of the best mean return, the earliest of equals.
  std::optional<size_t> best() const { return best_; }

 private:
  struct Pending {
    proto::EvaluationAssignment assignment;
    absl::Duration since;
    std::optional<uint64_t> lease;
    // It was assigned once, to this lease or an earlier one.
    bool assigned = false;
  };

  void AddResult(const proto::EvaluationResult& result);
  // What must hold between the fields after each change.
  void CheckInvariants() const;
  const proto::EvaluationResult* FindResult(uint64_t id) const;

  EvaluationOptions options_;
  uint64_t next_id_ = 1;
  // Rows and updates up to which milestones have been served.
  uint64_t served_rows_ = 0;
  uint64_t served_updates_ = 0;
  uint64_t given_up_ = 0;
  std::deque<Pending> outstanding_;
  std::vector<proto::EvaluationResult> results_;
  std::optional<size_t> best_;
};

}  // namespace pompc::run

#endif  // POMPC_RUN_CONTROL_EVALUATION_SCHEDULE_H_
