#ifndef POMPC_CLI_CHECKPOINT_CHECKPOINT_PLANNER_H_
#define POMPC_CLI_CHECKPOINT_CHECKPOINT_PLANNER_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "actor/core/plan_source.h"
#include "planner/core/batcher.h"
#include "planner/torch_engine.h"
#include "proto/config.pb.h"

namespace pompc::cli {

// Plans with the parameters of one checkpoint: what a planner does, in this process and without
// messages. Thread-safe.
class CheckpointPlanner final : public actor::PlanSource {
 public:
  // `overrides` change settings of the run's planner, as "planner.field=value". NOT_FOUND naming
  // the folder if there is no checkpoint; DATA_LOSS or INVALID_ARGUMENT if the checkpoint cannot be
  // read, FAILED_PRECONDITION if the device does not exist; INVALID_ARGUMENT naming an override
  // that is none.
  static absl::StatusOr<std::unique_ptr<CheckpointPlanner>> Load(
      const std::string& checkpoint, const std::vector<std::string>& overrides,
      const planner::TorchEngineOptions& options);

  // There is one version, whatever version the mode asks for.
  void Request(std::span<const actor::PlanQuery> queries, const actor::PlanMode& mode,
               actor::PlanListener* listener) override;

  // The config of the run that the checkpoint is from, resolved.
  const proto::RunConfig& config() const { return config_; }
  // Updates that the checkpoint's run had made.
  uint64_t updates() const { return updates_; }

 private:
  CheckpointPlanner(proto::RunConfig config, uint64_t updates,
                    std::shared_ptr<planner::PlanEngine> engine,
                    std::shared_ptr<const planner::PlannerModel> model);

  const proto::RunConfig config_;
  const uint64_t updates_;
  const std::shared_ptr<planner::PlanEngine> engine_;
  const std::shared_ptr<planner::PlannerRun> run_;
  // Last: its threads use the engine.
  planner::Batcher batcher_;
};

}  // namespace pompc::cli

#endif  // POMPC_CLI_CHECKPOINT_CHECKPOINT_PLANNER_H_
