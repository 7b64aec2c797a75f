#ifndef POMPC_ACTOR_ENV_RECORDING_H_
#define POMPC_ACTOR_ENV_RECORDING_H_

#include <cstdint>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace pompc::env {

// What a task computes, as JSON texts, to be compared with recorded numbers of the same task from
// elsewhere. The texts have the formats of the recordings they are compared with (docs/cli.md);
// numbers are the task's doubles before any cast, in digits that read back as the same double.
//
// `assets` is the folder of the models that are not built in, empty for DefaultAssetFolder().
//
// Thread-safe; they block as long as it takes to compute. Statuses of MakeSimulation;
// INVALID_ARGUMENT naming the place in `recording` where that is not as it should be; ABORTED when
// the simulation became unstable.

// The trajectory from the first record's state under the recording's action rule: a record of each
// step that the recording has one of; if it has the first alone, of every tenth step up to 200.
absl::StatusOr<std::string> TraceLike(absl::string_view task, absl::string_view recording,
                                      const std::string& assets = "");

// The observation and reward of each of the task's placed states.
absl::StatusOr<std::string> ProbeLike(absl::string_view task, absl::string_view recording,
                                      const std::string& assets = "");

// The starts of the first `episodes` episodes of the environments made with `seeds`.
// INVALID_ARGUMENT unless episodes >= 1.
absl::StatusOr<std::string> SeededStarts(absl::string_view task, std::span<const uint32_t> seeds,
                                         int episodes, const std::string& assets = "");

}  // namespace pompc::env

#endif  // POMPC_ACTOR_ENV_RECORDING_H_
