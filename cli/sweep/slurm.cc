#include "cli/sweep/slurm.h"

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/substitute.h"
#include "cli/sweep/layers.h"
#include "common/base/check.h"
#include "common/io/files.h"

namespace pompc::cli {
namespace {

// $0: name, $1: elements, $2: at a time, $3: the trials, one a line, $4: the program, $5: more
// flags. Slurm sends SIGTERM two minutes before the time limit, at which a run writes a checkpoint.
constexpr char kScript[] = R"(#!/bin/bash
#SBATCH --job-name=pompc-$0
#SBATCH --array=1-$1%$2
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=1
#SBATCH --requeue
#SBATCH --signal=B:TERM@120
#SBATCH --output=/dev/null
# Written by pompc sweep slurm. `sbatch` takes it; `pompc sweep collect` keeps what is finished.
set -eu
trials=(
$3)
set -- $${trials[$$((SLURM_ARRAY_TASK_ID - 1))]}
schedule=$$1 run_dir=$$2
exec >> "$$run_dir.log" 2>&1
if [ -f "$$run_dir/ended.json" ] && grep -q '"FINISHED' "$$run_dir/ended.json"; then exit 0; fi
flags=()
# A resumed LOCKSTEP run would have other numbers than one that was never interrupted.
if [ "$$schedule" = LOCKSTEP ]; then rm -rf -- "$$run_dir"; flags=(--plan-threads 1); fi
exec $4 train --run-dir "$$run_dir" --config "$$run_dir.textproto" $${flags[@]+"$${flags[@]}"}$5
)";

}  // namespace

absl::StatusOr<std::string> WriteSlurmArray(const SweepFolder& folder, const std::string& program,
                                            const std::vector<std::string>& flags, int jobs) {
  POMPC_CHECK_GE(jobs, 1);
  if (folder.plan().sweep.has_halving()) {
    return absl::FailedPreconditionError(
        "halving: a job array has no rounds; allowed here: sweeps without it");
  }
  const std::string path = std::filesystem::absolute(folder.path()).lexically_normal().string();
  // The script splits its lines at blanks.
  if (path.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                             "/._=+-") != std::string::npos) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, ": allowed for a job array: letters, digits and / . _ = + - in the path"));
  }
  std::string trials;
  size_t count = 0;
  for (const Trial& trial : folder.plan().trials) {
    if (folder.results().Find(trial.key) != nullptr) continue;
    POMPC_RETURN_IF_ERROR(folder.KeepConfig(trial));
    absl::StrAppend(&trials, "  \"", proto::RunConfig::Schedule_Name(trial.config.schedule()), " ",
                    path, "/trials/", trial.key.Folder(), "\"\n");
    ++count;
  }
  if (count == 0) {
    return absl::FailedPreconditionError(absl::StrCat(path, ": all trials are finished"));
  }
  std::string more;
  for (const std::string& flag : flags) absl::StrAppend(&more, " ", ShellWord(flag));
  const std::string file = path + "/slurm.sh";
  POMPC_RETURN_IF_ERROR(
      WriteFileAtomically(file, absl::Substitute(kScript, folder.plan().sweep.name(), count, jobs,
                                                 trials, ShellWord(program), more)));
  return file;
}

}  // namespace pompc::cli
