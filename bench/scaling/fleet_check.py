#!/usr/bin/env python3
"""Holds what fleet_scaling predicts against real fleets of this machine: a learner, a shard, a planner with one thread and
1 to 300 actor processes with one cart-pole each, over loopback, with the tiny model.

Usage: bench/scaling/fleet_check.py [--binaries DIR] [--simulation PROGRAM] [--actors N,N,...] [--seconds S]

Times of the parts are taken from the real fleets of 1 and 10 actors with few updates, and that of an update from 2 actors
with one update a row; all other fleets are predicted from them. About ten minutes on two idle cores. Exits with 1 if a
prediction is off by more than 15 %.
"""

import argparse
import csv
import pathlib
import re
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "scripts"), str(ROOT / "tests" / "support")]
from integers import integer  # pylint: disable=wrong-import-position
from processes import DIRECT, die_with_parent, free_ports  # pylint: disable=wrong-import-position

PATIENCE_SECONDS = 300
ALLOWED = 0.15
# With few updates planners are what a fleet waits for, with many the learner.
FEW, MANY = 0.01, 1
LEARNERS_ACTORS = (10, 30)
SLACK_ROWS = 1000
SETTINGS = ("learner.seed_rows=1000", "learner.pretrain_updates=10", "replay.min_rows=1000", "evaluation.every_rows=1000000",
            "stop.return_mean=0", "stop.max_rows=0", f"replay.slack_rows={SLACK_ROWS}", "actor.environments=1")
LATENCY = "pompc_actor_plan_latency_seconds"
# Actors whose metrics are read: all say the same.
ASKED = 10


def metrics(address):
    """name of a metric -> sum over its labels."""
    sums = {}
    with DIRECT.open(f"http://{address}/metrics", timeout=30) as page:
        for line in page.read().decode().splitlines():
            match = re.fullmatch(r"(\w+)(?:\{.*\})? (\S+)", line)
            if match:
                sums[match[1]] = sums.get(match[1], 0) + float(match[2])
    return sums


