"""A fleet of actors that belongs to no run: actors divide themselves among the runs of a planner by need, go on when one
ends, and are left alone by runs that do not take them."""

import collections
import os
import re
import signal
import subprocess
import sys
import time
import unittest

from program import POMPC, run
from sweep_fixture import PATIENCE_SECONDS, SweepTest

# Two trials on FLOAT32, of which the second can use many times as many rows as the first.
SWEEP = """name: "fleet"
base {
  preset: "quickstart"
  set: "replay.durability=MEMORY"
  set: "evaluation.every_rows=200"
  set: "evaluation.episodes=1"
  set: "learner.seed_rows=200"
  set: "replay.min_rows=200"
  set: "learner.pretrain_updates=20"
}
setting { name: "few" set: "learner.utd=4" }
setting { name: "many" set: "learner.utd=0.01" }
task: "cartpole-swingup"
seeds: "1"
budget { minutes: 1 }
"""


def beside(name):
    return os.path.join(os.path.dirname(POMPC), name)


class FleetTest(SweepTest):
    def runs(self, planner):
        """Of each run that the planner serves, the environments that it has."""
        table = run("planner", "runs", "--planners", planner).stdout
        return {run_id: int(count) for run_id, count in re.findall(r"(\d{8}-\d{6}-\w{8}) .* (\d+) of [\d.]+$", table,
                                                                   re.MULTILINE)}

    def planner_of(self, sweep):
        found = None
        def named():
            nonlocal found
            for child in self.children(sweep):
                words = child[1]
                if b"--accept-runs" in words:
                    found = words[words.index(b"--listen") + 1].decode()
            return found is not None
        self.await_true("the sweep has a planner", named)
        return found

    def children(self, sweep):
        """Process ids and command lines."""
        with open(f"/proc/{sweep.pid}/task/{sweep.pid}/children", encoding="ascii") as file:
            ids = file.read().split()
        found = []
        for child in ids:
            try:
                with open(f"/proc/{child}/cmdline", "rb") as file:
                    found.append((int(child), file.read().split(b"\0")))
            except FileNotFoundError:
                pass
        return found

    def actors_of(self, sweep):
        return [pid for pid, words in self.children(sweep) if b"--fleet" in words and b"train" not in words]

    def test_actors_serve_all_trials_and_those_in_need_first(self):
        self.file.write_text(SWEEP)
        sweep = self.start("--jobs", "2", "--shared-planner", "--actors", "5", program=POMPC)
        planner = self.planner_of(sweep)
        seen = collections.Counter()

        def divided():
            counts = sorted(self.runs(planner).values())
            seen[tuple(counts)] += 1
            return len(counts) == 2 and counts[0] >= 1 and counts[1] >= 3
        self.await_true("both trials have actors, one of them most", divided)
        # One that dies is started again, and no trial fails.
        killed = self.actors_of(sweep)[0]
        os.kill(killed, signal.SIGKILL)
        stdout, stderr = sweep.communicate(timeout=PATIENCE_SECONDS)
        self.assertEqual(sweep.returncode, 0, (stdout, stderr, seen))
        self.assertRegex(stdout, r"actor \d was ended by signal 9; it is started again")
        self.assertIn("all trials are finished", stdout)
        served = [set(re.findall(r"serves run (\S+) ", (self.dir / f"actor-{i}.log").read_text())) for i in range(5)]
        self.assertEqual(len(set.union(*served)), 2, served)

    def test_flags_that_cannot_work_are_refused(self):
        self.file.write_text(SWEEP)
        for flags, words in ((("--actors", "2"), "--shared-planner or --planners"),
                             (("--fleet",), "--shared-planner or --planners")):
            done = run("sweep", "run", str(self.file), "--dir", str(self.dir), *flags)
            self.assertEqual(done.returncode, 2, done)
            self.assertIn(words, done.stderr)
        self.file.write_text(SWEEP.replace("replay.durability=MEMORY", "schedule=LOCKSTEP"))
        done = run("sweep", "run", str(self.file), "--dir", str(self.dir), "--shared-planner", "--actors", "1")
        self.assertEqual(done.returncode, 2, done)
        self.assertIn("the schedule of few, cartpole-swingup, seed 1 is LOCKSTEP", done.stderr)
        self.assertIn("allowed is CONCURRENT", done.stderr)
        self.assertFalse(self.dir.exists())
        done = run("train", "--preset", "quickstart", "--run-dir", str(self.dir), "--fleet")
        self.assertEqual(done.returncode, 2, done)
        self.assertIn("--planners is missing", done.stderr)
        for flags, words in ((("--evaluate",), "--fleet and --evaluate"), (("--learner", "127.0.0.1:1"), "--learner"),
                             ((), "--environments: 0; allowed with --fleet: 1 to 4096")):
            done = subprocess.run([beside("pompc-actor"), "--fleet", "--planners", "127.0.0.1:1", *flags], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
            self.assertEqual(done.returncode, 2, done)
            self.assertIn(words, done.stderr)

    def test_an_actor_without_a_run_waits_and_ends_when_told(self):
        actor = subprocess.Popen([beside("pompc-actor"), "--fleet", "--planners", "127.0.0.1:1", "--environments", "1",
                                  "--metrics-listen", "127.0.0.1:0"], stderr=subprocess.PIPE, text=True)
        try:
            lines = [actor.stderr.readline() for _ in range(3)]
            self.assertIn("serves no run: UNAVAILABLE: planner 127.0.0.1:1", lines[-1])
            told = time.monotonic()
            actor.terminate()
            self.assertEqual(actor.wait(timeout=PATIENCE_SECONDS), 0)
            self.assertLess(time.monotonic() - told, 10)
        finally:
            actor.kill()
            actor.communicate(timeout=PATIENCE_SECONDS)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
