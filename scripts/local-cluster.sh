#!/usr/bin/env bash
# Trains with separate processes on this machine: replay shards, planner, learner, actors and an evaluator on free
# loopback ports. Ends with the learner's exit status, and with everything it started stopped.
#
#   scripts/local-cluster.sh [--preset NAME] [--config FILE] [--seed N] [--run-dir DIR] [--set field=value]...
#                            [--actors N] [--actor-command "PROGRAM ARGUMENT..."]
#
# --actor-command starts actors and evaluator of your own instead (docs/external-environments.md).
#
# Meanwhile, from another shell (--run-dir DIR chooses among several clusters; default: the newest):
#
#   scripts/local-cluster.sh status           processes, their addresses and state
#   scripts/local-cluster.sh kill NAME        kill -9, as if the machine had lost it
#   scripts/local-cluster.sh restart NAME     start it again, after stopping it where it still runs
#   scripts/local-cluster.sh stop             ends the training
#
# Names: replay-0 replay-1 planner learner actor-0 actor-1 ... evaluator. Logs and process ids: DIR.cluster/.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# Where the binaries are; those of build/release are built first.
readonly BIN="${POMPC_BIN_DIR:-$POMPC_ROOT/build/release/bin}"
readonly NEWEST="$POMPC_ROOT/runs/newest-cluster"
readonly STOP_SECONDS=30

