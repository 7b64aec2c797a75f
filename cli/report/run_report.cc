#include "cli/report/run_report.h"

#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/report/format.h"

namespace pompc::cli {
namespace {

std::string VersionText(const proto::ParameterVersion& version) {
  if (version.number() == 0) return "none yet";
  return absl::StrCat(version.incarnation(), ".", version.number());
}

std::string RoleText(proto::Role role) {
  return role == proto::EVALUATOR ? "evaluator" : "actor";
}

std::string Counts(const proto::RunStatus& status) {
  return absl::StrCat(FormatCount(status.rows()), " rows, ", FormatCount(status.updates()),
                      " updates, ", FormatCount(status.episodes()), " episodes");
}

std::string Time(const proto::RunStatus& status) {
  return absl::StrCat(
      FormatSeconds(status.elapsed_seconds()),
      status.remaining_seconds() > 0
          ? absl::StrCat(", at most ", FormatSeconds(status.remaining_seconds()), " left")
          : "");
}

std::string Rates(const proto::RunStatus& status) {
  return absl::StrFormat("%.0f rows/s, %.0f updates/s", status.rows_per_second(),
                         status.updates_per_second());
}

// The phase, and why the run is over if it is.
std::string PhaseText(const proto::RunStatus& status) {
  return absl::StrCat(proto::Phase_Name(status.phase()), status.over_reason().empty() ? "" : ": ",
                      status.over_reason());
}

const proto::EvaluationResult* Best(const proto::RunStatus& status) {
  if (!status.has_best_evaluation()) return nullptr;
  return &status.evaluations(static_cast<int>(status.best_evaluation()));
}

std::string EvaluationTable(const proto::RunStatus& status) {
  std::vector<std::vector<std::string>> rows = {
      {"rows", "updates", "version", "return", "min", "max", "episodes", "time"}};
  for (const proto::EvaluationResult& result : status.evaluations()) {
    rows.push_back(
        {FormatCount(result.rows()), FormatCount(result.updates()), VersionText(result.version()),
         FormatMean(result.return_mean(), result.return_ci95()),
         absl::StrFormat("%.1f", result.return_min()), absl::StrFormat("%.1f", result.return_max()),
         absl::StrCat(result.episodes()), FormatSeconds(result.elapsed_seconds())});
    if (&result == Best(status)) rows.back().push_back("best");
  }
  return FormatTable(rows);
}

std::string PeerTable(const proto::RunStatus& status) {
  std::vector<std::vector<std::string>> rows = {
      {"role", "index", "name", "rows", "episodes", "last heartbeat", "waits for"}};
  for (const proto::PeerStatus& peer : status.peers()) {
    rows.push_back({RoleText(peer.role()), absl::StrCat(peer.index()), peer.name(),
                    FormatCount(peer.rows()), FormatCount(peer.episodes()),
                    absl::StrFormat("%.1f s ago", peer.seconds_since_heartbeat()),
                    peer.waiting().empty() ? "nothing" : peer.waiting()});
  }
  return FormatTable(rows);
}

std::string EndedTable(const proto::RunStatus& status) {
  std::vector<std::vector<std::string>> rows = {
      {"role", "index", "name", "rows", "episodes", "ended", "how"}};
  for (const proto::EndedPeer& peer : status.ended_peers()) {
    rows.push_back({RoleText(peer.role()), absl::StrCat(peer.index()), peer.name(),
                    FormatCount(peer.rows()), FormatCount(peer.episodes()),
                    absl::StrCat(FormatSeconds(peer.seconds_ago()), " ago"), peer.how()});
  }
  return FormatTable(rows);
}

std::string PlannerTable(const proto::RunStatus& status) {
  std::vector<std::vector<std::string>> rows = {{"name", "address", "state", "version", "behind"}};
  for (const proto::PlannerStatus& planner : status.planners()) {
    const std::string since = FormatSeconds(planner.since_seconds());
    rows.push_back({planner.name(), planner.peer(),
                    planner.connected() ? absl::StrCat("connected for ", since)
                                        : absl::StrCat("lost ", since, " ago"),
                    VersionText(planner.version()),
                    planner.behind_seconds() > 0 ? FormatSeconds(planner.behind_seconds()) : "no"});
  }
  return FormatTable(rows);
}

std::string CheckpointText(const proto::RunStatus& status) {
  if (status.checkpoint_error().empty()) return "ok";
  return absl::StrCat("none could be written for ",
                      FormatSeconds(status.checkpoint_failing_seconds()), ": ",
                      status.checkpoint_error());
}

std::string ShardTable(const proto::RunStatus& status) {
  std::vector<std::vector<std::string>> rows = {
      {"shard", "address", "accepted", "stored", "windows", "blocked streams", "state"}};
  for (const proto::ShardStatus& shard : status.shards()) {
    rows.push_back({absl::StrCat(shard.index()), shard.address(),
                    FormatCount(shard.accepted_rows()), FormatCount(shard.stored_rows()),
                    FormatCount(shard.windows()), absl::StrCat(shard.blocked_streams()),
                    shard.reachable()
                        ? "ok"
                        : absl::StrCat("unreachable for ",
                                       FormatSeconds(shard.unreachable_seconds()), ": ",
                                       shard.problem())});
  }
  return FormatTable(rows);
}

std::string CheckpointText(const absl::StatusOr<rundir::ChosenCheckpoint>& chosen) {
  if (!chosen.ok()) return absl::StrCat("none: ", chosen.status().message());
  const rundir::RankedCheckpoint& checkpoint = chosen->checkpoint;
  return absl::StrCat(checkpoint.folder, checkpoint.return_mean
                                             ? absl::StrFormat(", return %.1f",
                                                               *checkpoint.return_mean)
                                             : "");
}

}  // namespace

std::string ProgressLine(const proto::RunStatus& status) {
  std::string line = absl::StrCat(proto::Phase_Name(status.phase()), "  ", Counts(status));
  // Absent, as after a resumption until an episode has ended, it reads as zero.
  if (status.training_return_mean() != 0) {
    absl::StrAppendFormat(&line, " | training return %.1f", status.training_return_mean());
  }
  if (const proto::EvaluationResult* best = Best(status)) {
    const proto::EvaluationResult& latest = *status.evaluations().rbegin();
    absl::StrAppendFormat(&line, " | evaluation %s, best %.1f",
                          FormatMean(latest.return_mean(), latest.return_ci95()),
                          best->return_mean());
  }
  absl::StrAppend(&line, " | ", Rates(status), " | ", Time(status));
  if (!status.waiting().empty()) absl::StrAppend(&line, " | ", status.waiting());
  return line;
}

std::string RunReport(const proto::GetRunReply& run) {
  const proto::RunStatus& status = run.status();
  std::string report =
      FormatTable({{"run", run.run_id()},
                   {"task", run.config().env().task()},
                   {"folder", status.run_dir()},
                   {"phase", PhaseText(status)},
                   {"waiting", status.waiting().empty() ? "no" : status.waiting()},
                   // Words first, or the table would take them for numbers.
                   {"progress", absl::StrCat("at ", Counts(status))},
                   {"rates", absl::StrCat("now ", Rates(status))},
                   {"time", absl::StrCat("ran ", Time(status))},
                   {"restorations", status.restorations() == 0
                                        ? "none"
                                        : absl::StrCat("in all ", status.restorations(),
                                                       ", the last: ", status.last_restoration())},
                   {"parameters", absl::StrCat("version ", VersionText(status.version()))},
                   {"checkpoints", CheckpointText(status)},
                   {"training", status.episodes() == 0
                                    ? "no episode yet"
                                    : absl::StrFormat("mean return %.1f of the newest episodes",
                                                      status.training_return_mean())}});
  if (status.evaluations_size() > 0) {
    absl::StrAppend(&report, "\nevaluations\n", EvaluationTable(status));
  }
  if (status.peers_size() > 0) {
    absl::StrAppend(&report, "\nactors and evaluators\n", PeerTable(status));
  }
  if (status.ended_peers_size() > 0) {
    absl::StrAppend(&report, "\nended actors and evaluators\n", EndedTable(status));
  }
  absl::StrAppend(&report, "\nplanners\n",
                  status.planners_size() > 0 ? PlannerTable(status) : "  none is connected\n");
  absl::StrAppend(&report, "\nreplay shards\n", ShardTable(status));
  return report;
}

std::string RunSummary(const proto::GetRunReply& run,
                       const absl::StatusOr<rundir::ChosenCheckpoint>& best_checkpoint,
                       const absl::StatusOr<rundir::ChosenCheckpoint>& newest_checkpoint) {
  const proto::RunStatus& status = run.status();
  std::string best = "no evaluation was made";
  if (const proto::EvaluationResult* result = Best(status)) {
    best =
        absl::StrCat("return ", FormatMean(result->return_mean(), result->return_ci95()), " over ",
                     result->episodes(), " episodes, after ", FormatCount(result->rows()), " rows");
  }
  std::vector<std::vector<std::string>> rows = {
      {"phase", PhaseText(status)},
      {"best evaluation", best},
      {"made", absl::StrCat("in all ", Counts(status))},
      {"time", absl::StrCat("ran ", FormatSeconds(status.elapsed_seconds()))},
      {"run directory", status.run_dir()},
      {"best checkpoint", CheckpointText(best_checkpoint)},
      {"newest checkpoint", CheckpointText(newest_checkpoint)}};
  if (best_checkpoint.ok()) {
    for (const std::string& reason : best_checkpoint->passed_over) {
      rows.push_back({"passed over", reason});
    }
  }
  return FormatTable(rows);
}

}  // namespace pompc::cli
