#!/usr/bin/env python3
"""The learner of a run whose episodes are cut off before they make a window ends by itself and says why.
Usage: short_episodes_test.py FOLDER_OF_BINARIES"""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
from needs import needs
from processes import Process, free_ports

needs("grpc", "google.protobuf", "numpy")

PYTHON_PATH = f"{HERE.parent.parent / 'python'}{os.pathsep}{HERE}"
BINARIES = pathlib.Path(sys.argv.pop(1))
SETTINGS = ("env.task=external", "env.action_repeat=1", "env.spec.observation_size=3", "env.spec.action_size=1",
            "env.spec.episode_decisions=200", "planner.horizon=16", "learner.seed_rows=60", "replay.min_rows=50",
            "replay.slack_rows=10", "actor.chunk_rows=2", "stop.max_rows=100000")
SECONDS = 90


class ShortEpisodesTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def start(self, *arguments):
        process = Process(*arguments)
        self.addCleanup(process.kill)
        return process

    def test_the_learner_ends_with_what_to_change(self):
        replay, address = (f"127.0.0.1:{port}" for port in free_ports(2))
        self.start("replay", self.folder, BINARIES / "pompc-replay", "--listen", replay)
        settings = [word for setting in SETTINGS for word in ("--set", setting)]
        learner = self.start("learner", self.folder, BINARIES / "pompc-learner", "--listen", address, "--replay", replay,
                             "--run-dir", str(self.folder / "run"), "--preset", "quickstart", *settings)
        with open(self.folder / "actor.log", "wb") as log:
            actor = subprocess.Popen(
                [sys.executable, "-m", "pompc", "--env", "pendulum:CutOff", "--learner", address, "--planners", "127.0.0.1:1",
                 "--replay", replay, "--environments", "2"], stdout=log, stderr=log,
                env={**os.environ, "PYTHONPATH": PYTHON_PATH})
        self.addCleanup(actor.wait)
        self.addCleanup(actor.kill)
        status = learner.popen.wait(SECONDS)
        log = learner.log.read_text()
        self.assertNotEqual(status, 0, log)
        # 50 + 2 * 17: more than the seed phase and its slack, so that both environments could have had a window.
        self.assertRegex(log, r"0 windows in (8[4-9]|9\d) stored rows of 2 environments")
        self.assertIn("planner.horizon 16", log)
        self.assertIn("lower planner.horizon", log)
        # The run is not over: its actors wait for a learner that is set up better.
        self.assertIsNone(actor.poll(), (self.folder / "actor.log").read_text())


if __name__ == "__main__":
    unittest.main()
