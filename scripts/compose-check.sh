#!/usr/bin/env bash
# Shows deploy/compose.yaml and deploy/stack.yaml on this machine's Docker engine: a run of eight actors with mutual TLS
# becomes healthy, is seen by Prometheus, survives that each role is stopped and killed, and learns the swing-up.
# Without an engine it says so and ends well.
#
#   scripts/compose-check.sh [--installed DIR] [compose|stack]...
#
#   --installed DIR   images from the programs in DIR (docker/build.sh); default: compile them
#   compose, stack    what to show; default: both
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source "$(dirname "${BASH_SOURCE[0]}")/engines.sh"
cd "$POMPC_ROOT"

readonly ACTORS=8 GOAL=700
readonly ROLES=(replay-0 replay-1 planner learner actor evaluator)
# One of each, and the further actors.
readonly PROCESSES=$(( ${#ROLES[@]} + ACTORS - 1 ))
readonly PROJECT="pompc-check-$$"
export PROMETHEUS_IMAGE=pompc-base:prometheus POMPC_RUN=check POMPC_IMAGE_TAG=check POMPC_ACTORS=$ACTORS
export COMPOSE_PROFILES=cpu POMPC_CONFIG="$$"
work="" kind=""

compose() { docker_compose -p "$PROJECT" -f deploy/compose.yaml -f "$work/check.yaml" "$@"; }

# containers SERVICE: ids of those that run, newest first; `-a SERVICE` those that have ended as well.
containers() {
  local all=()
  if [[ "$1" == -a ]]; then all=(-a); shift; fi
  case "$kind" in
    compose) docker ps -q "${all[@]}" --filter "label=com.docker.compose.project=$PROJECT" \
               --filter "label=com.docker.compose.service=$1" ;;
    stack) docker ps -q "${all[@]}" --filter "label=com.docker.swarm.service.name=${PROJECT}_$1" ;;
  esac
}

one() { containers "$1" | head -1; }

# Sum over all processes of a metric, as Prometheus has it; empty while it has none.
measure() {
  docker exec "$(one prometheus)" promtool query instant http://localhost:9090 "sum($1)" 2>/dev/null |
    sed -n 's/^{} => \([0-9.e+]*\) .*/\1/p'
}

complain() {
  docker ps -a --filter "name=$PROJECT" --format '{{.Names}} {{.Status}}'
  [[ "$kind" == stack ]] && docker stack ps --no-trunc "$PROJECT" | head -40
  local role id
  for role in "${ROLES[@]}"; do
    for id in $(containers -a "$role" | head -2); do
      echo "-- $role $id"
      docker logs --tail 8 "$id" 2>&1
    done
  done
  die "$*"
}

above() {
  local value
  value="$(measure "$1" || true)"
  [[ -n "$value" ]] && awk -v v="$value" -v b="$2" 'BEGIN {exit !(v > b)}'
}

healthy() {
  local role count=0 id
  for role in "${ROLES[@]}" prometheus; do
    for id in $(containers "$role"); do
      [[ "$(docker inspect --format '{{.State.Health.Status}}' "$id" 2>/dev/null)" != healthy ]] || count=$(( count + 1 ))
    done
  done
  (( count == PROCESSES + 1 ))
}

everything_up() {
  await "all $(( PROCESSES + 1 )) containers are healthy" healthy
  await "Prometheus sees all $PROCESSES processes" above 'up{job!="prometheus"}' $(( PROCESSES - 1 ))
}

# The learner goes on, from wherever its newest checkpoint left it, and everything is healthy again.
goes_on() {
  local updates
  everything_up
  updates="$(measure pompc_learner_updates_total || true)"
  await "updates go on after ${updates:-none}" above pompc_learner_updates_total "$(awk -v u="${updates:-0}" 'BEGIN {print u + 50}')"
}

# Starts the container again where nobody else does: Swarm replaces it, Compose leaves what somebody stopped alone.
revive() { if [[ "$kind" == compose ]]; then docker start "$1" >/dev/null; fi; }

disturb() {
  local role id start status
  for role in "${ROLES[@]}"; do
    id="$(one "$role")"
    start=$SECONDS
    docker stop "$id" >/dev/null
    status="$(docker inspect --format '{{.State.ExitCode}}' "$id" 2>/dev/null || echo gone)"
    say "$role: docker stop, $(( SECONDS - start )) s, exit status $status"
    [[ "$status" == 0 ]] || complain "$role did not drain within its grace"
    revive "$id"
    goes_on
  done
  for role in "${ROLES[@]}"; do
    say "$role: docker kill"
    id="$(one "$role")"
    docker kill "$id" >/dev/null
    revive "$id"
    goes_on
  done
}

# All processes at once, in any order, and back in any other.
restart_all() {
  local ids id
  mapfile -t ids < <(for id in "${ROLES[@]}"; do containers "$id"; done | shuf)
  say "All ${#ids[@]} containers: docker stop"
  docker stop "${ids[@]}" >/dev/null
  for id in "${ids[@]}"; do
    [[ "$(docker inspect --format '{{.State.ExitCode}}' "$id")" == 0 ]] || complain "$id did not drain within its grace"
  done
  mapfile -t ids < <(printf '%s\n' "${ids[@]}" | shuf)
  docker start "${ids[@]}" >/dev/null
  goes_on
}

# New certificates in the folders that are mounted: all processes take them without a restart.
renew_certificates() {
  local before
  before="$(measure pompc_certificate_expiry_timestamp_seconds)"
  say "Certificates that are good for 30 days more"
  make_certificates --days 120
  await "all processes have them" above pompc_certificate_expiry_timestamp_seconds \
    "$(awk -v b="$before" -v n="$PROCESSES" 'BEGIN {printf "%.0f", b + n * 29.9 * 86400}')"
  goes_on
}

memory() {
  local role
  for role in "${ROLES[@]}" prometheus; do
    printf '%-12s %s\n' "$role" "$(docker stats --no-stream --format '{{.MemUsage}}' "$(one "$role")")"
  done
}

exercise() {
  local start=$SECONDS
  everything_up
  await "it trains" above pompc_learner_updates_total 1100
  disturb
  if [[ "$kind" == compose ]]; then
    restart_all
    renew_certificates
  fi
  await "an evaluation returns $GOAL or more" above pompc_learner_evaluation_best_return_mean "$GOAL"
  say "$kind: return $(measure pompc_learner_evaluation_best_return_mean), $(measure pompc_learner_rows_total) rows, $(( SECONDS - start )) s after it came up"
  memory
  operator status
}

# The command pompc, with an operator's certificate.
operator() {
  case "$kind" in
    compose) compose run --rm operator "$@" ;;
    stack) docker run --rm --network "${PROJECT}_cluster" -v "$POMPC_CERTIFICATES_DIR/operator:/run/pompc:ro" \
             -e POMPC_CERTIFICATES=/run/pompc -e POMPC_LEARNER=learner:7000 --entrypoint pompc pompc-learner:check "$@" ;;
  esac
}

