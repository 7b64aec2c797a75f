#include "cli/sweep/engines.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/substitute.h"
#include "cli/sweep/layers.h"
#include "common/base/check.h"
#include "common/io/files.h"

namespace pompc::cli {
namespace {

// $0: the trials, one a line, $1: the program, $2: more flags, $3: retries.
constexpr char kTrial[] = R"sh(#!/bin/bash
# Written by pompc sweep, for engines that start it. Beside it are the folders of the trials.
#   trial.sh N       makes trial N, from 1
#   trial.sh all     makes those that nobody else is making, one after the other
set -eu
cd "$$(dirname "$$0")"
trials=(
$0)
retries=$3 child="" stopped=""
# How long to wait for a trial that somebody else makes, and how this ends where he goes on with it:
# an engine starts what failed again.
patience=60 held=1

is_finished() { [ -f "$$1/ended.json" ] && grep -q '"FINISHED' "$$1/ended.json"; }

# make SCHEDULE RUN_DIR: until it ends. SIGTERM, at which a run writes a checkpoint, reaches it.
# Nobody else makes the trial meanwhile: the lock ends with the processes that hold it.
make() {
  if is_finished "$$2"; then return 0; fi
  exec 9> "$$2.claim"
  if ! flock -w "$$patience" 9; then
    exec 9>&-
    echo "$$2: somebody else makes it"
    return "$$held"
  fi
  if is_finished "$$2"; then exec 9>&-; return 0; fi
  local flags=() status=0
  # A resumed LOCKSTEP run would have other numbers than one that was never interrupted.
  if [ "$$1" = LOCKSTEP ]; then rm -rf -- "$$2"; flags=(--plan-threads 1); fi
  echo "$$2"
  $1 train --run-dir "$$2" --config "$$2.textproto" $${flags[@]+"$${flags[@]}"}$2 \
    >> "$$2.log" 2>&1 &
  child=$$!
  # A signal that came before there was a child is passed on now.
  if [ -n "$$stopped" ]; then kill -TERM "$$child" || true; fi
  wait "$$child" || status=$$?
  # A signal ends the first wait, not the run.
  while kill -0 "$$child" 2>/dev/null; do status=0; wait "$$child" || status=$$?; done
  child=""
  exec 9>&-
  # Bash may have lost the status of a child that ended in the moment of a signal; the run's own
  # word counts.
  if is_finished "$$2"; then return 0; fi
  echo "$$2: ended with status $$status"
  return 1
}

trap 'stopped=yes; if [ -n "$$child" ]; then kill -TERM "$$child" || true; fi' TERM INT
if [ "$${1:-}" != all ]; then
  make $${trials[$$(($$1 - 1))]}
  exit
fi
patience=0 held=0
for ((attempt = 0; attempt <= retries; ++attempt)); do
  failed=0
  for trial in "$${trials[@]}"; do
    if [ -n "$$stopped" ]; then exit 143; fi
    make $$trial || failed=1
  done
  if [ -n "$$stopped" ]; then exit 143; fi
  if [ "$$failed" = 0 ]; then exit 0; fi
done
exit 1
)sh";

// Slurm sends SIGTERM two minutes before the time limit.
constexpr char kSlurm[] = R"sh(#!/bin/bash
#SBATCH --job-name=pompc-$0
#SBATCH --array=1-$1%$2
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=1
#SBATCH --requeue
#SBATCH --signal=B:TERM@120
#SBATCH --output=/dev/null
# Written by pompc sweep slurm. `sbatch` takes it; `pompc sweep collect` keeps what is finished.
exec bash $3/trial.sh "$$SLURM_ARRAY_TASK_ID"
)sh";

constexpr char kCompose[] =
    R"yaml(# Written by pompc sweep compose. Each container makes one trial after the other.
version: "3.7"
services:
  trials:
    image: $4
    entrypoint: ["bash", "/sweep/trial.sh", "all"]
    user: "$5"
    init: true
    read_only: true
    tmpfs: [/tmp]
    cap_drop: [ALL]
    # Longer than a last checkpoint takes.
    stop_grace_period: 120s
    restart: "on-failure:3"
    network_mode: none
    volumes: ["$3:/sweep"]
)yaml";

constexpr char kSwarm[] = R"sh(#!/bin/bash
# Written by pompc sweep swarm: a job whose tasks make one trial after the other.
set -eu
exec docker service create --detach --name pompc-$7 --mode replicated-job --replicas $2 \
  --init --user $5 --read-only --mount type=tmpfs,target=/tmp --cap-drop ALL \
  --mount type=bind,source=$3,target=/sweep --stop-grace-period 120s \
  --restart-condition on-failure --restart-max-attempts 3 --entrypoint bash \
  $4 /sweep/trial.sh all
)sh";

constexpr char kKubernetes[] =
    R"yaml(# Written by pompc sweep kubernetes: a job with an index for each trial.
apiVersion: batch/v1
kind: Job
metadata:
  name: pompc-$7
  labels: &labels
    app.kubernetes.io/name: pompc
    app.kubernetes.io/instance: $7
    app.kubernetes.io/component: sweep
