#ifndef POMPC_CLI_SWEEP_ENGINES_H_
#define POMPC_CLI_SWEEP_ENGINES_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/sweep/sweep_folder.h"

namespace pompc::cli {

// A sweep as objects of an engine, which places, starts and restarts the processes that make the
// trials; RecordFinished then keeps what came of them.

// An engine, and what is written for it into the sweep's folder beside trial.sh.
struct SweepEngine {
  // The command's name: "slurm", "compose", "swarm", "kubernetes".
  const char* name;
  const char* help;
  // The name of the file that the engine takes.
  const char* file;
  // The file's content. $0: the sweep's name, $1: trials, $2: at a time, $3: the folder, $4: the
  // image, $5: user and group of this process, $6: restarts of trials together, $7: the name in
  // small letters, digits and "-".
  const char* text;
  // What somebody then does, with the same numbers.
  const char* advice;
  // True if trials run in containers of an image, in which the folder is /sweep.
  bool containers;
};

const std::vector<SweepEngine>& SweepEngines();

struct EngineOptions {
  // The program whose command `train` makes a trial, where it does not come from the image.
  std::string program;
  // The image of containers.
  std::string image;
  // More flags of `train`, the same for all trials.
  std::vector<std::string> flags;
  // Trials at a time.
  int jobs = 1;
};

// Keeps the configs of all trials that are not finished, and writes trial.sh, which makes one of
// them, or one after the other those that nobody else is making, and the engine's file. Returns
// what to do with it. The processes write to the sweep's folder, which all machines must share. A
// trial that is started again is left alone if it is finished; in LOCKSTEP it begins anew, else it
// resumes. FAILED_PRECONDITION if there is nothing to do, if the path has characters that the files
// cannot hold, or if the sweep has rounds (successive halving), which engines have not. REQUIRES:
// options.jobs >= 1.
absl::StatusOr<std::string> WriteEngine(const SweepFolder& folder, const SweepEngine& engine,
                                        const EngineOptions& options);

}  // namespace pompc::cli

#endif  // POMPC_CLI_SWEEP_ENGINES_H_
