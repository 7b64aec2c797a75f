#ifndef POMPC_CLI_CHECKPOINT_CHECKPOINT_ARRAYS_H_
#define POMPC_CLI_CHECKPOINT_CHECKPOINT_ARRAYS_H_

#include "absl/status/status.h"
#include "learner/update/updater.h"
#include "model/parameters.h"

namespace pompc::cli {

// An updater's state as one list of arrays (docs/checkpoints.md): its tensors, and its counters as
// int64 arrays without dimensions. (The seed is a uint64: above 2^63 it shows as negative.)
model::NamedTensors ArraysOf(const update::UpdaterState& state);

// Puts arrays back into a state of the same names, shapes and types. INVALID_ARGUMENT naming every
// array that is missing, unknown, of another shape or type, or that no state can hold, with the
// rule (update::TensorProblem, update::CounterProblem); then nothing changed.
absl::Status SetArrays(const model::NamedTensors& arrays, update::UpdaterState* state);

}  // namespace pompc::cli

#endif  // POMPC_CLI_CHECKPOINT_CHECKPOINT_ARRAYS_H_
