"""pompc train is killed ten times at random moments and resumed each time, as if nothing had happened: no row that was
durable is lost, replay is not refilled, and the run reaches its goal.

Usage: kill_test.py BUILD_FOLDER [--goal]. With --goal the run is the quickstart up to the return at which it stops;
without, one of seconds that stops at a number of rows.
"""

import contextlib
import csv
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import time
import unittest

from program import Train, run

GOAL = "--goal" in sys.argv
if GOAL:
    sys.argv.remove("--goal")
KILLS = 10
# Episodes of ten decisions, updates of sixteen windows.
SMALL = ["--preset", "quickstart", "--set", "env.action_repeat=100", "--set", "learner.seed_rows=60",
         "--set", "learner.pretrain_updates=10", "--set", "learner.batch_size=16", "--set", "replay.min_rows=60",
         "--set", "learner.checkpoint_every_updates=20", "--set", "evaluation.every_rows=200",
         "--set", "evaluation.episodes=1", "--set", "stop.return_mean=0"]
# The goal is set for the last start: a fast machine reaches it sooner than it is killed ten times.
SETTINGS = ["--preset", "quickstart", "--set", "stop.return_mean=0"] if GOAL else [
    *SMALL, "--set", "stop.max_rows=1000000"]
# A start takes up to so long to serve metrics, of which more on a busy machine.
START_SECONDS = 120
# Kills come at any moment of a start up to this age.
LONGEST_LIFE_SECONDS = 10 if GOAL else 4


class KillTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.logs = pathlib.Path(folder.name)
        self.run_dir = self.logs / "run"
        self.seed = random.SystemRandom().randrange(1 << 32)
        self.random = random.Random(self.seed)
        # The most rows of which it is known that they were all written.
        self.durable = 0

    def start(self, name, *arguments):
        process = Train(name, self.logs, "--run-dir", str(self.run_dir), *arguments)
        self.addCleanup(process.kill)
        return process

    def wait(self, process, seconds):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.popen.wait(timeout=seconds)

    def look(self, process):
        """Takes in what the shards say of their rows; how many they have accepted, or None while not all serve."""
        metrics = process.metrics()
        loaded = metrics["pompc_replay_loaded_percent"].values()
        if len(loaded) < len(list(self.run_dir.glob("replay/shard-*"))) or min(loaded, default=0) < 100 or \
                not all(metrics["pompc_replay_capacity_rows"].values()):
            return None
        accepted = sum(metrics["pompc_replay_accepted_rows_total"].values())
        stored = sum(metrics["pompc_replay_stored_rows"].values())
        self.assertEqual(accepted, stored, "nothing is evicted")
        self.assertGreaterEqual(accepted, self.durable, "rows are lost")
        if not sum(metrics["pompc_replay_store_pending_bytes"].values()):
            self.durable = accepted
        return accepted

    def await_rows(self, process):
        give_up = time.monotonic() + START_SECONDS
        while self.look(process) is None:
            self.assertIsNone(process.popen.poll(), process.log.read_text())
            self.assertLess(time.monotonic(), give_up, process.log.read_text())
            self.wait(process, 0.05)

    def test_a_run_that_is_killed_ten_times_reaches_its_goal(self):
        print(f"seed {self.seed}")
        for kill in range(KILLS):
            process = self.start(f"train-{kill}", *(SETTINGS if kill == 0 else []))
            # Some are killed while they start, the others when they have their rows.
            end = time.monotonic() + self.random.uniform(0.2, LONGEST_LIFE_SECONDS)
            if kill == 0 or self.random.random() < 0.7:
                self.await_rows(process)
                end = max(end, time.monotonic() + self.random.uniform(0, LONGEST_LIFE_SECONDS))
            while time.monotonic() < end and process.popen.poll() is None:
                self.look(process)
                self.wait(process, 0.1)
            self.assertIsNone(process.popen.poll(), process.log.read_text())
            process.kill()
            if kill > 0:
                self.assertNotIn("filled", process.log.read_text(), "replay is refilled")
            print(f"killed for the {kill + 1}. time, {self.durable:.0f} rows were durable", flush=True)
        self.assertGreater(self.durable, 100)

        more = ["--set", "stop.return_mean=700" if GOAL else f"stop.max_rows={self.durable + 200:.0f}"]
        process = self.start("train-last", *more)
        if not GOAL:  # which may have been reached between two kills, and then ends the run at once
            self.await_rows(process)
        self.assertEqual(process.popen.wait(timeout=3000 if GOAL else 200), 0, process.log.read_text())
        self.assertIn("FINISHED", process.log.read_text())
        with open(self.run_dir / "evaluations.csv", encoding="utf-8") as file:
            evaluations = list(csv.DictReader(file))
        made = re.findall(r"made +([\d,]+) rows", process.log.read_text())[-1]
        self.assertGreaterEqual(int(made.replace(",", "")), self.durable, "rows are lost")
        if GOAL:
            self.assertGreaterEqual(max(float(row["return_mean"]) for row in evaluations), 700)
        else:
            self.assertGreaterEqual(int(evaluations[-1]["rows"]), self.durable)
        again = run("train", "--run-dir", str(self.run_dir))
        self.assertEqual(again.returncode, 0, again)


if __name__ == "__main__":
    unittest.main()
