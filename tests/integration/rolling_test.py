#!/usr/bin/env python3
"""Planners are restarted one after the other, replaced and killed while an actor plays with their plans: it loses neither
a plan nor an episode, and finds added planners by itself.
Usage: rolling_test.py FOLDER_OF_BINARIES."""

import os
import pathlib
import signal
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from processes import Process, free_ports

BINARIES = pathlib.Path()
# Small plans, and a run that learns little and does not end by itself.
SETTINGS = (
    "planner.samples=32", "planner.iterations=2", "planner.policy_samples=4", "planner.elites=8",
    "learner.batch_size=16", "learner.utd=0.01", "learner.seed_rows=60", "learner.pretrain_updates=5",
    "replay.min_rows=60", "replay.slack_rows=100000", "evaluation.every_rows=1000000", "stop.return_mean=0", "stop.max_rows=0",
)
SECONDS = 240


class RollingTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.file = self.folder / "planners"
        self.pause = threading.Event()
        self.processes = {}
        replay, self.learner = (f"127.0.0.1:{port}" for port in free_ports(2))
        settings = [word for setting in SETTINGS for word in ("--set", setting)]
        self.add("replay", "replay", "--listen", replay)
        self.add("learner", "learner", "--listen", self.learner, "--replay", replay, "--run-dir",
                 str(self.folder / "run"), "--preset", "quickstart", *settings)
        for name in ("planner-a", "planner-b"):
            self.add_planner(name)
        self.list("planner-a", "planner-b")
        self.actor = self.add("actor", "actor", "--learner", self.learner, "--replay", replay, "--planners",
                              f"@{self.file}", "--lookup-seconds", "1", "--environments", "4")

    def add(self, name, role, *arguments):
        self.processes[name] = Process(name, self.folder, BINARIES / f"pompc-{role}", *arguments)
        self.addCleanup(self.processes[name].kill)
        return self.processes[name]

    def add_planner(self, name):
        (port,) = free_ports(1)
        planner = self.add(name, "planner", "--listen", f"127.0.0.1:{port}", "--learner", self.learner, "--threads", "1")
        planner.address = f"127.0.0.1:{port}"
        return planner

    def list(self, *names):
        new = self.folder / "planners.new"
        new.write_text("".join(f"{self.processes[name].address}\n" for name in names), encoding="ascii")
        new.replace(self.file)

    def wait_until(self, what, condition):
        deadline = time.monotonic() + SECONDS
        while not condition():
            if time.monotonic() > deadline:
                for process in self.processes.values():
                    print(f"--- {process.name}\n{process.log.read_text()[-2000:]}")
                self.fail(f"not within {SECONDS} s: {what}")
            for name in ("learner", "actor"):
                self.assertIsNone(self.processes[name].popen.poll(), self.processes[name].log.read_text()[-2000:])
            self.pause.wait(0.1)

    def rows(self):
        return sum(value for labels, value in self.actor.metrics()["pompc_actor_rows_total"].items()
                   if 'phase="planned"' in labels)

    def failures(self):
        """Episodes that ended otherwise than they should, and plans that had to be requested again."""
        metrics = self.actor.metrics()
        return (sum(value for labels, value in metrics["pompc_actor_episodes_total"].items()
                    if 'end="dropped"' in labels or 'end="unstable"' in labels),
                sum(metrics["pompc_actor_refused_episodes_total"].values()),
                sum(metrics["pompc_actor_plan_failures_total"].values()))

    def await_rows(self, when, count=100):
        before = self.rows()
        self.wait_until(f"rows {when}", lambda: self.rows() >= before + count)

    def await_plans(self, planner):
        self.wait_until(f"plans of {planner.name}", lambda: planner.total("pompc_planner_plans_total") > 0)

    def test_an_actor_loses_nothing_while_its_planners_are_replaced(self):
        self.await_rows("with plans")
        # At the end of the random phase episodes are dropped.
        before = self.failures()
        a, b = self.processes["planner-a"], self.processes["planner-b"]
        for planner in (a, b):
            self.await_plans(planner)
            planner.popen.send_signal(signal.SIGTERM)
            self.assertEqual(planner.popen.wait(60), 0)
            planner.start()
            self.await_plans(planner)
            self.await_rows(f"after the restart of {planner.name}")
        c = self.add_planner("planner-c")
        self.list("planner-a", "planner-b", "planner-c")
        self.await_plans(c)
        a.kill()
        self.await_rows("after a planner was killed")
        self.list("planner-b", "planner-c")
        b.kill()
        self.await_rows("after the next one was killed")
        self.list("planner-c")
        self.await_rows("with one planner")
        self.assertEqual(self.failures(), before)
        self.assertIn(f"planner {c.address} was found", self.actor.log.read_text())


if __name__ == "__main__":
    BINARIES = pathlib.Path(sys.argv.pop(1))
    unittest.main()
