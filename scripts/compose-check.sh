#!/usr/bin/env bash
# Brings deploy/compose.yaml up with images built here, everything but Grafana, sees it train through Prometheus, and
# takes it down again. Without a Docker engine it says so and ends well.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$POMPC_ROOT"

readonly TRAIN_SECONDS=600
readonly PROJECT="pompc-check-$$"
export PROMETHEUS_IMAGE=pompc-base:prometheus POMPC_RUN=check POMPC_IMAGE_TAG=check
export DOCKER_BUILDKIT=0 COMPOSE_DOCKER_CLI_BUILD=0

compose() {
  if command -v docker-compose >/dev/null; then
    docker-compose -p "$PROJECT" -f deploy/compose.yaml "$@"
  else
    docker compose -p "$PROJECT" -f deploy/compose.yaml "$@"
  fi
}

# Sum over all processes of a metric, as Prometheus has it; empty while it has none.
measure() {
  compose exec -T prometheus promtool query instant http://localhost:9090 "sum($1)" 2>/dev/null |
    sed -n 's/^{} => \([0-9.e+]*\) .*/\1/p'
}

# Waits until the sum of the metric is above the number.
await_above() {
  local metric="$1" bound="$2" deadline=$(( SECONDS + TRAIN_SECONDS )) value=""
  while (( SECONDS < deadline )); do
    value="$(measure "$metric" || true)"
    if [[ -n "$value" ]] && awk -v v="$value" -v b="$bound" 'BEGIN {exit !(v > b)}'; then
      echo "$metric: $value"
      return
    fi
    sleep 3
  done
  compose ps
  compose logs --tail=20
  die "$metric is '${value}' after $TRAIN_SECONDS s; expected more than $bound"
}

main() {
  docker info >/dev/null 2>&1 || { echo "No Docker engine answers: nothing to check."; return; }
  local start target
  scripts/docker-base.sh
  for target in replay actor planner learner; do
    say "Image of $target"
    docker build -q -f docker/Dockerfile --target "$target" -t "pompc-$target:check" .
  done

  say "Up"
  trap 'compose down -v --timeout 30 >/dev/null 2>&1' EXIT
  pick_port
  export PROMETHEUS_PORT="$port"
  compose up -d
  start=$SECONDS
  # All seven processes, found by their services' names: two shards, planner, learner, two actors, evaluator.
  await_above 'up{job!="prometheus"}' 6
  await_above pompc_actor_rows_total 1200
  await_above pompc_learner_updates_total 1100
  say "It trains, $(( SECONDS - start )) s after it came up"
  compose exec -T learner pompc status
  say "Two more actors"
  compose up -d --scale actor=4 --no-recreate
  await_above 'up{job="actor"}' 3
  say "Down"
  compose down -v --timeout 30
  trap - EXIT
}

main "$@"
