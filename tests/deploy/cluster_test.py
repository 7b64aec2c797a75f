"""A real small run of scripts/local-cluster.sh, scraped by a real Prometheus: every dashboard query and alert has an
answer, a killed planner and actor come back, and stopping ends everything.

Usage: cluster_test.py BINARY_FOLDER
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse

import tools

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from processes import DIRECT

BINARIES = sys.argv[1] if len(sys.argv) > 1 else os.path.join(tools.ROOT, "build", "release", "bin")
SCRIPT = os.path.join(tools.ROOT, "scripts", "local-cluster.sh")
# Trains until it is stopped; small enough that everything happens within seconds.
SETTINGS = ("env.action_repeat=10", "learner.seed_rows=300", "learner.pretrain_updates=30", "learner.utd=0.2",
            "learner.batch_size=32", "learner.log_every_updates=10", "learner.checkpoint_every_updates=100",
            "evaluation.every_rows=1000", "evaluation.episodes=1", "replay.min_rows=100", "stop.return_mean=0",
            "stop.max_rows=1000000")
PATIENCE_SECONDS = 120
SCRAPE_SECONDS = 1


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def get(url):
    with DIRECT.open(url, timeout=10) as reply:
        return reply.read().decode()


class Cluster:
    """The processes of scripts/local-cluster.sh and a Prometheus; everything is stopped by stop()."""

    def __init__(self):
        prometheus = tools.require("prometheus")
        self.folder = tempfile.mkdtemp(prefix="pompc-cluster-")
        self.run_dir = os.path.join(self.folder, "run")
        self.environment = {**os.environ, "POMPC_BIN_DIR": BINARIES}
        arguments = [word for setting in SETTINGS for word in ("--set", setting)]
        self.log = open(os.path.join(self.folder, "cluster.log"), "w+", encoding="utf-8")
        self.script = subprocess.Popen([SCRIPT, "--run-dir", self.run_dir, *arguments], stdout=self.log,
                                       stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=self.environment)
        self.port = free_port()
        self.prometheus = None
        self.await_true("the list of processes", lambda: self.targets())
        self.prometheus = subprocess.Popen(
            [prometheus, f"--config.file={self.prometheus_config()}", f"--storage.tsdb.path={self.folder}/data",
             f"--web.listen-address=127.0.0.1:{self.port}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def prometheus_config(self):
        path = os.path.join(self.folder, "prometheus.yml")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({
                "global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "evaluation_interval": f"{SCRAPE_SECONDS}s"},
                "rule_files": [os.path.join(tools.PROMETHEUS_FOLDER, "alerts.yml")],
                "scrape_configs": [{
                    "job_name": "cluster",
                    "file_sd_configs": [{"files": [f"{self.run_dir}.cluster/targets.json"], "refresh_interval": "1s"}],
                }],
            }, file)
        return path

    def control(self, *arguments):
        return subprocess.run([SCRIPT, *arguments, "--run-dir", self.run_dir], capture_output=True, text=True)

    def api(self, path, **parameters):
        query = urllib.parse.urlencode(parameters)
        return json.loads(get(f"http://127.0.0.1:{self.port}/api/v1/{path}?{query}"))["data"]

    def query(self, expression):
        """Values of all series the expression has now; NaN is none."""
        values = [float(series["value"][1]) for series in self.api("query", query=expression)["result"]]
        return [value for value in values if value == value]

    def await_true(self, what, condition):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            try:
                if condition():
                    return
            except OSError:
                pass
            if self.script.poll() is not None:
                break
            time.sleep(0.5)
        self.log.seek(0)
        raise AssertionError(f"not within {PATIENCE_SECONDS} s: {what}\n{self.log.read()[-5000:]}")

    def targets(self):
        with open(f"{self.run_dir}.cluster/targets.json", encoding="utf-8") as file:
            return {target["labels"]["process"]: target["targets"][0] for target in json.load(file)}

    def pid(self, name):
        with open(f"{self.run_dir}.cluster/{name}.pid", encoding="utf-8") as file:
            return int(file.read().split()[0])

    def stop(self):
        for process in (self.script, self.prometheus):
            if process and process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in (self.script, self.prometheus):
            if process:
                process.wait(timeout=60)
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class ClusterTest(unittest.TestCase):
    """Test methods run in the order of their names: the later ones disturb the cluster."""

    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster()
        cls.addClassCleanup(cls.cluster.stop)
        cls.cluster.await_true("an evaluation and a checkpoint", lambda: (
            cls.cluster.query("pompc_learner_evaluations_total > 0") and
            cls.cluster.query('pompc_learner_checkpoints_total{result="written"} > 0')))

    def test_1_every_dashboard_query_has_an_answer(self):
        for title, expression, _ in tools.dashboard_queries():
            # What is shown only when something happened: all else about it must be there.
            expression = expression.removesuffix(" > 0")
            with self.subTest(panel=title, expression=expression):
                self.cluster.await_true(f"{title}: {expression}", lambda: self.cluster.query(expression))

    def test_1_every_alert_is_evaluated(self):
        rules = [rule for group in self.cluster.api("rules")["groups"] for rule in group["rules"]]
        self.assertEqual(len(rules), tools.alert_file_text().count("- alert:"))
        self.assertEqual({rule["name"]: rule.get("lastError") for rule in rules if rule["health"] != "ok"}, {})
        firing = {rule["name"] for rule in rules if rule["state"] == "firing"}
        self.assertEqual(firing, {"Watchdog"})

    def test_1_states_of_a_worker_sum_to_its_wall_time(self):
        for metric in ("pompc_actor_state_seconds_total", "pompc_planner_state_seconds_total",
                       "pompc_replay_state_seconds_total", "pompc_learner_state_seconds_total"):
            with self.subTest(metric=metric):
                expression = f"sum without (state) (rate({metric}[20s]))"
                self.cluster.await_true(expression, lambda: (
                    (sums := self.cluster.query(expression)) and all(0.98 <= value <= 1.02 for value in sums)))

    def test_2_a_killed_planner_and_actor_come_back(self):
        for name in ("planner", "actor-0"):
            with self.subTest(name=name):
                before = self.cluster.pid(name)
                self.assertEqual(self.cluster.control("kill", name).returncode, 0)
                self.cluster.await_true(f"{name} is gone", lambda: "gone" in next(
                    line for line in self.cluster.control("status").stdout.splitlines() if line.startswith(name)))
                self.assertEqual(self.cluster.control("restart", name).returncode, 0)
                self.cluster.await_true(f"{name} runs again", lambda: self.cluster.pid(name) != before)
                rows = self.cluster.query("pompc_learner_rows_total")[0]
                self.cluster.await_true("rows arrive", lambda: self.cluster.query(f"pompc_learner_rows_total > {rows + 200}"))
        refused = self.cluster.query("sum(pompc_replay_accepted_rows_total) - sum(pompc_replay_planned_rows_total)")
        self.assertLess(refused[0], 600, "random rows arrived after the seed phase")

    def test_3_stop_ends_every_process(self):
        pids = [self.cluster.pid(name) for name in self.cluster.targets()]
        self.assertEqual(self.cluster.control("stop").returncode, 0)
        self.cluster.script.wait(timeout=60)
        alive = [pid for pid in pids if os.path.exists(f"/proc/{pid}")]
        self.assertEqual(alive, [])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
