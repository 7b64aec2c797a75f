#include "cli/report/run_report.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "run/control/status_report.h"

namespace pompc::cli {
namespace {

std::string CheckpointText(const absl::StatusOr<rundir::ChosenCheckpoint>& chosen) {
  if (!chosen.ok()) return absl::StrCat("none: ", chosen.status().message());
  const rundir::RankedCheckpoint& checkpoint = chosen->checkpoint;
  return absl::StrCat(checkpoint.folder, checkpoint.return_mean
                                             ? absl::StrFormat(", return %.1f",
                                                               *checkpoint.return_mean)
                                             : "");
}

}  // namespace

std::string RunReport(const proto::GetRunReply& run) {
  std::string report = FormatFields(run::StatusFields(run));
  for (const run::StatusTable& table : run::StatusTables(run.status())) {
    absl::StrAppend(&report, "\n", table.title, "\n", FormatTable(table.rows));
  }
  return report;
}

std::string RunSummary(const proto::GetRunReply& run,
                       const absl::StatusOr<rundir::ChosenCheckpoint>& best_checkpoint,
                       const absl::StatusOr<rundir::ChosenCheckpoint>& newest_checkpoint) {
  const proto::RunStatus& status = run.status();
  std::string best = "no evaluation was made";
  if (const proto::EvaluationResult* result = run::BestEvaluation(status)) {
    best =
        absl::StrCat("return ", FormatMean(result->return_mean(), result->return_ci95()), " over ",
                     result->episodes(), " episodes, after ",
                     result->rows() == 0 ? absl::StrCat(FormatCount(result->updates()), " updates")
                                         : absl::StrCat(FormatCount(result->rows()), " rows"));
  }
  TextTable rows = {{"phase", run::PhaseText(status)},
                    {"best evaluation", best},
                    {"made", run::CountsText(status)},
                    {"time", FormatSeconds(status.elapsed_seconds())},
                    {"run directory", status.run_dir()},
                    {"best checkpoint", CheckpointText(best_checkpoint)},
                    {"newest checkpoint", CheckpointText(newest_checkpoint)}};
  // The best evaluation and the best checkpoint may differ: a checkpoint may be damaged or deleted.
  if (best_checkpoint.ok()) {
    for (const std::string& reason : best_checkpoint->passed_over) {
      rows.push_back({"passed over", reason});
    }
  }
  return FormatFields(rows);
}

}  // namespace pompc::cli
