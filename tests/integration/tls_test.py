#!/usr/bin/env python3
"""A small run of separate processes with --certificates, started by scripts/local-cluster.sh: it trains, every port refuses
who has no good certificate and every method those without its roles, certificates are renewed meanwhile, and people look
and stop it with a certificate of their own. Usage: tls_test.py FOLDER_OF_BINARIES."""

import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from needs import needs
import access
import certificates
from processes import DIRECT

needs("grpc")
import grpc

BINARIES = pathlib.Path()
CLUSTER = access.ROOT / "scripts" / "local-cluster.sh"
SETTINGS = ("env.action_repeat=10", "learner.seed_rows=200", "learner.pretrain_updates=10", "learner.utd=0.05",
            "learner.batch_size=32", "planner.samples=32", "planner.iterations=2", "planner.policy_samples=4",
            "planner.elites=8", "evaluation.every_rows=1000", "evaluation.episodes=1", "replay.min_rows=100",
            "stop.return_mean=0", "stop.max_rows=0")
RUN_SECONDS = 120
CALL_SECONDS = 20
# What each process serves.
SERVICES = {"replay": ("ReplayService",), "planner": ("PlannerService",),
            "learner": ("RunService", "ParameterService", "RankService")}


class TlsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder, cls.run_dir = pathlib.Path(folder.name), pathlib.Path(folder.name, "run")
        cls.certificates = certificates.make(cls.folder / "certificates")
        cls.log = open(cls.folder / "cluster.log", "w+", encoding="utf-8")
        cls.addClassCleanup(cls.log.close)
        cls.cluster = subprocess.Popen(
            [CLUSTER, "--run-dir", cls.run_dir, "--certificates", cls.certificates, "--actors", "1",
             *(word for setting in SETTINGS for word in ("--set", setting))],
            stdout=cls.log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            env={**os.environ, "POMPC_BIN_DIR": str(BINARIES)})
        cls.addClassCleanup(cls.end_cluster)
        cls.state = pathlib.Path(f"{cls.run_dir}.cluster")

    @classmethod
    def end_cluster(cls):
        cls.cluster.terminate()
        cls.cluster.wait(60)

    def wait_until(self, what, condition, seconds=RUN_SECONDS):
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline or self.cluster.poll() is not None:
                logs = "".join(f"--- {log.name}\n{log.read_text()[-1500:]}" for log in sorted(self.state.glob("*.log")))
                self.fail(f"not within {seconds} s: {what}\n{logs}")
            threading.Event().wait(0.2)

    def metric(self, process, name):
        try:
            address = (self.state / f"{process}.metrics").read_text().strip()
            with DIRECT.open(f"http://{address}/metrics", timeout=5) as page:
                lines = page.read().decode().splitlines()
        except OSError:
            return 0
        return sum(float(line.split()[-1]) for line in lines if line.partition("{")[0].split(" ")[0] == name)

    def rows(self):
        return sum(self.metric(f"replay-{shard}", "pompc_replay_planned_rows_total") for shard in range(2))

    def address(self, process):
        words = (self.state / f"{process}.command").read_text().splitlines()
        return words[words.index("--listen") + 1]

    def servers(self):
        return {role: self.address("replay-0" if role == "replay" else role) for role in SERVICES}

    def code(self, role, address, own, path, ca=None):
        with certificates.channel(grpc, address, ca or self.certificates, own, role) as channel:
            return self.call(channel, path)

    def call(self, channel, path):
        try:
            # No message is a request of pompc: each has a header with the version of the wire.
            channel.unary_unary(path)(b"", timeout=CALL_SECONDS)
            return "OK"
        except grpc.RpcError as error:
            return error.code().name

    def pompc(self, *arguments):
        return subprocess.run([BINARIES / "pompc", *arguments], capture_output=True, text=True, timeout=60)

    def test_a_run_with_certificates(self):
        # Before the run has begun, so that nothing that it refuses can have been needed.
        self.wait_until("the run's version", lambda: self.metric("planner", "pompc_planner_parameters_number") > 0)
        self.check_roles()
        self.check_bad_certificates()
        self.check_people()
        self.check_renewal()
        self.wait_until("an evaluation", lambda: self.metric("evaluator", "pompc_actor_evaluations_total") > 0)
        stopped = self.pompc("stop", "--learner", self.address("learner"), "--certificates",
                             str(self.certificates / "operator"))
        self.assertEqual(stopped.returncode, 0, stopped.stderr)
        self.assertEqual(self.cluster.wait(60), 0)

    def check_roles(self):
        methods, seen = access.declared(), set()
        for server, address in self.servers().items():
            for role in certificates.ROLES:
                with certificates.channel(grpc, address, self.certificates, self.certificates / role, server) as channel:
                    for (service, method), callers in methods.items():
                        code = self.call(channel, f"/pompc.proto.{service}/{method}")
                        where = f"{role} calls {service}.{method} at {server}: {code}"
                        if service in SERVICES[server] and role in callers:
                            self.assertNotIn(code, ("PERMISSION_DENIED", "UNIMPLEMENTED", "UNAVAILABLE"), where)
                            seen.add((service, method))
                        elif service in SERVICES[server]:
                            self.assertEqual(code, "PERMISSION_DENIED", where)
                        else:
                            self.assertIn(code, ("PERMISSION_DENIED", "UNIMPLEMENTED"), where)
        self.assertEqual(seen, set(methods), "methods that nobody serves")

    def check_bad_certificates(self):
        other = certificates.make(self.folder / "other")
        expired = certificates.make(self.folder / "expired")
        for name in ("ca.crt", "ca.key"):
            (expired / name).write_bytes((self.certificates / name).read_bytes())
        for server, address in self.servers().items():
            role = "actor" if server == "planner" else "operator"
            for what, own in (("none", None), ("of another CA", other / role),
                              ("expired", certificates.make_expired(expired, role))):
                code = self.code(server, address, own, "/grpc.health.v1.Health/Check")
                self.assertEqual(code, "UNAVAILABLE", f"a certificate that is {what}, at {server}")
            self.assertEqual(self.code(server, address, self.certificates / role, "/grpc.health.v1.Health/Check"), "OK")

    def check_people(self):
        learner, folder = self.address("learner"), self.certificates
        status = lambda *flags: self.pompc("status", "--learner", learner, *flags)
        self.assertIn("rows", status("--certificates", str(folder / "operator")).stdout)
        self.assertEqual(status().returncode, 1)
        refused = self.pompc("stop", "--learner", learner, "--certificates", str(folder / "actor"))
        self.assertEqual(refused.returncode, 1)
        self.assertIn("whose role is actor; allowed: operator", refused.stderr)
        # Where a planner answers, a learner is expected.
        wrong = self.pompc("status", "--learner", self.address("planner"), "--certificates", str(folder / "operator"))
        self.assertIn("the server's certificate is of role planner; expected there: learner", wrong.stderr)
        info = self.pompc("replay", "info", self.address("replay-0"), "--certificates", str(folder / "operator"))
        self.assertEqual(info.returncode, 0, info.stderr)
        runs = self.pompc("planner", "runs", "--planners", self.address("planner"), "--certificates",
                          str(folder / "operator"))
        self.assertIn("yes", runs.stdout, runs.stderr)

    def serial(self, address):
        own = self.certificates / "operator"
        shown = subprocess.run(["openssl", "s_client", "-connect", address, "-CAfile", self.certificates / "ca.crt",
                                "-cert", own / "tls.crt", "-key", own / "tls.key"], stdin=subprocess.DEVNULL,
                               capture_output=True, timeout=30).stdout
        return subprocess.run(["openssl", "x509", "-noout", "-serial"], input=shown, capture_output=True).stdout

    def check_renewal(self):
        servers = self.servers()
        before = {role: self.serial(address) for role, address in servers.items()}
        certificates.make(self.certificates, "--days", "20")
        for role, address in servers.items():
            self.wait_until(f"the new certificate of {role}", lambda: self.serial(address) != before[role], 30)
            self.assertIn(b"serial=", self.serial(address))
        self.assertLess(self.metric("learner", "pompc_certificate_expiry_timestamp_seconds"), time.time() + 21 * 86400)
        rows = self.rows()
        self.wait_until("rows after the renewal", lambda: self.rows() > rows + 50)
        for name in ("replay-0", "replay-1", "planner", "learner", "actor-0", "evaluator"):
            status = subprocess.run([CLUSTER, "status", "--run-dir", self.run_dir], capture_output=True, text=True)
            self.assertRegex(status.stdout, rf"(?m)^{name} +running", status.stdout)


if __name__ == "__main__":
    BINARIES = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main()
