#ifndef POMPC_RUNDIR_CHECKPOINT_STORE_H_
#define POMPC_RUNDIR_CHECKPOINT_STORE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/io/descriptors.h"
#include "proto/run.pb.h"

namespace pompc::rundir {

// A checkpoint, and what evaluations found of its policy.
struct RankedCheckpoint {
  uint64_t updates = 0;
  std::string folder;
  // Best mean return of its evaluations; absent: it has none.
  std::optional<double> return_mean;
};

// This file alone decides which checkpoint of a run is the best one, from the checkpoints that
// exist and the results in evaluations.csv. Evaluated checkpoints come first, ordered by their
// return (of equal ones the earliest first); then come the others, the newest first. An evaluation
// counts for the checkpoint of the same update, unless a later start of the learner repeated that
// update and wrote the checkpoint.

// A checkpoint that exists, verifies, and is of the update that its name says.
struct ChosenCheckpoint {
  RankedCheckpoint checkpoint;
  // Why no better checkpoint was chosen. There is a line for each one that is damaged or has a
  // wrong name, and one for the best evaluation if it has no checkpoint.
  std::vector<std::string> passed_over;
};

// The best checkpoint in `folder` whose checksums and name hold. For programs that read a run; the
// run may be running. NOT_FOUND naming the folder if there is none, DATA_LOSS if all are passed
// over.
absl::StatusOr<ChosenCheckpoint> ChooseCheckpoint(
    const std::string& folder, const std::vector<proto::EvaluationResult>& evaluations);

// The folder of a run's checkpoints: "update-000012345/", one folder for each, and "best", a
// symbolic link to the best one of them, for people. A checkpoint is there as a whole or not at
// all, whatever happens while it is written: it is written to a temporary folder with checksums of
// all its files, made durable, then renamed. Nothing is written, renamed or deleted once the folder
// that it lies in, the run directory, has been moved or deleted. The store keeps the newest
// checkpoints, the best one and those that are pinned. It reads only two numbers of a checkpoint's
// content, the updates and the learner's incarnation in state.json. Not thread-safe.
class CheckpointStore {
 public:
  // Creates the folder if need be and removes what an interrupted write left. `keep` is how many of
  // the newest are kept, `evaluations` are the results of earlier starts. REQUIRES: keep >= 1.
  static absl::StatusOr<std::unique_ptr<CheckpointStore>> Open(
      const std::string& folder, uint32_t keep,
      const std::vector<proto::EvaluationResult>& evaluations = {});

  // FAILED_PRECONDITION when the run directory was moved or deleted since Open. Thread-safe.
  absl::Status CheckInPlace() const;

  // Updates of the complete checkpoints, ascending.
  absl::StatusOr<std::vector<uint64_t>> List() const;
  // Folder of the checkpoint after `updates`.
  std::string Path(uint64_t updates) const;

  // Makes the checkpoint of `updates`, whose files `fill` writes into the folder it is given. If it
  // is there already, it is replaced with `replace` (where the file system can do that in one step)
  // and stays as it is without; FAILED_PRECONDITION as CheckName. After an error the checkpoints
  // are as they were.
  absl::Status Write(uint64_t updates,
                     absl::FunctionRef<absl::Status(const std::string& folder)> fill,
                     bool replace = false);

  // OK if the files are those that were written. Otherwise DATA_LOSS naming the file that is
  // missing, of another size or of another checksum.
  absl::Status Verify(uint64_t updates) const;
  // FAILED_PRECONDITION when the checkpoint's folder has a wrong name: it holds another update than
  // its name says. An evaluation of the update in the name would then count for other parameters.
  absl::Status CheckName(uint64_t updates) const;
  // Renames a checkpoint that cannot be read to "corrupt-update-...": out of the way, for people to
  // look at.
  absl::Status SetAside(uint64_t updates);

  // A pinned checkpoint is kept until it is unpinned; pins do not outlive this object.
  void Pin(uint64_t updates) { pinned_.insert(updates); }
  void Unpin(uint64_t updates) { pinned_.erase(updates); }
  bool IsPinned(uint64_t updates) const { return pinned_.contains(updates); }

  // Takes a new result into account. Beyond 4096 results, the oldest one that has no checkpoint is
  // forgotten.
  void AddEvaluation(const proto::EvaluationResult& result);
  // Best mean return of the policy after `updates`, as this start of the learner made it; nothing
  // when it has no evaluation.
  std::optional<double> ReturnOf(uint64_t updates, uint64_t learner_incarnation) const;
  // The best evaluated checkpoint that exists and verifies; nothing when there is none. Reads each
  // checkpoint through once in the lifetime of this object, except those it wrote.
  absl::StatusOr<std::optional<RankedCheckpoint>> Best();

  // Makes "best" a link to Best() and deletes what is to be kept no longer; to be called when a
  // checkpoint was written or unpinned, or an evaluation came in. On a file system without symbolic
  // links there is no "best", which is logged once. A "best" that is no link is put aside. After an
  // error "best" is right or missing, and it is to be called again.
  absl::Status Tidy();

 private:
  CheckpointStore(std::string run_dir, Descriptor held_run_dir, std::string folder, uint32_t keep,
                  const std::vector<proto::EvaluationResult>& evaluations)
      : run_dir_(std::move(run_dir)),
        held_run_dir_(std::move(held_run_dir)),
        folder_(std::move(folder)),
        keep_(keep),
        evaluations_(evaluations) {}

  bool IsIntact(uint64_t updates);
  absl::Status PointBestAt(std::optional<uint64_t> updates);
  absl::Status Link(uint64_t updates);
  absl::Status DeleteOld(std::optional<uint64_t> best);

  const std::string run_dir_;
  // The run directory, held open since Open: this is how another folder that later takes its name
  // is recognised.
  const Descriptor held_run_dir_;
  const std::string folder_;
  const uint32_t keep_;
  std::vector<proto::EvaluationResult> evaluations_;
  std::set<uint64_t> pinned_;
  // Checkpoints that were verified, and whether they were found intact.
  std::map<uint64_t, bool> intact_;
  // True once it was logged that the file system has no symbolic links.
  bool told_of_no_links_ = false;
};

}  // namespace pompc::rundir

#endif  // POMPC_RUNDIR_CHECKPOINT_STORE_H_
