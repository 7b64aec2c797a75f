#!/usr/bin/env bash
# Builds the images of docker/Dockerfile, with their version and revision as labels.
#
#   docker/build.sh [--tag TAG] [--prefix PREFIX] [--installed DIR] [--cuda] [TARGET...]
#
#   --tag TAG        tag of the images (default: latest)
#   --prefix PREFIX  what their names begin with (default: pompc-)
#   --installed DIR  take the programs from DIR, which `cmake --install build/release --prefix DIR --strip` filled on the
#                    Debian release of the bases, and compile nothing
#   --cuda           on the bases pompc-base:build-cuda and pompc-base:runtime-cuda (docs/deployment.md), tagged TAG-cuda
#   TARGET           replay, actor, planner, learner, pompc (default: all of them; with --cuda: planner and learner)
#
# BUILD_BASE, RUNTIME_BASE, RUNTIME_TORCH_BASE and CMAKE_ARGUMENTS of the environment become build arguments.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"

readonly TARGETS=(replay actor planner learner pompc)
context=""

usage() { sed -n '2,13s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }

# The project's version, and the commit with a mark when files differ from it.
version() { sed -n 's/^project(pompc VERSION \([0-9.]*\).*/\1/p' "$POMPC_ROOT/CMakeLists.txt"; }
revision() { git -C "$POMPC_ROOT" describe --always --dirty --abbrev=12 --exclude '*' 2>/dev/null || echo unknown; }

main() {
  local tag=latest prefix=pompc- installed="" cuda="" targets=() target arguments=()
  while (( $# > 0 )); do
    case "$1" in
      --help) usage; return ;;
      --cuda) cuda=1 ;;
      --tag | --prefix | --installed)
        [[ -n "${2:-}" ]] || refuse "$1 needs a value"
        case "$1" in --tag) tag="$2" ;; --prefix) prefix="$2" ;; --installed) installed="$2" ;; esac
        shift ;;
      replay | actor | planner | learner | pompc) targets+=("$1") ;;
      *) refuse "unknown argument '$1': allowed are --tag, --prefix, --installed, --cuda, ${TARGETS[*]}" ;;
    esac
    shift
  done
  context="$POMPC_ROOT"
  if [[ -n "$installed" ]]; then
    [[ -x "$installed/bin/pompc-learner" ]] || die "no pompc is installed in $installed: bin/pompc-learner is missing"
    context="$(mktemp -d "${TMPDIR:-/var/tmp}/pompc-images.XXXXXX")"
    trap 'rm -rf "$context"' EXIT
    cp -a "$installed" "$context/installed"
    # No compiler is needed then.
    BUILD_BASE="${BUILD_BASE:-${RUNTIME_BASE:-pompc-base:runtime}}"
    arguments+=(--build-arg INSTALLED=installed)
  fi
  if [[ -n "$cuda" ]]; then
    tag="$tag-cuda"
    BUILD_BASE="${BUILD_BASE:-pompc-base:build-cuda}"
    RUNTIME_TORCH_BASE="${RUNTIME_TORCH_BASE:-pompc-base:runtime-cuda}"
    CMAKE_ARGUMENTS="${CMAKE_ARGUMENTS:--DCMAKE_PREFIX_PATH=/opt/libtorch}"
    (( ${#targets[@]} > 0 )) || targets=(planner learner)
  fi
  (( ${#targets[@]} > 0 )) || targets=("${TARGETS[@]}")
  for target in BUILD_BASE RUNTIME_BASE RUNTIME_TORCH_BASE CMAKE_ARGUMENTS; do
    [[ -z "${!target:-}" ]] || arguments+=(--build-arg "$target=${!target}")
  done
  for target in "${targets[@]}"; do
    say "$prefix$target:$tag"
    docker build -q -f "$POMPC_ROOT/docker/Dockerfile" --target "$target" -t "$prefix$target:$tag" \
      --build-arg VERSION="$(version)" --build-arg REVISION="$(revision)" "${arguments[@]}" "$context"
  done
}

main "$@"