class Fleet:
    """The processes of a run. They end with this object, or with this program."""

    def __init__(self, binaries, folder, actors, utd):
        self.folder, self.processes = folder, []
        replay, planner, learner, *pages = (f"127.0.0.1:{port}" for port in free_ports(4 + min(actors, ASKED)))
        self.learner, self.actors = pages[0], pages[1:]
        self.start(binaries / "pompc-replay", "--listen", replay)
        self.start(binaries / "pompc-learner", "--listen", learner, "--replay", replay, "--run-dir", folder / "run",
                   "--metrics-listen", self.learner, "--preset", "quickstart",
                   *(f"--set={setting}" for setting in (*SETTINGS, f"learner.utd={utd}")))
        self.start(binaries / "pompc-planner", "--listen", planner, "--learner", learner, "--threads", "1")
        for i in range(actors):
            page = self.actors[i] if i < len(self.actors) else "127.0.0.1:0"
            self.start(binaries / "pompc-actor", "--learner", learner, "--planners", planner, "--replay", replay,
                       "--metrics-listen", page)

    def start(self, program, *arguments):
        listen = () if "--metrics-listen" in arguments else ("--metrics-listen", "127.0.0.1:0")
        with open(self.folder / f"{len(self.processes)}-{program.name}.log", "wb") as log:
            self.processes.append(subprocess.Popen([str(program), *map(str, (*arguments, *listen))], stdout=log, stderr=log,
                                                   stdin=subprocess.DEVNULL, preexec_fn=die_with_parent))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait(PATIENCE_SECONDS)

    def counts(self):
        """Moment, rows, updates, seconds in which the learner waited, latency of plans in seconds and their number."""
        learner = metrics(self.learner)
        latency = [metrics(page) for page in self.actors]
        return (time.monotonic(), learner["pompc_learner_rows_total"], learner["pompc_learner_updates_total"],
                learner["pompc_learner_waiting_seconds_total"], sum(m[LATENCY + "_sum"] for m in latency),
                sum(m[LATENCY + "_count"] for m in latency))

    def await_training(self, actors):
        """Waits until all actors take part, and the run has three thousand rows."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                learner = metrics(self.learner)
                if learner["pompc_learner_leases"] == actors and learner["pompc_learner_rows_total"] > 3000:
                    return
            except (OSError, KeyError):
                learner = {}
            ended = [process.args[0] for process in self.processes if process.poll() is not None]
            if ended or time.monotonic() > deadline:
                sys.exit(f"fleet_check.py: the fleet of {actors} does not train: {ended or learner}; see {self.folder}")
            time.sleep(0.5)


def measure(arguments, actors, utd):
    """Rows/s, updates/s, the share of time in which the learner waits, the mean latency of plans in ms."""
    with tempfile.TemporaryDirectory() as name, \
            Fleet(arguments.binaries, pathlib.Path(name), actors, utd) as fleet:
        fleet.await_training(actors)
        time.sleep(5)
        before = fleet.counts()
        time.sleep(arguments.seconds)
        seconds, rows, updates, waited, latency, plans = (late - early for early, late in zip(before, fleet.counts()))
        return rows / seconds, updates / seconds, waited / seconds, 1000 * latency / plans


def predict(arguments, actors, utd, times):
    """Rows/s, updates/s and the median latency of plans in ms, as fleet_scaling prints them."""
    flags = [f"--{name}={value}" for name, value in times.items()]
    done = subprocess.run([str(arguments.simulation), "--actors", str(actors), "--planners", "1", "--shards", "1", "--utd",
                           str(utd), "--batch-size", "128", "--slack-rows", str(SLACK_ROWS), "--chunk-rows", "4",
                           "--publish-every-updates", "4", *flags], capture_output=True, text=True, check=True, timeout=600)
    row = next(csv.DictReader(done.stdout.splitlines()))
    return float(row["rows_per_second"]), float(row["updates_per_second"]), float(row["plan_p50_ms"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    release = ROOT / "build" / "release"
    parser.add_argument("--binaries", type=pathlib.Path, default=release / "bin")
    parser.add_argument("--simulation", type=pathlib.Path, default=release / "bench" / "scaling" / "fleet_scaling")
    parser.add_argument("--actors", type=lambda text: [integer(1, 1000)(part) for part in text.split(",")],
                        default=[3, 30, 100, 300], help="sizes to predict; each actor takes about 45 MiB")
    parser.add_argument("--seconds", type=integer(5, 600), default=15, help="that are measured of each fleet")
    arguments = parser.parse_args()
    one, ten = (measure(arguments, actors, FEW) for actors in (1, 10))
    plan_us = 1e6 / ten[0]
    update = measure(arguments, 2, MANY)
    times = {"plan-us": round(plan_us, 1), "message-us": round(max(1e3 * one[3] - plan_us, 0) / 2, 1),
             "decision-us": round(max(1e6 / one[0] - 1e3 * one[3], 1), 1),
             "update-us": round(1e6 * (1 - update[2]) / update[1], 1)}
    print("measured with 1, 10 and 2 actors:", ", ".join(f"{name} {value}" for name, value in times.items()))
    print("| actors | updates per row | real: rows/s, plan in ms | predicted | difference in rows/s |")
    print("|---|---|---|---|---|")
    worst = 0
    for actors, utd in [(actors, FEW) for actors in arguments.actors] + [(actors, MANY) for actors in LEARNERS_ACTORS]:
        real, predicted = measure(arguments, actors, utd), predict(arguments, actors, utd, times)
        difference = predicted[0] / real[0] - 1
        worst = max(worst, abs(difference))
        print(f"| {actors} | {utd} | {real[0]:.0f}, {real[3]:.1f} | {predicted[0]:.0f}, {predicted[2]:.1f} | "
              f"{difference:+.0%} |", flush=True)
    sys.exit(0 if worst <= ALLOWED else f"fleet_check.py: off by {worst:.0%}; allowed: {ALLOWED:.0%}")


if __name__ == "__main__":
    main()
