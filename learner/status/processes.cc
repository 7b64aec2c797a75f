#include "learner/status/processes.h"

#include "absl/strings/str_cat.h"
#include "common/values/text_table.h"
#include "proto/parameter_version.h"
#include "run/control/names.h"
#include "run/control/status_report.h"

namespace pompc::learner {
namespace {

// Heartbeats come once a second, and a lease ends after 10 s without one.
constexpr double kSilentSeconds = 5;
// Planners get a new version within moments.
constexpr double kBehindSeconds = 10;

ProcessView Learner(const StatusView& view) {
  const proto::RunStatus& status = view.run.status();
  ProcessView learner = {.role = "learner", .index = 0, .name = "learner"};
  learner.detail = absl::StrCat("start ", view.learner_start, ", ", run::PhaseText(status));
  learner.health = kOk;
  if (view.ranks > 1) {
    absl::StrAppend(&learner.detail, ", ", view.ranks_present, " of ", view.ranks, " ranks");
  }
  if (run::IsOver(status.phase())) {
    learner.health = kEnded;
  } else if (!status.checkpoint_error().empty()) {
    learner.health = kTrouble;
    absl::StrAppend(&learner.detail, "; no checkpoint: ", status.checkpoint_error());
  } else if (!status.limiter().learner_waits().empty() || view.ranks_present < view.ranks) {
    learner.health = kWaiting;
    // The ranks that are missing are told of above.
    if (const std::string& why = status.limiter().learner_waits(); !why.empty()) {
      absl::StrAppend(&learner.detail, "; ", why);
    }
  }
  return learner;
}

ProcessView Shard(const proto::ShardStatus& shard) {
  ProcessView view = {.role = "shard", .index = shard.index(), .address = shard.address()};
  if (!shard.reachable()) {
    view.health = kTrouble;
    view.silent_seconds = shard.unreachable_seconds();
    view.detail = absl::StrCat("unreachable for ", FormatSeconds(shard.unreachable_seconds()), ": ",
                               shard.problem());
    return view;
  }
  view.health = kOk;
  view.detail = absl::StrCat(FormatCount(shard.stored_rows()), " rows, ",
                             FormatCount(shard.windows()), " windows");
  if (shard.blocked_streams() > 0) {
    absl::StrAppend(&view.detail, ", holds back ", shard.blocked_streams(),
                    shard.blocked_streams() == 1 ? " writer" : " writers");
  }
  return view;
}

ProcessView Planner(const proto::PlannerStatus& planner) {
  ProcessView view = {.role = "planner", .name = planner.name(), .address = planner.peer()};
  if (!planner.connected()) {
    view.health = kTrouble;
    view.silent_seconds = planner.since_seconds();
    view.detail = absl::StrCat("lost ", FormatSeconds(planner.since_seconds()), " ago");
    return view;
  }
  const ParameterVersion version = FromProto(planner.version());
  view.detail =
      version.number == 0 ? "no parameters yet" : absl::StrCat("version ", version.ToString());
  view.health = kOk;
  if (planner.behind_seconds() > 0) {
    absl::StrAppend(&view.detail, ", ", FormatSeconds(planner.behind_seconds()), " behind");
    if (planner.behind_seconds() > kBehindSeconds) view.health = kTrouble;
  }
  return view;
}

std::string Work(proto::Role role, uint64_t rows, uint64_t episodes) {
  return role == proto::ACTOR
             ? absl::StrCat(FormatCount(rows), " rows, ", FormatCount(episodes),
                            episodes == 1 ? " episode" : " episodes")
             : absl::StrCat(FormatCount(episodes), episodes == 1 ? " episode" : " episodes");
}

ProcessView Peer(const proto::PeerStatus& peer) {
  ProcessView view = {.role = run::Name(peer.role()), .index = peer.index(), .name = peer.name()};
  view.silent_seconds = peer.seconds_since_heartbeat();
  view.detail = Work(peer.role(), peer.rows(), peer.episodes());
  view.health = kOk;
  if (!peer.waiting().empty()) {
    view.health = kWaiting;
    absl::StrAppend(&view.detail, "; waits for: ", peer.waiting());
  }
  if (peer.seconds_since_heartbeat() > kSilentSeconds) {
    view.health = kTrouble;
    absl::StrAppend(&view.detail, "; no heartbeat for ",
                    FormatSeconds(peer.seconds_since_heartbeat()));
  }
  return view;
}

ProcessView Ended(const proto::EndedPeer& peer) {
  ProcessView view = {.role = run::Name(peer.role()), .index = peer.index(), .name = peer.name()};
  view.silent_seconds = peer.seconds_ago();
  view.detail = absl::StrCat(Work(peer.role(), peer.rows(), peer.episodes()), "; ended ",
                             FormatSeconds(peer.seconds_ago()), " ago: ", peer.how());
  // One that others have made up for needs nobody's attention.
  view.health = peer.end() != proto::LEFT && peer.nothing_since() ? kTrouble : kEnded;
  return view;
}

}  // namespace

std::vector<ProcessView> Processes(const StatusView& view) {
  const proto::RunStatus& status = view.run.status();
  std::vector<ProcessView> processes = {Learner(view)};
  for (const proto::ShardStatus& shard : status.shards()) processes.push_back(Shard(shard));
  for (const proto::PlannerStatus& planner : status.planners()) {
    processes.push_back(Planner(planner));
  }
  for (const proto::PeerStatus& peer : status.peers()) processes.push_back(Peer(peer));
  for (const proto::EndedPeer& peer : status.ended_peers()) processes.push_back(Ended(peer));
  return processes;
}

}  // namespace pompc::learner
