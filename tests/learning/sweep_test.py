#!/usr/bin/env python3
"""scripts/sweep.py with a stand-in for pompc: which runs it makes, what it writes of them, what it reports."""

import csv
import os
import pathlib
import subprocess
import sys
import tempfile
import textwrap
import unittest

SWEEP = pathlib.Path(__file__).resolve().parent.parent.parent / "scripts" / "sweep.py"

# Leaves the files of a run: returns 100 x seed, 200 x seed and 300 x seed; a KL of 1, 2, 3 and 4.
POMPC = textwrap.dedent("""\
    #!/usr/bin/env python3
    import pathlib, sys
    words = sys.argv[1:]
    assert words[0] == "train", words
    if "fail" in words:
        sys.exit("this one fails")
    run_dir = pathlib.Path(words[words.index("--run-dir") + 1])
    seed = int(words[words.index("--seed") + 1])
    run_dir.mkdir(parents=True)
    (run_dir / "flags").write_text(" ".join(words))
    (run_dir / "evaluations.csv").write_text("rows,return_mean\\n" + "".join(
        f"{rows},{rows * seed}\\n" for rows in (200, 100, 300)))
    (run_dir / "metrics.csv").write_text("update,rows,policy_prior_kl,prior_std\\n" + "".join(
        f"{10 * i},{20 * i},{i},\\n" for i in range(1, 5)))
    (run_dir / "timings.csv").write_text("update,elapsed_seconds\\n40,12.5\\n")
""")


class SweepTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.pompc = self.folder / "pompc"
        self.pompc.write_text(POMPC)
        self.pompc.chmod(0o755)
        self.settings = self.folder / "settings.txt"
        self.results = self.folder / "out" / "results.csv"

    def sweep(self, *arguments):
        return subprocess.run(
            [sys.executable, SWEEP, self.settings, "--results", self.results, "--runs", self.folder / "runs", "--pompc",
             self.pompc, *arguments], capture_output=True, text=True, timeout=60, check=False, env=os.environ)

    def rows(self):
        with open(self.results, newline="") as file:
            return list(csv.DictReader(file))

    def test_runs_each_setting_with_each_seed_once(self):
        self.settings.write_text("# two\nevery: --preset quickstart\n\none: --set a=1  # first\ntwo:\n")
        self.assertEqual(self.sweep("--seeds", "3").returncode, 0)
        done = self.sweep("--seeds", "3-4")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("2 of 2: two, seed 4", done.stdout)
        self.assertEqual([(row["setting"], row["seed"]) for row in self.rows()],
                         [("one", "3"), ("two", "3"), ("one", "4"), ("two", "4")])
        run_dir = self.folder / "runs" / "one" / "seed-3"
        self.assertEqual((run_dir / "flags").read_text(),
                         f"train --run-dir {run_dir} --preset quickstart --set a=1 --seed 3")

    def test_runs_those_asked_for_several_at_a_time(self):
        self.settings.write_text("one:\ntwo:\nthree:\n")
        done = self.sweep("--seeds", "1-2", "--jobs", "3", "--only", "three,one")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(sorted((row["setting"], row["seed"]) for row in self.rows()),
                         [("one", "1"), ("one", "2"), ("three", "1"), ("three", "2")])
        self.assertIn("has no four; it has one, two, three", self.sweep("--only", "four").stderr)

    def test_sums_runs_up(self):
        self.settings.write_text("one:\n")
        self.assertEqual(self.sweep("--seeds", "2").returncode, 0)
        (row,) = self.rows()
        # By rows: 200, 400, 600.
        self.assertEqual(float(row["return_last"]), 500)
        self.assertEqual(float(row["return_curve"]), 400)
        self.assertEqual(float(row["return_best"]), 600)
        self.assertEqual((row["rows"], row["updates"], row["seconds"]), ("80", "40", "12.5"))
        self.assertEqual(float(row["policy_prior_kl"]), 3.5)
        self.assertEqual(float(row["max_policy_prior_kl"]), 4)
        self.assertEqual(row["prior_std"], "", "a setting without a prior")

    def test_reports_means_with_intervals(self):
        self.settings.write_text("one:\n")
        self.assertEqual(self.sweep("--seeds", "1,2,3").returncode, 0)
        done = self.sweep("--report")
        self.assertEqual(done.returncode, 0, done.stderr)
        # 250, 500, 750 have a standard deviation of 250; t is 4.303 with two degrees of freedom.
        self.assertIn("| one | 3 | 500 ± 621 |", done.stdout)

    def test_numbers_are_decimal(self):
        self.settings.write_text("one:\n")
        for flag, value in (("--seeds", "010"), ("--seeds", "+1"), ("--seeds", "1, 2"), ("--seeds", "3-"),
                            ("--jobs", "0"), ("--jobs", "1e1")):
            done = self.sweep(flag, value)
            self.assertEqual(done.returncode, 2, (flag, value))
            self.assertIn(flag, done.stderr)
            self.assertIn("allowed: integer in decimal", done.stderr)

    def test_ranges_of_seeds_that_make_no_sense_are_refused(self):
        self.settings.write_text("one:\n")
        for value, why in (("5-1", "at least the first"), ("1-10001", "at most 10000")):
            done = self.sweep("--seeds", value)
            self.assertEqual(done.returncode, 2, value)
            self.assertIn(why, done.stderr)
        self.assertFalse(self.results.exists())

    def test_says_what_is_wrong(self):
        self.settings.write_text("one\n")
        self.assertIn("settings.txt:1: expected", self.sweep().stderr)
        self.settings.write_text("one: fail\n")
        done = self.sweep()
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("seed-1.log", done.stderr)
        self.assertFalse(self.results.exists())


if __name__ == "__main__":
    unittest.main()
