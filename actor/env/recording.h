#ifndef POMPC_ACTOR_ENV_RECORDING_H_
#define POMPC_ACTOR_ENV_RECORDING_H_

#include <cstdint>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace pompc::env {

// These functions return what a task computes, as JSON, to be compared with numbers that another
// program recorded for the same task. The texts have the formats of those recordings (docs/cli.md);
// numbers are the task's doubles before any cast, with digits that read back as the same double.
//
// `assets` is the folder of the models that are not built in, empty for DefaultAssetFolder().
//
// They are thread-safe and block while they compute. They fail as MakeSimulation does, with
// INVALID_ARGUMENT naming the place in `recording` that is wrong, and with ABORTED when the
// simulation becomes unstable.

// Returns the trajectory from the first record's state under the recording's action rule. It has a
// record for each step that the recording has one for; if the recording has only the first, it has
// one for every tenth step up to 200.
absl::StatusOr<std::string> TraceLike(absl::string_view task, absl::string_view recording,
                                      const std::string& assets = "");

// Returns the observation and reward of each of the task's placed states.
absl::StatusOr<std::string> ProbeLike(absl::string_view task, absl::string_view recording,
                                      const std::string& assets = "");

// Returns the start states of the first `episodes` episodes of the environments made with `seeds`.
// Fails with INVALID_ARGUMENT unless episodes >= 1.
absl::StatusOr<std::string> SeededStarts(absl::string_view task, std::span<const uint32_t> seeds,
                                         int episodes, const std::string& assets = "");

}  // namespace pompc::env

#endif  // POMPC_ACTOR_ENV_RECORDING_H_
