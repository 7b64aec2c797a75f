"""A fleet that is told to end, all of it in any order, loses nothing and goes on by itself when it is started again, in
any order: what a batch system or a rolling restart does to it.

Usage: preemption_test.py BINARY_FOLDER [--seed N]
"""

import json
import os
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from processes import Process, free_ports

BINARIES = pathlib.Path(sys.argv[1])
SEED = int(sys.argv[3]) if sys.argv[2:3] == ["--seed"] else random.randrange(10**6)
# Trains until it is stopped; no checkpoint is written but those at the end of a start, so that these are what counts.
SETTINGS = ("env.action_repeat=10", "planner.samples=32", "planner.iterations=2", "planner.policy_samples=4",
            "planner.elites=8", "learner.batch_size=32", "learner.utd=0.1", "learner.seed_rows=200",
            "learner.pretrain_updates=20", "learner.checkpoint_every_updates=1000000", "replay.min_rows=100",
            "evaluation.every_rows=1000000", "stop.return_mean=0", "stop.max_rows=0")
ROUNDS = 2
RUN_SECONDS = 120
# The least that any engine gives (deploy/).
GRACE_SECONDS = 60
SHARDS = 2
ACTORS = 2


class PreemptionTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.pause = threading.Event()
        self.random = random.Random(SEED)
        self.processes = {}
        replay = [f"127.0.0.1:{port}" for port in free_ports(SHARDS)]
        planner, learner = (f"127.0.0.1:{port}" for port in free_ports(2))
        for i, address in enumerate(replay):
            self.add(f"replay-{i}", "replay", "--listen", address, "--data-dir", str(self.folder / f"shard-{i}"),
                     "--shard", str(i))
        self.add("planner", "planner", "--listen", planner, "--learner", learner)
        self.add("learner", "learner", "--listen", learner, "--replay", ",".join(replay), "--preset", "quickstart",
                 "--run-dir", str(self.folder / "run"), *(word for setting in SETTINGS for word in ("--set", setting)))
        peers = ("--learner", learner, "--planners", planner)
        for i in range(ACTORS):
            self.add(f"actor-{i}", "actor", *peers, "--replay", ",".join(replay))
        self.add("evaluator", "actor", "--evaluate", *peers)

    def add(self, name, role, *arguments):
        self.processes[name] = Process(name, self.folder, BINARIES / f"pompc-{role}", *arguments)

    def tearDown(self):
        for process in self.processes.values():
            if process.popen.poll() is None:
                process.kill()
        if self._outcome.result.failures or self._outcome.result.errors:
            print(f"seed {SEED}")
            for process in self.processes.values():
                print(f"--- {process.name}\n{process.log.read_text()[-2000:]}")
        shutil.rmtree(self.folder)

    def wait_until(self, what, condition):
        deadline = time.monotonic() + RUN_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                self.fail(f"not within {RUN_SECONDS} s: {what}")
            for name, process in self.processes.items():
                self.assertIsNone(process.popen.poll(), f"{name} ended while waiting for {what}")
            self.pause.wait(0.1)

    def shuffled(self):
        names = list(self.processes)
        self.random.shuffle(names)
        return names

    def accepted(self):
        return sum(self.processes[f"replay-{i}"].total("pompc_replay_accepted_rows_total") for i in range(SHARDS))

    def handed(self):
        """Rows that actors have handed to replay and that it did not refuse, as it does at the end of the seed phase."""
        rows = 0
        for i in range(ACTORS):
            metrics = self.processes[f"actor-{i}"].metrics()
            rows += sum(metrics["pompc_actor_rows_total"].values())
            rows -= sum(metrics["pompc_actor_refused_rows_total"].values())
        return rows

    def end(self, name):
        """Tells the process to end; it must do so in order and within the grace."""
        process = self.processes[name]
        process.popen.send_signal(signal.SIGTERM)
        self.assertEqual(process.popen.wait(GRACE_SECONDS), 0, name)

    def ended(self):
        return json.loads((self.folder / "run" / "ended.json").read_text())

    def newest_checkpoint(self):
        return max(int(path.name.removeprefix("update-")) for path in (self.folder / "run" / "checkpoints").glob("update-*"))

    def updates(self):
        return self.processes["learner"].total("pompc_learner_updates_total")

    def test_goes_on_after_all_of_it_was_told_to_end(self):
        self.wait_until("updates of training", lambda: self.updates() > 60)
        self.check_actors_lose_no_row()
        for _ in range(ROUNDS):
            before = self.updates()
            self.assertGreater(before, 0)
            order = self.shuffled()
            print(f"ends in the order {order}")
            for name in order:
                self.processes[name].popen.send_signal(signal.SIGTERM)
            for name in order:
                self.assertEqual(self.processes[name].popen.wait(GRACE_SECONDS), 0, name)
            ended = self.ended()
            self.assertTrue(ended["outcome"].startswith("interrupted"), ended)
            # The file is of this start, and the checkpoint of the last update that was made.
            self.assertGreaterEqual(ended["updates"], before)
            self.assertEqual(self.newest_checkpoint(), ended["updates"])

            order = self.shuffled()
            print(f"starts in the order {order}")
            for name in order:
                self.processes[name].start()
            self.wait_until("more updates", lambda: self.updates() > ended["updates"] + 10)
            # Shards have all rows that the learner had counted.
            self.assertGreaterEqual(self.accepted(), ended["rows"])

    def check_actors_lose_no_row(self):
        """Actors that are told to end hand over what they have: the shards accept every row that they had made."""
        before = self.handed()
        for i in range(ACTORS):
            self.end(f"actor-{i}")
        self.assertGreater(before, 0)
        self.assertGreaterEqual(self.accepted(), before)
        for i in range(ACTORS):
            self.processes[f"actor-{i}"].start()
        self.wait_until("rows of the actors' next start", lambda: self.handed() > 50)


if __name__ == "__main__":
    print(f"seed {SEED}")
    unittest.main(argv=sys.argv[:1])
