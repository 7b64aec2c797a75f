#include "run/control/waiting.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace pompc::run {
namespace {

// Rows come in chunks and heartbeats once a second: what peers say matters once rows stay away for
// longer than that.
constexpr double kRowsStayAwaySeconds = 3;
// Versions follow each other faster than a large one is sent.
constexpr double kBehindSeconds = 10;

std::string Named(Role role, uint32_t index, const std::string& name) {
  return absl::StrCat(RoleName(role), " ", index, " (", name, ")");
}

std::string EndedText(const EndedPeer& peer) {
  return absl::StrFormat("%s ended after %u rows, %.0f s ago: %s",
                         Named(peer.role, peer.index, peer.name), peer.rows, peer.seconds_ago,
                         peer.how);
}

// The newest one that explains why nothing comes: any if nobody has taken its place, otherwise one
// that failed and after which nothing has come.
const EndedPeer* Culprit(const RunStatus& status, Role role, bool registered) {
  const auto found = std::find_if(
      status.ended_peers.rbegin(), status.ended_peers.rend(), [&](const EndedPeer& peer) {
        return peer.role == role &&
               (!registered || (peer.end != LeaseEnd::kLeft && peer.nothing_since));
      });
  return found == status.ended_peers.rend() ? nullptr : &*found;
}

// Why those who have the role may be what is waited for.
void AddPeers(const RunStatus& status, Role role, std::vector<std::string>& parts) {
  std::vector<const PeerView*> peers;
  for (const PeerView& peer : status.peers) {
    if (peer.role == role) peers.push_back(&peer);
  }
  if (peers.empty()) parts.push_back(absl::StrCat("no ", RoleName(role), " is registered"));
  const bool stays_away =
      role == Role::kEvaluator || status.seconds_since_rows >= kRowsStayAwaySeconds;
  if (!peers.empty() && !stays_away) return;
  if (const EndedPeer* ended = Culprit(status, role, !peers.empty())) {
    parts.push_back(EndedText(*ended));
  }
  const auto waits = [](const PeerView* peer) { return !peer->waiting.empty(); };
  const auto first = std::find_if(peers.begin(), peers.end(), waits);
  if (first == peers.end()) return;
  const auto count = std::count_if(peers.begin(), peers.end(), waits);
  parts.push_back(absl::StrCat(
      count == 1 ? "" : absl::StrCat(count, " of ", peers.size(), " ", RoleName(role), "s wait, "),
      Named(role, (*first)->index, (*first)->name), " waits: ", (*first)->waiting));
}

// Plans are needed once there are parameters.
void AddPlanners(const RunStatus& status, std::vector<std::string>& parts) {
  if (status.phase != Phase::kTraining) return;
  const bool any = std::any_of(status.planners.begin(), status.planners.end(),
                               [](const PlannerView& planner) { return planner.connected; });
  if (!any) {
    std::string text = "no planner is connected: actors that need plans wait";
    if (!status.planners.empty()) {
      const PlannerView& last = status.planners.back();
      absl::StrAppendFormat(&text, " (%s at %s was lost %.0f s ago)", last.name, last.peer,
                            last.since_seconds);
    }
    parts.push_back(std::move(text));
  }
  for (const PlannerView& planner : status.planners) {
    if (!planner.connected || planner.behind_seconds < kBehindSeconds) continue;
    parts.push_back(absl::StrFormat("planner %s at %s is %.0f s behind with the parameters",
                                    planner.name, planner.peer, planner.behind_seconds));
    break;
  }
}

void AddShards(const RunStatus& status, const std::string& grant, std::vector<std::string>& parts) {
  uint32_t blocked = 0;
  for (size_t i = 0; i < status.shards.size(); ++i) {
    const ShardView& shard = status.shards[i];
    if (shard.reachable) {
      blocked += shard.state.blocked_streams;
      continue;
    }
    parts.push_back(absl::StrFormat("shard %u (%s) has been unreachable for %.0f s: %s", i,
                                    shard.address, shard.unreachable_seconds, shard.problem));
  }
  if (blocked > 0) {
    parts.push_back(
        absl::StrCat(blocked, blocked == 1 ? " writer waits: " : " writers wait: ", grant));
  }
}

}  // namespace

std::string WaitingText(const RunStatus& status, const LearnerWaits& waits) {
  std::vector<std::string> parts;
  if (!waits.halted.empty() && !IsOver(status.phase)) {
    parts.push_back(absl::StrCat("this learner ends, and actors and evaluators wait for the next: ",
                                 waits.halted));
  }
  if (!waits.step.empty()) parts.push_back(waits.step);
  if (!waits.within_step.empty()) parts.push_back(waits.within_step);
  if (!waits.step.empty() && waits.step_for == LearnerWaits::For::kActors) {
    AddPeers(status, Role::kActor, parts);
  }
  if (!waits.step.empty() && waits.step_for == LearnerWaits::For::kEvaluators) {
    AddPeers(status, Role::kEvaluator, parts);
  }
  AddPlanners(status, parts);
  AddShards(status, waits.grant, parts);
  if (!status.checkpoints.error.empty()) {
    parts.push_back(absl::StrFormat("no checkpoint could be written for %.0f s: %s",
                                    status.checkpoints.failing_seconds, status.checkpoints.error));
  }
  return absl::StrJoin(parts, "; ");
}

}  // namespace pompc::run
