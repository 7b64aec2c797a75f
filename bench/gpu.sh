#!/usr/bin/env bash
# Tests, measures and trains on a machine with a GPU; what comes out is text in OUT.
#
#   bench/gpu.sh OUT                  tests and measures on the CUDA device, within eight minutes
#   bench/gpu.sh --train OUT [--minutes N] [--device DEVICE] [--actors N] [--task TASK] [ARGUMENT...]
#                                     a whole run of separate processes (two replay shards, learner, planner, actors, an
#                                     evaluator), for 8 minutes on cuda unless given; further arguments as for
#                                     scripts/local-cluster.sh, "--set field=value" for instance
#   bench/gpu.sh --programs           only makes the programs of both, with the LibTorch of python3's PyTorch
#   bench/gpu.sh --bundle FILE.tar.xz makes them, and packs them with all that the above need but PyTorch: for a machine
#                                     that has a GPU and the same version of PyTorch, and none of the other packages.
#                                     There: tar -xf FILE.tar.xz && pompc-gpu/bench/gpu.sh OUT
#
# The programs are in build/gpu/programs, and made where there are none. That needs neither a device nor nvcc.
# PYTHON names the Python that has PyTorch (default: python3).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/lib.sh

readonly PYTHON="${PYTHON:-python3}"
readonly BUILD=build/gpu PROGRAMS="$PWD/build/gpu/programs"
readonly ROLES=(pompc pompc-replay pompc-planner pompc-learner pompc-actor)
readonly BENCHES=(model_model_test learner_update_test planner_torch_engine_test update_bench plan_bench)
readonly TORCH_FOLDER='import os, torch; print(os.path.dirname(torch.__file__))'

usage() { sed -n '2,17s/^# \{0,1\}//p' bench/gpu.sh; }

make_programs() {
  local torch target program
  torch="$("$PYTHON" -c "$TORCH_FOLDER")" || die "$PYTHON has no PyTorch: set PYTHON to one that has"
  cmake -S . -B "$BUILD" -G Ninja -DPOMPC_TESTS=ON -DPOMPC_BENCH=ON -DCMAKE_PREFIX_PATH="$torch/share/cmake"
  cmake --build "$BUILD" --parallel "$(build_jobs)" --target "${ROLES[@]}" "${BENCHES[@]}"
  rm -rf "$PROGRAMS"
  mkdir -p "$PROGRAMS/bin" "$PROGRAMS/lib" "$PROGRAMS/share/pompc"
  cp -r presets bench/learning/published "$PROGRAMS/share/pompc/"
  for target in "${ROLES[@]}" "${BENCHES[@]}"; do
    program="$(find "$BUILD" -name "$target" -type f -perm -u+x)"
    install --strip "$program" "$PROGRAMS/bin/"
    # What every system has, and what comes with PyTorch, stays out.
    ldd "$program" | awk '$2 == "=>" && $3 ~ /^\// {print $3}' |
      { grep -v -E "^$torch/|/nvidia/|/(libc|libm|libdl|librt|libpthread|libstdc\+\+|libgcc_s)\.so" || true; } |
      xargs -r cp -t "$PROGRAMS/lib"
  done
  "$PYTHON" -c 'import torch; print(torch.__version__)' >"$PROGRAMS/torch-version"
}

# The models that tasks with assets of their own are made of, where this machine has them.
assets_folder() { echo "${POMPC_ASSETS:-${XDG_DATA_HOME:-$HOME/.local/share}/pompc/control-suite}"; }

