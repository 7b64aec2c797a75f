#!/usr/bin/env python3
"""The package pompc against pompc's own servers with --certificates, which deploy/certificates.sh made: an actor and an
evaluator in Python train a run, and Run, Planner and Replay do what their role may do and are told what it may not.
Usage: python_tls_test.py FOLDER_OF_BINARIES."""

import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import unittest.mock

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(ROOT / "python"), str(HERE.parent / "support")]
import certificates
from needs import needs
from processes import Process, free_ports

needs("grpc", "google.protobuf", "numpy")
if shutil.which("openssl") is None:
    print("skipped: openssl makes the certificates (Debian: openssl)")
    sys.exit(77)

import pompc
from pompc import Failed, Refused

BINARIES = pathlib.Path()
SPEC = ('env { task: "external" action_repeat: 1 '
        "spec { observation_size: 3 action_size: 1 episode_decisions: 200 } }\n")
SETTINGS = ("learner.seed_rows=300", "learner.pretrain_updates=10", "learner.batch_size=16", "learner.utd=0.05",
            "replay.min_rows=100", "planner.samples=32", "planner.iterations=2", "planner.policy_samples=4",
            "planner.elites=8", "evaluation.every_rows=500", "evaluation.episodes=1", "stop.return_mean=0",
            "stop.max_rows=0")
SECONDS = 120
OBSERVATION = [1.0, 0.0, 0.0]


class PythonTlsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        cls.certificates = certificates.make(cls.folder / "certificates")
        cls.shard, cls.planner, cls.learner = (f"127.0.0.1:{port}" for port in free_ports(3))
        (cls.folder / "env.textproto").write_text(SPEC)
        cls.processes = {}
        cls.addClassCleanup(cls.end)
        cls.replay = cls.start("replay", "--listen", cls.shard)
        cls.start("planner", "--listen", cls.planner, "--learner", cls.learner)
        cls.start("learner", "--listen", cls.learner, "--replay", cls.shard, "--run-dir", cls.folder / "run",
                  "--preset", "quickstart", "--config", cls.folder / "env.textproto",
                  *(word for setting in SETTINGS for word in ("--set", setting)))
        cls.act("actor", "--replay", cls.shard)
        cls.act("evaluator", "--evaluate")

    @classmethod
    def start(cls, role, *arguments):
        process = Process(role, cls.folder, BINARIES / f"pompc-{role}", "--certificates", str(cls.certificates / role),
                          *map(str, arguments))
        cls.processes[role] = process.popen
        return process

    @classmethod
    def act(cls, name, *arguments):
        paths = os.pathsep.join(map(str, (ROOT / "python", ROOT / "tests" / "python")))
        with open(cls.folder / f"{name}.log", "ab") as log:
            cls.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "pompc", "--env", "pendulum:Pendulum", "--learner", cls.learner, "--planners",
                 cls.planner, "--certificates", cls.certificates / "actor", *arguments], stdout=log, stderr=log,
                env={**os.environ, "PYTHONPATH": paths})

    @classmethod
    def end(cls):
        for process in cls.processes.values():
            if process.poll() is None:
                process.kill()
            process.wait()

    def wait_until(self, what, condition):
        deadline = time.monotonic() + SECONDS
        while not condition():
            ended = [name for name, process in self.processes.items() if process.poll() is not None]
            if ended or time.monotonic() > deadline:
                logs = "\n".join(f"--- {path.name}\n{path.read_text()[-1500:]}" for path in self.folder.glob("*.log"))
                self.fail(f"{what}: not within {SECONDS} s, or these ended: {ended}\n{logs}")
            threading.Event().wait(0.1)

    def own(self, role):
        return self.certificates / role

    def evaluations(self):
        with contextlib.suppress(Failed):  # it is not there yet
            return len(pompc.Run(self.learner, certificates=self.own("operator")).evaluations())
        return 0

    def test_a_run_with_certificates(self):
        self.wait_until("rows with plans", lambda: self.replay.total("pompc_replay_planned_rows_total") > 50)
        self.wait_until("an evaluation", lambda: self.evaluations() > 0)
        self.check_run()
        self.check_planner()
        self.check_replay()
        self.check_bad_certificates()
        pompc.Run(self.learner, certificates=self.own("operator")).stop()
        for name in ("learner", "actor", "evaluator"):
            self.assertEqual(self.processes[name].wait(SECONDS), 0, (self.folder / f"{name}.log").read_text()[-1500:])

    def check_run(self):
        run = pompc.Run(self.learner, certificates=self.own("operator"))
        status = run.status()
        self.assertEqual((status["phase"], [peer["role"] for peer in status["peers"]].count("ACTOR")), ("TRAINING", 1))
        self.assertIn('task: "external"', run.config())
        # An actor may look, and may not end the run.
        looking = pompc.Run(self.learner, certificates=self.own("actor"))
        self.assertEqual(looking.run_id(), status["run_id"])
        with self.assertRaisesRegex(Failed, f"{self.learner}: PERMISSION_DENIED: .*actor; allowed: operator"):
            looking.stop()
        with self.assertRaisesRegex(Failed, "PERMISSION_DENIED"):
            pompc.Run(self.learner, certificates=self.own("replay")).status()
        # The folder of the run names its learner.
        folder = pompc.Run(self.folder / "run", certificates=self.own("operator"))
        self.assertEqual(folder.status()["run_id"], status["run_id"])

    def check_planner(self):
        run_id = pompc.Run(self.folder / "run").run_id()
        with pompc.Planner(self.planner, certificates=self.own("actor")) as planner:
            self.assertEqual(planner.run_id, run_id)
            plan = planner.plan(OBSERVATION)
            self.assertEqual((plan.action.shape, plan.sequence.shape), ((1,), (3, 1)))
            self.assertEqual(len(planner.plan_many([OBSERVATION] * 3, [plan] * 3)), 3)
        with self.assertRaisesRegex(Failed, "which run.*PERMISSION_DENIED"):
            pompc.Planner(self.planner, certificates=self.own("replay"))
        # Operators may see which runs there are, and get no plans.
        with pompc.Planner(self.planner, certificates=self.own("operator")) as planner:
            self.assertEqual(planner.run_id, run_id)
            with self.assertRaisesRegex(Failed, "PERMISSION_DENIED: .*operator; allowed: actor"):
                planner.plan(OBSERVATION)
        with unittest.mock.patch.dict(os.environ, {"POMPC_CERTIFICATES": str(self.own("actor"))}), \
                pompc.Planner(self.planner, run=run_id) as planner:
            planner.plan(OBSERVATION)

    def check_replay(self):
        with pompc.Replay(self.shard, certificates=self.own("operator")) as replay:
            rows = replay.rows()
            self.assertGreater(len(rows["rewards"]), 300)
            self.assertGreater(replay.export(self.folder / "rows.safetensors"), 300)
            with self.assertRaisesRegex(Failed, "PERMISSION_DENIED: .*operator; allowed: learner"):
                replay.sample(4)
        with pompc.Replay(self.shard, certificates=self.own("learner")) as replay:
            self.assertEqual(replay.sample(4)["observations"].shape, (4, 4, 3))
        with self.assertRaisesRegex(Failed, "PERMISSION_DENIED"):
            pompc.Replay(self.shard, certificates=self.own("actor"))

    def check_bad_certificates(self):
        other = certificates.make(self.folder / "other") / "operator"
        mixed = self.folder / "mixed"
        mixed.mkdir()
        # A certificate of another authority, held against the right one.
        for name, source in (("ca.crt", self.own("operator")), ("tls.crt", other), ("tls.key", other)):
            (mixed / name).write_bytes((source / name).read_bytes())
        for what, folder in (("none", None), ("of another authority", other), ("not signed by it", mixed)):
            with self.subTest(what), self.assertRaisesRegex(Failed, "UNAVAILABLE|DEADLINE_EXCEEDED"):
                pompc.Run(self.learner, certificates=folder).status()
        # Where a planner answers, a learner is expected.
        with self.assertRaisesRegex(Failed, "UNAVAILABLE"):
            pompc.Run(self.planner, certificates=self.own("operator")).status()
        with self.assertRaisesRegex(Refused, r"certificates: .*ca\.crt"):
            pompc.Run(self.learner, certificates=self.folder)


if __name__ == "__main__":
    BINARIES = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main()
