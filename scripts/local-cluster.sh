#!/usr/bin/env bash
# Trains with separate processes on this machine: replay shards, planner, learner, actors and an evaluator on free
# loopback ports. Ends with the learner's exit status, and with everything it started stopped.
#
#   scripts/local-cluster.sh [--preset NAME] [--config FILE] [--seed N] [--run-dir DIR] [--set field=value]...
#                            [--actors N] [--device DEVICE] [--certificates DIR]
#                            [--actor-command "PROGRAM ARGUMENT..."]
#
# --device is where learner and planner compute: cpu (the default), cuda or cuda:N.
# --certificates is a folder that deploy/certificates.sh has made: all processes use it among themselves, and
# `pompc status` and its like need --certificates DIR/operator.
# --actor-command starts actors and evaluator of your own instead (docs/external-environments.md).
# POMPC_BIN_DIR names a folder with the programs; without it those of build/release/bin are built and used.
#
# Meanwhile, from another shell (--run-dir DIR chooses among several clusters; default: the newest):
#
#   scripts/local-cluster.sh status           processes, their addresses and state
#   scripts/local-cluster.sh kill NAME        kill -9, as if the machine had lost it
#   scripts/local-cluster.sh restart NAME     start it again, after stopping it where it still runs
#   scripts/local-cluster.sh stop             ends the training
#
# Where this script itself was killed, its processes run on: status says so, and stop ends them.
#
# Names: replay-0 replay-1 planner learner actor-0 actor-1 ... evaluator. Logs and process ids: DIR.cluster/.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly BIN="${POMPC_BIN_DIR:-$POMPC_ROOT/build/release/bin}"
readonly NEWEST="$POMPC_ROOT/runs/newest-cluster"
readonly STOP_SECONDS=30

