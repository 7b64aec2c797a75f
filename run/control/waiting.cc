#include "run/control/waiting.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "run/control/names.h"

namespace pompc::run {
namespace {

// Rows come in chunks and heartbeats once a second: what peers say matters once rows stay away for
// longer than that.
constexpr double kRowsStayAwaySeconds = 3;
// Versions follow each other faster than a large one is sent.
constexpr double kBehindSeconds = 10;

// "actor 3 (host:12)": one of PeerStatus and EndedPeer.
template <typename Peer>
std::string Named(const Peer& peer) {
  return absl::StrCat(Name(peer.role()), " ", peer.index(), " (", peer.name(), ")");
}

// True for what the learner waits for until actors bring rows.
bool EndedByActors(proto::LimiterStatus::Reason reason) {
  return reason == proto::LimiterStatus::SEED_ROWS || reason == proto::LimiterStatus::RATIO ||
         reason == proto::LimiterStatus::MIN_ROWS || reason == proto::LimiterStatus::NO_WINDOW;
}

// The newest one that explains why nothing comes: any if nobody has taken its place, otherwise one
// that failed and after which nothing has come.
const proto::EndedPeer* Culprit(const proto::RunStatus& status, proto::Role role, bool registered) {
  // From the newest back: an actor that failed an hour ago explains nothing if another one has left
  // since.
  const auto& ended = status.ended_peers();
  const auto found = std::find_if(ended.rbegin(), ended.rend(), [&](const proto::EndedPeer& peer) {
    return peer.role() == role &&
           (!registered || (peer.end() != proto::LEFT && peer.nothing_since()));
  });
  return found == ended.rend() ? nullptr : &*found;
}

// Why those who have the role may be what is waited for.
void AddPeers(const proto::RunStatus& status, proto::Role role, std::vector<std::string>& parts) {
  std::vector<const proto::PeerStatus*> peers;
  for (const proto::PeerStatus& peer : status.peers()) {
    if (peer.role() == role) peers.push_back(&peer);
  }
  if (peers.empty()) parts.push_back(absl::StrCat("no ", Name(role), " is registered"));
  const bool stays_away =
      role == proto::EVALUATOR || status.seconds_since_rows() >= kRowsStayAwaySeconds;
  if (!peers.empty() && !stays_away) return;
  if (const proto::EndedPeer* ended = Culprit(status, role, !peers.empty())) {
    parts.push_back(absl::StrFormat("%s ended after %u rows, %.0f s ago: %s", Named(*ended),
                                    ended->rows(), ended->seconds_ago(), ended->how()));
  }
  // One stands for all: they wait for the same, as a rule, and the line is read by people.
  const auto waits = [](const proto::PeerStatus* peer) { return !peer->waiting().empty(); };
  const auto first = std::find_if(peers.begin(), peers.end(), waits);
  if (first == peers.end()) return;
  const auto count = std::count_if(peers.begin(), peers.end(), waits);
  parts.push_back(absl::StrCat(
      count == 1 ? "" : absl::StrCat(count, " of ", peers.size(), " ", Name(role), "s wait, "),
      Named(**first), " waits: ", (*first)->waiting()));
}

// Plans are needed once there are parameters.
void AddPlanners(const proto::RunStatus& status, std::vector<std::string>& parts) {
  if (status.phase() != proto::TRAINING) return;
  const bool any =
      std::any_of(status.planners().begin(), status.planners().end(),
                  [](const proto::PlannerStatus& planner) { return planner.connected(); });
  if (!any) {
    std::string text = "no planner is connected: actors that need plans wait";
    if (!status.planners().empty()) {
      const proto::PlannerStatus& last = *status.planners().rbegin();
      absl::StrAppendFormat(&text, " (%s at %s was lost %.0f s ago)", last.name(), last.peer(),
                            last.since_seconds());
    }
    parts.push_back(std::move(text));
  }
  for (const proto::PlannerStatus& planner : status.planners()) {
    if (!planner.connected() || planner.behind_seconds() < kBehindSeconds) continue;
    parts.push_back(absl::StrFormat("planner %s at %s is %.0f s behind with the parameters",
                                    planner.name(), planner.peer(), planner.behind_seconds()));
    break;
  }
}

void AddShards(const proto::RunStatus& status, const std::string& grant,
               std::vector<std::string>& parts) {
  uint32_t blocked = 0;
  for (const proto::ShardStatus& shard : status.shards()) {
    if (shard.reachable()) {
      blocked += shard.blocked_streams();
      continue;
    }
    parts.push_back(absl::StrFormat("shard %u (%s) has been unreachable for %.0f s: %s",
                                    shard.index(), shard.address(), shard.unreachable_seconds(),
                                    shard.problem()));
  }
  if (blocked > 0) {
    parts.push_back(
        absl::StrCat(blocked, blocked == 1 ? " writer waits: " : " writers wait: ", grant));
  }
}

}  // namespace

std::string WaitingText(const proto::RunStatus& status, const LearnerWaits& waits) {
  std::vector<std::string> parts;
  if (!waits.halted.empty() && !IsOver(status.phase())) {
    parts.push_back(absl::StrCat("this learner ends, and actors and evaluators wait for the next: ",
                                 waits.halted));
  }
  // From the learner outwards: what it waits for, then whoever should bring that, then what is out
  // of order in any case.
  if (!waits.step.empty()) parts.push_back(waits.step);
  if (!waits.within_step.empty()) parts.push_back(waits.within_step);
  if (EndedByActors(waits.step_reason)) AddPeers(status, proto::ACTOR, parts);
  if (waits.step_reason == proto::LimiterStatus::EVALUATION) {
    AddPeers(status, proto::EVALUATOR, parts);
  }
  AddPlanners(status, parts);
  AddShards(status, waits.grant, parts);
  if (!status.checkpoint_error().empty()) {
    parts.push_back(absl::StrFormat("no checkpoint could be written for %.0f s: %s",
                                    status.checkpoint_failing_seconds(),
                                    status.checkpoint_error()));
  }
  return absl::StrJoin(parts, "; ");
}

}  // namespace pompc::run
