#!/usr/bin/env bash
# Renders and validates deploy/kubernetes/ against the schemas of Kubernetes, with the Python package kubernetes-validate
# in a virtual environment of its own (build/kubernetes-validate). Without kubectl or a package index it says so and ends
# well.
#
#   scripts/kubernetes-check.sh [--programs DIR]      default: build/release/bin
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly ENVIRONMENT="$POMPC_ROOT/build/kubernetes-validate"

main() {
  local programs="$POMPC_ROOT/build/release/bin" status=0
  while (( $# > 0 )); do
    case "$1" in
      --programs) [[ -n "${2:-}" ]] || refuse "--programs needs a value"
        programs="$2"; shift ;;
      *) refuse "unknown argument '$1': allowed is --programs" ;;
    esac
    shift
  done
  command -v kubectl >/dev/null || { echo "There is no kubectl here: nothing to check."; return; }
  if [[ ! -x "$ENVIRONMENT/bin/kubernetes-validate" ]]; then
    say "Installing kubernetes-validate into $ENVIRONMENT"
    { python3 -m venv "$ENVIRONMENT" && "$ENVIRONMENT/bin/pip" install --quiet --disable-pip-version-check kubernetes-validate; } ||
      { echo "kubernetes-validate cannot be installed: nothing to check."; rm -rf "$ENVIRONMENT"; return; }
  fi
  "$ENVIRONMENT/bin/python" "$POMPC_ROOT/tests/deploy/kubernetes_test.py" "$programs" || status=$?
  # 77: skipped, with the reason printed.
  (( status == 0 || status == 77 ))
}

main "$@"
