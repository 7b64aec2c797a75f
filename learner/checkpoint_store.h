#ifndef POMPC_LEARNER_CHECKPOINT_STORE_H_
#define POMPC_LEARNER_CHECKPOINT_STORE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace pompc::learner {

// The folder of a run's checkpoints: "update-000012345/", one folder for each, and "best", a
// symbolic link to one of them. A checkpoint is there as a whole or not at all, whatever happens
// while it is written: it is written to a temporary folder with checksums of all its files, made
// durable, then renamed. Kept are the newest ones, the best one, and those pinned. Knows nothing of
// what a checkpoint holds. Not thread-safe.
class CheckpointStore {
 public:
  // Creates the folder if need be and removes what an interrupted write left. `keep` >= 1: how many
  // of the newest are kept.
  static absl::StatusOr<std::unique_ptr<CheckpointStore>> Open(const std::string& folder,
                                                               uint32_t keep);

  // Updates of the complete checkpoints, ascending.
  absl::StatusOr<std::vector<uint64_t>> List() const;
  // Folder of the checkpoint after `updates`.
  std::string Path(uint64_t updates) const;

  // Makes the checkpoint of `updates`, whose files `fill` writes into the folder it is given, then
  // deletes what is to be kept no longer. Does nothing if it is there already. After an error the
  // checkpoints before are as they were.
  absl::Status Write(uint64_t updates,
                     absl::FunctionRef<absl::Status(const std::string& folder)> fill);

  // Whether the files are those that were written. DATA_LOSS naming the file that is missing, of
  // another size or of another checksum.
  absl::Status Verify(uint64_t updates) const;
  // Renames a checkpoint that cannot be read to "corrupt-update-...": out of the way, for people to
  // look at.
  absl::Status SetAside(uint64_t updates);

  // A pinned checkpoint is kept until it is unpinned; pins do not outlive this object.
  void Pin(uint64_t updates) { pinned_.insert(updates); }
  absl::Status Unpin(uint64_t updates);

  // Makes "best" the checkpoint of `updates`. NOT_FOUND if there is none.
  absl::Status SetBest(uint64_t updates);
  std::optional<uint64_t> best() const;

 private:
  CheckpointStore(std::string folder, uint32_t keep) : folder_(std::move(folder)), keep_(keep) {}

  absl::Status DeleteOld();

  const std::string folder_;
  const uint32_t keep_;
  std::set<uint64_t> pinned_;
};

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_CHECKPOINT_STORE_H_
