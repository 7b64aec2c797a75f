#include "run/run_messages.h"

#include "absl/strings/str_cat.h"
#include "common/rpc/wire.h"

namespace pompc::run {

proto::Phase ToProto(Phase phase) {
  switch (phase) {
    case Phase::kSeed:
      return proto::SEED;
    case Phase::kTraining:
      return proto::TRAINING;
    case Phase::kFinished:
      return proto::FINISHED;
    case Phase::kStopping:
      return proto::STOPPING;
  }
  return proto::PHASE_UNSPECIFIED;
}

proto::Role ToProto(Role role) { return role == Role::kActor ? proto::ACTOR : proto::EVALUATOR; }

proto::EvaluationAssignment ToProto(const EvaluationAssignment& assignment) {
  proto::EvaluationAssignment message;
  message.set_evaluation_id(assignment.id);
  *message.mutable_version() = ToProto(assignment.version);
  message.set_rows(assignment.rows);
  message.set_updates(assignment.updates);
  message.set_episodes(assignment.episodes);
  message.set_seed(assignment.seed);
  return message;
}

proto::EvaluationResult ToProto(const EvaluationResult& result) {
  proto::EvaluationResult message;
  message.set_evaluation_id(result.id);
  *message.mutable_version() = ToProto(result.version);
  message.set_rows(result.rows);
  message.set_updates(result.updates);
  message.set_return_mean(result.return_mean);
  message.set_return_ci95(result.return_ci95);
  message.set_return_min(result.return_min);
  message.set_return_max(result.return_max);
  message.set_episodes(result.episodes);
  message.set_elapsed_seconds(result.elapsed_seconds);
  return message;
}

namespace {

proto::PeerStatus ToProto(const PeerView& peer) {
  proto::PeerStatus message;
  message.set_role(run::ToProto(peer.role));
  message.set_index(peer.index);
  message.set_name(peer.name);
  message.set_rows(peer.rows);
  message.set_episodes(peer.episodes);
  message.set_seconds_since_heartbeat(peer.seconds_since_heartbeat);
  message.set_waiting(peer.waiting);
  return message;
}

proto::EndedPeer ToProto(const EndedPeer& peer) {
  proto::EndedPeer message;
  message.set_role(run::ToProto(peer.role));
  message.set_index(peer.index);
  message.set_name(peer.name);
  message.set_rows(peer.rows);
  message.set_episodes(peer.episodes);
  message.set_seconds_ago(peer.seconds_ago);
  message.set_how(peer.how);
  return message;
}

proto::PlannerStatus ToProto(const PlannerView& planner) {
  proto::PlannerStatus message;
  message.set_name(planner.name);
  message.set_peer(planner.peer);
  message.set_connected(planner.connected);
  *message.mutable_version() = ToProto(planner.version);
  message.set_behind_seconds(planner.behind_seconds);
  message.set_since_seconds(planner.since_seconds);
  return message;
}

proto::ShardStatus ToProto(uint32_t index, const ShardView& shard) {
  proto::ShardStatus message;
  message.set_index(index);
  message.set_address(shard.address);
  message.set_reachable(shard.reachable);
  message.set_accepted_rows(shard.state.accepted_rows);
  message.set_stored_rows(shard.state.stored_rows);
  message.set_windows(shard.state.windows);
  message.set_blocked_streams(shard.state.blocked_streams);
  message.set_problem(shard.problem);
  message.set_unreachable_seconds(shard.unreachable_seconds);
  return message;
}

}  // namespace

proto::RunStatus ToProto(const RunStatus& status) {
  proto::RunStatus message;
  message.set_phase(ToProto(status.phase));
  message.set_rows(status.rows);
  message.set_updates(status.updates);
  message.set_episodes(status.episodes);
  message.set_rows_per_second(status.rows_per_second);
  message.set_updates_per_second(status.updates_per_second);
  message.set_elapsed_seconds(status.elapsed_seconds);
  message.set_remaining_seconds(status.remaining_seconds);
  *message.mutable_version() = ToProto(status.version);
  for (const EvaluationResult& result : status.evaluations) {
    *message.add_evaluations() = ToProto(result);
  }
  if (status.best_evaluation.has_value()) message.set_best_evaluation(*status.best_evaluation);
  message.set_training_return_mean(status.training_return_mean.value_or(0));
  for (const PeerView& peer : status.peers) *message.add_peers() = ToProto(peer);
  for (size_t i = 0; i < status.shards.size(); ++i) {
    *message.add_shards() = ToProto(static_cast<uint32_t>(i), status.shards[i]);
  }
  message.set_waiting(status.waiting);
  message.set_over_reason(status.over_reason);
  message.set_restorations(status.restorations);
  message.set_last_restoration(status.last_restoration);
  for (const PlannerView& planner : status.planners) *message.add_planners() = ToProto(planner);
  for (const EndedPeer& peer : status.ended_peers) *message.add_ended_peers() = ToProto(peer);
  message.set_checkpoint_error(status.checkpoints.error);
  message.set_checkpoint_failing_seconds(status.checkpoints.failing_seconds);
  return message;
}

ShardState FromProto(const proto::ShardInfo& info) {
  ShardState state;
  state.incarnation = info.shard_incarnation();
  state.accepted_rows = info.accepted_rows();
  state.stored_rows = info.stored_rows();
  state.stored_bytes = info.stored_bytes();
  state.capacity_rows = info.capacity_rows();
  state.windows = info.windows();
  state.barred_windows = info.barred_windows();
  state.streams = info.streams();
  state.blocked_streams = info.blocked_streams();
  state.bound = info.max_accepted_rows();
  return state;
}

}  // namespace pompc::run
