#include "run/service.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/config/run_config.h"
#include "common/process/log.h"
#include "common/rpc/call.h"
#include "common/values/number_check.h"

namespace pompc::run {

RunService::RunService(RunControl* control, const RunServiceOptions& options)
    : control_(control), options_(options) {}

grpc::ServerUnaryReactor* RunService::Register(grpc::CallbackServerContext* context,
                                               const proto::RegisterRequest* request,
                                               proto::RegisterReply* reply) {
  return rpc::FinishUnary(context, DoRegister(*request), reply);
}

grpc::ServerUnaryReactor* RunService::Heartbeat(grpc::CallbackServerContext* context,
                                                const proto::HeartbeatRequest* request,
                                                proto::HeartbeatReply* reply) {
  return rpc::FinishUnary(context, DoHeartbeat(*request), reply);
}

grpc::ServerUnaryReactor* RunService::ReportEvaluation(
    grpc::CallbackServerContext* context, const proto::ReportEvaluationRequest* request,
    proto::ReportEvaluationReply* reply) {
  return rpc::FinishUnary(context, DoReport(*request), reply);
}

grpc::ServerUnaryReactor* RunService::GetRun(grpc::CallbackServerContext* context,
                                             const proto::GetRunRequest* request,
                                             proto::GetRunReply* reply) {
  return rpc::FinishUnary(context, DoGetRun(*request), reply);
}

grpc::ServerUnaryReactor* RunService::StopRun(grpc::CallbackServerContext* context,
                                              const proto::StopRunRequest* request,
                                              proto::StopRunReply* reply) {
  return rpc::FinishUnary(context, DoStopRun(*request), reply);
}

grpc::ServerUnaryReactor* RunService::ChangeLimits(grpc::CallbackServerContext* context,
                                                   const proto::ChangeLimitsRequest* request,
                                                   proto::ChangeLimitsReply* reply) {
  return rpc::FinishUnary(context, DoChangeLimits(*request), reply);
}

absl::StatusOr<proto::RegisterReply> RunService::DoRegister(const proto::RegisterRequest& request) {
  POMPC_RETURN_IF_ERROR(rpc::CheckOpenHeader(request.header(), options_.run_id));
  if (request.role() != proto::ACTOR && request.role() != proto::EVALUATOR) {
    return absl::InvalidArgumentError("role: must be ACTOR or EVALUATOR");
  }
  // Presence, not zero: index 0 is an index.
  ProcessIdentity identity = {.process_id = request.process_id()};
  if (request.has_former_index()) identity.former_index = request.former_index();
  POMPC_ASSIGN_OR_RETURN(
      proto::RegisterReply reply,
      control_->Register(request.role(), request.name(), request.environments(), identity));
  reply.set_run_id(options_.run_id);
  *reply.mutable_config() = options_.config;
  return reply;
}

absl::StatusOr<proto::HeartbeatReply> RunService::DoHeartbeat(
    const proto::HeartbeatRequest& request) {
  POMPC_RETURN_IF_ERROR(rpc::CheckHeader(request.header(), options_.run_id));
  // A return that is no number would spoil the mean of the newest episodes for good.
  if (!IsReturn(request.last_return())) {
    return absl::InvalidArgumentError(absl::StrCat("last_return is ", request.last_return(),
                                                   ", must be at most ", kMaxReturn,
                                                   " in magnitude"));
  }
  const PeerCounters counters{request.rows(), request.episodes(), request.last_return()};
  return request.leaving() ? control_->Leave(request.lease_id(), counters, request.error())
                           : control_->Heartbeat(request.lease_id(), counters, request.waiting());
}

absl::StatusOr<proto::ReportEvaluationReply> RunService::DoReport(
    const proto::ReportEvaluationRequest& request) {
  POMPC_RETURN_IF_ERROR(rpc::CheckHeader(request.header(), options_.run_id));
  const std::vector<double> returns(request.returns().begin(), request.returns().end());
  POMPC_ASSIGN_OR_RETURN(const proto::Phase phase,
                         control_->ReportEvaluation(request.lease_id(), request.evaluation_id(),
                                                    FromProto(request.version()), returns));
  proto::ReportEvaluationReply reply;
  reply.set_phase(phase);
  return reply;
}

absl::StatusOr<proto::GetRunReply> RunService::DoGetRun(const proto::GetRunRequest& request) {
  POMPC_RETURN_IF_ERROR(rpc::CheckOpenHeader(request.header(), options_.run_id));
  return Describe();
}

proto::GetRunReply RunService::Describe() const {
  proto::GetRunReply reply;
  reply.set_run_id(options_.run_id);
  *reply.mutable_config() = options_.config;
  *reply.mutable_status() = control_->Status();
  reply.mutable_status()->set_run_dir(options_.run_dir);
  return reply;
}

absl::StatusOr<proto::StopRunReply> RunService::DoStopRun(const proto::StopRunRequest& request) {
  POMPC_RETURN_IF_ERROR(rpc::CheckHeader(request.header(), options_.run_id));
  // Who asked is not known: calls carry no identity.
  control_->Stop("somebody asked for it");
  proto::StopRunReply reply;
  reply.set_phase(control_->phase());
  return reply;
}

// The rules between settings come first, for they hold at any time; then those of the run at this
// moment. What is refused, or cannot be kept, changes nothing.
absl::StatusOr<proto::ChangeLimitsReply> RunService::DoChangeLimits(
    const proto::ChangeLimitsRequest& request) {
  POMPC_RETURN_IF_ERROR(rpc::CheckHeader(request.header(), options_.run_id));
  MutexLock lock(&limits_mu_);
  const RunLimits before = control_->limits();
  const RunLimits limits = WithChanges(before, request.limits());
  if (limits != before) {
    POMPC_RETURN_IF_ERROR(config::Validate(WithLimits(options_.config, limits)));
    POMPC_ASSIGN_OR_RETURN(const auto changes, control_->PlanLimits(limits));
    POMPC_RETURN_IF_ERROR(Keep(limits, changes));
    control_->SetLimits(limits, changes);
    Log().info("limits are changed at {} rows, {} updates: {}", changes.front().rows(),
               changes.front().updates(), ChangesText(changes));
  }
  proto::ChangeLimitsReply reply;
  *reply.mutable_before() = ToProto(before);
  *reply.mutable_limiter() = control_->Status().limiter();
  return reply;
}

grpc::ServerUnaryReactor* RunService::SnapshotReplay(grpc::CallbackServerContext* context,
                                                     const proto::SnapshotReplayRequest* request,
                                                     proto::SnapshotReplayReply* reply) {
  return snapshots_.Start(context,
                          [this, request, reply] { return DoSnapshotReplay(*request, reply); });
}

absl::Status RunService::DoSnapshotReplay(const proto::SnapshotReplayRequest& request,
                                          proto::SnapshotReplayReply* reply) {
  POMPC_RETURN_IF_ERROR(rpc::CheckHeader(request.header(), options_.run_id));
  if (options_.snapshot_replay == nullptr) {
    return absl::FailedPreconditionError("the run has no replay shards");
  }
  POMPC_ASSIGN_OR_RETURN(const std::vector<std::string> folders,
                         options_.snapshot_replay(request.name()));
  for (const std::string& folder : folders) reply->add_folders(folder);
  return absl::OkStatus();
}

absl::Status RunService::Keep(const RunLimits& limits,
                              const std::vector<proto::LimitChange>& changes) {
  if (options_.keep_limits == nullptr) return absl::OkStatus();
  proto::KeptLimits kept;
  *kept.mutable_limits() = ToProto(limits);
  *kept.mutable_config() = ToProto(LimitsOf(options_.config));
  const proto::RunStatus status = control_->Status();
  // The file has the earlier changes as well, and no more than the status shows.
  std::vector<proto::LimitChange> all(status.limiter().changes().begin(),
                                      status.limiter().changes().end());
  all.insert(all.end(), changes.begin(), changes.end());
  const size_t dropped = all.size() - std::min(all.size(), kMaxLimitChanges);
  kept.mutable_changes()->Add(all.begin() + static_cast<ptrdiff_t>(dropped), all.end());
  return options_.keep_limits(kept);
}

absl::Status RunService::KeepLimits() {
  MutexLock lock(&limits_mu_);
  return Keep(control_->limits(), {});
}

}  // namespace pompc::run