usage() { sed -n '2,25s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }

# --- Processes -------------------------------------------------------------------------------------------------------

# define NAME ROLE [--listen] ARGUMENTS...: writes down how the process is started; addresses stay over restarts.
define() {
  local name="$1" role="$2"
  shift 2
  pick_port
  echo "127.0.0.1:$port" >"$state/$name.metrics"
  printf '%s\n' "$BIN/pompc-$role" --metrics-listen "127.0.0.1:$port" \
    ${certificates:+--certificates "$certificates/$role"} "$@" >"$state/$name.command"
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
  printf '%s\n' "${actor_command[@]}" ${certificates:+--certificates "$certificates/actor"} "$@" >"$state/$name.command"
  names+=("$name")
}

started=""
# started_at PID: sets `started` to when it began, in clock ticks since the machine started; fails where it has ended.
# The system gives the number of a process that has ended to another one, but not with the same start.
started_at() {
  local stat="" fields
  { IFS= read -r -d '' stat <"/proc/$1/stat"; } 2>/dev/null || true
  [[ -n "$stat" ]] || return 1
  # In brackets is the program's name, whatever is in it; after it come the state and, as the 20th, the start.
  read -ra fields <<<"${stat##*) }"
  [[ "${fields[0]}" != [ZX] ]] || return 1
  started="${fields[19]}"
}

# identity PID: what is kept of it, in `pids` and in files: "PID START".
identity() {
  started_at "$1" || started="ended"
  echo "$1 $started"
}

# runs "PID START": whether that very process does.
runs() { [[ "$1" == *" "* ]] && started_at "${1% *}" && [[ "$started" == "${1#* }" ]]; }

# send SIGNAL "PID START": to that very process, where it runs.
send() {
  if runs "$2"; then kill "-$1" "${2% *}" 2>/dev/null || true; fi
}

# write_pid NAME PID_AND_START: whoever reads it finds all of it, whenever that is.
write_pid() { echo "$2" >"$state/$1.new" && mv "$state/$1.new" "$state/$1.pid"; }

# In a session of its own: Ctrl-C reaches this script alone, which then stops everything in order.
start() {
  local name="$1" command
  mapfile -t command <"$state/$name.command"
  setsid "${command[@]}" >>"$state/$name.log" 2>&1 </dev/null &
  pids[$name]="$(identity $!)"
  write_pid "$name" "${pids[$name]}"
}

alive() { runs "${pids[$1]}"; }

stop_all() {
  local name deadline=$(( SECONDS + STOP_SECONDS ))
  trap '' HUP INT TERM
  for name in "${names[@]}"; do send TERM "${pids[$name]}"; done
  for name in "${names[@]}"; do
    while alive "$name" && (( SECONDS < deadline )); do sleep 0.1; done
    if alive "$name"; then
      echo "$name did not stop within $STOP_SECONDS s: killed" >&2
      send KILL "${pids[$name]}"
    fi
    wait "${pids[$name]% *}" 2>/dev/null || true
    rm -f "$state/$name.pid"
  done
  send TERM "${tail_pid:-}"
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
        echo "$name: started again as process ${pids[$name]% *}"
      fi
    done
    if ! alive learner; then
      status=0
      wait "${pids[learner]% *}" || status=$?
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

# What is written down of a process: "PID START", or nothing.
read_pid() { cat "$state/$1.pid" 2>/dev/null || true; }

known_names() { find "$state" -name '*.command' -printf '%f\n' 2>/dev/null | sed 's/\.command$//' | sort | paste -sd' '; }

# Those that run, the learner first.
running_names() {
  local name
  for name in learner $(known_names); do
    if runs "$(read_pid "$name")"; then echo "$name"; fi
  done | awk '!seen[$0]++'
}

orphans_note() {
  echo "the script of the cluster in ${state%.cluster} is gone; its processes run on:" \
    "'scripts/local-cluster.sh stop --run-dir ${state%.cluster}' ends them"
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
  local name suffix="" i=1
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
  flock -n "$claim" && return
  if ! runs "$(read_pid supervisor)" && [[ -n "$(running_names)" ]]; then
    die "$(orphans_note)"
  fi
  die "a cluster runs in ${state%.cluster} already, or something that one started holds $state/claim"
}

run_cluster() {
  local actors=2 device=cpu run_dir="" learner_arguments=() i status=0
  while (( $# > 0 )); do
    case "$1" in
      --actors | --device | --certificates | --run-dir | --actor-command | --preset | --config | --set | --seed) (( $# > 1 )) || refuse "$1 needs a value" ;;
    esac
    case "$1" in
      --actors) actors="$(decimal --actors "$2" 0 256)"; shift ;;
      --device) device="$2"; shift ;;
      --certificates) certificates="$(realpath -m "$2")"; shift ;;
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
  define planner planner --listen "$planner" --learner "$learner" --device "$device"
  define learner learner --listen "$learner" --run-dir "$run_dir" --replay "$shards" --device "$device" \
    "${learner_arguments[@]}"
  local peers=(--learner "$learner" --planners "$planner")
  for (( i = 0; i < actors; ++i )); do define_actor "actor-$i" "${peers[@]}" --replay "$shards"; done
  define_actor evaluator --evaluate "${peers[@]}"
  write_targets

  write_pid supervisor "$(identity $$)"
  trap stop_all EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  for i in "${names[@]}"; do start "$i"; done
  echo "Run $run_dir: ${#names[@]} processes; logs in $state; 'scripts/local-cluster.sh status' from another shell"
  # Ends with this script even where that is killed, and does not hold the claim.
  tail --pid=$$ -n +1 -F "$state/learner.log" 2>/dev/null {claim}>&- &
  tail_pid="$(identity $!)"
  supervise || status=$?
  echo "The learner ended with status $status"
  return "$status"
}

# --- From another shell ----------------------------------------------------------------------------------------------

require_name() {
  [[ -e "$state/${1:-}.command" ]] || refuse "no process '${1:-}': allowed are $(known_names)"
}

show_status() {
  local file name pid verdict
  for file in "$state"/*.command; do
    name="$(basename "$file" .command)" pid="$(read_pid "$name")"
    verdict="gone"
    if runs "$pid"; then verdict="running"; fi
    pid="${pid% *}"
    printf '%-10s %-8s pid %-8s %s  %s\n' "$name" "$verdict" "${pid:--}" \
      "$(sed 's,.*,http://&/metrics,' "$state/$name.metrics" 2>/dev/null)" "$(sed -n '/^--listen$/{n;p}' "$file")"
  done
}

# Where the script that started the processes was killed.
control_orphans() {
  local name
  mapfile -t names < <(running_names)
  (( ${#names[@]} > 0 )) || die "no cluster runs in ${state%.cluster}"
  case "$1" in
    status) orphans_note; show_status ;;
    stop)
      for name in "${names[@]}"; do pids[$name]="$(read_pid "$name")"; done
      stop_all ;;
    *) die "$(orphans_note)" ;;
  esac
}

control() {
  local action="$1" name="" run_dir="$NEWEST" supervisor pid
  shift
  while (( $# > 0 )); do
    case "$1" in
      --run-dir) (( $# > 1 )) || refuse "$1 needs a value"; run_dir="$2"; shift ;;
      *) name="$1" ;;
    esac
    shift
  done
  state="$(realpath -m "$run_dir").cluster"
  supervisor="$(read_pid supervisor)"
  if ! runs "$supervisor"; then
    control_orphans "$action"
    return
  fi
  if [[ "$action" == kill || "$action" == restart ]]; then require_name "$name"; fi
  pid="$(read_pid "$name")"
  case "$action" in
    status) show_status ;;
    stop) send TERM "$supervisor" ;;
    kill) runs "$pid" || die "$name does not run"; send KILL "$pid" ;;
    restart) touch "$state/$name.restart"; send TERM "$pid" ;;
  esac
}

state=""
names=()
actor_command=()
certificates=""
declare -A pids=()
case "${1:-}" in
  status | stop | kill | restart) control "$@" ;;
  --help | -h) usage ;;
  *) run_cluster "$@" ;;
esac
