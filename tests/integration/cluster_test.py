#!/usr/bin/env python3
"""A run as separate processes on loopback ports: it trains, survives kill -9 of the planner and of an actor and a restart
of the learner alone, says what it waits for, takes no random-phase row after the first version, serves the metrics
that docs/metrics.md promises, and ends when told to.
Usage: cluster_test.py FOLDER_OF_BINARIES."""

import collections
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import metrics_table
from processes import Process, free_ports

# By the first word of the processes' names: the part of docs/metrics.md beyond what every process serves.
SECTIONS = {"replay": metrics_table.REPLAY, "planner": metrics_table.PLANNER, "learner": metrics_table.LEARNER,
            "actor": metrics_table.ACTOR, "evaluator": metrics_table.ACTOR}
PROGRAMS = {"evaluator": "actor"}

BINARIES = pathlib.Path()
SETTINGS = (
    "planner.samples=32", "planner.iterations=2", "planner.policy_samples=4", "planner.elites=8",
    "learner.batch_size=32", "learner.utd=0.1", "learner.seed_rows=200", "learner.pretrain_updates=20",
    "replay.min_rows=1000", "evaluation.every_rows=1000", "evaluation.episodes=1", "stop.return_mean=0",
    "stop.max_rows=0",
)
# How soon rates must be back after a process was lost and started again.
RECOVERY_SECONDS = 30
RUN_SECONDS = 240


class ClusterTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.processes = {}
        self.pause = threading.Event()
        replay = [f"127.0.0.1:{port}" for port in free_ports(2)]
        planner, learner = (f"127.0.0.1:{port}" for port in free_ports(2))
        self.learner_address = learner
        settings = [word for setting in SETTINGS for word in ("--set", setting)]
        for i, address in enumerate(replay):
            self.add(f"replay-{i}", "replay", "--listen", address)
        self.add("planner", "planner", "--listen", planner, "--learner", learner)
        self.add("learner", "learner", "--listen", learner, "--replay", ",".join(replay),
                 "--run-dir", str(self.folder / "run"), "--preset", "quickstart", *settings)
        peers = ("--learner", learner, "--planners", planner)
        for i in range(2):
            self.add(f"actor-{i}", "actor", *peers, "--replay", ",".join(replay))
        self.add("evaluator", "actor", "--evaluate", *peers)

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

    def wait_until(self, what, condition, seconds):
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                self.fail(f"not within {seconds} s: {what}")
            self.assertIn(self.processes["learner"].popen.poll(), (None, 0), "the learner failed")
            self.pause.wait(0.1)

    def planned_rows(self):
        return sum(self.processes[f"replay-{i}"].total("pompc_replay_planned_rows_total") for i in range(2))

    def random_rows(self):
        rows = 0
        for i in range(2):
            # Both counts from one page: rows arrive between two.
            metrics = self.processes[f"replay-{i}"].metrics()
            self.assertIn("pompc_replay_accepted_rows_total", metrics, f"replay-{i} does not answer")
            rows += sum(metrics["pompc_replay_accepted_rows_total"].values())
            rows -= sum(metrics["pompc_replay_planned_rows_total"].values())
        return rows

    def test_trains_through_losses_and_ends(self):
        self.wait_until("the first version at the planner",
                        lambda: self.processes["planner"].total("pompc_planner_parameters_number") > 0, RUN_SECONDS)
        random_rows = self.random_rows()
        self.assertGreaterEqual(random_rows, 200)
        self.wait_until("rows with plans", lambda: self.planned_rows() > 100, RUN_SECONDS)
        self.check_metrics_pages()

        self.processes["planner"].kill()
        self.wait_until("the missing planner in the status",
                        lambda: "no planner is connected: actors that need plans wait" in self.status(),
                        RECOVERY_SECONDS)
        self.processes["planner"].start()
        before = self.planned_rows()
        self.wait_until("rows after the planner was restarted", lambda: self.planned_rows() > before + 100,
                        RECOVERY_SECONDS)
        self.lose("actor-0")
        actor = self.processes["actor-0"]
        self.wait_until("rows of the restarted actor", lambda: actor.total("pompc_actor_rows_total") > 50,
                        RECOVERY_SECONDS)

        self.wait_until("the killed actor in the status", lambda: "no heartbeat came for" in self.status(),
                        RECOVERY_SECONDS)
        self.restart_learner()

        self.check_states_sum_to_wall_time()
        evaluator = self.processes["evaluator"]
        self.wait_until("an evaluation", lambda: evaluator.total("pompc_actor_evaluations_total") > 0, RUN_SECONDS)
        subprocess.run([BINARIES / "pompc", "stop", "--learner", self.learner_address], check=True)
        for name in ("actor-0", "actor-1", "evaluator", "learner"):
            self.assertEqual(self.processes[name].popen.wait(RUN_SECONDS), 0, name)
        self.assertEqual(self.random_rows(), random_rows, "random-phase rows arrived after the first version")
        for name in ("planner", "replay-0", "replay-1"):
            self.processes[name].popen.send_signal(signal.SIGTERM)
            self.assertEqual(self.processes[name].popen.wait(20), 0, name)
        evaluations = (self.folder / "run" / "evaluations.csv").read_text().splitlines()
        self.assertGreater(len(evaluations), 1)

    def status(self):
        return subprocess.run([BINARIES / "pompc", "status", "--learner", self.learner_address], capture_output=True,
                              text=True, timeout=30).stdout

    def restart_learner(self):
        """Ends the learner and starts it again, as a supervisor does; the others wait for it."""
        learner = self.processes["learner"]
        learner.popen.send_signal(signal.SIGTERM)
        self.assertEqual(learner.popen.wait(RUN_SECONDS), 0)
        learner.start()
        self.wait_until("peers at the restarted learner", lambda: self.status().count(" s ago") >= 3, RECOVERY_SECONDS)
        before = self.planned_rows()
        self.wait_until("rows after the learner was restarted", lambda: self.planned_rows() > before + 100,
                        RECOVERY_SECONDS)
        for name in ("actor-0", "actor-1", "evaluator", "planner"):
            self.assertIsNone(self.processes[name].popen.poll(), f"{name} did not wait for the learner")

    def lose(self, name):
        self.processes[name].kill()
        self.processes[name].start()

    def check_metrics_pages(self):
        promtool = shutil.which("promtool") or shutil.which("promtool", path="/usr/local/lib/pompc/bin")
        for process in self.processes.values():
            page = process.scrape()
            role = process.name.split("-")[0]
            self.assertEqual(metrics_table.differences(page, metrics_table.EVERY, SECTIONS[role]), [], process.name)
            # Labels that say which process it is, whatever their values.
            self.assertIn(f'pompc_build_info{{role="pompc-{PROGRAMS.get(role, role)}",', page, process.name)
            if promtool:
                check = subprocess.run([promtool, "check", "metrics"], input=page, text=True, capture_output=True)
                self.assertEqual(check.returncode, 0, f"{process.name}: {check.stdout}{check.stderr}")

    def check_states_sum_to_wall_time(self):
        processes = [self.processes[name] for name in ("replay-0", "planner", "learner", "actor-1", "evaluator")]
        first = [(self.state_seconds(process), time.monotonic()) for process in processes]
        self.pause.wait(3)
        for process, (before, start) in zip(processes, first):
            after, seconds = self.state_seconds(process), time.monotonic() - start
            for metric, value in before.items():
                # Both readings take a moment, which on a busy machine may be more than 2 % of three seconds.
                self.assertAlmostEqual(after[metric] - value, seconds, delta=0.02 * seconds + 0.25, msg=metric)

    def state_seconds(self, process):
        """Sum over the states of each worker."""
        totals = collections.Counter()
        for metric, values in process.metrics().items():
            for labels, value in values.items():
                worker = re.sub(r'(^|,)state="[^"]*"', "", labels)
                if "state=" in labels and metric.endswith("_seconds_total"):
                    totals[f"{process.name} {metric} {worker}"] += value
        self.assertTrue(totals, f"{process.name} tells no states")
        return totals


if __name__ == "__main__":
    BINARIES = pathlib.Path(sys.argv.pop(1))
    unittest.main()
