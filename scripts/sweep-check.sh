#!/usr/bin/env bash
# Shows that a sweep is the same on every engine: four short trials are made on this machine by `pompc sweep run`, and by
# what `pompc sweep compose`, `swarm` and `slurm` write, on this machine's Docker engine and on a real Slurm of one node
# that is started for it. Each engine is disturbed once: a container is killed, an element of the job array is queued
# again. The tables of results must be equal byte for byte. Engines that are not there are named and left out.
#
#   scripts/sweep-check.sh [--installed DIR] [--install] [compose|swarm|slurm]...
#
#   --installed DIR         the programs: an installation; default: build/release, from which images are then compiled
#   --install               installs Slurm's packages first (slurm)
#   compose, swarm, slurm   what to show; default: all
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source "$(dirname "${BASH_SOURCE[0]}")/engines.sh"
cd "$POMPC_ROOT"

readonly TRIALS=4 JOBS=2 TAG=check
# Small letters: the name of a project, of a service and of a sweep.
readonly NAME="check-$$"
work="" pompc="" kind=""

# A trial ends within half a minute.
write_sweep() {
  cat >"$work/sweep.textproto" <<SWEEP
name: "$NAME"
base {
  preset: "quickstart"
  config {
    schedule: LOCKSTEP
    env { action_repeat: 8 }
    learner { seed_rows: 300 pretrain_updates: 100 batch_size: 64 }
    replay { min_rows: 300 durability: MEMORY }
    evaluation { every_rows: 250 episodes: 2 }
  }
}
axis { field: "po_mpc.lambda" value: "0.1" value: "1" }
task: "cartpole-swingup"
seeds: "1-2"
budget { rows: 1000 }
SWEEP
}

folder() { echo "$work/$kind"; }

# What a trial came to, without the columns of time and memory, which results.csv does not have.
tables() { cat "$1/results.csv" "$1/curves.csv"; }

collected() {
  "$pompc" sweep collect "$(folder)" >"$work/collect.out" 2>&1 || die "$(cat "$work/collect.out")"
  [[ -s "$(folder)/results.csv" && "$(wc -l <"$(folder)/results.csv")" == $(( TRIALS + 1 )) ]]
}

# A trial is half done: its learner makes updates.
begun() { compgen -G "$(folder)/trials/*/*/seed-*/metrics.csv" >/dev/null; }

complain() {
  local id
  for id in $(docker ps -aq --filter "name=$NAME" 2>/dev/null); do docker logs --tail 8 "$id" 2>&1 || true; done
  tail -n 8 "$work/slurmctld.log" 2>/dev/null || true
  tail -n 5 "$(folder)"/trials/*/*/*.log 2>/dev/null || true
  die "$1"
}

compare() {
  diff <(tables "$work/local") <(tables "$(folder)") >&2 || die "$kind made other results than this machine"
  say "$kind: all $TRIALS trials, the same results byte for byte, $SECONDS s after the beginning"
}

compose() { docker_compose -p "$NAME" -f "$(folder)/compose.yaml" "$@"; }
containers() { docker ps -q --filter "label=com.docker.$1"; }

is_finished() { grep -qs '"FINISHED' "$(folder)/$1/ended.json"; }

