# shellcheck shell=bash
# Shared by the scripts of this folder; sourced, never run.

POMPC_ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
readonly POMPC_ROOT
# What install-deps.sh unpacks instead of installing it: MuJoCo (cmake/FindMujoco.cmake looks here).
readonly POMPC_LIBRARY_DIR="/usr/local/lib/pompc"
# And prometheus and promtool, when the system has none.
readonly POMPC_TOOLS_DIR="$POMPC_LIBRARY_DIR/bin"
PATH="$PATH:$POMPC_TOOLS_DIR"

say() { printf '\n== %s\n' "$*"; }

die() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# For arguments that are no good: status 2, as of all programs here.
refuse() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 2
}

readonly PATIENCE_SECONDS=900
# await WHAT COMMAND...: until the command succeeds, and says how long that took. After PATIENCE_SECONDS it calls the
# script's own `complain`, which must exit.
await() {
  local what="$1" start=$SECONDS
  shift
  until "$@"; do
    (( SECONDS - start < PATIENCE_SECONDS )) || complain "not within $PATIENCE_SECONDS s: $what"
    sleep 1
  done
  printf '%5d s  %s\n' $(( SECONDS - start )) "$what"
}

# decimal FLAG TEXT MIN MAX: prints TEXT if it is a whole number in decimal within the range. (Bash reads 010 as 8.)
decimal() {
  if [[ ! "$2" =~ ^(0|[1-9][0-9]{0,8})$ ]] || (( $2 < $3 || $2 > $4 )); then
    refuse "$1: \"$2\"; allowed: integer in decimal, $3 to $4"
  fi
  printf '%s' "$2"
}

# download_wheel PACKAGE VERSION SHA256 WHEEL FOLDER HINT [PIP'S OPTIONS]: downloads the wheel into the folder with pip and
# checks it. Nothing of it is installed or run. HINT says what to do without a network.
download_wheel() {
  local package="$1" version="$2" sum="$3" wheel="$4" folder="$5" hint="$6" found
  shift 6
  python3 -m pip --version >/dev/null 2>&1 || die "needs pip: install python3-pip"
  python3 -m pip download --quiet --disable-pip-version-check --retries 1 --no-deps --only-binary :all: "$@" \
    --dest "$folder" "$package==$version" || die "pip cannot download $package $version; $hint"
  found="$(sha256sum "$folder/$wheel" | cut -d' ' -f1)" || die "pip downloaded something else than $wheel"
  [[ "$found" == "$sum" ]] || die "what pip downloaded is not $package $version as its makers published it:" \
    "its checksum is $found and not $sum"
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

port=""
# Sets `port` to one that nobody listens on; another one with each call.
pick_port() {
  port="${port:-$(( 20000 + (RANDOM * 32768 + RANDOM) % 10000 ))}"
  while true; do
    port=$(( port + 1 ))
    if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then return; fi
  done
}

# build_release TARGET...: builds them in build/release. A fresh build folder is set up without tests; one that has
# them keeps them.
build_release() {
  local fresh=()
  [[ -f "$POMPC_ROOT/build/release/CMakeCache.txt" ]] || fresh=(-DPOMPC_TESTS=OFF -DPOMPC_BENCH=OFF)
  (cd "$POMPC_ROOT" && cmake --preset release "${fresh[@]}" && cmake --build build/release --parallel "$(build_jobs)" --target "$@")
}

# The mirror this machine installs Debian from.
host_mirror() {
  apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(LABEL)' 'Created-By: Packages' 2>/dev/null |
    awk '$2 == "Debian" && $3 == "Debian" {print $1; exit}'
}

# make_bare_root SUITE DIR [PACKAGES]: debootstrap's minbase, from the mirror this machine uses.
make_bare_root() {
  local suite="$1" dir="$2" packages="${3:-}" mirror
  [[ "$(id -u)" == 0 ]] || die "needs root"
  command -v debootstrap >/dev/null || die "needs debootstrap: apt-get install debootstrap"
  mirror="$(host_mirror)"
  say "Making a bare $suite root in $dir"
  debootstrap --variant=minbase ${packages:+--include="$packages"} "$suite" "$dir" ${mirror:+"$mirror"} >"$dir.log" 2>&1 ||
    die "debootstrap failed; the end of $dir.log:"$'\n'"$(tail -5 "$dir.log")"
  rm -f "$dir.log"
  # The way this machine reaches its mirror: a proxy, if there is one.
  apt-config dump --format '%F "%v";%n' Acquire::http::Proxy Acquire::https::Proxy >"$dir/etc/apt/apt.conf.d/80host"
}
