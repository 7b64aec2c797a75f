"""Two real small runs, one of scripts/local-cluster.sh and one of pompc train, scraped by one real Prometheus: every
query of every dashboard, rule and console has an answer, every line of the logs is JSON, a killed planner and actor come
back, and stopping ends everything.

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
            "evaluation.every_rows=1500", "evaluation.episodes=1", "replay.min_rows=100", "stop.return_mean=0",
            "stop.max_rows=1000000")
PATIENCE_SECONDS = 120
SCRAPE_SECONDS = 1
# What has no answer in a run that is well, by the metric: why not.
UNANSWERED = {"pompc_certificate_expiry_timestamp_seconds": "these runs have no certificates"}
LOG_FIELDS = {"time", "severity", "message", "source", "run", "role", "index"}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def get(url):
    with DIRECT.open(url, timeout=10) as reply:
        return reply.read().decode()


class Cluster:
    """The processes of scripts/local-cluster.sh, pompc train and a Prometheus; everything is stopped by stop()."""

    def __init__(self):
        prometheus = tools.require("prometheus")
        self.folder = tempfile.mkdtemp(prefix="pompc-cluster-")
        self.run_dir = os.path.join(self.folder, "run")
        self.environment = {**os.environ, "POMPC_BIN_DIR": BINARIES, "POMPC_LOG_FORMAT": "json"}
        arguments = [word for setting in SETTINGS for word in ("--set", setting)]
        self.log = open(os.path.join(self.folder, "cluster.log"), "w+", encoding="utf-8")
        self.script = subprocess.Popen([SCRIPT, "--run-dir", self.run_dir, *arguments], stdout=self.log,
                                       stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=self.environment)
        self.port, self.train_port = free_port(), free_port()
        self.prometheus = None
        # Its shard keeps rows on disk, those of the script do not.
        self.train_log = open(os.path.join(self.folder, "train.log"), "w+", encoding="utf-8")
        self.train = subprocess.Popen(
            [os.path.join(BINARIES, "pompc"), "train", "--preset", "quickstart", "--run-dir", f"{self.folder}/train",
             "--metrics-listen", f"127.0.0.1:{self.train_port}", "--log-level", "info", *arguments],
            stdout=subprocess.DEVNULL, stderr=self.train_log, stdin=subprocess.DEVNULL, env=self.environment)
        self.await_true("the list of processes", lambda: self.targets())
        self.prometheus = subprocess.Popen(
            [prometheus, f"--config.file={self.prometheus_config()}", f"--storage.tsdb.path={self.folder}/data",
             f"--web.listen-address=127.0.0.1:{self.port}", f"--web.console.templates={tools.CONSOLE_FOLDER}",
             f"--web.console.libraries={tools.CONSOLE_FOLDER}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def prometheus_config(self):
        path = os.path.join(self.folder, "prometheus.yml")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({
                "global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "evaluation_interval": f"{SCRAPE_SECONDS}s"},
                "rule_files": [os.path.join(tools.PROMETHEUS_FOLDER, name) for name in tools.RULE_FILES],
                "scrape_configs": [{
                    "job_name": "cluster",
                    "file_sd_configs": [{"files": [f"{self.run_dir}.cluster/targets.json"], "refresh_interval": "1s"}],
                }, {
                    "job_name": "train", "static_configs": [{"targets": [f"127.0.0.1:{self.train_port}"]}],
                }],
            }, file)
        return path

    def control(self, *arguments):
        return subprocess.run([SCRIPT, *arguments, "--run-dir", self.run_dir], capture_output=True, text=True, timeout=120)

    def api(self, path, **parameters):
        query = urllib.parse.urlencode(parameters)
        return json.loads(get(f"http://127.0.0.1:{self.port}/api/v1/{path}?{query}"))["data"]

    def series(self, expression):
        """The series that the expression has now."""
        return self.api("query", query=expression)["result"]

    def query(self, expression):
        """Values of all series the expression has now; NaN is none."""
        values = [float(series["value"][1]) for series in self.series(expression)]
        return [value for value in values if value == value]

    def runs(self):
        return sorted(series["metric"]["run"] for series in self.series("pompc_learner_run_info"))

    def log_lines(self):
        """(file, line) of all that the processes have written to their logs."""
        folder = f"{self.run_dir}.cluster"
        paths = [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name.endswith(".log")]
        for path in [*paths, self.train_log.name]:
            with open(path, encoding="utf-8") as file:
                yield from ((os.path.basename(path), line) for line in file)

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
        late = []
        for process in (self.script, self.train, self.prometheus):
            if process and process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in (self.script, self.train, self.prometheus):
            if not process:
                continue
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                late.append(process.args[0])
                process.kill()
                process.wait(timeout=60)
        if SCRIPT in late:
            # The processes of a script that was killed run on.
            self.control("stop")
        self.log.close()
        self.train_log.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        if late:
            raise AssertionError(f"killed, as they had not ended 60 s after SIGTERM: {', '.join(late)}")


class ClusterTest(unittest.TestCase):
    """Test methods run in the order of their names: the later ones disturb the cluster."""

    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster()
        cls.addClassCleanup(cls.cluster.stop)
        cls.cluster.await_true("an evaluation and a checkpoint of each run", lambda: (
            len(cls.cluster.query("pompc_learner_evaluations_total > 0")) == 2 and
            len(cls.cluster.query('pompc_learner_checkpoints_total{result="written"} > 0')) == 2))

    def answered(self, title, expression):
        """The expression has a value. Of a comparison both sides have: whether they fit says how the run does."""
        if any(metric in expression for metric in UNANSWERED):
            self.assertEqual(self.cluster.query(expression), [])
            return
        self.cluster.await_true(f"{title}: {expression}", lambda: self.cluster.query(expression))

    def test_1_every_dashboard_query_has_an_answer(self):
        for title, expression, _ in tools.dashboard_queries():
            # What is shown only when something happened: all else about it must be there.
            expression = expression.removesuffix(" > 0")
            with self.subTest(panel=title, expression=expression):
                self.answered(title, expression)

    def test_1_every_rule_is_evaluated_and_none_fires(self):
        rules = [rule for group in self.cluster.api("rules")["groups"] for rule in group["rules"]]
        self.assertEqual(sorted(rule["name"] for rule in rules),
                         sorted(rule.name for makes in ("record", "alert") for rule in tools.rules(makes)))
        self.assertEqual({rule["name"]: rule.get("lastError") for rule in rules if rule["health"] != "ok"}, {})
        firing = {rule["name"] for rule in rules if rule.get("state") == "firing"}
        # On a busy machine an evaluator may be late.
        self.assertEqual(firing - {"EvaluationDropped"}, {"Watchdog"})

    def test_1_every_part_of_a_rule_has_an_answer(self):
        for rule in tools.rules("record"):
            with self.subTest(rule=rule.name):
                self.answered(rule.name, rule.name)
        for rule in tools.rules("alert"):
            for part in tools.compared(rule.expression):
                with self.subTest(alert=rule.name, part=part):
                    self.answered(rule.name, part)

    def test_1_two_runs_are_told_apart(self):
        runs = self.cluster.runs()
        self.assertEqual(len(set(runs)), 2, runs)
        for metric in ("pompc_learner_updates_total", "pompc_replay_accepted_rows_total", "pompc_actor_rows_total",
                       "pompc_actor_plan_latency_seconds_count", "pompc_planner_plans_total", "pompc:process_run"):
            with self.subTest(metric=metric):
                self.cluster.await_true(metric, lambda: sorted(
                    series["metric"]["run"] for series in self.cluster.series(f"count by (run) ({metric})")) == runs)
        # Nothing that belongs to a run is without one: the series from before the processes knew theirs have ended.
        self.assertEqual(self.cluster.series('{__name__=~"pompc_(actor|replay|learner)_.+", run=""}'), [])

    def test_1_consoles_show_every_run(self):
        address = f"http://127.0.0.1:{self.cluster.port}/consoles"
        runs = self.cluster.runs()
        page = get(f"{address}/index.html")
        for run in runs:
            self.assertIn(f'run.html?run={run}', page)
            self.cluster.await_true(f"the console of {run}", lambda: all(
                part in get(f"{address}/run.html?run={run}")
                for part in ("waiting_for_plan", "inserting", "updating", "newest evaluation", "loss")))
        self.assertIn("cartpole-swingup", page)
        self.assertIn("TRAINING", page)

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
                rows = self.cluster.query('pompc_learner_rows_total{job="learner"}')[0]
                self.cluster.await_true("rows arrive", lambda: self.cluster.query(
                    f'pompc_learner_rows_total{{job="learner"}} > {rows + 200}'))
        refused = self.cluster.query('sum(pompc_replay_accepted_rows_total{job="replay"}) - '
                                     'sum(pompc_replay_planned_rows_total{job="replay"})')
        self.assertLess(refused[0], 600, "random rows arrived after the seed phase")

    def test_3_stop_ends_every_process(self):
        pids = [self.cluster.pid(name) for name in self.cluster.targets()]
        self.assertEqual(self.cluster.control("stop").returncode, 0)
        self.cluster.script.wait(timeout=60)
        alive = [pid for pid in pids if os.path.exists(f"/proc/{pid}")]
        self.assertEqual(alive, [])

    def test_4_every_line_of_the_logs_is_json(self):
        self.cluster.train.send_signal(signal.SIGTERM)
        self.assertEqual(self.cluster.train.wait(timeout=60), 0)
        lines = [(file, json.loads(line)) for file, line in self.cluster.log_lines()]
        for file, line in lines:
            self.assertLessEqual(line.keys(), LOG_FIELDS, file)
            self.assertLessEqual({"time", "severity", "message", "source", "role"}, line.keys(), file)
            self.assertRegex(line["time"], r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
            self.assertRegex(line["source"], r"^[a-z]\w*/[\w/]+\.(cc|h):\d+$")
        # Once it is known, the run stands in each line.
        runs = {file: {line.get("run") for name, line in lines if name == file} for file, _ in lines}
        self.assertEqual(len({run for of_file in runs.values() for run in of_file} - {None}), 2, runs)
        for file, of_file in runs.items():
            self.assertEqual(len(of_file - {None}), 1, file)
        who = {(line["role"], line.get("index")) for _, line in lines if "run" in line}
        self.assertEqual({role for role, _ in who}, {"replay", "planner", "learner", "actor", "evaluator", "pompc"})
        self.assertLessEqual({("replay", "0"), ("replay", "1"), ("planner", None), ("learner", "0"), ("pompc", None)}, who)
        # An actor that was killed may get another index.
        self.assertTrue(all(index.isdigit() for role, index in who if role in ("actor", "evaluator")), who)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
