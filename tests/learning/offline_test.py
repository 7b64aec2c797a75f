#!/usr/bin/env python3
"""Offline learning learns: rows that a run made while it learned cartpole-swingup are exported from its folder, and a run
that has these rows alone reaches a return that acting at random (about 50) never does.
Usage: offline_test.py POMPC [SEED]."""

import csv
import pathlib
import subprocess
import sys
import tempfile
import unittest

POMPC = ""
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

    def pompc(self, *arguments):
        subprocess.run([POMPC, *arguments], check=True)

    def collect(self):
        """A data set of the rows of a run that learns while it acts."""
        run_dir, path = self.folder / "online", self.folder / "rows.safetensors"
        self.pompc("train", "--preset", "quickstart", "--seed", SEED, "--run-dir", run_dir, "--set",
                   "stop.return_mean=0", "--set", "evaluation.every_rows=1000000", "--set", f"stop.max_rows={ROWS}")
        self.pompc("replay", "export", run_dir, "--out", path)
        return path

    def test_the_rows_of_a_run_are_enough_to_learn_from(self):
        rows = self.collect()
        run_dir = self.folder / "offline"
        self.pompc("train", "--preset", "quickstart", "--offline", "--import", rows, "--seed", SEED, "--run-dir", run_dir,
                   "--set", f"stop.max_updates={UPDATES}", "--set", "evaluation.every_updates=2000",
                   "--set", f"stop.return_mean={GOAL}")
        with open(run_dir / "evaluations.csv", encoding="utf-8") as file:
            returns = [float(row["return_mean"]) for row in csv.DictReader(file)]
        print(f"seed {SEED}: returns {returns}", flush=True)
        self.assertGreaterEqual(max(returns), GOAL, f"seed {SEED}")


if __name__ == "__main__":
    POMPC = sys.argv.pop(1)
    if len(sys.argv) > 1:
        SEED = sys.argv.pop(1)
    unittest.main()
