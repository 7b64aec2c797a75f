#!/usr/bin/env python3
"""A real training run learns: `pompc train` on cartpole-swingup, killed at a random moment and resumed, reaches a
return that acting at random (about 50) never does, and leaves the run directory it promises.
Usage: learns_test.py POMPC [SEED [KILL_AT_UPDATE]]."""

import csv
import math
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import time
import unittest

POMPC = ""
SEED = "1"
GOAL = 400.0
KILL_AT_UPDATE = random.randrange(1000, 2000)


class LearnsTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.run_dir = pathlib.Path(folder.name) / "run"

    def test_reaches_the_goal_though_killed_and_leaves_a_run_directory(self):
        print(f"seed {SEED}, killed after update {KILL_AT_UPDATE}", flush=True)
        self.train_until_killed("--preset", "quickstart", "--seed", SEED, "--set", "stop.return_mean=0",
                                "--set", "stop.max_rows=20000")
        before = read_csv(self.run_dir / "evaluations.csv")
        checkpoint = max(int(folder.name.removeprefix("update-"))
                         for folder in (self.run_dir / "checkpoints").glob("update-*"))

        # More than it had: a run that has reached its goal makes no more updates.
        goal = max(GOAL, 50 + max((float(row["return_mean"]) for row in before), default=0))
        subprocess.run([POMPC, "train", "--run-dir", self.run_dir, "--set", f"stop.return_mean={goal}"], check=True)
        evaluations = read_csv(self.run_dir / "evaluations.csv")
        self.assertEqual(evaluations[:len(before)], before)
        returns = [float(row["return_mean"]) for row in evaluations]
        self.assertGreaterEqual(max(returns), goal, f"seed {SEED}: evaluations {returns}")
        metrics = read_csv(self.run_dir / "metrics.csv")
        self.check_metrics(metrics)
        updates = [int(row["update"]) for row in metrics]
        self.assertTrue(any(checkpoint < update <= checkpoint + 50 for update in updates), updates)
        self.assertEqual(updates, sorted(set(updates)), "what followed the checkpoint was dropped, then done again")
        for name in ("config.textproto", "timings.csv", "learning_curve.svg"):
            self.assertGreater((self.run_dir / name).stat().st_size, 0, name)

    def train_until_killed(self, *arguments):
        command = [POMPC, "train", "--run-dir", self.run_dir, *arguments]
        deadline = time.monotonic() + 600
        with subprocess.Popen(command) as process:
            while time.monotonic() < deadline and last_update(self.run_dir / "metrics.csv") < KILL_AT_UPDATE:
                try:
                    process.wait(timeout=random.uniform(0, 1))
                    self.fail(f"ended by itself, with status {process.returncode}")
                except subprocess.TimeoutExpired:
                    pass
            process.kill()
        self.assertGreaterEqual(last_update(self.run_dir / "metrics.csv"), KILL_AT_UPDATE)

    def check_metrics(self, rows):
        self.assertGreater(len(rows), 10)
        for row in rows:
            for column, text in row.items():
                if text != "":
                    self.assertTrue(math.isfinite(float(text)), f"{column} of {row}")


def last_update(path):
    """Of the last whole line of a metrics.csv."""
    if not path.exists():
        return 0
    updates = re.findall(r"(?m)^(\d+),.*\n", path.read_text())
    return int(updates[-1]) if updates else 0


def read_csv(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    POMPC = sys.argv.pop(1)
    if len(sys.argv) > 1:
        SEED = sys.argv.pop(1)
    if len(sys.argv) > 1:
        KILL_AT_UPDATE = int(sys.argv.pop(1))
    unittest.main()
