#!/usr/bin/env python3
"""Two learner processes that make each update together, over loopback: they keep the same parameters, the run survives
kill -9 of one of them when both are started again, and both end with the run. Usage: ranks_test.py FOLDER_OF_BINARIES.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import metrics_table
from processes import Process, free_ports

BINARIES = pathlib.Path()
SETTINGS = (
    "planner.samples=32", "planner.iterations=2", "planner.policy_samples=4", "planner.elites=8",
    "learner.batch_size=32", "learner.utd=0.2", "learner.seed_rows=200", "learner.pretrain_updates=20",
    "learner.reanalyze.every_updates=10", "learner.reanalyze.batch=4", "learner.checkpoint_every_updates=20",
    "replay.min_rows=300", "evaluation.every_rows=1000000", "stop.return_mean=0", "stop.max_rows=0",
)
RUN_SECONDS = 240


class RanksTest(unittest.TestCase):
    def setUp(self):
        # Of three ranks that cannot share a batch.
        refused = subprocess.run([BINARIES / "pompc-learner", "--world-size", "3", "--preset", "quickstart", "--run-dir",
                                  "none", "--replay", "127.0.0.1:1"], capture_output=True, text=True)
        if "world_size: this LibTorch" in refused.stderr:
            self.skipTest("built without Gloo")
        self.assertIn("learner.batch_size: 128; allowed with a world size of 3: its multiples", refused.stderr)
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.processes = {}
        self.pause = threading.Event()
        replay, planner, learner = (f"127.0.0.1:{port}" for port in free_ports(3))
        self.learner = learner
        ranks = ("--world-size", "2", "--replay", replay, "--rank-timeout", "30", "--log-level", "debug")
        self.add("replay", "replay", "--listen", replay)
        self.add("planner", "planner", "--listen", planner, "--learner", learner)
        self.add("rank-1", "learner", *ranks, "--rank", "1", "--rendezvous", learner, "--listen", "127.0.0.1:0")
        self.add("rank-0", "learner", *ranks, "--listen", learner, "--run-dir", str(self.folder / "run"),
                 "--preset", "quickstart", *(word for setting in SETTINGS for word in ("--set", setting)))
        self.add("actor", "actor", "--learner", learner, "--planners", planner, "--replay", replay)

    def add(self, name, role, *arguments):
        self.processes[name] = Process(name, self.folder, BINARIES / f"pompc-{role}", *arguments)

    def tearDown(self):
        for process in self.processes.values():
            if process.popen.poll() is None:
                process.kill()
            if self._outcome_failed():
                print(f"--- {process.name}\n{process.log.read_text()[-3000:]}")
        shutil.rmtree(self.folder)

    def _outcome_failed(self):
        result = getattr(self._outcome, "result", None)
        return bool(result and (result.failures or result.errors)) or bool(getattr(self._outcome, "errors", None))

    def wait_until(self, what, condition):
        deadline = time.monotonic() + RUN_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                self.fail(f"not within {RUN_SECONDS} s: {what}")
            for name in ("rank-0", "rank-1"):
                self.assertIsNone(self.processes[name].popen.poll(), f"{name} ended")
            self.pause.wait(0.1)

    def updates(self):
        return self.processes["rank-0"].total("pompc_learner_updates_total")

    def checksums(self, name):
        """update -> parameters, as the rank has logged them."""
        return dict(re.findall(r"after update (\d+) all ranks have the parameters (\w+)",
                               self.processes[name].log.read_text()))

    def test_trains_together_survives_a_loss_and_ends_together(self):
        rank_0, rank_1 = self.processes["rank-0"], self.processes["rank-1"]
        self.wait_until("updates with plans", lambda: self.updates() >= 100)
        self.assertEqual(rank_0.total("pompc_learner_ranks"), 2)
        self.assertEqual(metrics_table.differences(rank_1.scrape(), metrics_table.EVERY, metrics_table.FOLLOWER), [])
        self.wait_until("plans of rank 1 in replay",
                        lambda: rank_1.metrics()["pompc_learner_replanned_rows_total"].get('result="written"', 0) > 0)

        rank_1.kill()
        self.assertEqual(rank_0.popen.wait(RUN_SECONDS), 1)
        self.assertRegex(rank_0.log.read_text(), r"rank 1 \(\S+\) of 2 is gone; the run resumes from its newest")
        self.assertIsNone(self.processes["actor"].popen.poll(), "the actor did not wait for the learner")

        rank_0.start()
        rank_1.start()
        self.wait_until("the learner is back", lambda: self.updates() >= 20)
        restored = self.updates()
        self.wait_until("more updates", lambda: self.updates() >= restored + 50)
        subprocess.run([BINARIES / "pompc", "stop", "--learner", self.learner], check=True)
        for name in ("rank-0", "rank-1", "actor"):
            self.assertEqual(self.processes[name].popen.wait(RUN_SECONDS), 0, name)

        ours, theirs = self.checksums("rank-0"), self.checksums("rank-1")
        self.assertGreaterEqual(len(ours), 10)
        both = ours.keys() & theirs.keys()
        self.assertGreaterEqual(len(both), 10)
        self.assertEqual({update: ours[update] for update in both}, {update: theirs[update] for update in both})


class RankFlagsTest(unittest.TestCase):
    def test_flags_that_do_not_fit_are_refused(self):
        for arguments, message in (
                (("--rank", "2", "--world-size", "2"), "--rank: 2; allowed with --world-size 2: 0 to 1"),
                (("--rank", "1", "--world-size", "2", "--replay", "127.0.0.1:1"),
                 "rendezvous: the address of rank 0 must be given"),
                (("--rank", "1", "--world-size", "2", "--preset", "quickstart"), "they come from rank 0"),
                (("--world-size", "2", "--rank-host", "10.0.0.1"), "--rank-host")):
            done = subprocess.run([BINARIES / "pompc-learner", "--listen", "127.0.0.1:0", *arguments],
                                  capture_output=True, text=True, timeout=60)
            self.assertNotEqual(done.returncode, 0, arguments)
            self.assertIn(message, done.stderr)


if __name__ == "__main__":
    BINARIES = pathlib.Path(sys.argv.pop(1))
    unittest.main()
