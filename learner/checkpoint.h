#ifndef POMPC_LEARNER_CHECKPOINT_H_
#define POMPC_LEARNER_CHECKPOINT_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "learner/engine/engine.h"
#include "run/control/run_control.h"
#include "rundir/checkpoint_store.h"

namespace pompc::learner {

// What a checkpoint says of the run; state.json. The engine's state, which is stored beside it, is
// listed in Learnables::Visit (learner/update/learnables.h).
struct CheckpointInfo {
  std::string run_id;
  // The incarnation of the learner that wrote it.
  uint64_t learner_incarnation = 0;
  run::RunProgressState progress;
  // The run's resolved config, protobuf text format.
  std::string config;
  // When it was written, as read from a checkpoint: RFC 3339 in UTC; empty where it does not say.
  std::string written_at;
};

// A checkpoint on its way to the disk.
struct Checkpoint {
  CheckpointInfo info;
  std::unique_ptr<Engine::State> engine;
};

// Writes state.json and the engine's files into an existing folder.
absl::Status WriteCheckpoint(const std::string& folder, const Checkpoint& checkpoint);

// Reads state.json. DATA_LOSS naming the file when it cannot be read, and the number in it that is
// negative or not whole.
absl::StatusOr<CheckpointInfo> ReadCheckpointInfo(const std::string& folder);

// Brings `engine` to the newest checkpoint that can be read and returns what it says; nothing when
// there is no checkpoint at all. Newer ones that cannot be read are logged and set aside. DATA_LOSS
// when there are some and none can be read, INVALID_ARGUMENT or FAILED_PRECONDITION when the newest
// belongs to other settings or to another run, FAILED_PRECONDITION when a folder's name says
// another update than is in it; then nothing was changed.
absl::StatusOr<std::optional<CheckpointInfo>> RestoreNewest(rundir::CheckpointStore* store,
                                                            const std::string& run_id,
                                                            Engine* engine);

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_CHECKPOINT_H_
