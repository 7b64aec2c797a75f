// Which windows of a batch no update can be made with.
#ifndef POMPC_LEARNER_UPDATE_USABLE_H_
#define POMPC_LEARNER_UPDATE_USABLE_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "learner/update/batch.h"
#include "learner/update/updater.h"

namespace pompc::update {

// Positions, ascending, of the windows whose losses, gradients or running scales are NaN or
// infinite at the updater's state, which stays as it is. Looks at halves of halves, so that one
// such window of B costs about as much as three updates, and B of them as much as log2(B). Where
// all windows of a half are usable alone and not together, it is all of them. INVALID_ARGUMENT as
// Batch::Validate(). REQUIRES: no ranks are joined.
absl::StatusOr<std::vector<uint32_t>> FindUnusable(Updater& updater, const Batch& batch);

}  // namespace pompc::update

#endif  // POMPC_LEARNER_UPDATE_USABLE_H_
