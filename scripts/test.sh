#!/usr/bin/env bash
# Installs what is missing, builds and runs the tests: sources, thread-safety analysis, TSan, release, ASan.
#
#   scripts/test.sh          what every change must pass; about half an hour on two cores from a cold cache
#   scripts/test.sh --all    and what takes longer: slow tests, containers, both Debian releases from a bare root
#   scripts/test.sh LEG...   single legs: sources thread-safety tsan fuzz release asan slow fuzz-long containers
#                            bare-roots
#   scripts/test.sh --within MINUTES [...]   leaves out, and names, legs but release that would not be done by then
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$POMPC_ROOT"

# Cheap ones first: what fails, fails early.
readonly LEGS=(sources thread-safety tsan release asan)
readonly ALL_LEGS=("${LEGS[@]}" fuzz slow fuzz-long containers bare-roots)

export CTEST_OUTPUT_ON_FAILURE=1 GTEST_COLOR=no PYTHONDONTWRITEBYTECODE=1
# Seconds a leg took on two idle cores from a cold cache, to tell from those done how long another one would take.
declare -A COST=([sources]=3 [thread-safety]=134 [tsan]=66 [fuzz]=170 [release]=853 [asan]=627)
passed=0 failed=0 skipped=0
timings=()
minutes=0

configure_and_build() {
  local preset="$1"
  shift
  cmake --preset "$preset" "$@" >"build/$preset.configure.log" 2>&1 ||
    { cat "build/$preset.configure.log"; return 1; }
  cmake --build "build/$preset" --parallel "$(build_jobs)"
}

# run_tests PRESET [ctest arguments...]: runs them and adds to the counts.
run_tests() {
  local preset="$1" report result=0
  shift
  report="$POMPC_ROOT/build/$preset.junit.xml"
  rm -f "$report"
  "${RUN_TESTS_UNDER[@]}" ctest --test-dir "build/$preset" --output-junit "$report" "$@" || result=$?
  count() { grep -o -m1 "\b$1=\"[0-9]*\"" "$report" | tr -dc 0-9; }
  local tests failures ignored
  tests="$(count tests)" failures="$(count failures)" ignored="$(( $(count skipped) + $(count disabled) ))"
  passed=$(( passed + tests - failures - ignored )) failed=$(( failed + failures )) skipped=$(( skipped + ignored ))
  return "$result"
}
RUN_TESTS_UNDER=(env)

leg_sources() {
  local check
  for check in layering banned_calls comments docs_paths sizes proto_comments; do
    if python3 "tests/structure/${check}_test.py" 2>"build/$check.log"; then
      passed=$(( passed + 1 ))
    else
      cat "build/$check.log"
      failed=$(( failed + 1 ))
    fi
  done
  (( failed == 0 ))
}

leg_thread-safety() { configure_and_build thread-safety; }

leg_tsan() {
  # Some kernels randomise addresses beyond what the sanitizer's shadow memory covers.
  local RUN_TESTS_UNDER=(env)
  if setarch --addr-no-randomize true 2>/dev/null; then RUN_TESTS_UNDER=(setarch --addr-no-randomize); fi
  configure_and_build tsan && run_tests tsan -j "$(nproc)"
}

# fuzz_for SECONDS: fuzzes with each target for so long.
fuzz_for() {
  cmake --preset fuzz -DPOMPC_FUZZ_SECONDS="$1" >build/fuzz.configure.log 2>&1 || { cat build/fuzz.configure.log; return 1; }
  cmake --build build/fuzz --target fuzzers --parallel "$(build_jobs)" && run_tests fuzz -j "$(nproc)" -L fuzz
}

leg_fuzz() { fuzz_for 10; }

leg_fuzz-long() { fuzz_for 300; }

leg_asan() { configure_and_build asan && run_tests asan -j "$(nproc)" -LE slow; }

leg_release() {
  configure_and_build release -DPOMPC_TESTS=ON -DPOMPC_BENCH=ON &&
    run_tests release -j "$(nproc)" -LE 'slow|learning' && run_tests release -L learning -LE slow
}

leg_slow() { configure_and_build release -DPOMPC_TESTS=ON -DPOMPC_BENCH=ON && run_tests release -L slow; }

leg_containers() { scripts/compose-check.sh && scripts/sweep-check.sh compose swarm; }

leg_bare-roots() {
  local suite
  for suite in bookworm trixie; do
    scripts/bare-root.sh "$suite" scripts/quickstart.sh --set stop.max_rows=2000 && scripts/bare-root.sh "$suite" scripts/test.sh || return
  done
}

# fits LEG DONE: whether a leg ends within --minutes, going by the pace of those before it, DONE seconds on idle cores.
fits() {
  local leg="$1" done_cost="$2" expected
  # Nothing is shown without the release leg: it always runs.
  [[ "$leg" == release ]] && return
  (( minutes == 0 || done_cost < 60 )) && return
  expected=$(( SECONDS * ${COST[$leg]:-0} / done_cost ))
  (( SECONDS + expected <= 60 * minutes )) && return
  say "$leg is left out: it would take about $(( expected / 60 )) minutes, and $(( minutes - SECONDS / 60 )) are left"
  timings+=("$(printf '%-14s left out' "$leg")")
  skipped=$(( skipped + 1 ))
  return 1
}

summary() {
  local status=$?
  say "Summary"
  printf '%s\n' "${timings[@]}"
  if (( status != 0 && failed == 0 )); then failed=1; fi
  printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
}

main() {
  local legs=() leg start done_cost=0
  if [[ "${1:-}" == --within ]]; then
    [[ "${2:-}" =~ ^[1-9][0-9]{0,4}$ ]] || refuse "--within '${2:-}': must be a number of minutes"
    minutes="$2"
    shift 2
  fi
  case "${1:-}" in
    --all) legs=("${ALL_LEGS[@]}") ;;
    "") legs=("${LEGS[@]}") ;;
    *) legs=("$@") ;;
  esac
  for leg in "${legs[@]}"; do
    [[ " ${ALL_LEGS[*]} " == *" $leg "* ]] || refuse "unknown leg '$leg': allowed are --all, ${ALL_LEGS[*]}"
  done
  trap summary EXIT
  scripts/install-deps.sh
  scripts/fetch-control-suite.sh || echo "Tests of the tasks whose models are not built in will be skipped."
  require_proc
  mkdir -p build
  for leg in "${legs[@]}"; do
    fits "$leg" "$done_cost" || continue
    say "$leg"
    start=$SECONDS
    if "leg_$leg"; then
      timings+=("$(printf '%-14s %4d s' "$leg" $(( SECONDS - start )))")
      done_cost=$(( done_cost + ${COST[$leg]:-0} ))
    else
      timings+=("$(printf '%-14s %4d s  FAILED' "$leg" $(( SECONDS - start )))")
      exit 1
    fi
  done
}

main "$@"
