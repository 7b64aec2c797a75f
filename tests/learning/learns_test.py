#!/usr/bin/env python3
"""A real training run learns: `pompc train` on cartpole-swingup reaches a return that acting at random (about 50) never
does, and leaves the run directory it promises. Usage: learns_test.py POMPC [SEED]."""

import csv
import math
import pathlib
import subprocess
import sys
import tempfile
import unittest

POMPC = ""
SEED = "1"
GOAL = 400.0


class LearnsTest(unittest.TestCase):
    def test_reaches_the_goal_and_leaves_a_run_directory(self):
        with tempfile.TemporaryDirectory() as folder:
            run_dir = pathlib.Path(folder) / "run"
            subprocess.run(
                [POMPC, "train", "--preset", "quickstart", "--seed", SEED, "--run-dir", run_dir,
                 "--set", f"stop.return_mean={GOAL}", "--set", "stop.max_rows=20000"],
                check=True)
            returns = [float(row["return_mean"]) for row in read_csv(run_dir / "evaluations.csv")]
            self.assertGreaterEqual(max(returns), GOAL, f"seed {SEED}: evaluations {returns}")
            self.check_metrics(read_csv(run_dir / "metrics.csv"))
            for name in ("config.textproto", "timings.csv", "learning_curve.svg"):
                self.assertTrue((run_dir / name).stat().st_size > 0, name)
            self.assertTrue(list((run_dir / "checkpoints").iterdir()))

    def check_metrics(self, rows):
        self.assertGreater(len(rows), 10)
        for row in rows:
            for column, text in row.items():
                if text != "":
                    self.assertTrue(math.isfinite(float(text)), f"{column} of {row}")


def read_csv(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    POMPC = sys.argv.pop(1)
    if len(sys.argv) > 1:
        SEED = sys.argv.pop(1)
    unittest.main()
