#!/usr/bin/env bash
# Gets the models of the DeepMind Control Suite that pompc does not have itself (fish, humanoid, quadruped, dog), with
# pip from the package dm_control. Quick when all is there, and repairs what is damaged.
#
#   scripts/fetch-control-suite.sh [DIR]     default: $POMPC_ASSETS, or where pompc looks for them
#
# Without a network: copy the folder dm_control/suite of any installation of that package, or DIR of another machine.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly VERSION=1.0.7
readonly SHA256=16b0ed497b568c36a3aef6b5be4344fa822218304236a7d3b5f586dfe09375f6
readonly WHEEL="dm_control-$VERSION-py3-none-any.whl"
readonly SUMS=SHA256SUMS
work=""

# Whether the folder holds what was unpacked into it.
complete() { [[ -f "$1/$SUMS" ]] && (cd "$1" && sha256sum --check --quiet --status "$SUMS"); }

unpack() {
  local wheel="$1" folder="$2"
  python3 - "$wheel" "$folder" <<'PYTHON'
import pathlib, sys, zipfile

wheel, folder = zipfile.ZipFile(sys.argv[1]), pathlib.Path(sys.argv[2])
suite = "dm_control/suite/"
for name in wheel.namelist():
    if name.startswith(suite) and name.endswith(".xml"):
        target = folder / name[len(suite):]
    elif name.endswith(".dist-info/LICENSE"):
        target = folder / "LICENSE"
    else:
        continue
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(wheel.read(name))
PYTHON
  local sums
  sums="$(cd "$folder" && find . -type f ! -name "$SUMS" -print0 | LC_ALL=C sort -z | xargs -0 sha256sum)"
  echo "$sums" >"$folder/$SUMS"
}

main() {
  local folder="${1:-${POMPC_ASSETS:-${XDG_DATA_HOME:-${HOME:-}/.local/share}/pompc/control-suite}}"
  if complete "$folder"; then
    say "The control suite's models are in $folder"
    return
  fi
  if [[ -e "$folder" && ! -f "$folder/$SUMS" && -n "$(ls -A "$folder" 2>/dev/null)" ]]; then
    die "$folder is there already and not of this script's making; name another folder, or remove it"
  fi
  say "Downloading the control suite's models into $folder"
  mkdir -p "$(dirname "$folder")"
  # Beside its place, so that it gets there whole.
  work="$(mktemp -d "$folder.XXXXXX")"
  trap 'rm -rf "$work"' EXIT
  download_wheel dm_control "$VERSION" "$SHA256" "$WHEEL" "$work" "without a network, copy the folder \
dm_control/suite of another machine and name it with --assets or POMPC_ASSETS"
  mkdir "$work/suite"
  unpack "$work/$WHEEL" "$work/suite"
  chmod -R u=rwX,go=rX "$work/suite"
  rm -rf "$folder"
  mv "$work/suite" "$folder"
}

main "$@"
