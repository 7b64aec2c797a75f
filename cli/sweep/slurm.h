#ifndef POMPC_CLI_SWEEP_SLURM_H_
#define POMPC_CLI_SWEEP_SLURM_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/sweep/sweep_folder.h"

namespace pompc::cli {

// A sweep as a job array of Slurm, which places, starts and restarts the trials; RecordFinished
// then keeps what came of them.

// Keeps the configs of all trials that are not finished and writes slurm.sh, the script of a job
// array with an element for each, at most `jobs` at a time; returns its path. Elements write to the
// sweep's folder, which all nodes see under the same absolute path, and run `program` with
// `flags` behind those of its trial. An element that is started again does nothing if its trial is
// finished; in LOCKSTEP it begins anew, else it resumes. FAILED_PRECONDITION if there is nothing to
// do, or if the sweep has rounds (successive halving), which an array has not. REQUIRES: jobs >= 1.
absl::StatusOr<std::string> WriteSlurmArray(const SweepFolder& folder, const std::string& program,
                                            const std::vector<std::string>& flags, int jobs);

}  // namespace pompc::cli

#endif  // POMPC_CLI_SWEEP_SLURM_H_
