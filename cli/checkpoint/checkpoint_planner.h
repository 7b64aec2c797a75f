#ifndef POMPC_CLI_CHECKPOINT_CHECKPOINT_PLANNER_H_
#define POMPC_CLI_CHECKPOINT_CHECKPOINT_PLANNER_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/metrics/metrics.h"
#include "common/rpc/endpoint.h"
#include "common/rpc/server.h"
#include "parameters/parameter_service.h"
#include "parameters/publisher.h"
#include "planner/app.h"
#include "planner/torch_engine.h"
#include "proto/config.pb.h"

namespace pompc::cli {

// A planner in this process with the parameters of one checkpoint. Thread-safe.
class CheckpointPlanner {
 public:
  // NOT_FOUND naming the folder if there is no checkpoint; DATA_LOSS, INVALID_ARGUMENT or
  // FAILED_PRECONDITION as the checkpoint cannot be read or the device does not exist.
  static absl::StatusOr<std::unique_ptr<CheckpointPlanner>> Start(
      const std::string& checkpoint, const planner::TorchEngineOptions& engine);
  ~CheckpointPlanner();

  rpc::Endpoint endpoint() { return planner_->server().InProcessEndpoint(); }
  const std::string& run_id() const { return run_id_; }
  // Of the run that the checkpoint is from, resolved.
  const proto::RunConfig& config() const { return config_; }
  // Updates and rows behind the checkpoint.
  uint64_t updates() const { return updates_; }

 private:
  CheckpointPlanner() = default;

  absl::Status Load(const std::string& checkpoint, const planner::TorchEngineOptions& options);
  absl::Status Serve(const planner::TorchEngineOptions& engine);

  std::string run_id_;
  proto::RunConfig config_;
  uint64_t updates_ = 0;
  parameters::Publisher publisher_;
  std::unique_ptr<parameters::ParameterService> parameter_service_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<planner::App> planner_;
};

}  // namespace pompc::cli

#endif  // POMPC_CLI_CHECKPOINT_CHECKPOINT_PLANNER_H_
