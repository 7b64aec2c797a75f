#ifndef POMPC_RUN_CONTROL_RUN_STATUS_H_
#define POMPC_RUN_CONTROL_RUN_STATUS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "run/control/types.h"

namespace pompc::run {

// A shard's own account of itself.
struct ShardState {
  // Identifies the shard's memory; rows count from 0 in each.
  uint64_t incarnation = 0;
  uint64_t accepted_rows = 0;
  uint64_t stored_rows = 0;
  uint64_t stored_bytes = 0;
  // What it can hold, by whichever of its bounds is met first.
  uint64_t capacity_rows = 0;
  uint64_t windows = 0;
  // Windows that it holds and does not draw: no update can be made with them.
  uint64_t barred_windows = 0;
  uint32_t streams = 0;
  uint32_t blocked_streams = 0;
  // The bound on accepted_rows it keeps.
  uint64_t bound = 0;
};

// What to tell a shard.
struct ShardGrant {
  // Bound on the rows ever accepted by its present memory.
  uint64_t max_accepted_rows = 0;
  // Why that is the bound, for blocked writers.
  std::string reason;
  bool seed_phase_over = false;
  // Start of the learner and the newest version it has published, 0 before the first.
  ParameterVersion newest_version;
};

// How the learner sees a shard.
struct ShardView {
  std::string address;
  bool reachable = false;
  // Why it is not; empty if it is.
  std::string problem;
  // Since when it is not; 0 if it is.
  double unreachable_seconds = 0;
  // The last one it gave.
  ShardState state;
};

// How the learner sees an actor or evaluator.
struct PeerView {
  Role role = Role::kActor;
  uint32_t index = 0;
  std::string name;
  uint64_t rows = 0;
  uint64_t episodes = 0;
  double seconds_since_heartbeat = 0;
  // What it waited for at its newest heartbeat, in words; empty when it did not wait.
  std::string waiting;
};

// An actor or evaluator whose lease has ended.
struct EndedPeer {
  Role role = Role::kActor;
  uint32_t index = 0;
  std::string name;
  uint64_t rows = 0;
  uint64_t episodes = 0;
  LeaseEnd end = LeaseEnd::kLeft;
  // How it ended, in words.
  std::string how;
  double seconds_ago = 0;
  // Whether the run has not moved since: no row has come (after an actor), no result of an
  // evaluation (after an evaluator).
  bool nothing_since = false;
};

// How the learner sees a planner that follows the parameters, or was lost.
struct PlannerView {
  std::string name;
  // Address it was connected from.
  std::string peer;
  bool connected = false;
  // Newest version that was sent to it completely; (0, 0) before the first.
  ParameterVersion version;
  // Age of the oldest version that it has not been sent completely; 0 when it has the newest.
  double behind_seconds = 0;
  // Since when it is connected, or is not.
  double since_seconds = 0;
};

// What becomes of the checkpoints.
struct CheckpointView {
  // Why the newest one could not be written; empty when it was.
  std::string error;
  // Since when none could be written; 0 when the newest one was.
  double failing_seconds = 0;
};

// A finished training episode that an actor told of. Actors tell of their newest at each heartbeat,
// so of several within one heartbeat only the last is seen.
struct EpisodeNews {
  uint32_t actor_index = 0;
  // Episodes of the run so far.
  uint64_t episodes = 0;
  uint64_t rows = 0;
  double elapsed_seconds = 0;
  double episode_return = 0;
};

// A run at one moment.
struct RunStatus {
  Phase phase = Phase::kSeed;
  // Why the run is over; empty while it is not.
  std::string over_reason;
  uint64_t rows = 0;
  uint64_t updates = 0;
  uint64_t episodes = 0;
  // How often updates were undone in this start because something in them was not finite, and what
  // it was the last time, in words.
  uint64_t restorations = 0;
  std::string last_restoration;
  double rows_per_second = 0;
  double updates_per_second = 0;
  // Over all starts of the run.
  double elapsed_seconds = 0;
  // Until the row or time limit at the present rate; 0 when unknown.
  double remaining_seconds = 0;
  ParameterVersion version;
  std::vector<EvaluationResult> evaluations;
  // Position in `evaluations` of the best mean return.
  std::optional<size_t> best_evaluation;
  // Mean return of the newest training episodes; absent before the first.
  std::optional<double> training_return_mean;
  std::vector<PeerView> peers;
  // The leases that ended last, oldest first; 16 at most.
  std::vector<EndedPeer> ended_peers;
  // Leases that ended in this start of the learner, by LeaseEnd.
  std::array<uint64_t, kLeaseEnds> lease_ends = {};
  // Planners that are connected, then those that were lost last.
  std::vector<PlannerView> planners;
  std::vector<ShardView> shards;
  CheckpointView checkpoints;
  // How long no row has come.
  double seconds_since_rows = 0;
  // Who waits for whom just now and what is out of order, in words; empty when nothing is.
  std::string waiting;
};

}  // namespace pompc::run

#endif  // POMPC_RUN_CONTROL_RUN_STATUS_H_
