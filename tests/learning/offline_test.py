#!/usr/bin/env python3
"""Offline learning learns: rows that a run of separate processes made while it learned cartpole-swingup are exported
from its shard, and a run that has these rows alone reaches a return that acting at random (about 50) never does.
Usage: offline_test.py FOLDER_OF_BINARIES [SEED]."""

import csv
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from processes import Process, free_ports

BIN = pathlib.Path()
SEED = "1"
# The rows of a run whose newest evaluations returned some hundred, random ones of its beginning included.
ROWS = 12000
UPDATES = 8000
GOAL = 300.0


class OfflineTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.processes = []
        self.addCleanup(self.end)

    def end(self):
        for process in self.processes:
            process.kill()
        self.processes.clear()

    def start(self, name, *arguments):
        self.processes.append(Process(name, self.folder, BIN / f"pompc-{name}", *arguments))
        return self.processes[-1]

    def collect(self):
        """A data set of the rows of a run that learns while it acts."""
        replay, planner, learner = (f"127.0.0.1:{port}" for port in free_ports(3))
        shard = self.start("replay", "--listen", replay)
        self.start("planner", "--listen", planner, "--learner", learner)
        self.start("learner", "--listen", learner, "--replay", replay, "--run-dir", str(self.folder / "online"),
                   "--preset", "quickstart", "--set", "seed=" + SEED, "--set", "stop.return_mean=0",
                   "--set", "evaluation.every_rows=1000000", "--set", f"stop.max_rows={10 * ROWS}")
        self.start("actor", "--learner", learner, "--planners", planner, "--replay", replay)
        deadline = time.monotonic() + 900
        while time.monotonic() < deadline:
            metrics = shard.metrics() if "accepted_rows" in shard.scrape() else {}
            if sum(metrics.get("pompc_replay_accepted_rows_total", {}).values()) >= ROWS:
                break
            threading.Event().wait(1)
        path = self.folder / "rows.safetensors"
        subprocess.run([BIN / "pompc", "replay", "export", replay, "--out", path], check=True)
        self.end()
        return path

    def test_the_rows_of_a_run_are_enough_to_learn_from(self):
        rows = self.collect()
        run_dir = self.folder / "offline"
        subprocess.run([BIN / "pompc", "train", "--preset", "quickstart", "--offline", "--import", rows, "--seed", SEED,
                        "--run-dir", run_dir, "--set", f"stop.max_updates={UPDATES}",
                        "--set", "evaluation.every_updates=2000", "--set", f"stop.return_mean={GOAL}"], check=True)
        with open(run_dir / "evaluations.csv", encoding="utf-8") as file:
            returns = [float(row["return_mean"]) for row in csv.DictReader(file)]
        print(f"seed {SEED}: returns {returns}", flush=True)
        self.assertGreaterEqual(max(returns), GOAL, f"seed {SEED}")


if __name__ == "__main__":
    BIN = pathlib.Path(sys.argv.pop(1))
    if len(sys.argv) > 1:
        SEED = sys.argv.pop(1)
    unittest.main()
