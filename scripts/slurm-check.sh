#!/usr/bin/env bash
# Shows deploy/slurm/ on a Slurm of one node, which is started here for it: a run is told to end ahead of its time limit,
# queues again and resumes; is preempted and resumes; learns the swing-up; and ends. Without Slurm's programs it says so
# and ends well. Needs root, and Debian's packages slurmctld, slurmd, slurm-client and munge (`--install` installs them).
#
#   scripts/slurm-check.sh [--install] [--programs DIR]      default: build/release/bin
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source "$(dirname "${BASH_SOURCE[0]}")/engines.sh"

readonly GOAL=700 ACTORS=2
work="" run="" job=""

complain() {
  squeue -l || true
  tail -n 20 "$work/slurmctld.log" "$run.slurm/job.log" "$run.slurm/logs/"*.log 2>/dev/null || true
  die "$*"
}

job_is() { [[ "$(squeue -h -j "$job" -o %T 2>/dev/null)" == "$1" ]]; }
job_is_over() { [[ "$(job_field "$job" JobState)" == "$1" ]]; }
restarts() { job_field "$job" Restarts; }
restarted() { [[ "$(restarts)" -ge "$1" ]] && job_is RUNNING; }

# A number of the run's ended.json.
ended() { sed -n "s/.*\"$1\": *\"\{0,1\}\([^\",}]*\).*/\1/p" "$run/ended.json" 2>/dev/null; }
was_interrupted() { [[ "$(ended outcome)" == interrupted* ]]; }
# Updates in the newest row of metrics.csv.
updates() { tail -n 1 "$run/metrics.csv" 2>/dev/null | cut -d, -f1; }
updates_above() { [[ "$(updates)" =~ ^[0-9]+$ && "$(updates)" -gt "$1" ]]; }
best() { awk -F, 'NR == 1 {for (i = 1; i <= NF; i++) if ($i == "return_mean") c = i} NR > 1 && $c + 0 > b {b = $c + 0} END {print b + 0}' "$run/evaluations.csv"; }
goal_is_reached() { awk -v b="$(best)" -v g="$GOAL" 'BEGIN {exit !(b >= g)}'; }

# What the run had done when it was told to end is in its newest checkpoint.
check_interruption() {
  local newest
  newest="$(find "$run/checkpoints" -maxdepth 1 -name 'update-*' -printf '%f\n' | sort | tail -1)"
  [[ "$(( 10#${newest#update-} ))" == "$(ended updates)" ]] || complain "the newest checkpoint is $newest, but there were $(ended updates) updates"
  echo "         interrupted after $(ended updates) updates and $(ended rows) rows: checkpoint $newest"
}

main() {
  local programs="$POMPC_ROOT/build/release/bin" before urgent
  while (( $# > 0 )); do
    case "$1" in
      --install) install_slurm ;;
      --programs) [[ -n "${2:-}" ]] || refuse "--programs needs a value"
        programs="$2"; shift ;;
      *) refuse "unknown argument '$1': allowed are --install, --programs" ;;
    esac
    shift
  done
  slurm_is_installed || return 0
  work="$(mktemp -d "${TMPDIR:-/var/tmp}/pompc-slurm.XXXXXX")"
  trap clean_up EXIT
  run="$work/run"
  say "Slurm starts"
  start_slurm

  say "A run of three minutes a start, told to end 100 s before"
  "$POMPC_ROOT/deploy/certificates.sh" "$work/certificates"
  job="$("$POMPC_ROOT/deploy/slurm/submit.sh" --run-dir "$run" --certificates "$work/certificates" --programs "$programs" --actors "$ACTORS" \
    --notice 100 --sbatch --time=3 --sbatch --parsable -- --preset quickstart --set stop.return_mean=0 --set stop.max_rows=10000000)"
  await "job $job makes updates" updates_above 0
  await "it is told to end ahead of the limit" was_interrupted
  check_interruption
  before="$(ended updates)"
  await "it was queued again and runs" restarted 1
  scontrol update JobId="$job" TimeLimit=60
  await "it resumes after $before updates" updates_above "$before"

  say "An urgent job takes the node"
  urgent="$(sbatch --parsable -p urgent --exclusive --output=/dev/null --wrap 'sleep 10')"
  await "job $job is preempted" job_is PENDING
  # More updates than before: the file is of this start.
  { was_interrupted && (( $(ended updates) > before )); } ||
    complain "the preempted learner did not end in order: $(ended outcome) after $(ended updates) updates"
  check_interruption
  before="$(ended updates)"
  await "it runs again once job $urgent is over" restarted 2
  await "it resumes after $before updates" updates_above "$before"
  await "an evaluation returns $GOAL or more" goal_is_reached
  say "Return $(best) after $(updates) updates and $(restarts) restarts, $SECONDS s after the beginning"
  "$programs/pompc" stop --learner "$(sed -n 's/.*"address": *"\([^"]*\)".*/\1/p' "$run/learner.json")" --certificates "$work/certificates/operator"
  await "job $job is completed" job_is_over COMPLETED
}

clean_up() {
  local status=$?
  stop_slurm "$job"
  if [[ "$status" == 0 ]]; then rm -rf "$work"; else echo "All files are kept in $work"; fi
  return "$status"
}

main "$@"
