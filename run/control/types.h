#ifndef POMPC_RUN_CONTROL_TYPES_H_
#define POMPC_RUN_CONTROL_TYPES_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "common/values/parameter_version.h"

namespace pompc::run {

// Where a run stands; the meaning for actors is that of proto::Phase.
enum class Phase {
  // Actors act uniformly at random; no parameters exist.
  kSeed,
  // Actors ask for plans.
  kTraining,
  // The run's goal or limit was reached.
  kFinished,
  // The run was told to stop.
  kStopping,
};

// "SEED", "TRAINING", "FINISHED", "STOPPING".
const char* PhaseName(Phase phase);

// Whether actors and evaluators are to go home.
inline bool IsOver(Phase phase) { return phase == Phase::kFinished || phase == Phase::kStopping; }

enum class Role { kActor, kEvaluator };

// "actor", "evaluator".
const char* RoleName(Role role);

// How a lease ended.
enum class LeaseEnd {
  kLeft,    // its holder was told to end
  kFailed,  // its holder ended with an error
  kSilent,  // no heartbeat came
};
inline constexpr size_t kLeaseEnds = 3;

// "left", "failed", "silent".
const char* LeaseEndName(LeaseEnd end);

// One evaluation an evaluator has to do: `episodes` noise-free episodes with plans of `version`.
struct EvaluationAssignment {
  // Counts the evaluations of the run; 1 for the first.
  uint64_t id = 0;
  ParameterVersion version;
  // Of the run when the version was published.
  uint64_t rows = 0;
  uint64_t updates = 0;
  uint32_t episodes = 0;
  // Seeds the episodes' environments and plans.
  uint64_t seed = 0;

  bool operator==(const EvaluationAssignment&) const = default;
};

// What came of it.
struct EvaluationResult {
  uint64_t id = 0;
  ParameterVersion version;
  uint64_t rows = 0;
  uint64_t updates = 0;
  uint32_t episodes = 0;
  double return_mean = 0;
  // Half the width of the 95 % confidence interval of the mean; NaN for one episode.
  double return_ci95 = 0;
  double return_min = 0;
  double return_max = 0;
  // Of the run when the result came in.
  double elapsed_seconds = 0;
};

}  // namespace pompc::run

#endif  // POMPC_RUN_CONTROL_TYPES_H_
