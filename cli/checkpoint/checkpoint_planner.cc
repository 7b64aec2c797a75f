#include "cli/checkpoint/checkpoint_planner.h"

#include <filesystem>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/config/text_parser.h"
#include "learner/checkpoint.h"
#include "learner/engine/torch_engine.h"
#include "rundir/sealed_folder.h"

namespace pompc::cli {
namespace {

// The checkpoint's parameters as its learner would publish them. A learner's engine makes them,
// since it alone knows how a checkpoint's tensors become a model.
absl::StatusOr<parameters::ParameterSnapshot> Publish(const std::string& checkpoint,
                                                      const learner::CheckpointInfo& info,
                                                      const proto::RunConfig& config,
                                                      const std::string& device) {
  POMPC_ASSIGN_OR_RETURN(const std::shared_ptr<learner::Engine> engine,
                         learner::MakeTorchEngine(config, {.device = device}));
  engine->PrepareThread();
  POMPC_RETURN_IF_ERROR(Annotate(engine->Import(checkpoint), checkpoint));
  proto::ParametersDescription description;
  description.mutable_version()->set_incarnation(1);
  description.mutable_version()->set_number(1);
  description.set_run_id(info.run_id);
  description.set_update_count(info.progress.updates);
  POMPC_ASSIGN_OR_RETURN(std::shared_ptr<const std::string> data,
                         engine->PackParameters(&description));
  return parameters::MakeSnapshot(std::move(description), std::move(data));
}

// Only the planner's settings may change: the others belong to the parameters.
absl::Status Override(const std::vector<std::string>& overrides, proto::RunConfig* config) {
  for (const std::string& assignment : overrides) {
    if (!absl::StartsWith(assignment, "planner.")) {
      return absl::InvalidArgumentError(
          absl::StrCat("--set ", assignment, ": an evaluation can change fields of planner alone"));
    }
    POMPC_RETURN_IF_ERROR(config::ApplyOverride(assignment, config));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<CheckpointPlanner>> CheckpointPlanner::Load(
    const std::string& checkpoint, const std::vector<std::string>& overrides,
    const planner::TorchEngineOptions& options) {
  std::error_code error;
  if (!std::filesystem::is_directory(checkpoint, error)) {
    return absl::NotFoundError(absl::StrCat(checkpoint, ": no checkpoint here"));
  }
  POMPC_RETURN_IF_ERROR(rundir::VerifySealedFolder(checkpoint));
  POMPC_ASSIGN_OR_RETURN(const learner::CheckpointInfo info,
                         learner::ReadCheckpointInfo(checkpoint));
  POMPC_ASSIGN_OR_RETURN(proto::RunConfig config,
                         config::ParseRunConfig(info.config, checkpoint + "/state.json, config"));
  POMPC_ASSIGN_OR_RETURN(parameters::ParameterSnapshot snapshot,
                         Publish(checkpoint, info, config, options.device));
  POMPC_RETURN_IF_ERROR(Override(overrides, snapshot.description.mutable_config()));
  POMPC_ASSIGN_OR_RETURN(std::shared_ptr<planner::PlanEngine> engine,
                         planner::MakeTorchEngine(options));
  POMPC_ASSIGN_OR_RETURN(std::shared_ptr<const planner::PlannerModel> model,
                         engine->Load(snapshot));
  return std::unique_ptr<CheckpointPlanner>(new CheckpointPlanner(
      std::move(config), info.progress.updates, std::move(engine), std::move(model)));
}

CheckpointPlanner::CheckpointPlanner(proto::RunConfig config, uint64_t updates,
                                     std::shared_ptr<planner::PlanEngine> engine,
                                     std::shared_ptr<const planner::PlannerModel> model)
    : config_(std::move(config)),
      updates_(updates),
      engine_(std::move(engine)),
      run_(std::make_shared<planner::PlannerRun>(model->run_id(), Clock::Real(), /*max_kept=*/1)),
      batcher_(engine_.get(), {}) {
  run_->parameters().Put(std::move(model), /*keep=*/absl::ZeroDuration());
}

void CheckpointPlanner::Request(std::span<const actor::PlanQuery> queries,
                                const actor::PlanMode& mode, actor::PlanListener* listener) {
  std::vector<int> slots;
  std::vector<planner::PlanCall> calls;
  for (const actor::PlanQuery& query : queries) {
    slots.push_back(query.slot);
    planner::PlanCall& call = calls.emplace_back();
    call.item.observation.assign(query.observation.begin(), query.observation.end());
    call.item.warm_start.assign(query.warm_start.begin(), query.warm_start.end());
    call.item.seed = query.seed;
    call.item.evaluate = mode.evaluate;
    call.done = [slot = query.slot, plan = query.plan,
                 listener](absl::StatusOr<planner::PlanResult> result) {
      if (result.ok()) {
        planner::Plan& made = result->plan;
        *plan = {std::move(made.action),     std::move(made.plan_mean), std::move(made.plan_std),
                 std::move(made.warm_start), made.plan_value,           result->version};
      }
      listener->OnPlans({&slot, 1}, result.status());
    };
  }
  // A request that is refused as a whole has called no `done`.
  const absl::Status submitted = batcher_.Submit(run_, std::move(calls)).status();
  if (!submitted.ok()) listener->OnPlans(slots, submitted);
}

}  // namespace pompc::cli
