#!/usr/bin/env python3
"""A sweep whose trials share one planner process: what the process holds with one trial and with ten, and whether each
trial gets its share of the plans. About two minutes.

Usage: bench/planner/shared_planner.py [--binaries DIR] [--trials N] [--seconds S] [--threads N]

The trials learn so seldom that the planner is what they wait for. Exits with 1 if the planner holds more than 1.3 x what
it holds with one trial and the models, or if the slowest trial has fewer than 80 % of the mean of the rows.
"""

import argparse
import csv
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "scripts"), str(ROOT / "tests" / "support")]
from integers import integer  # pylint: disable=wrong-import-position
from processes import DIRECT  # pylint: disable=wrong-import-position

PATIENCE_SECONDS = 300
# Updates are rare, and each writes down how many rows the run has.
FILE = """
name: "shared"
base {{
  preset: "quickstart"
  config {{
    learner {{ utd: 0.05 seed_rows: 100 pretrain_updates: 10 log_every_updates: 1 publish_every_updates: 4 }}
    replay {{ min_rows: 100 durability: MEMORY }}
    evaluation {{ every_rows: 1000000 }}
    stop {{ return_mean: 0 max_rows: 1000000 }}
  }}
}}
seeds: "1-{seeds}"
"""


class Sweep:
    """A sweep in progress, with all its trials at a time."""

    def __init__(self, binaries, folder, trials, threads):
        file = folder / "sweep.textproto"
        file.write_text(FILE.format(seeds=trials), encoding="ascii")
        self.folder, self.trials = folder / "out", trials
        self.process = subprocess.Popen(
            [str(binaries / "pompc"), "sweep", "run", str(file), "--dir", str(self.folder), "--jobs", str(self.trials),
             "--shared-planner", "--plan-threads", str(threads)], stdout=subprocess.DEVNULL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(PATIENCE_SECONDS)

    def planner(self):
        """name of a metric -> values, one for each run or one alone."""
        address = re.search(r"metrics on (http://\S+)", (self.folder / "planner.log").read_text())
        values = {}
        with DIRECT.open(address[1], timeout=30) as page:
            for line in page.read().decode().splitlines():
                match = re.fullmatch(r"(\w+)(?:\{.*\})? (\S+)", line)
                if match:
                    values.setdefault(match[1], []).append(float(match[2]))
        return values

    def await_plans(self):
        """Waits until every trial has had plans."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                plans = self.planner().get("pompc_planner_plans_total", [])
            except (OSError, TypeError):
                plans = []
            if len(plans) == self.trials and min(plans) > 10:
                return
            if time.monotonic() > deadline or self.process.poll() is not None:
                sys.exit(f"shared_planner.py: {len(plans)} of {self.trials} trials had plans; see {self.folder}")
            time.sleep(0.5)

    def rows(self):
        """The rows of each trial."""
        rows = []
        for table in sorted(self.folder.glob("trials/*/*/*/metrics.csv")):
            with open(table, encoding="utf-8") as file:
                rows.append(int(list(csv.DictReader(file))[-1]["rows"]))
        return rows

    def memory(self):
        """MiB that the planner holds, and of one version of one model."""
        planner = self.planner()
        received = planner["pompc_planner_received_bytes_total"][0] / planner["pompc_planner_parameters_number"][0]
        return planner["process_resident_memory_bytes"][0] / 2**20, received / 2**20


def measure(arguments, trials, seconds):
    """Memory of the planner and of a model in MiB, rows a second of each trial."""
    with tempfile.TemporaryDirectory() as name, \
            Sweep(arguments.binaries, pathlib.Path(name), trials, arguments.threads) as sweep:
        sweep.await_plans()
        before, start = sweep.rows(), time.monotonic()
        time.sleep(seconds)
        after, took = sweep.rows(), time.monotonic() - start
        return *sweep.memory(), [(late - early) / took for early, late in zip(before, after)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binaries", type=pathlib.Path, default=ROOT / "build" / "release" / "bin")
    parser.add_argument("--trials", type=integer(2, 100), default=10)
    parser.add_argument("--seconds", type=integer(5, 3600), default=60)
    parser.add_argument("--threads", type=integer(1, 1024), default=1)
    arguments = parser.parse_args()
    one, model, _ = measure(arguments, 1, 15)
    many, _, rates = measure(arguments, arguments.trials, arguments.seconds)
    allowed = 1.3 * (one + arguments.trials * model)
    print(f"planner with 1 trial: {one:.0f} MiB; with {arguments.trials}: {many:.0f}; a model: {model:.1f}; "
          f"1.3 x (one + {arguments.trials} models): {allowed:.0f}")
    mean, slowest = statistics.mean(rates), min(rates)
    if mean == 0:
        sys.exit("shared_planner.py: no trial made rows; the machine is too busy, or --seconds too short")
    print(f"{mean:.1f} rows/s each, the slowest {slowest:.1f} ({slowest / mean:.0%} of the mean), the fastest "
          f"{max(rates):.1f}")
    sys.exit(0 if many < allowed and slowest >= 0.8 * mean else 1)


if __name__ == "__main__":
    main()
