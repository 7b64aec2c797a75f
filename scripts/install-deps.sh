#!/usr/bin/env bash
# Installs what pompc needs from Debian's own packages, as root or through sudo. Quick when all is there.
#
#   scripts/install-deps.sh           everything: build, tests
#   scripts/install-deps.sh build     what building and training need
#   scripts/install-deps.sh [build] --mujoco pip   the same, and a newer MuJoCo from the Python package index, which
#                                     builds prefer to Debian's (docs/build.md)
#   scripts/install-deps.sh --list build|test   prints the packages and stops
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# libopenblas-pthread-dev: libtorch-dev is content with the reference BLAS, which is 20 times slower.
# libqhull-dev, libc-ares-dev, libre2-dev, zlib1g-dev: required by the CMake packages of others.
readonly BUILD_PACKAGES=(
  g++ cmake ninja-build ccache pkg-config
  libtorch-dev libgloo-dev libopenblas-pthread-dev
  libgrpc++-dev protobuf-compiler-grpc protobuf-compiler libprotobuf-dev libabsl-dev
  libc-ares-dev libre2-dev zlib1g-dev libssl-dev
  libmujoco-dev libqhull-dev libtinyxml2-dev librocksdb-dev
  prometheus-cpp-dev libcpp-httplib-dev libspdlog-dev nlohmann-json3-dev libcli11-dev)
# ffmpeg, libegl1, libgl1-mesa-dri: pompc evaluate --video; found when it runs, nothing links them.
# openssl: deploy/certificates.sh.
readonly TEST_PACKAGES=(libgtest-dev libgmock-dev libbenchmark-dev clang libclang-rt-dev
  python3 python3-numpy python3-torch python3-grpcio python3-protobuf python3-pip
  ffmpeg libegl1 libgl1-mesa-dri openssl)

# MuJoCo's library and headers are in this package of its makers; the rest of it is for Python.
readonly MUJOCO_PACKAGE=mujoco-core
readonly MUJOCO_VERSION=4.0.0
readonly -A MUJOCO_SHA256=(
  [x86_64]=885bd9b9cc0a6b5ba1114923eb954027652a6a0c115fa46b3218b83bae72ac4f
  [aarch64]=34de0c1674caa95abd3a0214ded4461e688150fbaa015b2db523d553b7411c3b)

work=""

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

# Writes include/, lib/ and the licences of a wheel of MuJoCo into a folder.
unpack_mujoco() {
  python3 - "$1" "$2" <<'PYTHON'
import pathlib, re, sys, zipfile

wheel, folder = zipfile.ZipFile(sys.argv[1]), pathlib.Path(sys.argv[2])
places = ((r"mujoco/include/(.*\.h)", "include"), (r"mujoco/(libmujoco\.so\.[\d.]+)", "lib"), (r".*/licenses/(.+)", "."))
for name in wheel.namelist():
    for pattern, place in places:
        if found := re.fullmatch(pattern, name):
            target = folder / place / found[1]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(wheel.read(name))
[library] = (folder / "lib").iterdir()
library.with_name("libmujoco.so").symlink_to(library.name)
PYTHON
}

install_mujoco() {
  local machine folder="$POMPC_LIBRARY_DIR/mujoco-$MUJOCO_VERSION"
  machine="$(uname -m)"
  # It gets there whole.
  [[ -d "$folder" ]] && return
  [[ -n "${MUJOCO_SHA256[$machine]:-}" ]] || die "--mujoco pip: there is none for $machine; allowed: ${!MUJOCO_SHA256[*]}"
  say "Unpacking MuJoCo $MUJOCO_VERSION into $folder"
  python3 -m pip --version >/dev/null 2>&1 || install_packages python3-pip
  work="$(mktemp -d)"
  trap 'rm -rf "$work"' EXIT
  # The library is the same for every version of Python.
  download_wheel "$MUJOCO_PACKAGE" "$MUJOCO_VERSION" "${MUJOCO_SHA256[$machine]}" \
    "mujoco_core-$MUJOCO_VERSION-cp311-cp311-manylinux_2_27_$machine.manylinux_2_28_$machine.whl" "$work" \
    "without a network, copy $folder of another machine" \
    --implementation cp --python-version 3.11 --abi cp311 --platform "manylinux_2_28_$machine"
  unpack_mujoco "$work/"*.whl "$work/mujoco"
  chmod -R u=rwX,go=rX "$work/mujoco"
  as_root install -d "$POMPC_LIBRARY_DIR"
  as_root cp -r "$work/mujoco" "$folder.tmp"
  as_root mv -T "$folder.tmp" "$folder"
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
  local group=all mujoco=debian
  while (( $# > 0 )); do
    case "$1" in
      --list) list_packages "${2:-}"; return ;;
      --mujoco) [[ "${2:-}" == pip || "${2:-}" == debian ]] || refuse "--mujoco '${2:-}': allowed are pip, debian"
        mujoco="$2"; shift ;;
      all | build) group="$1" ;;
      *) refuse "unknown group '$1': allowed are all, build, --mujoco, --list" ;;
    esac
    shift
  done
  check_distribution
  install_packages "${BUILD_PACKAGES[@]}"
  if [[ "$mujoco" == pip ]]; then install_mujoco; fi
  if [[ "$group" == all ]]; then
    install_packages "${TEST_PACKAGES[@]}"
    install_prometheus
    install_compose
  fi
}

main "$@"
