#ifndef POMPC_RUN_SERVICE_H_
#define POMPC_RUN_SERVICE_H_

#include <string>

#include "proto/run.grpc.pb.h"
#include "run/control/run_control.h"

namespace pompc::run {

// What the run is, beyond its control.
struct RunServiceOptions {
  std::string run_id;
  // Resolved.
  proto::RunConfig config;
  std::string run_dir;
};

// RunService over a RunControl: messages to calls and back. Every method answers at once, on the
// thread that received it. Thread-safe. FAILED_PRECONDITION for another wire version or run;
// Register and GetRun take an empty run id.
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

  // The run as GetRun describes it.
  proto::GetRunReply Describe() const;

 private:
  absl::StatusOr<proto::RegisterReply> DoRegister(const proto::RegisterRequest& request);
  absl::StatusOr<proto::HeartbeatReply> DoHeartbeat(const proto::HeartbeatRequest& request);
  absl::StatusOr<proto::ReportEvaluationReply> DoReport(
      const proto::ReportEvaluationRequest& request);
  absl::StatusOr<proto::GetRunReply> DoGetRun(const proto::GetRunRequest& request);
  absl::StatusOr<proto::StopRunReply> DoStopRun(const proto::StopRunRequest& request);

  RunControl* const control_;
  const RunServiceOptions options_;
};

}  // namespace pompc::run

#endif  // POMPC_RUN_SERVICE_H_