# kill_one FILTER COMMAND...: ends a container by the command, and checks that its trial was not finished by then. The
# newest line of its log names the trial.
kill_one() {
  local id trial filter="$1"
  shift
  id="$(containers "$filter" | head -1)"
  [[ -n "$id" ]] || complain "no container runs"
  trial="$(docker logs "$id" 2>&1 | tail -1)"
  [[ "$trial" == trials/* ]] || complain "a container makes no trial: $trial"
  "$@" "$id" >/dev/null 2>&1 || true
  ! is_finished "$trial" || complain "$trial was finished before its container was killed"
  echo "         killed a container that was making $trial"
}

# All its processes but the first die, as without memory; what the engine starts again follows from the end of that.
kill_inside() { docker exec "$1" bash -c 'kill -KILL -1'; }

check_compose() {
  "$pompc" sweep compose "$work/sweep.textproto" --dir "$(folder)" --jobs "$JOBS" --image "pompc-pompc:$TAG"
  compose up -d --scale trials="$JOBS"
  await "trials have begun" begun
  # Compose does not start again what `docker kill` has ended.
  kill_one "compose.project=$NAME" kill_inside
  await "all trials are finished" collected
  compose down --timeout 120
  compare
}

check_swarm() {
  join_swarm
  "$pompc" sweep swarm "$work/sweep.textproto" --dir "$(folder)" --jobs "$JOBS" --image "pompc-pompc:$TAG"
  bash "$(folder)/swarm.sh"
  await "trials have begun" begun
  kill_one "swarm.service.name=pompc-$NAME" docker kill
  await "all trials are finished" collected
  docker service rm "pompc-$NAME" >/dev/null
  compare
}

elements_are_over() { [[ -z "$(squeue -h -j "$job" 2>/dev/null)" ]]; }
element_runs() { squeue -h -j "$job" -t RUNNING -o %A | grep -q .; }

check_slurm() {
  local element trial
  start_slurm
  "$pompc" sweep slurm "$work/sweep.textproto" --dir "$(folder)" --jobs "$JOBS" --program "$pompc"
  job="$(sbatch --parsable "$(folder)/slurm.sh")"
  await "trials have begun" begun
  await "an element of job $job runs" element_runs
  element="$(squeue -h -j "$job" -t RUNNING -o %i | head -1)"
  trial="$(sed -n "s/^ *\"LOCKSTEP trials\/\(.*\)\"\$/\1/p" "$(folder)/trial.sh" | sed -n "${element#*_}p")"
  scontrol requeue "$element"
  echo "         element $element, which was making $trial, was queued again"
  ! is_finished "trials/$trial" || complain "$trial was finished before it was queued again"
  await "all elements are over" elements_are_over
  collected || complain "trials are missing: $(cat "$work/collect.out")"
  compare
}

clean_up() {
  local status=$?
  for kind in compose swarm; do
    [[ -s "$(folder)/compose.yaml" ]] && compose down --timeout 5 >/dev/null 2>&1
    [[ -s "$(folder)/swarm.sh" ]] && docker service rm "pompc-$NAME" >/dev/null 2>&1
  done
  # A swarm's containers outlive its service.
  docker ps -aq --filter "name=$NAME" 2>/dev/null | xargs -r docker rm -f >/dev/null 2>&1
  leave_swarm
  stop_slurm "$job"
  if [[ "$status" == 0 ]]; then rm -rf "$work"; else echo "All files are kept in $work"; fi
  return "$status"
}

# True if the engine of this kind is there; else it says so.
answers() {
  if [[ "$kind" == slurm ]]; then slurm_is_installed slurm; else docker_answers "$kind"; fi
}

main() {
  local installed=() parts=() part images="" there=()
  job=""
  pompc="$POMPC_ROOT/build/release/bin/pompc"
  while (( $# > 0 )); do
    case "$1" in
      --installed) [[ -n "${2:-}" ]] || refuse "--installed needs a value"
        installed=(--installed "$2"); pompc="$(realpath "$2")/bin/pompc"; shift ;;
      --install) install_slurm ;;
      compose | swarm | slurm) parts+=("$1") ;;
      *) refuse "unknown argument '$1': allowed are --installed, --install, compose, swarm, slurm" ;;
    esac
    shift
  done
  (( ${#parts[@]} > 0 )) || parts=(compose swarm slurm)
  for kind in "${parts[@]}"; do
    answers || continue
    there+=("$kind")
    [[ "$kind" == slurm ]] || images=needed
  done
  (( ${#there[@]} > 0 )) || return 0
  [[ -x "$pompc" ]] || die "$pompc is not there: build it (scripts/quickstart.sh), or name an installation with --installed"
  if [[ -n "$images" ]]; then
    if (( ${#installed[@]} > 0 )); then scripts/docker-base.sh runtime runtime-torch; else scripts/docker-base.sh; fi
    docker/build.sh --tag "$TAG" "${installed[@]}" pompc
  fi
  work="$(mktemp -d "${TMPDIR:-/var/tmp}/pompc-sweep.XXXXXX")"
  trap clean_up EXIT
  write_sweep
  say "On this machine"
  "$pompc" sweep run "$work/sweep.textproto" --dir "$work/local" --jobs "$JOBS"
  for part in "${there[@]}"; do
    kind="$part"
    say "$kind"
    "check_$kind"
  done
}

main "$@"
