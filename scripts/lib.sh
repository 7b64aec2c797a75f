# Shared by the scripts of this folder; sourced, never run.

readonly POMPC_ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# Where install-deps.sh unpacks prometheus and promtool when the system has none.
readonly POMPC_TOOLS_DIR="/usr/local/lib/pompc/bin"
PATH="$PATH:$POMPC_TOOLS_DIR"

say() { printf '\n== %s\n' "$*"; }

die() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# Parallel compile jobs: one a core, but never more than memory carries (a file that includes LibTorch takes
# up to 1.5 GB).
build_jobs() {
  local cores available_kb by_memory
  cores="$(nproc)"
  available_kb="$(awk '/^MemAvailable:/ {print $2}' /proc/meminfo 2>/dev/null || true)"
  by_memory=$(( ${available_kb:-1572864} / 1572864 ))
  if (( by_memory < 1 )); then by_memory=1; fi
  echo $(( cores < by_memory ? cores : by_memory ))
}

# Compilers and sanitizers read /proc; a bare root that was entered without it gets it mounted here.
require_proc() {
  [[ -r /proc/self/maps ]] && return
  mount -t proc proc /proc 2>/dev/null || die "/proc is not mounted, and mounting it failed: run 'mount -t proc proc /proc' as root"
}
