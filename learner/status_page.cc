#include "learner/status_page.h"

#include <initializer_list>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "common/values/utf8.h"

namespace pompc::learner {
namespace {

// Evaluations shown, newest first.
constexpr size_t kEvaluations = 20;

constexpr char kHead[] =
    "<!doctype html><html><head><meta charset=\"utf-8\"><meta http-equiv=\"refresh\" "
    "content=\"5\"><title>pompc learner</title><style>body{font:14px sans-serif;margin:2em}"
    "table{border-collapse:collapse;margin:1em 0}td,th{padding:2px 12px 2px 0;text-align:left}"
    "th{border-bottom:1px solid #999}</style></head><body>";

// Names come from other processes, paths may be any bytes.
std::string Escape(const std::string& text) {
  return absl::StrReplaceAll(ToUtf8(text),
                             {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}});
}

std::string Row(const char* tag, std::initializer_list<std::string> cells) {
  std::string row = "<tr>";
  for (const std::string& cell : cells) {
    absl::StrAppend(&row, "<", tag, ">", Escape(cell), "</", tag, ">");
  }
  return row + "</tr>";
}

std::string Number(double value) { return absl::StrFormat("%.1f", value); }

std::string Checkpoints(const run::CheckpointView& checkpoints) {
  if (checkpoints.error.empty()) return "ok";
  return absl::StrCat("none could be written for ", Number(checkpoints.failing_seconds), " s: ",
                      checkpoints.error);
}

std::string Summary(const std::string& run_id, const std::string& run_dir,
                    const run::RunStatus& status) {
  std::string phase = run::PhaseName(status.phase);
  if (!status.over_reason.empty()) absl::StrAppend(&phase, ": ", status.over_reason);
  return absl::StrCat(
      "<table>", Row("td", {"run", run_id}), Row("td", {"directory", run_dir}),
      Row("td", {"phase", phase}),
      Row("td", {"rows", absl::StrCat(status.rows, " (", Number(status.rows_per_second), "/s)")}),
      Row("td", {"updates",
                 absl::StrCat(status.updates, " (", Number(status.updates_per_second), "/s)")}),
      Row("td", {"episodes", absl::StrCat(status.episodes)}),
      Row("td", {"training return",
                 status.training_return_mean ? Number(*status.training_return_mean) : "none yet"}),
      Row("td", {"version", status.version.ToString()}),
      Row("td", {"elapsed", Number(status.elapsed_seconds) + " s"}),
      Row("td", {"left, at most",
                 status.remaining_seconds > 0 ? Number(status.remaining_seconds) + " s" : "?"}),
      Row("td", {"waiting", status.waiting.empty() ? "nobody" : status.waiting}),
      Row("td", {"checkpoints", Checkpoints(status.checkpoints)}),
      Row("td", {"restorations",
                 absl::StrCat(status.restorations, status.restorations > 0 ? ", the last: " : "",
                              status.last_restoration)}),
      "</table>");
}

std::string Evaluations(const run::RunStatus& status) {
  std::string table = absl::StrCat(
      "<h2>Evaluations</h2><table>",
      Row("th", {"", "version", "rows", "updates", "return", "95 %", "lowest", "highest"}));
  const size_t n = status.evaluations.size();
  for (size_t i = n; i > 0 && i + kEvaluations > n; --i) {
    const run::EvaluationResult& result = status.evaluations[i - 1];
    const bool best = status.best_evaluation == i - 1;
    absl::StrAppend(&table, Row("td", {best ? "best" : "", result.version.ToString(),
                                       absl::StrCat(result.rows), absl::StrCat(result.updates),
                                       Number(result.return_mean), "±" + Number(result.return_ci95),
                                       Number(result.return_min), Number(result.return_max)}));
  }
  return table + "</table>";
}

std::string Peers(const run::RunStatus& status) {
  std::string table = absl::StrCat(
      "<h2>Actors and evaluators</h2><table>",
      Row("th", {"role", "index", "name", "rows", "episodes", "last heartbeat", "waits for"}));
  for (const run::PeerView& peer : status.peers) {
    absl::StrAppend(&table,
                    Row("td", {run::RoleName(peer.role), absl::StrCat(peer.index), peer.name,
                               absl::StrCat(peer.rows), absl::StrCat(peer.episodes),
                               Number(peer.seconds_since_heartbeat) + " s ago", peer.waiting}));
  }
  return table + "</table>";
}

std::string EndedPeers(const run::RunStatus& status) {
  if (status.ended_peers.empty()) return "";
  std::string table =
      absl::StrCat("<h2>Ended actors and evaluators</h2><table>",
                   Row("th", {"role", "index", "name", "rows", "episodes", "ended", "how"}));
  for (const run::EndedPeer& peer : status.ended_peers) {
    absl::StrAppend(&table,
                    Row("td", {run::RoleName(peer.role), absl::StrCat(peer.index), peer.name,
                               absl::StrCat(peer.rows), absl::StrCat(peer.episodes),
                               Number(peer.seconds_ago) + " s ago", peer.how}));
  }
  return table + "</table>";
}

std::string Planners(const run::RunStatus& status) {
  std::string table =
      absl::StrCat("<h2>Planners</h2><table>",
                   Row("th", {"name", "address", "state", "version", "behind"}));
  for (const run::PlannerView& planner : status.planners) {
    const std::string since = Number(planner.since_seconds) + " s";
    absl::StrAppend(
        &table, Row("td", {planner.name, planner.peer,
                           planner.connected ? absl::StrCat("connected for ", since)
                                             : absl::StrCat("lost ", since, " ago"),
                           planner.version.ToString(),
                           planner.behind_seconds > 0 ? Number(planner.behind_seconds) + " s"
                                                      : "no"}));
  }
  return table + "</table>";
}

std::string Shards(const run::RunStatus& status) {
  std::string table = absl::StrCat("<h2>Replay</h2><table>",
                                   Row("th", {"shard", "address", "state", "accepted rows",
                                              "stored rows", "windows", "blocked writers"}));
  for (size_t i = 0; i < status.shards.size(); ++i) {
    const run::ShardView& shard = status.shards[i];
    absl::StrAppend(
        &table,
        Row("td", {absl::StrCat(i), shard.address,
                   shard.reachable ? "ok"
                                   : absl::StrCat("unreachable for ",
                                                  Number(shard.unreachable_seconds), " s: ",
                                                  shard.problem),
                   absl::StrCat(shard.state.accepted_rows), absl::StrCat(shard.state.stored_rows),
                   absl::StrCat(shard.state.windows), absl::StrCat(shard.state.blocked_streams)}));
  }
  return table + "</table>";
}

}  // namespace

std::string StatusPage(const std::string& run_id, const std::string& run_dir,
                       const run::RunStatus& status) {
  return absl::StrCat(kHead, "<h1>pompc learner</h1>", Summary(run_id, run_dir, status),
                      Evaluations(status), Peers(status), EndedPeers(status), Planners(status),
                      Shards(status), "</body></html>\n");
}

}  // namespace pompc::learner
