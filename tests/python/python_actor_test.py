#!/usr/bin/env python3
"""The Python actor in a run of real processes: random rows first, then planned ones, evaluations; it outlives a planner
and a shard, and ends with the run; beside it a vector actor, and what pompc.Run, Planner and Replay say of the run. With Gymnasium's Pendulum-v1 where Gymnasium is installed, else with the same
pendulum from this folder. Usage: python_actor_test.py FOLDER_OF_BINARIES."""

import csv
import importlib.util
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
from needs import needs
from processes import Process, free_ports

needs("grpc", "google.protobuf", "numpy")

sys.path.insert(0, str(HERE.parent.parent / "python"))
import numpy
import pompc
from pompc import tensor_file

PYTHON_PATH = f"{HERE.parent.parent / 'python'}{os.pathsep}{HERE}"
ENVIRONMENT = "Pendulum-v1" if importlib.util.find_spec("gymnasium") else "pendulum:Pendulum"
BINARIES = pathlib.Path()
SETTINGS = ("learner.seed_rows=400", "learner.pretrain_updates=20", "learner.batch_size=16", "learner.utd=0.1",
            "replay.min_rows=100", "planner.samples=32", "planner.iterations=2", "planner.policy_samples=4",
            "planner.elites=8", "evaluation.every_rows=500", "evaluation.episodes=2", "stop.return_mean=0",
            "stop.max_rows=0")
SECONDS = 120


