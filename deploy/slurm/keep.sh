#!/usr/bin/env bash
# keep.sh NAME ROLE TARGETS METRICS_PORT PROGRAM ARGUMENT...: what a task of run.sbatch runs. Writes down in the folder
# TARGETS where the process serves its metrics, for Prometheus' file_sd_configs, and starts the program again when it
# fails, unless it was told to end.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/await.sh"

# Fails so often in a row, each time within QUICK_SECONDS, that it will not get better.
readonly MAX_FAILURES=10 QUICK_SECONDS=30 PAUSE_SECONDS=2

name="$1" role="$2" targets="$3" port="$4"
shift 4
printf '[{"targets": ["%s:%s"], "labels": {"job": "%s", "process": "%s"}}]\n' \
  "${SLURMD_NODENAME:-localhost}" "$port" "$role" "$name" >"$targets/$name.new" && mv "$targets/$name.new" "$targets/$name.json"

# Slurm sends a signal to every process of a step: the program has it, too.
told=""
trap 'told=1' TERM INT USR1 USR2

failures=0
while true; do
  start=$SECONDS
  "$@" &
  await $!
  status=$?
  [[ "$status" != 0 && -z "$told" ]] || break
  # Flags that are refused stay refused.
  [[ "$status" != 2 ]] || break
  failures=$(( SECONDS - start < QUICK_SECONDS ? failures + 1 : 1 ))
  (( failures < MAX_FAILURES )) || break
  echo "$name ended with status $status and starts again in $PAUSE_SECONDS s" >&2
  sleep "$PAUSE_SECONDS"
done
exit "$status"
