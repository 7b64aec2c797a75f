#!/usr/bin/env bash
# Tests and measures on a CUDA device, within eight minutes; what comes out is text in OUT.
#
#   bench/gpu.sh OUT [PROGRAMS]         runs the programs in PROGRAMS, build/gpu/programs unless given; makes them if there are none
#   bench/gpu.sh --programs [PROGRAMS]  only makes them: with the LibTorch of python3's PyTorch and without the services;
#                                       neither a device nor nvcc is needed. They run wherever the same version of
#                                       PyTorch is, with all other libraries in a folder beside them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly PYTHON="${PYTHON:-python3}"
readonly TARGETS=(model_model_test learner_update_test update_bench plan_bench)

make_programs() {
  local programs="$1" build=build/gpu
  cmake -S . -B "$build" -G Ninja -DPOMPC_SERVICES=OFF -DPOMPC_TESTS=ON -DPOMPC_BENCH=ON \
    -DCMAKE_PREFIX_PATH="$("$PYTHON" -c 'import torch; print(torch.utils.cmake_prefix_path)')"
  cmake --build "$build" --target "${TARGETS[@]}"
  mkdir -p "$programs/lib"
  local target program
  for target in "${TARGETS[@]}"; do
    program="$(find "$build/tests" "$build/bench" -name "$target" -type f)"
    install --strip "$program" "$programs/"
    # What every system has, and what comes with PyTorch, stays out.
    ldd "$program" | awk '$2 == "=>" && $3 ~ /^\// {print $3}' |
      { grep -v -E '/(torch|nvidia)/|/(libc|libm|libdl|librt|libpthread|libstdc\+\+|libgcc_s)\.so' || true; } |
      xargs -r cp -t "$programs/lib"
  done
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

if [[ "${1:-}" == --programs ]]; then
  make_programs "${2:-build/gpu/programs}"
  exit
fi
readonly OUT="${1:?the folder to write into}" PROGRAMS="${2:-build/gpu/programs}"
[[ -d "$PROGRAMS" ]] || make_programs "$PROGRAMS"
mkdir -p "$OUT"
failed=0
LD_LIBRARY_PATH="$PROGRAMS/lib:$("$PYTHON" -c 'import os, torch; print(os.path.dirname(torch.__file__))')/lib"
export LD_LIBRARY_PATH
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader | tee "$OUT/device.txt"
run model_test 60 "$PROGRAMS/model_model_test" --gtest_brief=1
run update_test 120 "$PROGRAMS/learner_update_test" --gtest_brief=1
run speed 200 "$PYTHON" bench/peers/speed.py --device cuda --seconds 1.5 --build "$PROGRAMS"
run plans 40 "$PROGRAMS/plan_bench" --device cuda --benchmark_min_time=0.2
TORCH_ALLOW_TF32_CUBLAS_OVERRIDE=1 run updates_tf32 60 "$PROGRAMS/update_bench" --device cuda --benchmark_min_time=2 \
  --benchmark_filter='BM_Update/(tiny|5M)/'
cat "$OUT/speed.txt" "$OUT/plans.txt" "$OUT/updates_tf32.txt"
exit "$failed"
