"""pompc replay limit: a run that is going on shows its limits, takes others, keeps them, and refuses what would hold
it."""

import os
import re
import signal
import subprocess
import tempfile
import unittest

from program import POMPC, run

# Rows come fast, and updates seldom: most of the time one side waits for the other.
SMALL = ["--preset", "quickstart", "--set", "env.action_repeat=100", "--set", "learner.seed_rows=60",
         "--set", "learner.pretrain_updates=10", "--set", "learner.batch_size=16", "--set", "replay.min_rows=30",
         "--set", "evaluation.every_rows=1000000", "--set", "stop.return_mean=0", "--set", "stop.max_rows=0"]


class LimitTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.run_dir = os.path.join(folder.name, "run")

    def start(self, *arguments):
        process = subprocess.Popen([POMPC, "train", "--run-dir", self.run_dir, *arguments], text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        line = process.stdout.readline()
        self.assertIn("run directory", line)
        return process, line

    def end(self, process, how=signal.SIGTERM):
        process.send_signal(how)
        process.communicate(timeout=100)

    def limit(self, *arguments):
        done = run("replay", "limit", "--run-dir", self.run_dir, *arguments)
        self.assertEqual(done.returncode, 0, done)
        return done.stdout

    def refused(self, status, *arguments):
        done = run("replay", "limit", "--run-dir", self.run_dir, *arguments)
        self.assertEqual(done.returncode, status, done)
        self.assertEqual(len(done.stderr.splitlines()), 1, done)
        return done.stderr

    def test_limits_are_shown_changed_kept_and_refused(self):
        process, line = self.start("--listen", "127.0.0.1:0", *SMALL)
        learner = re.search(r"learner at (\S+)", line).group(1)
        shown = self.limit()
        self.assertIn("learner.utd 0.5, replay.slack_rows 100, replay.min_rows 30, stop.max_rows 0 (no limit)", shown)
        for name in ("rows", "updates", "ratio", "replay", "learner", "writers"):
            self.assertRegex(shown, rf"(?m)^ *{name} ")
        shown = self.limit("--utd", "0.02", "--slack-rows", "50")
        self.assertIn("learner.utd 0.02, replay.slack_rows 50, replay.min_rows 30", shown)
        self.assertIn("learner.utd 0.5 -> 0.02 at ", shown)
        self.assertIn("learner.utd 0.02", run("status", "--learner", learner).stdout)
        self.assertIn("replay.slack_rows 100 -> 50", run("status", "--run-dir", self.run_dir).stdout)

        self.assertIn("replay.slack_rows: 49 is less than 50, the rows of one update at learner.utd 0.02",
                      self.refused(2, "--slack-rows", "49"))
        self.assertIn("learner.utd: 1000 is out of range", self.refused(2, "--utd", "1000"))
        self.assertIn("stop.max_rows: 10 is less than learner.seed_rows 60", self.refused(2, "--max-rows", "10"))
        self.assertIn('--utd: "fast"', self.refused(2, "--utd", "fast"))
        self.assertIn("learner.utd 0.02", self.limit())

        # A start that was killed keeps them as well. The config of a later one counts where it was changed since.
        self.end(process, signal.SIGKILL)
        process, _ = self.start("--listen", "127.0.0.1:0", "--set", "replay.slack_rows=77")
        shown = self.limit()
        self.assertIn("learner.utd 0.02, replay.slack_rows 77", shown)
        # A run with a new limit of rows comes to its end by itself.
        rows = int(re.search(r"(?m)^ *rows +([\d,]+)", shown).group(1).replace(",", ""))
        self.limit("--max-rows", str(rows + 5000), "--utd", "0.05")
        self.limit("--max-rows", "0")
        self.end(process)
        self.assertIn("is not going on: interrupted", self.refused(1))

    def test_a_run_without_an_address_says_how_to_give_it_one(self):
        self.assertIn("no run here", self.refused(1))
        process, _ = self.start(*SMALL)
        self.assertIn("serves no address: `pompc train` does with --listen HOST:PORT", self.refused(1))
        self.end(process)
        done = run("replay", "limit")
        self.assertEqual(done.returncode, 2, done)
        self.assertIn("give --learner HOST:PORT or --run-dir DIR", done.stderr)

    def test_a_run_that_can_be_repeated_keeps_its_limits(self):
        process, _ = self.start("--listen", "127.0.0.1:0", *SMALL, "--set", "schedule=LOCKSTEP")
        self.assertIn("LOCKSTEP", self.refused(1, "--utd", "2"))
        self.end(process)


if __name__ == "__main__":
    unittest.main()
