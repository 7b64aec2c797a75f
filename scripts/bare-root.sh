#!/usr/bin/env bash
# Runs a script of this repository in a bare Debian root, as on a machine where nothing is installed: debootstrap's
# minbase with git, and a clone of the last commit. Needs root and debootstrap.
#
#   scripts/bare-root.sh [--dir DIR] [--ccache DIR] bookworm|trixie SCRIPT [ARGUMENT...]
#   scripts/bare-root.sh trixie scripts/quickstart.sh --seed 2
#
#   --dir DIR      keep the root in DIR, and use it again if it is there (default: a temporary one)
#   --ccache DIR   a compiler cache that outlives the root (default: none, a cold cache)
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() { sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }

# Runs inside a mount and process namespace of its own, so that nothing stays mounted or running.
enter_root() {
  local dir="$1" ccache="$2"
  shift 2
  mount -t proc proc "$dir/proc"
  mount --rbind /dev "$dir/dev"
  if [[ -n "$ccache" ]]; then
    mkdir -p "$ccache" "$dir/root/.cache/ccache"
    mount --bind "$ccache" "$dir/root/.cache/ccache"
  fi
  exec chroot "$dir" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
    TERM="${TERM:-dumb}" ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
    CCACHE_DIR=/root/.cache/ccache /bin/bash -c 'cd /pompc && exec "$@"' bash "$@"
}

main() {
  local dir="" ccache="" suite
  while [[ "${1:-}" == --* ]]; do
    case "$1" in
      --dir) dir="$(realpath -m "$2")"; shift 2 ;;
      --ccache) ccache="$(realpath -m "$2")"; shift 2 ;;
      --help) usage; return ;;
      --inside) shift; enter_root "$@" ;;
      *) refuse "unknown option $1; see --help" ;;
    esac
  done
  if (( $# < 2 )); then usage >&2; exit 2; fi
  suite="$1"; shift
  [[ "$suite" == bookworm || "$suite" == trixie ]] || refuse "unknown release '$suite': allowed are bookworm, trixie"

  if [[ -z "$dir" ]]; then
    dir="$(mktemp -d "${TMPDIR:-/var/tmp}/pompc-root.XXXXXX")"
    temporary="$dir"
    trap 'rm -rf --one-file-system "$temporary"' EXIT
  fi
  [[ -d "$dir/etc" ]] || make_bare_root "$suite" "$dir" git
  rm -rf "$dir/pompc"
  git clone -q --no-hardlinks "$POMPC_ROOT" "$dir/pompc"
  say "In $suite, at $(git -C "$dir/pompc" log -1 --format='%h %s'): $*"
  unshare --mount --pid --fork --kill-child "${BASH_SOURCE[0]}" --inside "$dir" "$ccache" "$@"
}

temporary=""
main "$@"
