#!/usr/bin/env bash
# Installs what pompc needs from Debian's own packages, as root or through sudo. Quick when all is there.
#
#   scripts/install-deps.sh           everything: build, tests
#   scripts/install-deps.sh build     what building and training need
#   scripts/install-deps.sh --list build|test   prints the packages and stops
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# libopenblas-pthread-dev: libtorch-dev is content with the reference BLAS, which is 20 times slower.
# libqhull-dev, libc-ares-dev, libre2-dev, zlib1g-dev, libssl-dev: required by the CMake packages of others.
readonly BUILD_PACKAGES=(
  g++ cmake ninja-build ccache pkg-config
  libtorch-dev libgloo-dev libopenblas-pthread-dev
  libgrpc++-dev protobuf-compiler-grpc protobuf-compiler libprotobuf-dev libabsl-dev
  libc-ares-dev libre2-dev zlib1g-dev libssl-dev
  libmujoco-dev libqhull-dev libtinyxml2-dev librocksdb-dev
  prometheus-cpp-dev libcpp-httplib-dev libspdlog-dev nlohmann-json3-dev libcli11-dev)
# ffmpeg, libegl1, libgl1-mesa-dri: pompc evaluate --video; found when it runs, nothing links them.
readonly TEST_PACKAGES=(libgtest-dev libgmock-dev libbenchmark-dev clang libclang-rt-dev
  python3 python3-numpy python3-torch python3-grpcio python3-protobuf python3-pip
  ffmpeg libegl1 libgl1-mesa-dri)

as_root() {
  if [[ "$(id -u)" == 0 ]]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "needs root to install packages: run it as root, or install sudo"
  fi
}

apt() { as_root env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 apt-get -q -y -o Acquire::Retries=3 "$@"; }

check_distribution() {
  local id="" version=""
  if [[ -r /etc/os-release ]]; then
    id="$(. /etc/os-release && echo "${ID:-}")"
    version="$(. /etc/os-release && echo "${VERSION_ID:-}")"
  fi
  case "$id-$version" in
    debian-12 | debian-13) ;;
    *) die "this is '${id:-unknown} ${version:-}'; supported are Debian 12 (bookworm) and Debian 13 (trixie)." \
           "Elsewhere, install the packages that --list names yourself (docs/build.md)" ;;
  esac
}

# Prints those of the given packages that are not installed.
missing() {
  comm -13 <(dpkg-query -W -f '${db:Status-Abbrev}${Package}\n' "$@" 2>/dev/null | sed -n 's/^ii //p' | sort) \
           <(printf '%s\n' "$@" | sort)
}

update_package_lists() {
  local attempt
  for attempt in 1 2 3; do
    apt update && return
    echo "apt-get update failed (attempt $attempt of 3)" >&2
  done
  die "apt-get update failed; are the package sources in /etc/apt reachable?"
}

install_packages() {
  local wanted
  mapfile -t wanted < <(missing "$@")
  (( ${#wanted[@]} == 0 )) && return
  say "Installing ${#wanted[@]} packages: ${wanted[*]}"
  update_package_lists
  apt install --no-install-recommends "${wanted[@]}"
}

# Prometheus' package starts a server on port 9090, which nobody wants here: only its two programs are installed.
install_prometheus() {
  if command -v prometheus >/dev/null && command -v promtool >/dev/null; then return; fi
  say "Unpacking prometheus and promtool into $POMPC_TOOLS_DIR"
  local folder names=(prometheus)
  folder="$(mktemp -d)"
  update_package_lists
  # Debian 13 has promtool in a package of its own.
  [[ -n "$(apt-cache --names-only search '^promtool$')" ]] && names+=(promtool)
  (cd "$folder" && apt-get -q -o Acquire::Retries=3 -o APT::Sandbox::User=root download "${names[@]}" &&
   for deb in *.deb; do dpkg-deb -x "$deb" .; done)
  as_root install -D -t "$POMPC_TOOLS_DIR" "$folder/usr/bin/prometheus" "$folder/usr/bin/promtool"
  rm -rf "$folder"
}

# Compose is wanted only where there is an engine for it to drive.
install_compose() {
  command -v docker >/dev/null && docker info >/dev/null 2>&1 || return 0
  docker compose version >/dev/null 2>&1 || command -v docker-compose >/dev/null || install_packages docker-compose
}

list_packages() {
  case "${1:-}" in
    build) printf '%s\n' "${BUILD_PACKAGES[@]}" ;;
    test) printf '%s\n' "${TEST_PACKAGES[@]}" ;;
    *) refuse "--list ${1:-}: allowed are build, test" ;;
  esac
}

main() {
  local group="${1:-all}"
  if [[ "$group" == --list ]]; then
    list_packages "${2:-}"
    return
  fi
  [[ "$group" == all || "$group" == build ]] || refuse "unknown group '$group': allowed are all, build, --list"
  check_distribution
  install_packages "${BUILD_PACKAGES[@]}"
  if [[ "$group" == all ]]; then
    install_packages "${TEST_PACKAGES[@]}"
    install_prometheus
    install_compose
  fi
}

main "$@"
