#!/usr/bin/env bash
# Trains CPU-12: twelve tasks of the control suite, 100,000 frames each, three seeds, with the preset `cpu`; then writes
# a report with every curve beside the published ones. A run takes about 12 minutes of one core, all 36 some four hours
# of two. One that was interrupted goes on where it was.
#
#   bench/learning/cpu12.sh                        all of it, into runs/sweeps/cpu12
#   bench/learning/cpu12.sh DIR --jobs 1           another folder, and flags of `pompc sweep run` (--jobs 2)
#   bench/learning/cpu12.sh docs/results/cpu12     with what that folder has already
#   CPU12=FILE bench/learning/cpu12.sh DIR         another sweep file, such as a copy with more settings
#   POMPC=PROGRAM bench/learning/cpu12.sh          another program than build/release/bin/pompc
set -euo pipefail

if [[ "${1:-}" == -h || "${1:-}" == --help ]]; then
  sed -n '2,/^set -/{/^set -/d; s/^# \{0,1\}//; p}' "${BASH_SOURCE[0]}"
  exit 0
fi
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
readonly here
readonly pompc="${POMPC:-$here/../../build/release/bin/pompc}"
if [[ ! -x "$pompc" ]]; then
  echo "cpu12.sh: there is no program $pompc; build it, or name one with POMPC=PROGRAM" >&2
  exit 1
fi
if [[ "${1:-}" == -* ]]; then
  echo "cpu12.sh: the folder comes before flags, not $1; see --help" >&2
  exit 2
fi
readonly dir="${1:-runs/sweeps/cpu12}"
shift || true

(($# > 0)) || set -- --jobs 2
"$pompc" sweep run "${CPU12:-$here/cpu12.textproto}" --dir "$dir" "$@"
"$pompc" sweep report "$dir"
echo "report: $dir/report/report.html"