check_compose() {
  kind=compose
  say "Compose: up with $ACTORS actors"
  compose up -d --scale actor="$ACTORS"
  exercise
  operator stop
  await "learner, actors and evaluator end with the run" ended
  compose down -v --timeout 60
}

ended() {
  local role id
  for role in learner actor evaluator; do
    for id in $(containers -a "$role"); do
      [[ "$(docker inspect --format '{{.State.Status}} {{.State.ExitCode}}' "$id")" == "exited 0" ]] || return 1
    done
  done
}

check_stack() {
  local label
  kind=stack
  say "Stack: deploy with $ACTORS actors"
  join_swarm
  for label in replay-0 replay-1 learner planner actor watch; do
    docker node update --label-add "pompc.$label=1" "$(docker info --format '{{.Swarm.NodeID}}')" >/dev/null
  done
  python3 - deploy/stack.yaml "$work" <<'PYTHON'
import pathlib, re, sys
# The stack's file with the check's settings of the learner, and with its paths as they are from here.
text = pathlib.Path(sys.argv[1]).read_text()
text = text.replace("file: ./", f"file: {pathlib.Path(sys.argv[1]).resolve().parent}/")
text = text.replace("      - --set=env.task=", "      - --set=stop.return_mean=0\n      - --set=stop.max_rows=10000000\n      - --set=env.task=")
pathlib.Path(sys.argv[2], "stack.yaml").write_text(text)
PYTHON
  docker stack deploy -c "$work/stack.yaml" --resolve-image never "$PROJECT"
  exercise
}

gone() { [[ -z "$(docker ps -aq --filter "name=$PROJECT")" ]]; }

clean_up() {
  local status=$? attempt
  kind="${kind:-compose}"
  docker stack rm "$PROJECT" >/dev/null 2>&1 || true
  compose down -v --timeout 30 >/dev/null 2>&1 || true
  for (( attempt = 0; attempt < 60; attempt++ )); do gone && break; sleep 1; done
  docker volume ls -q --filter "name=$PROJECT" | xargs -r docker volume rm >/dev/null 2>&1 || true
  leave_swarm
  rm -rf "$work"
  return "$status"
}

# The run goes on until it is stopped, so that the last fault is in the middle of it, too.
write_override() {
  cat >"$work/check.yaml" <<'YAML'
version: "3.9"
services:
  learner:
    command: [--run-dir=/var/lib/pompc/runs/check, "--replay=replay-0:7000,replay-1:7000", --preset=quickstart,
              --set=stop.return_mean=0, --set=stop.max_rows=10000000]
YAML
}

make_certificates() {
  export POMPC_CERTIFICATES_DIR="$work/certificates"
  deploy/certificates.sh "$POMPC_CERTIFICATES_DIR" "$@"
  # The containers' user reads the keys; the CA's stays root's.
  chmod 755 "$work" "$POMPC_CERTIFICATES_DIR"
  chown -R 10000 "$POMPC_CERTIFICATES_DIR"/*/
}

main() {
  local installed=() parts=() part
  while (( $# > 0 )); do
    case "$1" in
      --installed) [[ -n "${2:-}" ]] || refuse "--installed needs a value"
        installed=(--installed "$2"); shift ;;
      compose | stack) parts+=("$1") ;;
      *) refuse "unknown argument '$1': allowed are --installed, compose, stack" ;;
    esac
    shift
  done
  (( ${#parts[@]} > 0 )) || parts=(compose stack)
  docker_answers || return 0
  if (( ${#installed[@]} > 0 )); then
    scripts/docker-base.sh runtime runtime-torch prometheus
  else
    scripts/docker-base.sh
  fi
  docker/build.sh --tag check "${installed[@]}" replay actor planner learner
  work="$(mktemp -d "${TMPDIR:-/var/tmp}/pompc-check.XXXXXX")"
  trap clean_up EXIT
  write_override
  make_certificates
  pick_port
  export PROMETHEUS_PORT="$port"
  for part in "${parts[@]}"; do "check_$part"; done
}

main "$@"