def run_actor(*arguments):
    return subprocess.run([sys.executable, "-m", "pompc", "--env", ENVIRONMENT, *arguments], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": PYTHON_PATH}, timeout=60, check=False)


def episodes_of(rows):
    """What wrote each episode -> all of its columns."""
    bounds = numpy.append(rows["episode_starts"], len(rows["rewards"]))
    return {tuple(source.tolist()): {
        **{name: array[begin:end].tobytes() for name, array in rows.items() if len(array) == len(rows["rewards"])},
        "final": rows["final_observations"][i].tolist(), "has_final": bool(rows["has_final_observation"][i])}
            for i, (source, begin, end) in enumerate(zip(rows["episode_sources"], bounds, bounds[1:]))}


class PythonActorTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.processes = {}
        self.pause = threading.Event()
        self.addCleanup(self.end)

    def end(self):
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
            process.wait()

    def start_run(self, config):
        replay = [f"127.0.0.1:{port}" for port in free_ports(2)]
        self.planner, self.learner = (f"127.0.0.1:{port}" for port in free_ports(2))
        self.shards = [Process(f"replay-{i}", self.folder, BINARIES / "pompc-replay", "--listen", address)
                       for i, address in enumerate(replay)]
        planner = Process("planner", self.folder, BINARIES / "pompc-planner", "--listen", self.planner, "--learner",
                          self.learner)
        settings = [word for setting in SETTINGS for word in ("--set", setting)]
        learner = Process("learner", self.folder, BINARIES / "pompc-learner", "--listen", self.learner, "--replay",
                          ",".join(replay), "--run-dir", str(self.folder / "run"), "--preset", "quickstart", "--config",
                          str(config), *settings)
        for process in (*self.shards, planner, learner):
            self.processes[process.name] = process.popen
        self.planner_process = planner
        self.replay = ",".join(replay)

    def start_actor(self, name, *arguments, environment=ENVIRONMENT):
        with open(self.folder / f"{name}.log", "ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "pompc", "--env", environment, "--learner", self.learner, "--planners", self.planner,
                 *arguments], stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": PYTHON_PATH})

    def wait_until(self, what, condition):
        deadline = time.monotonic() + SECONDS
        while not condition():
            for name in ("actor", "evaluator", "vector"):
                if self.processes[name].poll() is not None:
                    self.fail(f"{name} ended: {(self.folder / f'{name}.log').read_text()}")
            if time.monotonic() > deadline:
                logs = "\n".join(path.read_text()[-1000:] for path in self.folder.glob("*.log"))
                self.fail(f"not within {SECONDS} s: {what}\n{logs}")
            self.pause.wait(0.1)

    def rows(self, kind):
        return sum(shard.total(f"pompc_replay_{kind}_rows_total") for shard in self.shards)

    def evaluations(self):
        path = self.folder / "run" / "evaluations.csv"
        if not path.exists():
            return []
        with open(path, newline="") as file:
            return list(csv.DictReader(file))

    def test_trains_evaluates_outlives_others_and_ends(self):
        print(f"environment {ENVIRONMENT}", flush=True)
        config = self.folder / "env.textproto"
        printed = run_actor("--print-config")
        self.assertEqual(printed.returncode, 0, printed)
        self.assertIn("observation_size: 3 action_size: 1 episode_decisions: 200", printed.stdout)
        config.write_text(printed.stdout)
        self.start_run(config)
        self.start_actor("actor", "--replay", self.replay, "--environments", "2")
        self.start_actor("vector", "--replay", self.replay, environment="pendulum:Several")
        self.start_actor("evaluator", "--evaluate")

        self.wait_until("rows with plans", lambda: self.rows("planned") > 100)
        self.assertGreaterEqual(self.rows("accepted") - self.rows("planned"), 400, "the random phase's rows")
        self.planner_process.kill()
        self.planner_process.start()
        self.processes["planner"] = self.planner_process.popen
        before = self.rows("planned")
        self.wait_until("rows after the planner was lost", lambda: self.rows("planned") > before + 50)
        self.shards[1].kill()
        self.shards[1].start()
        self.processes["replay-1"] = self.shards[1].popen
        self.wait_until("rows in the restarted shard",
                        lambda: self.shards[1].total("pompc_replay_planned_rows_total") > 50)

        self.wait_until("an evaluation", self.evaluations)
        evaluation = self.evaluations()[0]
        self.assertEqual(evaluation["episodes"], "2")
        # No step of the pendulum earns more than 0 or less than about -16.3.
        self.assertLess(float(evaluation["return_max"]), 0)
        self.assertGreater(float(evaluation["return_min"]), -17 * 200)

        self.check_status()
        self.check_plans()
        pompc.Run(self.folder / "run").stop()
        for name in ("learner", "actor", "evaluator", "vector"):
            self.assertEqual(self.processes[name].wait(SECONDS), 0, name)
        self.check_rows()

    def check_status(self):
        run, folder = pompc.Run(self.learner), pompc.Run(self.folder / "run")
        status = run.status()
        self.assertEqual(status["phase"], "TRAINING")
        self.assertGreater(status["rows"], 400)
        self.assertEqual(sorted((peer["role"], peer["index"]) for peer in status["peers"]),
                         [("ACTOR", 0), ("ACTOR", 1), ("EVALUATOR", 0)])
        self.assertEqual(status["shards"][0]["address"], self.replay.split(",")[0])
        self.assertRegex(status["version"], r"^1\.[1-9]")
        self.assertIn('task: "external"', run.config())
        self.assertIn('task: "external"', folder.config())
        for source in (run, folder):
            evaluations = source.evaluations()
            first = evaluations.iloc[0] if hasattr(evaluations, "iloc") else evaluations[0]
            for column, text in self.evaluations()[0].items():
                self.assertEqual(str(first[column]) if column == "version" else float(first[column]),
                                 text if column == "version" else float(text), column)
        with self.assertRaisesRegex(pompc.Refused, "neither host:port nor a run's directory"):
            pompc.Run("nowhere")
        with self.assertRaisesRegex(pompc.Failed, "UNAVAILABLE"):
            pompc.Run("127.0.0.1:9").status()

    def check_plans(self):
        with pompc.Planner(self.planner) as planner:
            one = planner.plan([1.0, 0.0, 0.0], seed=5)
            self.assertEqual((one.action.shape, one.sequence.shape), ((1,), (3, 1)))
            self.assertLessEqual(abs(float(one.action[0])), 1)
            following = planner.plan([1.0, 0.0, 0.0], one, seed=5)
            self.assertEqual(following.iterations, 2)
            with self.assertRaisesRegex(pompc.Failed, "INVALID_ARGUMENT.*observation"):
                planner.plan([1.0, 0.0])

    def check_rows(self):
        """Of the shards, which go on without a learner: what pompc.Replay reads is what `pompc replay export` writes, and
        windows hold the rows at their addresses."""
        exported, own = self.folder / "exported.safetensors", self.folder / "own.safetensors"
        subprocess.run([BINARIES / "pompc", "replay", "export", self.replay, "--out", exported], check=True,
                       capture_output=True, timeout=60)
        with pompc.Replay(self.replay) as replay:
            self.assertEqual(replay.export(own), len(replay))
            windows = replay.sample(500, seed=3)
        theirs, ours = tensor_file.load(exported), tensor_file.load(own)
        self.assertEqual(theirs.keys(), ours.keys())
        for name, array in theirs.items():
            self.assertEqual((array.shape, array.itemsize), (ours[name].shape, ours[name].itemsize), name)
        self.assertEqual(episodes_of(theirs), episodes_of(ours))
        self.assertEqual(windows["observations"].shape, (500, 4, 3))
        self.assertEqual(set(windows["shards"]), {0, 1})
        bounds = numpy.append(ours["episode_starts"], len(ours["rewards"]))
        sources = numpy.repeat(ours["episode_sources"][:, 0], numpy.diff(bounds))
        at = {(int(shard), int(address)): i for i, (shard, address) in enumerate(zip(sources, ours["addresses"]))}
        for i, shard in enumerate(windows["shards"]):
            for t in range(3):
                row = at[int(shard), int(windows["addresses"][i, t])]
                for name in ("observations", "actions", "rewards", "plan_mean", "plan_std", "has_plan", "terminated"):
                    self.assertEqual(windows[name][i, t].tolist(), ours[name][row].tolist(), name)

    def test_sizes_that_are_not_the_runs_are_told(self):
        config = self.folder / "env.textproto"
        config.write_text('env { task: "external" action_repeat: 1 spec { observation_size: 4 action_size: 1 '
                          "episode_decisions: 200 } }")
        self.start_run(config)
        done = run_actor("--learner", self.learner, "--planners", self.planner, "--replay", self.replay)
        self.assertEqual(done.returncode, 2)
        self.assertIn("observation_size 4", done.stderr)
        done = run_actor("--learner", self.learner, "--planners", self.planner, "--replay", "127.0.0.1:1")
        self.assertEqual(done.returncode, 2)
        self.assertIn("the run has 2", done.stderr)


if __name__ == "__main__":
    BINARIES = pathlib.Path(sys.argv.pop(1))
    unittest.main()
