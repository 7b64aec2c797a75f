"""pompc sweep with one planner process for all trials: they are the same runs as without it, and it is started again when
it dies."""

import os
import pathlib
import signal
import subprocess
import sys
import unittest

from program import POMPC, run
from sweep_fixture import PATIENCE_SECONDS, SMALL, SweepTest


class SharedPlannerTest(SweepTest):
    FLAGS = ("--jobs", "2", "--shared-planner", "--plan-threads", "1")

    def planner_of(self, sweep):
        """The id of the planner's process; None while there is none."""
        for child in pathlib.Path(f"/proc/{sweep.pid}/task/{sweep.pid}/children").read_text().split():
            if b"--accept-runs" in pathlib.Path(f"/proc/{child}/cmdline").read_bytes():
                return int(child)
        return None

    def content(self, folder):
        return [(folder / name).read_bytes() for name in ("results.csv", "curves.csv")]

    def test_lockstep_trials_have_the_same_numbers_though_the_planner_dies(self):
        self.file.write_text(SMALL)
        alone = self.folder / "alone"
        done = run("sweep", "run", str(self.file), "--dir", str(alone), "--jobs", "2")
        self.assertEqual(done.returncode, 0, done)
        sweep = self.start(*self.FLAGS, program=POMPC)
        self.await_true("the first trial plans", lambda: list(self.dir.glob("trials/*/*/seed-1/metrics.csv")))
        planner = self.planner_of(sweep)
        os.kill(planner, signal.SIGKILL)
        self.await_end(planner)
        stdout, stderr = sweep.communicate(timeout=PATIENCE_SECONDS)
        self.assertEqual(sweep.returncode, 0, (stdout, stderr))
        self.assertIn("the planner was ended by signal 9; it is started again", stdout)
        self.assertRegex(stdout, r"the planner used \d{2,} MiB at most")
        self.assertEqual(self.content(self.dir), self.content(alone))
        log = (self.dir / "planner.log").read_text()
        self.assertGreaterEqual(log.count("serving run "), 4, "each trial had its plans there")
        self.await_true("the planner has ended", lambda: not pathlib.Path(f"/proc/{planner}").exists())

    def test_trials_are_told_where_the_planner_is(self):
        self.write("")
        self.sweep("--shared-planner", "--planner-program", os.path.join(os.path.dirname(POMPC), "pompc-planner"))
        self.assertRegex((self.run_dir() / "words").read_text(), r"--planners 127\.0\.0\.1:2\d{4}$")
        self.write("", base=self.file.read_text().replace('"test"', '"other"'))
        self.dir = self.folder / "other"
        self.sweep("--planners", "10.0.0.7:50052,10.0.0.8:50052", "--listen", "10.0.0.1:0", "--insecure")
        self.assertTrue((self.run_dir() / "words").read_text().endswith(
            "--planners 10.0.0.7:50052,10.0.0.8:50052 --listen 10.0.0.1:0 --insecure"))

    def test_says_what_is_wrong_with_planners(self):
        self.write("")
        done = self.sweep("--shared-planner", "--planners", "10.0.0.7:50052", status=2)
        self.assertIn("allowed is one of the two", done.stderr)
        self.assertIn("--planners: ", self.sweep("--planners", "10.0.0.7", status=2).stderr)
        self.assertIn("allowed is HOST:0", self.sweep("--planners", "10.0.0.7:5", "--listen", "10.0.0.1:7000",
                                                      status=2).stderr)
        self.assertEqual(self.starts(), [])
        self.assertIn("there is no program", self.sweep("--shared-planner", status=1).stderr)

    def test_a_planner_that_keeps_ending_ends_the_sweep(self):
        self.write("")
        self.behave("base", "slow")
        broken = self.folder / "broken"
        broken.write_text("#!/bin/sh\necho no device\nexit 3\n")
        broken.chmod(0o755)
        done = self.sweep("--shared-planner", "--planner-program", str(broken), status=1)
        self.assertIn("the planner ended with status 3, 3 times running soon after its start", done.stderr)
        self.assertIn("no device", done.stderr)
        self.assertEqual(done.stdout.count("it is started again"), 2)

    def test_the_planner_ends_with_a_sweep_that_is_killed(self):
        self.write("")
        self.behave("base", "slow")
        sweep = self.start("--shared-planner", "--planner-program",
                           os.path.join(os.path.dirname(POMPC), "pompc-planner"))
        self.await_trial("base")
        planner = self.planner_of(sweep)
        sweep.kill()
        sweep.communicate(timeout=PATIENCE_SECONDS)
        self.await_end(planner)


class TrainTest(SweepTest):
    def refusal(self, *arguments):
        done = subprocess.run([POMPC, "train", "--preset", "quickstart", "--run-dir", str(self.folder / "run"),
                               *arguments], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
        self.assertEqual(done.returncode, 2, done)
        self.assertFalse((self.folder / "run").exists())
        return done.stderr

    def test_planners_must_be_able_to_reach_the_learner(self):
        self.assertIn("planners at 10.0.0.7:50052 must reach the learner there",
                      self.refusal("--planners", "127.0.0.1:5,10.0.0.7:50052"))
        self.assertIn("--listen: 0.0.0.0:0; with --planners allowed is one address",
                      self.refusal("--planners", "127.0.0.1:5", "--listen", "0.0.0.0:0", "--insecure"))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
