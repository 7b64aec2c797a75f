#include "cli/checkpoint/checkpoint_file.h"

#include <unistd.h>

#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cli/report/run_directory.h"
#include "common/base/check.h"
#include "common/config/run_config.h"
#include "common/config/text_parser.h"
#include "common/io/files.h"
#include "common/process/log.h"
#include "learner/engine/torch_state.h"
#include "rundir/evaluation_log.h"
#include "rundir/sealed_folder.h"

namespace pompc::cli {

namespace fs = std::filesystem;

absl::StatusOr<rundir::ChosenCheckpoint> BestCheckpoint(const std::string& run_dir) {
  POMPC_ASSIGN_OR_RETURN(const auto evaluations,
                         rundir::EvaluationLog::Read(EvaluationsFile(run_dir)));
  return rundir::ChooseCheckpoint(CheckpointsFolder(run_dir), evaluations);
}

absl::StatusOr<rundir::ChosenCheckpoint> NewestCheckpoint(const std::string& run_dir) {
  return rundir::ChooseCheckpoint(CheckpointsFolder(run_dir), {});
}

absl::StatusOr<rundir::RankedCheckpoint> FindCheckpoint(const std::string& run_dir) {
  POMPC_ASSIGN_OR_RETURN(rundir::ChosenCheckpoint best, BestCheckpoint(run_dir));
  for (const std::string& reason : best.passed_over) {
    Log().warn("{}: {}; using {}", run_dir, reason, best.checkpoint.folder);
  }
  return std::move(best.checkpoint);
}

absl::StatusOr<CheckpointFile> OpenCheckpoint(const std::string& path) {
  CheckpointFile checkpoint;
  checkpoint.folder = path;
  std::error_code error;
  if (HoldsRun(path)) {
    POMPC_ASSIGN_OR_RETURN(const rundir::RankedCheckpoint best, FindCheckpoint(path));
    checkpoint.folder = best.folder;
    checkpoint.return_mean = best.return_mean;
  } else if (!fs::is_regular_file(path + "/state.json", error)) {
    return absl::NotFoundError(
        absl::StrCat(path, ": neither a checkpoint (state.json is missing) nor a run's folder"));
  }
  // The checksums come first: an error in what follows is then no damage, but a checkpoint of
  // another version or a mistake of ours.
  POMPC_RETURN_IF_ERROR(rundir::VerifySealedFolder(checkpoint.folder));
  POMPC_ASSIGN_OR_RETURN(checkpoint.info, learner::ReadCheckpointInfo(checkpoint.folder));
  POMPC_ASSIGN_OR_RETURN(
      checkpoint.config,
      config::ParseRunConfig(checkpoint.info.config, checkpoint.folder + "/state.json, config"));
  POMPC_ASSIGN_OR_RETURN(checkpoint.state, learner::ReadTorchState(checkpoint.folder));
  POMPC_RETURN_IF_ERROR(Annotate(update::CheckValues(checkpoint.state), checkpoint.folder));
  return checkpoint;
}

absl::Status SaveCheckpoint(const std::string& folder, const CheckpointFile& checkpoint) {
  if (folder.empty()) return absl::InvalidArgumentError("a checkpoint to write has an empty name");
  const fs::path path = fs::path(folder).lexically_normal();
  // "a/b/" names the same folder as "a/b", but has no file name of which ".writing" could be made
  // beside it.
  const std::string name = (path.has_filename() ? path : path.parent_path()).string();
  POMPC_RETURN_IF_ERROR(MakeFolders(fs::absolute(name).parent_path().string()));
  const learner::Checkpoint written{checkpoint.info, learner::MakeTorchState(checkpoint.state)};
  // Two commands that make the same checkpoint at once must not write into one folder.
  const std::string writing = absl::StrCat(name, ".writing-", ::getpid());
  return rundir::WriteSealedFolder(name, writing, [&](const std::string& temporary) {
    return learner::WriteCheckpoint(temporary, written);
  });
}

absl::StatusOr<std::unique_ptr<update::Updater>> UpdaterOf(const CheckpointFile& checkpoint) {
  POMPC_ASSIGN_OR_RETURN(proto::RunConfig config, config::Derive(checkpoint.config));
  // Other programs are compared with these numbers, so they must not depend on the processor, which
  // bfloat16 products do.
  config.mutable_model()->set_matmul_dtype(proto::ModelConfig::FLOAT32);
  std::unique_ptr<update::Updater> updater =
      update::Updater::Create(config, at::kCPU, config.seed());
  POMPC_RETURN_IF_ERROR(Annotate(updater->Import(checkpoint.state), checkpoint.folder));
  return updater;
}

}  // namespace pompc::cli
