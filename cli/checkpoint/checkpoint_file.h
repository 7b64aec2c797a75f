#ifndef POMPC_CLI_CHECKPOINT_CHECKPOINT_FILE_H_
#define POMPC_CLI_CHECKPOINT_CHECKPOINT_FILE_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "learner/checkpoint.h"
#include "learner/update/updater.h"
#include "proto/config.pb.h"
#include "rundir/checkpoint_store.h"

namespace pompc::cli {

// The best checkpoint of a run that exists and verifies; while none was evaluated, the newest.
// Statuses of rundir::ChooseCheckpoint, FAILED_PRECONDITION naming the line of evaluations.csv
// that cannot be read.
absl::StatusOr<rundir::ChosenCheckpoint> BestCheckpoint(const std::string& run_dir);
// The newest checkpoint of a run that verifies, evaluated or not.
absl::StatusOr<rundir::ChosenCheckpoint> NewestCheckpoint(const std::string& run_dir);

// The same checkpoint as BestCheckpoint, with a warning in the log for each better one that was
// passed over.
absl::StatusOr<rundir::RankedCheckpoint> FindCheckpoint(const std::string& run_dir);

// Everything that a checkpoint holds, for programs that read it without a learner.
struct CheckpointFile {
  std::string folder;
  // Best mean return of its evaluations; absent if it has none, or if it was given without its run.
  std::optional<double> return_mean;
  learner::CheckpointInfo info;
  // info.config, parsed.
  proto::RunConfig config;
  update::UpdaterState state;
};

// Reads a checkpoint, or the best one (else the newest) of a run, and checks its checksums.
// NOT_FOUND naming the folder where there is neither, DATA_LOSS naming the file that is damaged,
// FAILED_PRECONDITION for one in another format, INVALID_ARGUMENT naming the tensor or counter that
// cannot be (update::CheckValues).
absl::StatusOr<CheckpointFile> OpenCheckpoint(const std::string& path);

// Writes a new checkpoint with checksums, as a whole or not at all. ALREADY_EXISTS if there is
// something at `folder`, INVALID_ARGUMENT if that is empty.
absl::Status SaveCheckpoint(const std::string& folder, const CheckpointFile& checkpoint);

// Makes an updater on the CPU that has the checkpoint's config and state. INVALID_ARGUMENT naming
// what in the state does not fit the config.
absl::StatusOr<std::unique_ptr<update::Updater>> UpdaterOf(const CheckpointFile& checkpoint);

}  // namespace pompc::cli

#endif  // POMPC_CLI_CHECKPOINT_CHECKPOINT_FILE_H_
