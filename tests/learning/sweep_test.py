#!/usr/bin/env python3
"""scripts/sweep.py with a stand-in for pompc: which runs it makes, what it writes of them, what it reports. One run is
made by pompc itself.

Usage: sweep_test.py PROGRAM
"""

import csv
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
import unittest

SWEEP = pathlib.Path(__file__).resolve().parent.parent.parent / "scripts" / "sweep.py"

DEFAULTS = SWEEP.parent.parent / "bench" / "learning" / "sweep_defaults.py"
PROGRAM = sys.argv[1] if len(sys.argv) > 1 else SWEEP.parent.parent / "build" / "release" / "bin" / "pompc"
PATIENCE_SECONDS = 120
# Of pompc itself: ends within seconds.
SMALL = ("--preset quickstart --set env.action_repeat=10 --set learner.seed_rows=200 --set learner.pretrain_updates=5 "
         "--set learner.utd=0.05 --set learner.batch_size=16 --set learner.log_every_updates=5 "
         "--set replay.min_rows=100 --set evaluation.every_rows=200 --set evaluation.episodes=1")

# Leaves the files of a run: returns 100 x seed, 200 x seed and 300 x seed; a KL of 1, 2, 3 and 4. With the flag "slow"
# it waits for SIGTERM, as a run that takes long, and ends as an interrupted one does: with status 0. With "deaf" it does
# not end by it.
POMPC = textwrap.dedent("""\
    #!/usr/bin/env python3
    import os, pathlib, signal, sys
    words = sys.argv[1:]
    assert words[0] == "train", words
    if "fail" in words:
        sys.exit("this one fails")
    run_dir = pathlib.Path(words[words.index("--run-dir") + 1])
    seed = int(words[words.index("--seed") + 1])
    gain = seed * (2 if "better" in words else 1)
    run_dir.mkdir(parents=True, exist_ok=True)
    (run_dir / "flags").write_text(" ".join(words))
    (run_dir / "evaluations.csv").write_text("rows,return_mean\\n" + "".join(
        f"{rows},{rows * gain}\\n" for rows in (200, 100, 300)))
    (run_dir / "metrics.csv").write_text("update,rows,policy_prior_kl,prior_std\\n" + "".join(
        f"{10 * i},{20 * i},{i},\\n" for i in range(1, 5)))
    (run_dir / "timings.csv").write_text("update,elapsed_seconds\\n40,12.5\\n")
    if "slow" in words or "deaf" in words:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        signal.alarm(300)
        (run_dir / "pid").write_text(str(os.getpid()))
        while True:
            signal.sigwait([signal.SIGTERM])
            (run_dir / "stopped").touch()
            if "slow" in words:
                print("  phase              TRAINING\\ngo on with: pompc train --run-dir", run_dir)
                sys.exit(0)
    print("  phase              FINISHED: all 80 rows are stored")
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

    def command(self, *arguments):
        return [sys.executable, SWEEP, self.settings, "--results", self.results, "--runs", self.folder / "runs",
                "--pompc", self.pompc, *arguments]

    def test_curves_have_a_line_for_each_evaluation(self):
        self.settings.write_text("a: x\n")
        curves = self.folder / "out" / "curves.csv"
        for seeds in ("1-2", "1-3"):
            self.assertEqual(self.sweep("--seeds", seeds, "--curves", curves).returncode, 0)
        with open(curves, newline="", encoding="utf-8") as file:
            lines = list(csv.DictReader(file))
        self.assertEqual([(line["setting"], line["seed"], line["rows"], line["return_mean"]) for line in lines],
                         [("a", str(seed), str(rows), str(rows * seed))
                          for seed in (1, 2, 3) for rows in (100, 200, 300)])
        # Rows 20 to 80 of metrics.csv came before the first evaluation.
        self.assertEqual([line["policy_prior_kl"] for line in lines[:3]], ["2.5", "", ""])

    def sweep(self, *arguments):
        return subprocess.run(self.command(*arguments), capture_output=True, text=True, timeout=PATIENCE_SECONDS,
                              check=False, env=os.environ)

    def start(self, *arguments):
        """A sweep in a process group of its own, as a shell starts it."""
        sweep = subprocess.Popen(self.command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                 start_new_session=True)
        self.addCleanup(lambda: sweep.poll() is None and sweep.kill())
        return sweep

    def await_true(self, what, condition):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            self.assertLess(time.monotonic(), deadline, what)
            time.sleep(0.02)

    def await_run(self, name, seed=1):
        """Its process, once it goes on."""
        file = self.folder / "runs" / name / f"seed-{seed}" / "pid"
        self.await_true(file, lambda: file.exists() and file.read_text() != "")
        return int(file.read_text())

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

    def test_a_finished_run_does_not_stand_for_a_changed_setting(self):
        self.settings.write_text("one: --set a=1 --set b=1\ntwo: --set a=5\n")
        self.assertEqual(self.sweep("--seeds", "3").returncode, 0)
        self.assertEqual([row["flags"] for row in self.rows()], ["--set a=1 --set b=1", "--set a=5"])
        before = self.results.read_text()
        self.settings.write_text("one: --set a=2 --set b=1\ntwo: --set a=5\n")
        for arguments in (("--seeds", "3"), ("--seeds", "4"), ("--report",)):
            done = self.sweep(*arguments)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertIn("one, seed 3: ", done.stderr)
            self.assertIn("a=1 before, a=2 now", done.stderr)
            self.assertIn(f"remove {self.folder}/runs/one/seed-3 and its line in {self.results}", done.stderr)
            self.assertNotIn("two, seed", done.stderr)
            self.assertEqual(done.stdout, "")
        self.assertEqual(self.results.read_text(), before)
        self.assertEqual(self.sweep("--seeds", "3-4", "--only", "two").returncode, 0)
        # What the message advises.
        shutil.rmtree(self.folder / "runs" / "one" / "seed-3")
        self.results.write_text("".join(line for line in self.results.read_text().splitlines(True)
                                        if not line.startswith("one,")))
        self.assertEqual(self.sweep("--seeds", "3").returncode, 0)
        self.assertEqual(self.rows()[-1]["flags"], "--set a=2 --set b=1")

    def test_an_interrupted_run_does_not_go_on_as_a_changed_setting(self):
        self.settings.write_text("every: --preset x\none: fail\ntwo: slow\n")
        self.assertEqual(self.sweep("--only", "one").returncode, 1)
        sweep = self.start("--only", "two")
        self.await_run("two")
        sweep.terminate()
        sweep.communicate(timeout=PATIENCE_SECONDS)
        self.settings.write_text("every:\none:\ntwo:\n")
        # What never began left nothing behind.
        self.assertEqual(self.sweep("--only", "one").returncode, 0)
        self.assertEqual([row["flags"] for row in self.rows()], ["(none)"])
        done = self.sweep()
        self.assertEqual(done.returncode, 2)
        self.assertIn("two, seed 1: ", done.stderr)
        self.assertIn("--preset x slow before, nothing now", done.stderr)
        self.assertNotIn("one, seed", done.stderr)
        self.settings.write_text("every: x\none:\ntwo: slow\n")
        self.assertIn("one, seed 1: ", self.sweep("--report").stderr)
        self.settings.write_text("two: slow --preset x\n")
        self.assertIn("(another order)", self.sweep().stderr)

    def test_results_without_flags_are_read(self):
        self.settings.write_text("one:\n")
        self.assertEqual(self.sweep("--seeds", "1").returncode, 0)
        old = self.results.read_text().replace(",flags\n", "\n").replace(",(none)\n", "\n")
        self.results.write_text(old)
        shutil.rmtree(self.folder / "runs")
        for arguments in (("--report",), ("--seeds", "1-2")):
            done = self.sweep(*arguments)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("nothing tells the flags of 1 of the runs", done.stderr)
        self.assertEqual([(row["seed"], row["return_best"], row["flags"]) for row in self.rows()],
                         [("1", "300", ""), ("2", "600", "(none)")])
        # A run directory without them, as an older sweep left it.
        (self.folder / "runs" / "one" / "seed-3").mkdir()
        done = self.sweep("--seeds", "3")
        self.assertIn("nothing tells the flags of 2 of the runs", done.stderr)
        self.assertEqual([row["flags"] for row in self.rows()], ["", "(none)", ""])

    def test_signals_end_the_sweep_and_record_no_unfinished_run(self):
        self.settings.write_text("one: slow\ntwo:\n")
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(signal=number.name):
                sweep = self.start()
                pid = self.await_run("one")
                os.killpg(sweep.pid, number)
                _, stderr = sweep.communicate(timeout=PATIENCE_SECONDS)
                self.assertEqual(sweep.returncode, 128 + number)
                self.assertIn("one, seed 1: interrupted, not recorded", stderr)
                self.assertFalse(pathlib.Path(f"/proc/{pid}").exists())
                self.assertFalse(self.results.exists())
                self.assertFalse((self.folder / "runs" / "two").exists(), "a run began after the signal")
                (self.folder / "runs" / "one" / "seed-1" / "pid").unlink()

    def test_an_interrupted_sweep_is_gone_on_with(self):
        self.settings.write_text("one: slow\ntwo:\n")
        sweep = self.start("--jobs", "2")
        self.await_run("one")
        self.await_true("two is finished", self.results.exists)
        os.killpg(sweep.pid, signal.SIGINT)
        sweep.communicate(timeout=PATIENCE_SECONDS)
        self.assertEqual([row["setting"] for row in self.rows()], ["two"])
        self.pompc.write_text(POMPC.replace('"slow" in words or ', ""))
        done = self.sweep()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("1 of 1: one, seed 1", done.stdout)
        self.assertEqual([row["setting"] for row in self.rows()], ["two", "one"])

    def test_a_second_signal_ends_runs_that_do_not_stop(self):
        self.settings.write_text("one: deaf\n")
        sweep = self.start()
        pid = self.await_run("one")
        stopped = self.folder / "runs" / "one" / "seed-1" / "stopped"
        sweep.send_signal(signal.SIGHUP)
        self.await_true("SIGTERM has come", stopped.exists)
        # A terminal that closes sends it twice.
        sweep.send_signal(signal.SIGHUP)
        sweep.send_signal(signal.SIGTERM)
        _, stderr = sweep.communicate(timeout=PATIENCE_SECONDS)
        self.assertEqual(sweep.returncode, 128 + signal.SIGHUP)
        self.assertIn("one, seed 1: interrupted, not recorded", stderr)
        self.assertFalse(pathlib.Path(f"/proc/{pid}").exists())

    def test_a_run_that_someone_else_ends_is_not_recorded(self):
        self.settings.write_text("one: slow\n")
        sweep = self.start()
        os.kill(self.await_run("one"), signal.SIGTERM)
        _, stderr = sweep.communicate(timeout=PATIENCE_SECONDS)
        self.assertEqual(sweep.returncode, 1)
        self.assertIn("one, seed 1: interrupted, not recorded", stderr)
        self.assertFalse(self.results.exists())

    def test_runs_of_pompc_are_recorded_when_they_reach_their_limit(self):
        self.pompc = PROGRAM
        self.settings.write_text(f"endless: {SMALL} --set stop.max_rows=1000000\nsmall: {SMALL} --set stop.max_rows=300\n")
        sweep = self.start("--only", "endless")
        evaluations = self.folder / "runs" / "endless" / "seed-1" / "evaluations.csv"
        self.await_true("an evaluation", lambda: evaluations.exists() and len(evaluations.read_text().split()) > 1)
        os.killpg(sweep.pid, signal.SIGINT)
        _, stderr = sweep.communicate(timeout=PATIENCE_SECONDS)
        self.assertEqual(sweep.returncode, 130)
        self.assertIn("endless, seed 1: interrupted, not recorded", stderr)
        self.assertFalse(self.results.exists())
        done = self.sweep("--only", "small")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([row["setting"] for row in self.rows()], ["small"])

    def test_says_what_is_wrong(self):
        self.settings.write_text("one\n")
        self.assertIn("settings.txt:1: expected", self.sweep().stderr)
        self.settings.write_text("one: fail\n")
        done = self.sweep()
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("seed-1.log", done.stderr)
        self.assertFalse(self.results.exists())
        self.pompc = self.folder / "absent"
        self.assertIn("absent does not start: No such file", self.sweep().stderr)


class SweepDefaultsTest(unittest.TestCase):
    """bench/learning/sweep_defaults.py with the same stand-in, whose setting with the flag "better" returns twice as
    much."""

    TASKS = ("one", "other")

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        pompc = self.folder / "pompc"
        pompc.write_text(POMPC)
        pompc.chmod(0o755)
        settings = self.folder / "settings.txt"
        settings.write_text("first: x\nsecond: x\nthird: better\nfourth: better\nfifth: x\n")
        self.command = [sys.executable, DEFAULTS, "--settings", settings, "--pompc", pompc, "--jobs", "2", "--tasks",
                        ",".join(self.TASKS), "--out", self.folder / "out", "--runs", self.folder / "runs"]

    def run_it(self, *arguments):
        done = subprocess.run([*self.command, *arguments], capture_output=True, text=True, timeout=PATIENCE_SECONDS,
                              check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def seeds(self, task):
        found = {}
        with open(self.folder / "out" / f"{task}.csv", newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                found.setdefault(row["setting"], set()).add(int(row["seed"]))
        return found

    def test_gives_more_seeds_to_the_better_half_of_each_round(self):
        self.run_it()
        for task in self.TASKS:
            # Three of five settings go on, then two of these; the first one stays for comparison.
            self.assertEqual(self.seeds(task), {
                "first": {1, 2, 3, 4, 5}, "second": {1, 2}, "third": {1, 2, 3, 4, 5}, "fourth": {1, 2, 3, 4, 5},
                "fifth": {1, 2}})
            self.assertIn(f"--task {task}", (self.folder / "runs" / task / "third" / "seed-1" / "flags").read_text())
            with open(self.folder / "out" / f"{task}-curves.csv", newline="", encoding="utf-8") as file:
                self.assertEqual(len(list(csv.DictReader(file))), 3 * (3 * 5 + 2 * 2))

    def test_goes_on_where_it_stopped(self):
        self.run_it()
        results = self.folder / "out" / "one.csv"
        lines = results.read_text().splitlines(keepends=True)
        results.write_text("".join(lines[:-1]))
        self.run_it()
        self.assertEqual(sorted(results.read_text().splitlines()), sorted("".join(lines).splitlines()))

    def test_reports_differences_to_the_first_setting(self):
        self.run_it()
        table = self.run_it("--report").splitlines()
        self.assertIn("| first | 5 | 600 ± 393 | 0 ± 0 | 600 ± 393 | 600 ± 393 |", table)
        self.assertIn("| third | 5 | 1200 ± 785 | 600 ± 393 | 1200 ± 785 | 1200 ± 785 |", table)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
