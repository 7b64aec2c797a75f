#!/usr/bin/env bash
# Installs, builds and trains: cartpole-swingup from nothing to a mean return of 700, in one process.
#
#   scripts/quickstart.sh [--seed N] [--run-dir DIR] [--set path.to.field=value] ...
#
# Arguments go to `pompc train --preset quickstart`; see `build/release/bin/pompc train --help`.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$POMPC_ROOT"

say "Packages"
scripts/install-deps.sh build
require_proc
say "Building pompc (minutes the first time)"
build_release pompc
say "Training: build/release/bin/pompc train --preset quickstart $*"
exec build/release/bin/pompc train --preset quickstart "$@"
