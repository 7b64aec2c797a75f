"""The statistics of pompc sweep report against rliable, the program of Agarwal et al. (2021), on the same numbers.

Skipped where rliable is not installed. POMPC_RLIABLE_PYTHON names a Python that has it: `python3 -m venv DIR &&
DIR/bin/pip install rliable 'pandas<3'`, then DIR/bin/python.
"""

import csv
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import unittest

from program import run

PYTHON = os.environ.get("POMPC_RLIABLE_PYTHON", sys.executable)
SEED = 20261130
SETTINGS, TASKS, SEEDS = ("a", "b", "c"), ("one", "two", "three", "four"), range(1, 7)
SCALE = 1000
DRAWS = 2000
# Intervals are of so many draws. A quantile of 2.5 % of as many has a standard error of some hundredths of the
# interval's width.
INTERVAL_ERROR = 0.1

# Reads scores[setting][run][task], writes what rliable computes of them.
RLIABLE = """
import json, sys, warnings
warnings.simplefilter("ignore")
import numpy as np
from rliable import library, metrics
given = json.load(sys.stdin)
scores = {name: np.array(runs) for name, runs in given["scores"].items()}
statistics = {"mean": metrics.aggregate_mean, "interquartile mean": metrics.aggregate_iqm,
              "median": metrics.aggregate_median, "optimality gap": metrics.aggregate_optimality_gap}
result = {"summary": {}, "improvement": {}, "profile": {}}
for statistic, of in statistics.items():
    points, intervals = library.get_interval_estimates(scores, lambda x: np.array([of(x)]), reps=given["draws"],
                                                       random_state=np.random.RandomState(1))
    for name in scores:
        result["summary"][f"{name},{statistic}"] = [float(points[name][0]), *map(float, intervals[name].ravel())]
pairs = {f"{x},{y}": (scores[x], scores[y]) for x in scores for y in scores if x != y}
points, intervals = library.get_interval_estimates(
    pairs, lambda x, y: np.array([metrics.probability_of_improvement(x, y)]), reps=given["draws"] // 2,
    random_state=np.random.RandomState(1))
for name in pairs:
    result["improvement"][name] = [float(points[name][0]), *map(float, intervals[name].ravel())]
for name, runs in scores.items():
    result["profile"][name] = [float(library.run_score_deviation(runs, at)) for at in given["thresholds"]]
json.dump(result, sys.stdout)
"""


def read(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


class RliableTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.returns = {}
        print("seed", SEED)
        draw = random.Random(SEED)
        for i, setting in enumerate(SETTINGS):
            for j, task in enumerate(TASKS):
                for seed in SEEDS:
                    # Whole hundreds now and then, so that there are ties; some above the score 1.
                    value = draw.gauss(400 + 80 * i + 100 * j, 150)
                    self.returns[setting, task, seed] = round(value, -2 if seed % 3 == 0 else 3)
        with open(self.folder / "results.csv", "w", encoding="utf-8") as file:
            file.write("setting,task,seed,return_curve\n")
            file.writelines(f"{','.join(map(str, key))},{value}\n" for key, value in self.returns.items())
        done = run("sweep", "report", str(self.folder / "results.csv"), "--out", str(self.folder / "report"),
                   "--repetitions", str(DRAWS))
        self.assertEqual(done.returncode, 0, done)

    def near(self, row, value, expected, what):
        point, low, high = expected
        self.assertAlmostEqual(float(row[value]), point, delta=1e-6, msg=what)
        error = INTERVAL_ERROR * (high - low)
        self.assertAlmostEqual(float(row["low"]), low, delta=error, msg=what)
        self.assertAlmostEqual(float(row["high"]), high, delta=error, msg=what)

    def test_agrees_with_rliable(self):
        profile = read(self.folder / "report" / "profile.csv")
        thresholds = [float(row["score"]) for row in profile if row["setting"] == SETTINGS[0]]
        given = {"scores": {setting: [[self.returns[setting, task, seed] / SCALE for task in TASKS] for seed in SEEDS]
                            for setting in SETTINGS}, "draws": DRAWS, "thresholds": thresholds}
        done = subprocess.run([PYTHON, "-c", RLIABLE], input=json.dumps(given), capture_output=True, text=True,
                              timeout=300, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        expected = json.loads(done.stdout)
        summary = read(self.folder / "report" / "summary.csv")
        self.assertEqual(len(summary), len(expected["summary"]))
        for row in summary:
            key = f"{row['setting']},{row['statistic']}"
            self.near(row, "value", expected["summary"][key], key)
        improvement = read(self.folder / "report" / "improvement.csv")
        self.assertEqual(len(improvement), len(expected["improvement"]))
        for row in improvement:
            key = f"{row['setting']},{row['over']}"
            self.near(row, "probability", expected["improvement"][key], key)
        for setting in SETTINGS:
            shares = [float(row["share"]) for row in profile if row["setting"] == setting]
            self.assertEqual(len(shares), len(thresholds))
            for share, other in zip(shares, expected["profile"][setting]):
                self.assertAlmostEqual(share, other, delta=1e-6)


if __name__ == "__main__":
    found = subprocess.run([PYTHON, "-c", "from rliable import library, metrics"], capture_output=True, check=False)
    if found.returncode != 0:
        print(f"skipped: {PYTHON} has no rliable (see the top of this file)")
        sys.exit(77)
    unittest.main(argv=sys.argv[:1])
