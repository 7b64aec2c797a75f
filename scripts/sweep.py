#!/usr/bin/env python3
"""Trains every setting of a file with every seed, and sums up what came of it.

  scripts/sweep.py bench/learning/family.txt --seeds 11-15 --results docs/results/family.csv --runs runs/family
  scripts/sweep.py bench/learning/family.txt --results docs/results/family.csv --report

A line of the settings file is `name: flags of pompc train`; the line `every: flags` stands before the flags of all the
others. Each run that reached its goal or limit adds a line to the results; what is there already is not run again.
Ctrl-C, SIGTERM and SIGHUP end the sweep and its runs with a checkpoint, and a second Ctrl-C or SIGTERM ends them at
once; the same command resumes it. A setting whose flags are no longer those that its runs were started with is
refused, by --report too: a file beside each run directory has its flags, and the results have them. --curves adds a
line for each evaluation of a finished run to another CSV file, with what metrics.csv told since the one before. --jobs
is how many
runs are made at a time; with `schedule=LOCKSTEP` in their flags it changes no result. --report prints the table of the
results in Markdown: means over seeds with their 95 % confidence intervals (Student's t).
"""

import argparse
import collections
import concurrent.futures
import contextlib
import csv
import math
import os
import pathlib
import queue
import re
import shlex
import signal
import statistics
import subprocess
import sys
import threading
import time

from integers import integer

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Columns of metrics.csv that are told, as means over the second half of a run.
METRICS = ("policy_prior_kl", "kl_scale", "value_scale", "value", "regularized_value", "clamped_regularized_targets",
           "clipped_actions", "policy_std", "prior_std", "planner_std")
CURVE_COLUMNS = ("setting", "seed", "rows", "return_mean", *METRICS)
COLUMNS = ("setting", "seed", "rows", "updates", "seconds", "return_last", "return_curve", "return_best", *METRICS,
           "max_policy_prior_kl", "max_clamped_regularized_targets", "flags")
NO_FLAGS = "(none)"
# More would be a slip of the fingers, and fill the memory.
MOST_SEEDS = 10_000
# What pompc train says of a run that reached its goal or limit. It ends with status 0 after a Ctrl-C as well.
FINISHED = re.compile(r"^ *phase +FINISHED\b", re.MULTILINE)
# Of Student's t, 97.5 %, by degrees of freedom from 1.
T_975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)


