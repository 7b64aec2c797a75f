#ifndef POMPC_LEARNER_ENGINE_TORCH_STATE_H_
#define POMPC_LEARNER_ENGINE_TORCH_STATE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "learner/engine/engine.h"
#include "learner/update/updater.h"

namespace pompc::learner {

// The updater's part of a checkpoint: updater.safetensors.
std::unique_ptr<Engine::State> MakeTorchState(update::UpdaterState state);

// Reads it from a checkpoint's folder. DATA_LOSS naming the file when it cannot be read.
absl::StatusOr<update::UpdaterState> ReadTorchState(const std::string& folder);

}  // namespace pompc::learner

#endif  // POMPC_LEARNER_ENGINE_TORCH_STATE_H_
