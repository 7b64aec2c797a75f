// The numbers of one update, for programs that compute the same in another way.
#ifndef POMPC_LEARNER_UPDATE_PROBE_H_
#define POMPC_LEARNER_UPDATE_PROBE_H_

#include "absl/status/statusor.h"
#include "learner/update/updater.h"
#include "model/parameters.h"

namespace pompc::update {

// Computes what an update does from a batch and given draws, at the updater's parameters and
// without dropout: latents, predictions, targets, losses, gradient norms; and the values that plans
// give to action sequences. Input and output arrays are those of docs/checkpoints.md, windows
// first. Runs the functions of the update and of MPPI themselves. Running scales among the inputs
// replace the updater's; nothing else of its state changes. INVALID_ARGUMENT naming the arrays that
// are missing, unknown, or of another shape or type.
absl::StatusOr<model::NamedTensors> Probe(Updater* updater, const model::NamedTensors& inputs);

}  // namespace pompc::update

#endif  // POMPC_LEARNER_UPDATE_PROBE_H_