def read_settings(path):
    """Flags by name, in the file's order."""
    every, settings = [], {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        line = line.split("#", 1)[0].strip()
        if not line:
            continue
        name, colon, flags = line.partition(":")
        name = name.strip()
        if not colon or not name or "/" in name or name in settings:
            sys.exit(f"{path}:{number}: expected `name: flags`, each name once")
        if name == "every":
            every = shlex.split(flags)
        else:
            settings[name] = shlex.split(flags)
    if not settings:
        sys.exit(f"{path}: no settings in it")
    return {name: every + flags for name, flags in settings.items()}


def flags_text(flags):
    """As they are written down; an empty cell is of a file that does not tell them."""
    return shlex.join(flags) or NO_FLAGS


def read_seeds(text):
    seeds = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        first = integer()(first)
        last = integer()(last) if dash else first
        if last < first:
            raise argparse.ArgumentTypeError(f'"{part}"; the last seed of a range is at least the first')
        if last - first >= MOST_SEEDS:
            raise argparse.ArgumentTypeError(f'"{part}"; a range has at most {MOST_SEEDS} seeds')
        seeds += range(first, last + 1)
    return seeds


def read_rows(path):
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def column(rows, name):
    """Its finite numbers; a cell is empty where a setting has no such thing."""
    numbers = [float(row[name]) for row in rows if row.get(name, "") != ""]
    return [number for number in numbers if math.isfinite(number)]


def mean_or_empty(numbers):
    return statistics.fmean(numbers) if numbers else ""


def sum_up(run_dir):
    evaluations = sorted(read_rows(run_dir / "evaluations.csv"), key=lambda row: int(row["rows"]))
    returns = column(evaluations, "return_mean")
    if not returns:
        raise RuntimeError(f"{run_dir}: the run ended without an evaluation")
    metrics = read_rows(run_dir / "metrics.csv")
    second_half = metrics[len(metrics) // 2:]
    summary = {
        "rows": int(metrics[-1]["rows"]), "updates": int(metrics[-1]["update"]),
        "seconds": float(read_rows(run_dir / "timings.csv")[-1]["elapsed_seconds"]),
        "return_last": statistics.fmean(returns[-2:]), "return_curve": statistics.fmean(returns),
        "return_best": max(returns)}
    for name in METRICS:
        summary[name] = mean_or_empty(column(second_half, name))
    for name in ("policy_prior_kl", "clamped_regularized_targets"):
        summary["max_" + name] = max(column(metrics, name), default="")
    return summary


def curve(run_dir):
    """A line for each evaluation: its return, and means of the metrics since the one before."""
    metrics = read_rows(run_dir / "metrics.csv")
    lines, before = [], 0
    for evaluation in sorted(read_rows(run_dir / "evaluations.csv"), key=lambda row: int(row["rows"])):
        rows = int(evaluation["rows"])
        since = [row for row in metrics if before < int(row["rows"]) <= rows]
        lines.append({"rows": rows, "return_mean": float(evaluation["return_mean"]),
                      **{name: mean_or_empty(column(since, name)) for name in METRICS}})
        before = rows
    return lines


def flags_file(run_dir):
    return run_dir.with_name(run_dir.name + ".flags")


def flags_begun_with(run_dir):
    """The flags that a run was begun with; empty where nothing tells."""
    file = flags_file(run_dir)
    return file.read_text().strip() if run_dir.exists() and file.exists() else ""


def difference(before, now):
    before, now = ([] if text == NO_FLAGS else shlex.split(text) for text in (before, now))
    gone = collections.Counter(before) - collections.Counter(now)
    new = collections.Counter(now) - collections.Counter(before)
    if not gone and not new:
        return "another order"
    gone, new = (shlex.join(words.elements()) or "nothing" for words in (gone, new))
    return f"{gone} before, {new} now"


def runs_to_check(flags, settings):
    """Each with what tells its flags, and these; empty if nothing tells them."""
    rows = {(row["setting"], int(row["seed"])): row for row in read_rows(flags.results) if row["setting"] in settings}
    begun = [] if flags.report else [(name, seed) for name in settings for seed in flags.seeds
                                     if (flags.runs / name / f"seed-{seed}").exists()]
    for name, seed in [*rows, *(run for run in begun if run not in rows)]:
        told = rows.get((name, seed), {}).get("flags")
        if told or flags.report:
            yield name, seed, flags.results, told
        else:
            run_dir = flags.runs / name / f"seed-{seed}"
            yield name, seed, flags_file(run_dir), flags_begun_with(run_dir)


def refuse_changed_settings(flags, settings):
    refused = unknown = 0
    for name, seed, where, before in runs_to_check(flags, settings):
        now = flags_text(settings[name])
        if not before:
            unknown += 1
        elif before != now:
            refused += 1
            print(f"{name}, seed {seed}: {flags.settings} has other flags than {where} ({difference(before, now)}); "
                  f"remove {flags.runs / name / f'seed-{seed}'} and its line in {flags.results}, or give the setting "
                  "another name", file=sys.stderr)
    if refused:
        sys.exit(2)
    if unknown:
        print(f"warning: nothing tells the flags of {unknown} of the runs; they are taken for those of "
              f"{flags.settings}", file=sys.stderr)


class Programs:
    """Those that run now. Each is in a session of its own: a Ctrl-C reaches this script alone, which ends them."""

    def __init__(self):
        self._lock = threading.Lock()
        self._running = set()
        self.stopping = False

    def run(self, command, log):
        """Its exit status, negative after a signal; nothing when all are being stopped already."""
        with self._lock:
            if self.stopping:
                return None
            program = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                                       start_new_session=True)
            self._running.add(program)
        try:
            return program.wait()
        finally:
            with self._lock:
                self._running.discard(program)

    def stop(self, number):
        """Ends those that run and lets no other one begin."""
        with self._lock:
            self.stopping = True
            for program in self._running:
                program.send_signal(number)


def train(programs, pompc, flags, seed, run_dir):
    """Why there is no result, or nothing."""
    run_dir.parent.mkdir(parents=True, exist_ok=True)
    if not run_dir.exists():
        flags_file(run_dir).write_text(flags_text(flags) + "\n")
    with open(f"{run_dir}.log", "a+", errors="replace") as log:
        begin = log.seek(0, os.SEEK_END)
        command = [pompc, "train", "--run-dir", run_dir, *flags, "--seed", str(seed)]
        try:
            status = programs.run(command, log)
        except OSError as error:
            return f"{pompc} does not start: {error.strerror}"
        log.seek(begin)
        if status == 0 and FINISHED.search(log.read()):
            return None
    if status == 0 or programs.stopping:
        return f"{run_dir.parent.name}, seed {seed}: interrupted, not recorded"
    return f"{shlex.join(map(str, command))} failed; its log is {run_dir}.log"


def read_header(results):
    if not results.exists():
        return []
    with open(results, newline="") as file:
        return next(csv.reader(file), [])


def formatted(line):
    return {key: f"{value:.6g}" if isinstance(value, float) else value for key, value in line.items()}


def append_curve(curves, name, seed, lines):
    # A sweep that was killed between the two files makes the run again.
    if any((row["setting"], row["seed"]) == (name, str(seed)) for row in read_rows(curves)):
        return
    curves.parent.mkdir(parents=True, exist_ok=True)
    new = not curves.exists()
    with open(curves, "a", newline="") as file:
        writer = csv.DictWriter(file, CURVE_COLUMNS, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows(formatted({"setting": name, "seed": seed, **line}) for line in lines)


def append(results, summary):
    columns = read_header(results)
    if "flags" not in columns:
        # A new file, or one from before it had flags.
        columns = [*columns, "flags"] if columns else COLUMNS
        before = read_rows(results)
        results.parent.mkdir(parents=True, exist_ok=True)
        new = results.with_name(results.name + ".new")
        with open(new, "w", newline="") as file:
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(before)
        new.replace(results)
    with open(results, "a", newline="") as file:
        csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n").writerow(formatted(summary))


def signals():
    """A queue of the signals that end a sweep, from now on."""
    events = queue.SimpleQueue()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # What nohup or a shell ignores for this script stays ignored.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda number, _: events.put(number))
    return events


def next_event(events):
    """Waits for it. A signal that comes just before a wait begins does not end it, and is handled when it is over."""
    while True:
        with contextlib.suppress(queue.Empty):
            return events.get(timeout=0.5)


def await_runs(runs, pool, programs, events):
    """The signal that ended them, or nothing."""
    for run in runs:
        run.add_done_callback(events.put)
    ended_by, left = None, len(runs)
    while left > 0:
        event = next_event(events)
        if isinstance(event, concurrent.futures.Future):
            left -= 1
        elif ended_by is None:
            ended_by = event
            print("stopping with checkpoints; Ctrl-C once more stops at once", file=sys.stderr, flush=True)
            programs.stop(signal.SIGTERM)
            pool.shutdown(wait=False, cancel_futures=True)
        elif event != signal.SIGHUP:  # which a terminal that closes sends twice
            programs.stop(signal.SIGKILL)
    return ended_by


def sweep(flags, settings):
    """The exit status."""
    done = {(row["setting"], int(row["seed"])) for row in read_rows(flags.results)}
    # Seed by seed, so that an unfinished sweep compares all settings.
    todo = [(name, seed) for seed in flags.seeds for name in settings if (name, seed) not in done]
    writing = threading.Lock()
    programs = Programs()
    failures = []
    events = signals()

    def run(i, name, seed):
        if failures or programs.stopping:
            return
        begin = time.monotonic()
        run_dir = flags.runs / name / f"seed-{seed}"
        failure = train(programs, flags.pompc, settings[name], seed, run_dir)
        if failure:
            failures.append(failure)
            return
        summary = {"setting": name, "seed": seed, **sum_up(run_dir), "flags": flags_begun_with(run_dir)}
        with writing:
            if flags.curves:
                append_curve(flags.curves, name, seed, curve(run_dir))
            append(flags.results, summary)
            print(f"{i} of {len(todo)}: {name}, seed {seed}: {summary['return_last']:.0f} at the end, best "
                  f"{summary['return_best']:.0f}; {summary['rows']} rows, {time.monotonic() - begin:.0f} s", flush=True)

    with concurrent.futures.ThreadPoolExecutor(flags.jobs) as pool:
        runs = [pool.submit(run, i, *what) for i, what in enumerate(todo, 1)]
        ended_by = await_runs(runs, pool, programs, events)
    for finished in runs:
        if not finished.cancelled():
            finished.result()
    for failure in failures:
        print(failure, file=sys.stderr)
    if ended_by is not None:
        return 128 + ended_by
    return 1 if failures else 0


def interval(numbers):
    if len(numbers) < 2:
        return f"{numbers[0]:.0f}" if numbers else ""
    t = T_975[len(numbers) - 2] if len(numbers) - 2 < len(T_975) else 1.96
    return f"{statistics.fmean(numbers):.0f} ± {t * statistics.stdev(numbers) / math.sqrt(len(numbers)):.0f}"


def report(results, settings):
    rows = read_rows(results)
    print("| setting | seeds | return, end | return, whole curve | KL (max) | S_k | S_q | value | regularised | clamped "
          "(max) | std of policy, prior, plan |\n|---|---|---|---|---|---|---|---|---|---|---|")
    for name in [*settings, *sorted({row["setting"] for row in rows} - set(settings))]:
        of_setting = [row for row in rows if row["setting"] == name]

        def mean(metric, form=".2f"):
            numbers = column(of_setting, metric)  # pylint: disable=cell-var-from-loop
            return format(statistics.fmean(numbers), form) if numbers else "–"

        def worst(metric, form=".2f"):
            return format(max(column(of_setting, metric), default=math.nan), form)  # pylint: disable=cell-var-from-loop

        if of_setting:
            print(f"| {name} | {len(of_setting)} | {interval(column(of_setting, 'return_last'))} "
                  f"| {interval(column(of_setting, 'return_curve'))} "
                  f"| {mean('policy_prior_kl')} ({worst('max_policy_prior_kl', '.0f')}) | {mean('kl_scale')} "
                  f"| {mean('value_scale', '.1f')} | {mean('value', '.1f')} | {mean('regularized_value', '.1f')} "
                  f"| {mean('clamped_regularized_targets', '.1%')} "
                  f"({worst('max_clamped_regularized_targets', '.0%')}) "
                  f"| {mean('policy_std')}, {mean('prior_std')}, {mean('planner_std')} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("settings", type=pathlib.Path, help="file of `name: flags` lines")
    parser.add_argument("--seeds", type=read_seeds, default=[1], help="such as 11-15 or 3,5,8 (default: 1)")
    parser.add_argument("--results", type=pathlib.Path, required=True, help="CSV file with a line for each finished run")
    parser.add_argument("--curves", type=pathlib.Path, help="CSV file with a line for each evaluation of a finished run")
    parser.add_argument("--runs", type=pathlib.Path, default=pathlib.Path("runs/sweep"),
                        help="folder of the run directories (default: runs/sweep)")
    parser.add_argument("--pompc", default=ROOT / "build/release/bin/pompc", help="the program")
    parser.add_argument("--only", metavar="NAMES", help="of the settings, such as corner,lambda-1 (default: all)")
    parser.add_argument("--jobs", type=integer(1, 1024), default=1, help="runs at a time (default: 1)")
    parser.add_argument("--report", action="store_true", help="print the table instead")
    flags = parser.parse_args()
    settings = read_settings(flags.settings)
    if flags.only:
        unknown = set(flags.only.split(",")) - set(settings)
        if unknown:
            sys.exit(f"--only: {flags.settings} has no {', '.join(sorted(unknown))}; it has {', '.join(settings)}")
        settings = {name: settings[name] for name in flags.only.split(",")}
    refuse_changed_settings(flags, settings)
    if flags.report:
        report(flags.results, settings)
    else:
        sys.exit(sweep(flags, settings))


if __name__ == "__main__":
    main()
