#include "run/control/status_report.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "proto/parameter_version.h"
#include "run/control/names.h"

namespace pompc::run {
namespace {

std::string VersionText(const proto::ParameterVersion& version) {
  return version.number() == 0 ? "none yet" : FromProto(version).ToString();
}

// "At most": the run may reach its goal before the limits from which the rest is computed.
std::string TimeText(const proto::RunStatus& status) {
  std::string text = FormatSeconds(status.elapsed_seconds());
  if (status.remaining_seconds() > 0) {
    absl::StrAppend(&text, ", at most ", FormatSeconds(status.remaining_seconds()), " left");
  }
  return text;
}

std::string RatesText(const proto::RunStatus& status) {
  return absl::StrFormat("%.0f rows/s, %.0f updates/s", status.rows_per_second(),
                         status.updates_per_second());
}

std::string CheckpointText(const proto::RunStatus& status) {
  if (status.checkpoint_error().empty()) return "ok";
  return absl::StrCat("none could be written for ",
                      FormatSeconds(status.checkpoint_failing_seconds()), ": ",
                      status.checkpoint_error());
}

std::string RestorationText(const proto::RunStatus& status) {
  if (status.restorations() == 0) return "none";
  return absl::StrCat(status.restorations(), ", the last: ", status.last_restoration());
}

// "learner.utd 1, replay.slack_rows 1,000, ...".
std::string LimitsText(const proto::RunLimits& limits) {
  return absl::StrCat("learner.utd ", limits.utd(), ", replay.slack_rows ",
                      FormatCount(limits.slack_rows()), ", replay.min_rows ",
                      FormatCount(limits.min_rows()), ", stop.max_rows ",
                      limits.max_rows() == 0 ? "0 (no limit)" : FormatCount(limits.max_rows()));
}

// The newest `most`; a long run has hundreds.
TextTable Evaluations(const proto::RunStatus& status, int most) {
  TextTable rows = {{"rows", "updates", "version", "return", "min", "max", "episodes", "time"}};
  const int all = status.evaluations_size();
  for (int i = std::max(0, all - most); i < all; ++i) {
    const proto::EvaluationResult& result = status.evaluations(i);
    rows.push_back(
        {FormatCount(result.rows()), FormatCount(result.updates()), VersionText(result.version()),
         FormatMean(result.return_mean(), result.return_ci95()),
         absl::StrFormat("%.1f", result.return_min()), absl::StrFormat("%.1f", result.return_max()),
         absl::StrCat(result.episodes()), FormatSeconds(result.elapsed_seconds())});
    // A ninth cell in one row: the others have none, and the heading needs none.
    if (&result == BestEvaluation(status)) rows.back().push_back("best");
  }
  return rows;
}

// The columns that PeerStatus and EndedPeer have alike.
template <typename Peer>
std::vector<std::string> PeerCells(const Peer& peer) {
  return {Name(peer.role()), absl::StrCat(peer.index()), peer.name(), FormatCount(peer.rows()),
          FormatCount(peer.episodes())};
}

TextTable Peers(const proto::RunStatus& status) {
  TextTable rows = {{"role", "index", "name", "rows", "episodes", "last heartbeat", "waits for"}};
  for (const proto::PeerStatus& peer : status.peers()) {
    std::vector<std::string>& row = rows.emplace_back(PeerCells(peer));
    row.push_back(absl::StrFormat("%.1f s ago", peer.seconds_since_heartbeat()));
    row.push_back(peer.waiting().empty() ? "nothing" : peer.waiting());
  }
  return rows;
}

// Those that are gone, which explain why rows or results are missing.
TextTable EndedPeers(const proto::RunStatus& status) {
  TextTable rows = {{"role", "index", "name", "rows", "episodes", "ended", "how"}};
  for (const proto::EndedPeer& peer : status.ended_peers()) {
    std::vector<std::string>& row = rows.emplace_back(PeerCells(peer));
    row.push_back(absl::StrCat(FormatSeconds(peer.seconds_ago()), " ago"));
    row.push_back(peer.how());
  }
  return rows;
}

TextTable Planners(const proto::RunStatus& status) {
  TextTable rows = {{"name", "address", "state", "version", "behind"}};
  for (const proto::PlannerStatus& planner : status.planners()) {
    const std::string since = FormatSeconds(planner.since_seconds());
    rows.push_back({planner.name(), planner.peer(),
                    planner.connected() ? absl::StrCat("connected for ", since)
                                        : absl::StrCat("lost ", since, " ago"),
                    VersionText(planner.version()),
                    planner.behind_seconds() > 0 ? FormatSeconds(planner.behind_seconds()) : "no"});
  }
  return rows;
}

TextTable Shards(const proto::RunStatus& status) {
  TextTable rows = {
      {"shard", "address", "accepted", "stored", "windows", "blocked streams", "state"}};
  for (const proto::ShardStatus& shard : status.shards()) {
    rows.push_back({absl::StrCat(shard.index()), shard.address(),
                    FormatCount(shard.accepted_rows()), FormatCount(shard.stored_rows()),
                    FormatCount(shard.windows()), absl::StrCat(shard.blocked_streams()),
                    shard.reachable() ? "ok"
                                      : absl::StrCat("unreachable for ",
                                                     FormatSeconds(shard.unreachable_seconds()),
                                                     ": ", shard.problem())});
  }
  return rows;
}

}  // namespace

std::string ChangeText(const proto::LimitChange& change) {
  return absl::StrCat(change.setting(), " ", change.before(), " -> ", change.now(), " at ",
                      FormatCount(change.rows()), " rows, ", FormatCount(change.updates()),
                      " updates (", change.at(), ")");
}

std::string PhaseText(const proto::RunStatus& status) {
  return absl::StrCat(proto::Phase_Name(status.phase()), status.over_reason().empty() ? "" : ": ",
                      status.over_reason());
}

std::string CountsText(const proto::RunStatus& status) {
  return absl::StrCat(FormatCount(status.rows()), " rows, ", FormatCount(status.updates()),
                      " updates, ", FormatCount(status.episodes()), " episodes");
}

const proto::EvaluationResult* BestEvaluation(const proto::RunStatus& status) {
  // The status may be another program's: what it says need not fit together.
  const uint64_t all = static_cast<uint64_t>(status.evaluations_size());
  if (!status.has_best_evaluation() || status.best_evaluation() >= all) return nullptr;
  return &status.evaluations(static_cast<int>(status.best_evaluation()));
}

std::string ProgressLine(const proto::RunStatus& status) {
  std::string line = absl::StrCat(proto::Phase_Name(status.phase()), "  ", CountsText(status));
  // What does not exist yet is left out, so that the line fits a terminal for most of the run; what
  // is waited for stands last, where a narrow terminal cuts it off.
  if (status.has_training_return_mean()) {
    absl::StrAppendFormat(&line, " | training return %.1f", status.training_return_mean());
  }
  if (const proto::EvaluationResult* best = BestEvaluation(status)) {
    const proto::EvaluationResult& latest = *status.evaluations().rbegin();
    absl::StrAppendFormat(&line, " | evaluation %s, best %.1f",
                          FormatMean(latest.return_mean(), latest.return_ci95()),
                          best->return_mean());
  }
  absl::StrAppend(&line, " | ", RatesText(status), " | ", TimeText(status));
  if (!status.waiting().empty()) absl::StrAppend(&line, " | ", status.waiting());
  return line;
}

std::optional<std::string> WaitingOf(absl::string_view progress_line) {
  const std::vector<absl::string_view> parts = absl::StrSplit(progress_line, " | ");
  const std::vector<absl::string_view> head = absl::StrSplit(parts[0], absl::MaxSplits("  ", 1));
  proto::Phase phase;
  if (head.size() != 2 || !proto::Phase_Parse(std::string(head[0]), &phase)) return std::nullopt;
  // Returns are there once they are known, rates and times always.
  size_t next = 1;
  for (const char* optional : {"training return ", "evaluation "}) {
    if (next < parts.size() && absl::StartsWith(parts[next], optional)) ++next;
  }
  next += 2;
  if (parts.size() < next) return std::nullopt;
  return absl::StrJoin(parts.begin() + static_cast<std::ptrdiff_t>(next), parts.end(), " | ");
}

TextTable StatusFields(const proto::GetRunReply& run) {
  const proto::RunStatus& status = run.status();
  return {{"run", run.run_id()},
          {"task", run.config().env().task()},
          {"folder", status.run_dir()},
          {"phase", PhaseText(status)},
          {"waiting", status.waiting().empty() ? "no" : status.waiting()},
          {"progress", CountsText(status)},
          {"rates", RatesText(status)},
          {"time", TimeText(status)},
          {"limits", status.limiter().changes().empty()
                         ? LimitsText(status.limiter().limits())
                         : absl::StrCat(LimitsText(status.limiter().limits()), "; changed last: ",
                                        ChangeText(*status.limiter().changes().rbegin()))},
          {"restorations", RestorationText(status)},
          {"parameters", absl::StrCat("version ", VersionText(status.version()))},
          {"checkpoints", CheckpointText(status)},
          {"training", status.has_training_return_mean()
                           ? absl::StrFormat("mean return %.1f of the newest episodes",
                                             status.training_return_mean())
                           : "no episode has ended in this start of the learner"}};
}

// In words which side waits for the other. A bound of 0 is one that does not exist: that of rows in
// lockstep, that of updates offline.
TextTable LimiterFields(const proto::RunStatus& status) {
  const proto::LimiterStatus& limiter = status.limiter();
  const std::string rows = FormatCount(status.rows());
  TextTable fields = {
      {"limits", LimitsText(limiter.limits())},
      {"rows", limiter.rows_bound() == 0 ? rows
                                         : absl::StrCat(rows, "; shards hold writers back at ",
                                                        FormatCount(limiter.rows_bound()))},
      {"updates", limiter.updates_bound() == 0 ? FormatCount(status.updates())
                                               : absl::StrCat(FormatCount(status.updates()), " of ",
                                                              FormatCount(limiter.updates_bound()),
                                                              " that these rows allow")},
      {"ratio", absl::StrCat(limiter.limits().utd(), " updates per row, from row ",
                             FormatCount(limiter.ratio_rows()), " and update ",
                             FormatCount(limiter.ratio_updates()), " on")},
      {"replay",
       absl::StrCat(FormatCount(limiter.stored_rows()), " rows, ", FormatCount(limiter.windows()),
                    " windows; updates need ", FormatCount(limiter.min_rows()), " rows")},
      {"learner", limiter.learner_reason() == proto::LimiterStatus::NONE
                      ? "does not wait"
                      : absl::StrCat("waits (", Name(limiter.learner_reason()),
                                     "): ", limiter.learner_waits())},
      {"writers",
       limiter.writers_reason() == proto::LimiterStatus::NONE
           ? "none is held back"
           : absl::StrCat(limiter.blocked_streams(), " held back (", Name(limiter.writers_reason()),
                          "): ", limiter.writers_wait())}};
  if (status.wanted_environments() > 0) {
    fields.push_back(
        {"environments", absl::StrFormat("%d act; %.1f would keep the learner busy",
                                         status.environments(), status.wanted_environments())});
  }
  for (const proto::LimitChange& change : limiter.changes()) {
    fields.push_back({"changed", ChangeText(change)});
  }
  return fields;
}

std::vector<StatusTable> StatusTables(const proto::RunStatus& status, int most_evaluations) {
  std::vector<StatusTable> tables;
  const auto add = [&](const char* title, TextTable rows) {
    // Headings alone say nothing.
    if (rows.size() > 1) tables.push_back({title, std::move(rows)});
  };
  add("evaluations", Evaluations(status, most_evaluations));
  add("actors and evaluators", Peers(status));
  add("ended actors and evaluators", EndedPeers(status));
  // That there is no planner explains why nothing moves, so this table is always there.
  tables.push_back({"planners", status.planners().empty() ? TextTable{{"none is connected"}}
                                                          : Planners(status)});
  add("replay shards", Shards(status));
  return tables;
}

}  // namespace pompc::run
