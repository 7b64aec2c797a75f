#include "cli/checkpoint/checkpoint_planner.h"

#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/config/text_parser.h"
#include "learner/checkpoint.h"
#include "learner/engine/torch_engine.h"
#include "parameters/parameter_snapshot.h"
#include "planner/torch_engine.h"
#include "rundir/sealed_folder.h"

namespace pompc::cli {

namespace fs = std::filesystem;

absl::StatusOr<std::unique_ptr<CheckpointPlanner>> CheckpointPlanner::Start(
    const std::string& checkpoint, const planner::TorchEngineOptions& engine) {
  std::unique_ptr<CheckpointPlanner> planner(new CheckpointPlanner);
  POMPC_RETURN_IF_ERROR(planner->Load(checkpoint, engine));
  POMPC_RETURN_IF_ERROR(planner->Serve(engine));
  return planner;
}

CheckpointPlanner::~CheckpointPlanner() {
  if (planner_ != nullptr) planner_->Stop();
  publisher_.Close();
  if (server_ != nullptr) server_->Shutdown(absl::ZeroDuration());
}

// Publishes the checkpoint's parameters as if they were the first version of their run.
absl::Status CheckpointPlanner::Load(const std::string& checkpoint,
                                     const planner::TorchEngineOptions& options) {
  std::error_code error;
  if (!fs::is_directory(checkpoint, error)) {
    return absl::NotFoundError(absl::StrCat(checkpoint, ": no checkpoint here"));
  }
  POMPC_RETURN_IF_ERROR(rundir::VerifySealedFolder(checkpoint));
  POMPC_ASSIGN_OR_RETURN(const learner::CheckpointInfo info,
                         learner::ReadCheckpointInfo(checkpoint));
  run_id_ = info.run_id;
  updates_ = info.progress.updates;
  POMPC_ASSIGN_OR_RETURN(config_,
                         config::ParseRunConfig(info.config, checkpoint + "/state.json, config"));
  POMPC_ASSIGN_OR_RETURN(const std::shared_ptr<learner::Engine> engine,
                         learner::MakeTorchEngine(config_, {.device = options.device}));
  engine->PrepareThread();
  POMPC_RETURN_IF_ERROR(Annotate(engine->Import(checkpoint), checkpoint));
  proto::ParametersDescription description;
  description.mutable_version()->set_incarnation(1);
  description.mutable_version()->set_number(1);
  description.set_run_id(run_id_);
  description.set_update_count(updates_);
  POMPC_ASSIGN_OR_RETURN(std::shared_ptr<const std::string> data,
                         engine->PackParameters(&description));
  publisher_.Publish(parameters::MakeSnapshot(std::move(description), std::move(data)));
  return absl::OkStatus();
}

absl::Status CheckpointPlanner::Serve(const planner::TorchEngineOptions& engine) {
  parameter_service_ = std::make_unique<parameters::ParameterService>(
      &publisher_, parameters::ParameterServiceOptions{.run_id = run_id_});
  POMPC_ASSIGN_OR_RETURN(server_, rpc::Server::Start({}, {parameter_service_.get()}));
  planner::AppOptions options;
  options.learner = server_->InProcessEndpoint();
  options.run_id = run_id_;
  options.name = "evaluate";
  options.metrics = std::make_shared<MetricsRegistry>();
  POMPC_ASSIGN_OR_RETURN(options.engine, planner::MakeTorchEngine(engine));
  POMPC_ASSIGN_OR_RETURN(planner_, planner::App::Start(std::move(options)));
  return absl::OkStatus();
}

}  // namespace pompc::cli
