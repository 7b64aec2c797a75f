#!/usr/bin/env bash
# Submits a run to Slurm as one job, whose steps are replay shards, the learner, planners, actors and an evaluator. Near
# its time limit, when it is preempted and when a node fails, the job queues again and the run resumes.
#
#   deploy/slurm/submit.sh --run-dir DIR (--certificates DIR | --insecure) [OPTION]... [-- LEARNER_ARGUMENT...]
#   deploy/slurm/submit.sh --run-dir /scratch/runs/a --certificates ~/certificates --actors 64 \
#     --sbatch --time=12:00:00 --sbatch --partition=batch -- --preset po-mpc --set env.task=cheetah-run
#
#   --run-dir DIR       folder of the run, which all nodes reach; rows, logs and addresses are in DIR.slurm
#   --certificates DIR  what deploy/certificates.sh made; or --insecure, on a network of its own
#   --programs DIR      folder with the programs (default: build/release/bin of this repository)
#   --image FILE        an Apptainer image with the programs instead (deploy/slurm/pompc.def)
#   --shards N          replay shards, always as many for one run (default: 2)
#   --planners N        (default: 1)
#   --planner-cpus N    CPUs of each (default: 2)
#   --actors N          (default: 8)
#   --gpu               learner and planners on a GPU each; ask for them with --sbatch, too
#   --notice SECONDS    how long before the time limit the run is told to end (default: 120)
#   --port N            first of the ports that are used on all nodes (default: from the job's number)
#   --sbatch OPTION     an option of sbatch, such as --partition=batch; may be repeated
#   --dry-run           print what would be submitted, and stop
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
readonly here

usage() { sed -n '2,24s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }

refuse() {
  printf 'submit.sh: %s\n' "$*" >&2
  exit 2
}

# whole FLAG TEXT MIN MAX: prints TEXT if it is a whole number in decimal within the range.
whole() {
  if [[ ! "$2" =~ ^(0|[1-9][0-9]{0,8})$ ]] || (( $2 < $3 || $2 > $4 )); then
    refuse "$1: \"$2\"; allowed: integer in decimal, $3 to $4"
  fi
  printf '%s' "$2"
}

main() {
  local run_dir="" certificates="" insecure="" programs="$here/../../build/release/bin" image="" gpu="" dry="" port=""
  local shards=2 planners=1 planner_cpus=2 actors=8 notice=120 sbatch=() learner=() cpus command=()
  while (( $# > 0 )); do
    case "$1" in
      --help) usage; return ;;
      --insecure) insecure=1 ;;
      --gpu) gpu=1 ;;
      --dry-run) dry=1 ;;
      --) shift; learner=("$@"); break ;;
      --run-dir | --certificates | --programs | --image | --sbatch | --shards | --planners | --planner-cpus | --actors | --notice | --port)
        [[ -n "${2:-}" ]] || refuse "$1 needs a value"
        case "$1" in
          --run-dir) run_dir="$(realpath -m "$2")" ;;
          --certificates) certificates="$(realpath -m "$2")" ;;
          --programs) programs="$2" ;;
          --image) image="$(realpath -m "$2")" ;;
          --sbatch) sbatch+=("$2") ;;
          --shards) shards="$(whole "$1" "$2" 1 64)" ;;
          --planners) planners="$(whole "$1" "$2" 1 64)" ;;
          --planner-cpus) planner_cpus="$(whole "$1" "$2" 1 1024)" ;;
          --actors) actors="$(whole "$1" "$2" 1 256)" ;;
          --notice) notice="$(whole "$1" "$2" 10 3600)" ;;
          --port) port="$(whole "$1" "$2" 1024 64000)" ;;
        esac
        shift ;;
      *) refuse "unknown argument '$1'; see --help" ;;
    esac
    shift
  done
  [[ -n "$run_dir" ]] || refuse "--run-dir is missing"
  [[ -n "$certificates$insecure" ]] || refuse "--certificates is missing; --insecure does without, on a network of its own"
  [[ -z "$certificates" || -z "$insecure" ]] || refuse "--certificates and --insecure exclude each other"
  programs="$(realpath -m "$programs")"
  # A CPU for each shard, actor, the learner and the evaluator.
  cpus=$(( shards + 1 + planners * planner_cpus + actors + 1 ))
  command=(sbatch --job-name="pompc-$(basename "$run_dir")" --requeue --open-mode=append
           --signal="B:USR1@$notice" --output="$run_dir.slurm/job.log" --ntasks="$cpus" --cpus-per-task=1
           "${sbatch[@]}" "$here/run.sbatch"
           "$here" "$run_dir" "$certificates" "$programs" "$image" "$gpu" "$port"
           "$shards" "$planners" "$planner_cpus" "$actors" "${learner[@]}")
  if [[ -n "$dry" ]]; then
    printf '%q ' "${command[@]}"
    printf '\n'
    return
  fi
  command -v sbatch >/dev/null || { echo "submit.sh: there is no sbatch here" >&2; exit 1; }
  mkdir -p "$run_dir.slurm"
  "${command[@]}"
}

main "$@"