spec:
  completionMode: Indexed
  completions: $1
  parallelism: $2
  backoffLimit: $6
  template:
    metadata:
      labels: *labels
    spec:
      restartPolicy: Never
      automountServiceAccountToken: false
      # Longer than a last checkpoint takes.
      terminationGracePeriodSeconds: 120
      securityContext:
        runAsNonRoot: true
        runAsUser: 10000
        runAsGroup: 10000
        fsGroup: 10000
        seccompProfile: {type: RuntimeDefault}
      containers:
        - name: trial
          image: $4
          command: [bash, -c, 'exec bash /sweep/trial.sh "$$((JOB_COMPLETION_INDEX + 1))"']
          resources: {requests: {cpu: "1", memory: 1Gi}}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {drop: [ALL]}
          volumeMounts:
            - {name: sweep, mountPath: /sweep, subPath: $0}
            - {name: tmp, mountPath: /tmp}
      volumes:
        # Many pods write to it (ReadWriteMany); the sweep's folder is $0 there.
        - {name: sweep, persistentVolumeClaim: {claimName: sweeps}}
        - {name: tmp, emptyDir: {}}
)yaml";

// The files hold the path as it is, and split their lines at blanks.
absl::Status CheckPath(const std::string& path) {
  if (path.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                             "/._=+-") == std::string::npos) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(absl::StrCat(
      path, ": allowed for other engines: letters, digits and / . _ = + - in the path"));
}

// A name that all engines take: small letters, digits and "-".
std::string ObjectName(const std::string& name) {
  return absl::StrReplaceAll(absl::AsciiStrToLower(name), {{"_", "-"}, {".", "-"}});
}

// Keeps the configs of the trials that are not finished. Their lines in trial.sh, and how
// many.
absl::StatusOr<std::pair<std::string, size_t>> KeepTrials(const SweepFolder& folder) {
  std::string trials;
  size_t count = 0;
  for (const Trial& trial : folder.plan().trials) {
    if (folder.results().Find(trial.key) != nullptr) continue;
    POMPC_RETURN_IF_ERROR(folder.KeepConfig(trial));
    absl::StrAppend(&trials, "  \"", proto::RunConfig::Schedule_Name(trial.config.schedule()),
                    " trials/", trial.key.Folder(), "\"\n");
    ++count;
  }
  return std::pair(trials, count);
}

}  // namespace

const std::vector<SweepEngine>& SweepEngines() {
  static const auto* engines = new std::vector<SweepEngine>{
      {"slurm", "writes a job array of Slurm that makes the trials; starts nothing", "slurm.sh",
       kSlurm, "sbatch $3/slurm.sh", false},
      {"compose", "writes a Compose file whose containers make the trials; starts nothing",
       "compose.yaml", kCompose,
       "docker-compose -p pompc-$7 -f $3/compose.yaml up -d --scale trials=$2", true},
      {"swarm", "writes a job of Docker Swarm that makes the trials; starts nothing", "swarm.sh",
       kSwarm, "bash $3/swarm.sh", true},
      {"kubernetes", "writes an indexed Job of Kubernetes that makes the trials; starts nothing",
       "kubernetes.yaml", kKubernetes, "kubectl apply -f $3/kubernetes.yaml", true}};
  return *engines;
}

absl::StatusOr<std::string> WriteEngine(const SweepFolder& folder, const SweepEngine& engine,
                                        const EngineOptions& options) {
  POMPC_CHECK_GE(options.jobs, 1);
  const proto::SweepConfig& sweep = folder.plan().sweep;
  if (sweep.has_halving()) {
    return absl::FailedPreconditionError(
        absl::StrCat("halving: ", engine.name, " has no rounds; allowed here: sweeps without it"));
  }
  const std::string path = std::filesystem::absolute(folder.path()).lexically_normal().string();
  POMPC_RETURN_IF_ERROR(CheckPath(path));
  POMPC_ASSIGN_OR_RETURN(const auto trials, KeepTrials(folder));
  const size_t count = trials.second;
  if (count == 0) {
    return absl::FailedPreconditionError(absl::StrCat(path, ": all trials are finished"));
  }
  std::string flags;
  for (const std::string& flag : options.flags) absl::StrAppend(&flags, " ", ShellWord(flag));
  const std::string program = engine.containers ? "pompc" : ShellWord(options.program);
  POMPC_RETURN_IF_ERROR(WriteFileAtomically(
      path + "/trial.sh", absl::Substitute(kTrial, trials.first, program, flags, sweep.retries())));
  const std::string user = absl::StrCat(geteuid(), ":", getegid());
  const size_t restarts = count * std::max(sweep.retries(), 1u);
  const auto fill = [&](const char* text) {
    return absl::Substitute(text, sweep.name(), count, options.jobs, path, options.image, user,
                            restarts, ObjectName(sweep.name()));
  };
  POMPC_RETURN_IF_ERROR(WriteFileAtomically(path + "/" + engine.file, fill(engine.text)));
  return absl::StrCat(fill(engine.advice), "\npompc sweep collect ", folder.path());
}

}  // namespace pompc::cli