usage() { sed -n '2,18s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }

# --- Processes -------------------------------------------------------------------------------------------------------

# define NAME ROLE [--listen] ARGUMENTS...: writes down how the process is started; addresses stay over restarts.
define() {
  local name="$1" role="$2"
  shift 2
  pick_port
  echo "127.0.0.1:$port" >"$state/$name.metrics"
  printf '%s\n' "$BIN/pompc-$role" --metrics-listen "127.0.0.1:$port" "$@" >"$state/$name.command"
  names+=("$name")
}

# define_actor NAME ARGUMENTS...: the same for actors and evaluators.
define_actor() {
  local name="$1"
  shift
  if (( ${#actor_command[@]} == 0 )); then
    define "$name" actor "$@"
    return
  fi
  printf '%s\n' "${actor_command[@]}" "$@" >"$state/$name.command"
  names+=("$name")
}

# In a session of its own: Ctrl-C reaches this script alone, which then stops everything in order.
start() {
  local name="$1" command
  mapfile -t command <"$state/$name.command"
  setsid "${command[@]}" >>"$state/$name.log" 2>&1 </dev/null &
  pids[$name]=$!
  # Whoever reads it finds a number, whenever that is.
  echo "${pids[$name]}" >"$state/$name.new" && mv "$state/$name.new" "$state/$name.pid"
}

alive() { kill -0 "${pids[$1]}" 2>/dev/null; }

stop_all() {
  local name deadline=$(( SECONDS + STOP_SECONDS ))
  trap '' HUP INT TERM
  for name in "${names[@]}"; do kill -TERM "${pids[$name]}" 2>/dev/null || true; done
  for name in "${names[@]}"; do
    while alive "$name" && (( SECONDS < deadline )); do sleep 0.1; done
    if alive "$name"; then
      echo "$name did not stop within $STOP_SECONDS s: killed" >&2
      kill -KILL "${pids[$name]}" 2>/dev/null || true
    fi
    wait "${pids[$name]}" 2>/dev/null || true
    rm -f "$state/$name.pid"
  done
  [[ -z "${tail_pid:-}" ]] || kill "$tail_pid" 2>/dev/null || true
  rm -f "$state/supervisor.pid"
}

# Restarts what was asked to be restarted, until the learner has ended.
supervise() {
  local name status
  while true; do
    for name in "${names[@]}"; do
      if ! alive "$name" && [[ -e "$state/$name.restart" ]]; then
        rm -f "$state/$name.restart"
        start "$name"
        echo "$name: started again as process ${pids[$name]}"
      fi
    done
    if ! alive learner; then
      status=0
      wait "${pids[learner]}" || status=$?
      return "$status"
    fi
    sleep 0.3
  done
}

# Where each process serves its metrics, in the form of Prometheus' file_sd_configs.
write_targets() {
  local name separator=""
  {
    echo "["
    for name in "${names[@]}"; do
      [[ -e "$state/$name.metrics" ]] || continue
      printf '%s  {"targets": ["%s"], "labels": {"job": "%s", "process": "%s"}}' "$separator" \
        "$(<"$state/$name.metrics")" "${name%-[0-9]*}" "$name"
      separator=$',\n'
    done
    printf '\n]\n'
  } >"$state/targets.json"
}

build_binaries() {
  local log="$POMPC_ROOT/build/local-cluster.log"
  mkdir -p "$POMPC_ROOT/build"
  echo "Building (log: $log)"
  build_release pompc-replay pompc-planner pompc-learner pompc-actor >"$log" 2>&1 ||
    { tail -30 "$log"; die "the build failed; scripts/install-deps.sh build installs what it needs"; }
}

# claim_state [RUN_DIR]: makes the folder of a cluster's own files, `state`, for one cluster alone; without a RUN_DIR one
# of a new run.
claim_state() {
  local name suffix="" i=1 claim
  if [[ -n "${1:-}" ]]; then
    state="$(realpath -m "$1").cluster"
    mkdir -p "$state"
  else
    name="$POMPC_ROOT/runs/cluster-$(date +%Y%m%d-%H%M%S)"
    # Another cluster may start in the same second: only one of them makes a folder.
    until mkdir "$name$suffix.cluster" 2>/dev/null; do
      i=$(( i + 1 )) suffix="-$i"
      (( i < 1000 )) || die "cannot make a folder $name.cluster"
    done
    state="$name$suffix.cluster"
  fi
  # Held for as long as this process or one that it started lives.
  exec {claim}>"$state/claim"
  flock -n "$claim" || die "a cluster runs in ${state%.cluster} already"
}

run_cluster() {
  local actors=2 run_dir="" learner_arguments=() i status=0
  while (( $# > 0 )); do
    case "$1" in
      --actors | --run-dir | --actor-command | --preset | --config | --set | --seed) (( $# > 1 )) || refuse "$1 needs a value" ;;
    esac
    case "$1" in
      --actors) actors="$(decimal --actors "$2" 0 256)"; shift ;;
      --run-dir) run_dir="$2"; shift ;;
      --actor-command) read -ra actor_command <<<"$2"; shift ;;
      --preset | --config | --set) learner_arguments+=("$1" "$2"); shift ;;
      --seed) learner_arguments+=(--set "seed=$2"); shift ;;
      *) refuse "unknown argument '$1'; see --help" ;;
    esac
    shift
  done
  if [[ " ${learner_arguments[*]} " != *" --preset "* ]]; then learner_arguments+=(--preset quickstart); fi
  [[ -n "${POMPC_BIN_DIR:-}" ]] || build_binaries

  mkdir -p "$POMPC_ROOT/runs"
  claim_state "$run_dir"
  run_dir="${state%.cluster}"
  rm -f "$state"/*.pid "$state"/*.restart "$state"/*.command "$state"/*.metrics
  ln -sfn "$run_dir" "$NEWEST"

  local replay=() planner learner
  for i in 0 1; do pick_port; replay[i]="127.0.0.1:$port"; done
  pick_port; planner="127.0.0.1:$port"
  pick_port; learner="127.0.0.1:$port"
  local shards="${replay[0]},${replay[1]}"
  for i in 0 1; do define "replay-$i" replay --listen "${replay[$i]}" --shard "$i"; done
  define planner planner --listen "$planner" --learner "$learner"
  define learner learner --listen "$learner" --run-dir "$run_dir" --replay "$shards" "${learner_arguments[@]}"
  local peers=(--learner "$learner" --planners "$planner")
  for (( i = 0; i < actors; ++i )); do define_actor "actor-$i" "${peers[@]}" --replay "$shards"; done
  define_actor evaluator --evaluate "${peers[@]}"
  write_targets

  echo $$ >"$state/supervisor.pid"
  trap stop_all EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  for i in "${names[@]}"; do start "$i"; done
  echo "Run $run_dir: ${#names[@]} processes; logs in $state; 'scripts/local-cluster.sh status' from another shell"
  tail -n +1 -F "$state/learner.log" 2>/dev/null &
  tail_pid=$!
  supervise || status=$?
  echo "The learner ended with status $status"
  return "$status"
}

# --- From another shell ----------------------------------------------------------------------------------------------

pid_of() { cat "$state/$1.pid" 2>/dev/null; }

known_names() { find "$state" -name '*.command' -printf '%f\n' | sed 's/\.command$//' | sort | paste -sd' '; }

require_name() {
  [[ -e "$state/${1:-}.command" ]] || refuse "no process '${1:-}': allowed are $(known_names)"
}

show_status() {
  local file name pid verdict
  for file in "$state"/*.command; do
    name="$(basename "$file" .command)" pid="$(pid_of "$name" || true)"
    verdict="gone"
    if [[ -n "$pid" ]] && kill -0 "$pid" 2>/dev/null; then verdict="running"; fi
    printf '%-10s %-8s pid %-8s %s  %s\n' "$name" "$verdict" "${pid:--}" \
      "$(sed 's,.*,http://&/metrics,' "$state/$name.metrics" 2>/dev/null)" "$(sed -n '/^--listen$/{n;p}' "$file")"
  done
}

control() {
  local action="$1" name="" run_dir="$NEWEST"
  shift
  while (( $# > 0 )); do
    case "$1" in
      --run-dir) run_dir="$2"; shift ;;
      *) name="$1" ;;
    esac
    shift
  done
  state="$(realpath -m "$run_dir").cluster"
  kill -0 "$(pid_of supervisor)" 2>/dev/null || die "no cluster runs in ${state%.cluster}"
  case "$action" in
    status) show_status ;;
    stop) kill -TERM "$(pid_of supervisor)" ;;
    kill) require_name "$name"; kill -KILL "$(pid_of "$name")" ;;
    restart)
      require_name "$name"
      touch "$state/$name.restart"
      kill -TERM "$(pid_of "$name")" 2>/dev/null || true ;;
  esac
}

state=""
names=()
actor_command=()
declare -A pids=()
case "${1:-}" in
  status | stop | kill | restart) control "$@" ;;
  --help | -h) usage ;;
  *) run_cluster "$@" ;;
esac
