#ifndef POMPC_RUN_SERVICE_H_
#define POMPC_RUN_SERVICE_H_

#include <functional>
#include <string>
#include <vector>

#include "common/base/threads.h"
#include "common/rpc/slow_call.h"
#include "proto/run.grpc.pb.h"
#include "run/control/run_control.h"

namespace pompc::run {

// What the run is, beyond its control.
struct RunServiceOptions {
  std::string run_id;
  // Resolved.
  proto::RunConfig config;
  std::string run_dir;
  // Keeps changed limits for later starts of the run. A change is in force only once it is kept.
  // May be null: nothing is kept. One call at a time.
  std::function<absl::Status(const proto::KeptLimits&)> keep_limits = nullptr;
  // Lets all shards make snapshots of this name, and returns their folders. May be null: the run
  // has no replay.
  std::function<absl::StatusOr<std::vector<std::string>>(const std::string& name)> snapshot_replay =
      nullptr;
};

// RunService over a RunControl: messages to calls and back. Every method answers at once, on the
// thread that received it, but for ChangeLimits, which waits for keep_limits, and SnapshotReplay,
// which waits for the shards, one call at a time. Thread-safe.
// FAILED_PRECONDITION for another wire version or run; Register and GetRun take an empty run id.
class RunService final : public proto::RunService::CallbackService {
 public:
  // `control` must outlive the server this is registered with.
  RunService(RunControl* control, const RunServiceOptions& options);

  grpc::ServerUnaryReactor* Register(grpc::CallbackServerContext* context,
                                     const proto::RegisterRequest* request,
                                     proto::RegisterReply* reply) override;
  grpc::ServerUnaryReactor* Heartbeat(grpc::CallbackServerContext* context,
                                      const proto::HeartbeatRequest* request,
                                      proto::HeartbeatReply* reply) override;
  grpc::ServerUnaryReactor* ReportEvaluation(grpc::CallbackServerContext* context,
                                             const proto::ReportEvaluationRequest* request,
                                             proto::ReportEvaluationReply* reply) override;
  grpc::ServerUnaryReactor* GetRun(grpc::CallbackServerContext* context,
                                   const proto::GetRunRequest* request,
                                   proto::GetRunReply* reply) override;
  grpc::ServerUnaryReactor* StopRun(grpc::CallbackServerContext* context,
                                    const proto::StopRunRequest* request,
                                    proto::StopRunReply* reply) override;

  grpc::ServerUnaryReactor* ChangeLimits(grpc::CallbackServerContext* context,
                                         const proto::ChangeLimitsRequest* request,
                                         proto::ChangeLimitsReply* reply) override;

  grpc::ServerUnaryReactor* SnapshotReplay(grpc::CallbackServerContext* context,
                                           const proto::SnapshotReplayRequest* request,
                                           proto::SnapshotReplayReply* reply) override;

  // Keeps the present limits, as a start does that took over some of the kept ones.
  absl::Status KeepLimits();

  // The run as GetRun describes it.
  proto::GetRunReply Describe() const;

 private:
  absl::StatusOr<proto::RegisterReply> DoRegister(const proto::RegisterRequest& request);
  absl::StatusOr<proto::HeartbeatReply> DoHeartbeat(const proto::HeartbeatRequest& request);
  absl::StatusOr<proto::ReportEvaluationReply> DoReport(
      const proto::ReportEvaluationRequest& request);
  absl::StatusOr<proto::GetRunReply> DoGetRun(const proto::GetRunRequest& request);
  absl::StatusOr<proto::StopRunReply> DoStopRun(const proto::StopRunRequest& request);

  absl::StatusOr<proto::ChangeLimitsReply> DoChangeLimits(
      const proto::ChangeLimitsRequest& request);
  absl::Status DoSnapshotReplay(const proto::SnapshotReplayRequest& request,
                                proto::SnapshotReplayReply* reply);
  // Keeps `limits`, after `changes` more.
  absl::Status Keep(const RunLimits& limits, const std::vector<proto::LimitChange>& changes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(limits_mu_);

  RunControl* const control_;
  const RunServiceOptions options_;
  // Held for a whole change: two that come at once must not be kept in another order than they are
  // in force.
  Mutex limits_mu_;
  rpc::SlowCall snapshots_{"snapshot"};
};

}  // namespace pompc::run

#endif  // POMPC_RUN_SERVICE_H_
