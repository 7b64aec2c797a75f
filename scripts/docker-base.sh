#!/usr/bin/env bash
# Makes the images that docker/Dockerfile starts from, with debootstrap and `docker import`: no registry is asked, and
# building the Dockerfile needs no network afterwards. Needs root and Debian's package mirror; debootstrap is installed
# where it is missing, and existing images are kept.
#
#   scripts/docker-base.sh [--force] [bookworm|trixie] [IMAGE...]      default: bookworm, and all four images
#
#   build          compilers and development files
#   runtime        shared libraries of the actor and the replay shard
#   runtime-torch  and of the planner, the learner and the pompc command
#   prometheus     Debian's Prometheus, for places that cannot pull its own image
#
# They are called pompc-base:build and so on. With CUDA, and on other systems: docs/deployment.md.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly IMAGE=pompc-base
readonly TAGS=(build runtime runtime-torch prometheus)

# Development packages whose shared libraries the binaries load; Debian names the libraries after their version.
readonly RUNTIME_OF=(libgrpc++-dev libprotobuf-dev libabsl-dev libmujoco-dev prometheus-cpp-dev libcpp-httplib-dev
                     libspdlog-dev libtinyxml2-dev librocksdb-dev)
readonly RUNTIME_TORCH_OF=(libtorch-dev)

# A machine that has an engine need not have more than that.
install_tools() {
  [[ "$(id -u)" == 0 ]] || die "needs root"
  command -v debootstrap >/dev/null && return
  command -v apt-get >/dev/null || die "needs debootstrap, which this system's own packages have"
  say "Installing debootstrap"
  apt-get -q update
  DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=120 install --no-install-recommends debootstrap
}

in_root() {
  local root="$1"
  shift
  unshare --mount --pid --fork --kill-child bash -c '
    mount -t proc proc "$1/proc" && mount --bind /dev "$1/dev" && root="$1" && shift &&
    exec chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive \
      ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} "$@"' bash "$root" "$@"
}

# Shared libraries that the given development packages depend on, in the release of the root.
libraries_of() {
  local root="$1"
  shift
  in_root "$root" apt-cache depends --no-recommends --no-suggests "$@" |
    sed -n 's/^ *Depends: \(lib[^ ]*\)$/\1/p' | grep -v -e '-dev$' -e 'prometheus-cpp-pu' | sort -u
}

install_into() {
  local root="$1"
  shift
  in_root "$root" apt-get -q -y install --no-install-recommends "$@"
}

# import ROOT TAG: the root's files as an image.
import() {
  rm -rf "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/* "$1"/var/log/*
  tar -C "$1" --one-file-system --numeric-owner -c . |
    docker import --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
      --message "Debian for pompc ($2)" - "$IMAGE:$2"
}

# make_image TAG BASE_ROOT: runs fill_TAG on a copy of the root and imports it.
make_image() {
  local tag="$1" base="$2" root="$work/$1"
  say "$IMAGE:$tag"
  cp -a "$base" "$root"
  "fill_$tag" "$root"
  import "$root" "$tag"
  rm -rf --one-file-system "$root"
}

fill_build() {
  mkdir -p "$1/pompc-scripts"
  cp "$POMPC_ROOT"/scripts/{lib,install-deps}.sh "$1/pompc-scripts/"
  in_root "$1" bash /pompc-scripts/install-deps.sh build
  rm -rf "$1/pompc-scripts"
}

fill_runtime() {
  local libraries
  mapfile -t libraries < <(libraries_of "$1" "${RUNTIME_OF[@]}")
  install_into "$1" "${libraries[@]}"
}

fill_runtime-torch() {
  local libraries
  fill_runtime "$1"
  mapfile -t libraries < <(libraries_of "$1" "${RUNTIME_TORCH_OF[@]}")
  install_into "$1" libopenblas0-pthread "${libraries[@]}"
}

fill_prometheus() {
  install_into "$1" prometheus
  install -d -o 65534 -g 65534 "$1/prometheus"
}

main() {
  local force="" suite=bookworm tag asked=() wanted=()
  while (( $# > 0 )); do
    case "$1" in
      --force) force=1 ;;
      bookworm | trixie) suite="$1" ;;
      build | runtime | runtime-torch | prometheus) asked+=("$1") ;;
      *) refuse "unknown argument '$1': allowed are --force, bookworm, trixie, ${TAGS[*]}" ;;
    esac
    shift
  done
  (( ${#asked[@]} > 0 )) || asked=("${TAGS[@]}")
  docker info >/dev/null 2>&1 || die "no Docker engine answers"
  for tag in "${asked[@]}"; do
    if [[ -n "$force" ]] || ! docker image inspect "$IMAGE:$tag" >/dev/null 2>&1; then wanted+=("$tag"); fi
  done
  if (( ${#wanted[@]} == 0 )); then
    echo "There are $(printf "$IMAGE:%s " "${asked[@]}"); --force makes them anew."
    return
  fi
  install_tools
  work="$(mktemp -d "${TMPDIR:-/var/tmp}/pompc-base.XXXXXX")"
  trap 'rm -rf --one-file-system "$work"' EXIT
  make_bare_root "$suite" "$work/bare"
  in_root "$work/bare" apt-get -q update
  for tag in "${wanted[@]}"; do make_image "$tag" "$work/bare"; done
}

work=""
main "$@"
