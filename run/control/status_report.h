#ifndef POMPC_RUN_CONTROL_STATUS_REPORT_H_
#define POMPC_RUN_CONTROL_STATUS_REPORT_H_

#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/values/text_table.h"
#include "proto/run.pb.h"

namespace pompc::run {

// What people read of a run's status, wherever they read it: the log, the terminal of `pompc
// train`, `pompc status` and the status page.

// One line: phase, rows, updates, returns, rates, time left, who waits.
std::string ProgressLine(const proto::RunStatus& status);

// What a ProgressLine says of who waits, empty where nobody does; nothing for any other line. For
// those who have only the output of a run, such as of a trial on another machine.
std::optional<std::string> WaitingOf(absl::string_view progress_line);

// "FINISHED: all 2000 rows are stored": the phase, and why the run is over if it is.
std::string PhaseText(const proto::RunStatus& status);

// "12,345 rows, 6,172 updates, 24 episodes".
std::string CountsText(const proto::RunStatus& status);

// The evaluation with the best mean return; nullptr while there is none. Valid as long as `status`.
const proto::EvaluationResult* BestEvaluation(const proto::RunStatus& status);

// The run at a glance: names and what they stand for.
TextTable StatusFields(const proto::GetRunReply& run);

// "learner.utd 1 -> 0.5 at 1,200 rows, 800 updates (2026-01-01T00:00:00Z)".
std::string ChangeText(const proto::LimitChange& change);

// How rows and updates hold each other back, likewise: limits, cursors, bounds, who waits for what,
// and which limits were changed.
TextTable LimiterFields(const proto::RunStatus& status);

struct StatusTable {
  std::string title;
  // With a row of headings.
  TextTable rows;
};
// Evaluations (the newest `most_evaluations`, oldest first), actors and evaluators, those that
// ended, planners and shards: one table each, without those that would be empty.
std::vector<StatusTable> StatusTables(const proto::RunStatus& status,
                                      int most_evaluations = std::numeric_limits<int>::max());

}  // namespace pompc::run

#endif  // POMPC_RUN_CONTROL_STATUS_REPORT_H_
