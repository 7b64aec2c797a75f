#!/usr/bin/env python3
"""A long run, watched: does memory grow, does the learner slow down, does it wait?

  python3 bench/learning/endurance.py --minutes 40 --run-dir runs/long -- --preset quickstart --task cheetah-run \\
      --set replay.capacity_rows=40000

Trains with the flags after `--` and without a goal, stops it as Ctrl-C would after --minutes, and prints what happened
after --settle of them, by when replay should be full: resident memory of the process, updates a second, and the share
of its time the learner waited for data that were there. Leaves memory.csv in the run's folder. Linux only.
"""

import argparse
import csv
import pathlib
import signal
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SAMPLE_SECONDS = 10


def resident_mib(pid):
    """All of it, and what of it is the process's own: the rest is pages of program files, which the system shares."""
    status = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
    return tuple(int(status[name].split()[0]) / 1024 for name in ("VmRSS", "RssAnon"))


def train(flags):
    """Seconds, and MiB as resident_mib tells them, of each sample."""
    command = [flags.pompc, "train", "--run-dir", flags.run_dir, "--set", "stop.return_mean=0",
               "--set", "stop.max_rows=0", *flags.train]
    samples = []
    with open(f"{flags.run_dir}.log", "w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        begin = time.monotonic()
        while (seconds := time.monotonic() - begin) < 60 * flags.minutes:
            try:
                process.wait(SAMPLE_SECONDS)
                sys.exit(f"the run ended by itself, with status {process.returncode}: see {flags.run_dir}.log")
            except subprocess.TimeoutExpired:
                if process.poll() is not None:
                    continue
                samples.append((seconds, *resident_mib(process.pid)))
                if len(samples) % (60 // SAMPLE_SECONDS) == 0:
                    print(f"{seconds / 60:.0f} of {flags.minutes:g} minutes, {samples[-1][1]:.1f} MiB", file=sys.stderr)
        process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            sys.exit(f"the run did not stop within 60 s and was killed: see {flags.run_dir}.log")
        if process.returncode != 0:
            sys.exit(f"the run failed, with status {process.returncode}: see {flags.run_dir}.log")
    return samples


def ends(values):
    """Means of the first and of the last tenth."""
    tenth = max(len(values) // 10, 1)
    return statistics.fmean(values[:tenth]), statistics.fmean(values[-tenth:])


def report(flags, samples):
    with open(pathlib.Path(flags.run_dir) / "memory.csv", "w", newline="") as file:
        header = ("elapsed_seconds", "resident_mib", "own_mib")
        csv.writer(file, lineterminator="\n").writerows([header, *samples])
    settled = 60 * flags.settle
    memory = [resident for seconds, resident, _ in samples if seconds >= settled]
    own = [own for seconds, _, own in samples if seconds >= settled]
    with open(pathlib.Path(flags.run_dir) / "timings.csv", newline="") as file:
        timings = [row for row in csv.DictReader(file) if float(row["elapsed_seconds"]) >= settled]
    if not memory or not timings:
        sys.exit("nothing was measured after --settle: take more --minutes")
    rates = [float(row["updates_per_second"]) for row in timings]
    waiting = statistics.fmean(float(row["share_waiting_for_data"]) for row in timings)
    print(f"after {flags.settle:g} of {flags.minutes:g} minutes, first and last tenth of the rest:\n")
    print("| | first | last | change |")
    print("|---|---|---|---|")
    for name, values, unit in (("resident memory", memory, "MiB"), ("of it the process's own", own, "MiB"),
                               ("updates a second", rates, "")):
        first, last = ends(values)
        print(f"| {name} | {first:.1f} {unit} | {last:.1f} {unit} | {last / first - 1:+.2%} |")
    print(f"\nthe learner waited {waiting:.2%} of its time for data that were there")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--settle", type=float, default=10, help="minutes left out at the start (default: 10)")
    parser.add_argument("--run-dir", required=True)
    parser.add_argument("--pompc", default=ROOT / "build/release/bin/pompc")
    parser.add_argument("train", nargs="*", metavar="-- FLAGS", help="of pompc train")
    flags = parser.parse_args()
    if not 0 <= flags.settle < flags.minutes:
        parser.error("--settle must be at least 0 and less than --minutes")
    pathlib.Path(flags.run_dir).parent.mkdir(parents=True, exist_ok=True)
    report(flags, train(flags))


if __name__ == "__main__":
    main()
