#ifndef POMPC_CLI_SWEEP_SCHEDULE_H_
#define POMPC_CLI_SWEEP_SCHEDULE_H_

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cli/sweep/plan.h"

namespace pompc::cli {

// Which trials of a sweep are to be made, given what came of the others.

enum class TrialNeed {
  // Its round has begun: it is to be made, or has been.
  kWanted,
  // A later round decides.
  kLater,
  // Successive halving has left its setting behind.
  kDropped,
};

// What is known of a trial: its score (SweepPlan::Score of its metric) if it is finished, nothing
// before; `failed` if it will not be tried again.
struct TrialOutcome {
  std::optional<double> score;
  bool failed = false;
};

struct Schedule {
  // One for each trial of the plan.
  std::vector<TrialNeed> needs;
  // What each round that is over decided: "after 2 seeds 3 of 5 settings go on: a, c, d".
  std::vector<std::string> decisions;
};

// A round is over when all its trials are finished or have failed. Its settings are ranked by their
// mean score over tasks and seeds; one of which a trial has failed ranks behind all that have none.
// The result depends on the outcomes alone, not on the order in which they came. REQUIRES: one
// outcome for each trial.
Schedule MakeSchedule(const SweepPlan& plan, const std::vector<TrialOutcome>& outcomes);

}  // namespace pompc::cli

#endif  // POMPC_CLI_SWEEP_SCHEDULE_H_