make_bundle() {
  local file assets stage
  file="$(realpath -m "$1")"
  [[ -d "$PROGRAMS" ]] || make_programs
  assets="$(assets_folder)"
  [[ -d "$assets" ]] || die "no models of the control suite in $assets: scripts/fetch-control-suite.sh gets them"
  stage="$(mktemp -d)"
  trap 'rm -rf "$stage"' RETURN
  mkdir -p "$stage/pompc-gpu/bench" "$stage/pompc-gpu/build/gpu"
  cp -r scripts LICENSE "$stage/pompc-gpu/"
  cp -r bench/gpu.sh bench/peers bench/support "$stage/pompc-gpu/bench/"
  cp -r "$PROGRAMS" "$stage/pompc-gpu/build/gpu/"
  mkdir "$stage/pompc-gpu/build/gpu/programs/share/pompc/control-suite"
  cp -r "$assets"/*.xml "$assets/common" "$stage/pompc-gpu/build/gpu/programs/share/pompc/control-suite"
  tar -C "$stage" -c pompc-gpu | xz -T0 -6 >"$file"
  say "$file: $(( $(stat -c %s "$file") / 1000000 )) MB, for PyTorch $(<"$PROGRAMS/torch-version")"
}

# Programs find LibTorch where this machine's Python has it.
find_libraries() {
  local torch version
  [[ -d "$PROGRAMS" ]] || make_programs
  torch="$("$PYTHON" -c "$TORCH_FOLDER")" || die "$PYTHON has no PyTorch: set PYTHON to one that has"
  version="$("$PYTHON" -c 'import torch; print(torch.__version__)')"
  [[ "${version%%+*}" == "$(sed 's/+.*//' "$PROGRAMS/torch-version")" ]] ||
    die "the programs were made for PyTorch $(<"$PROGRAMS/torch-version"), and $PYTHON has $version"
  LD_LIBRARY_PATH="$PROGRAMS/lib:$torch/lib:$(find "$torch/.." -path '*/nvidia/*/lib' -type d -printf '%p:')"
  export LD_LIBRARY_PATH
}

run() {
  local name="$1" seconds="$2"
  shift 2
  echo "$name"
  if ! timeout "$seconds" "$@" >"$OUT/$name.txt" 2>&1; then
    echo "  failed; the end of $OUT/$name.txt:"
    tail -n 5 "$OUT/$name.txt"
    failed=1
  fi
}

measure() {
  local bin="$PROGRAMS/bin"
  nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader | tee "$OUT/device.txt"
  run model_test 60 "$bin/model_model_test" --gtest_brief=1
  run update_test 120 "$bin/learner_update_test" --gtest_brief=1
  run engine_test 60 "$bin/planner_torch_engine_test" --gtest_brief=1
  run speed 150 "$PYTHON" bench/peers/speed.py --device cuda --seconds 1.5 --build "$bin"
  run plans 40 "$bin/plan_bench" --device cuda --benchmark_min_time=0.2
  TORCH_ALLOW_TF32_CUBLAS_OVERRIDE=1 run updates_tf32 50 "$bin/update_bench" --device cuda --benchmark_min_time=2 \
    --benchmark_filter='BM_Update/(tiny|5M)/'
  cat "$OUT/speed.txt" "$OUT/plans.txt" "$OUT/updates_tf32.txt"
}

# A run whose folder stays in OUT but for replay's rows and the checkpoints, which are large.
train() {
  local minutes=8 device=cuda actors task=humanoid-walk others=() status=0
  actors="$(( $(nproc) > 4 ? $(nproc) - 4 : 1 ))"
  while (( $# > 0 )); do
    case "$1" in
      --minutes) minutes="$(decimal --minutes "${2:-}" 1 100000)" ;;
      --device) device="${2:-}" ;;
      --actors) actors="${2:-}" ;;
      --task) task="${2:-}" ;;
      *) others+=("$1" "${2:-}") ;;
    esac
    shift $(( $# > 1 ? 2 : 1 ))
  done
  if [[ " ${others[*]} " != *" --preset "* ]]; then others+=(--preset po-mpc); fi
  POMPC_BIN_DIR="$PROGRAMS/bin" POMPC_ASSETS="$PROGRAMS/share/pompc/control-suite" \
    scripts/local-cluster.sh --run-dir "$OUT/run" --device "$device" --actors "$actors" "${others[@]}" \
    --set "env.task=$task" --set "stop.max_minutes=$minutes" || status=$?
  "$PROGRAMS/bin/pompc" plot --run-dir "$OUT/run" || true
  rm -rf "$OUT/run/replay" "$OUT"/run.cluster/replay-*
  return "$status"
}

failed=0
case "${1:-}" in
  --help | -h | "") usage; [[ -n "${1:-}" ]] || exit 2; exit ;;
  --programs) make_programs; exit ;;
  --bundle) make_bundle "${2:?the file to write, FILE.tar.xz}"; exit ;;
  --train) mode=train; OUT="$(realpath -m "${2:?the folder to write into}")"; shift 2 ;;
  -*) refuse "unknown option $1; see --help" ;;
  *) mode=measure; OUT="$(realpath -m "$1")"; shift ;;
esac
readonly OUT
mkdir -p "$OUT"
find_libraries
"$mode" "$@" || failed=1
exit "$failed"
