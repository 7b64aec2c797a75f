#!/usr/bin/env python3
"""Which planner is asked, when a full one is asked again, pompc.Planner, and connections with certificates."""

import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import types
import unittest
import unittest.mock

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent.parent / "python"), str(HERE.parent / "support")]
from needs import needs

needs("grpc", "google.protobuf", "numpy")
import grpc
import numpy

import contrary
import pompc
from fake_run import FakeRun
from in_process import InProcessTest, made_at_home
from pompc import Failed, Refused, actor, lease, limits, planners, roles, wire
from pompc import messages as proto

NOBODY = "127.0.0.1:9"


def known(seconds=0.0, answered_at=0.0, outstanding=0, full_until=0.0, avoided=False):
    return types.SimpleNamespace(seconds=seconds, answered_at=answered_at, outstanding=outstanding,
                                 full_until=full_until, avoided=avoided)


class HintTest(unittest.TestCase):
    def test_a_hint_is_a_whole_number_of_milliseconds(self):
        for value, seconds in (("1", 0.001), ("2500", 2.5), ("0", None), ("", None), ("-5", None), ("1.5", None),
                               ("12345678901", None), (b"100", None), ("\u0661", None)):
            error = types.SimpleNamespace(trailing_metadata=lambda v=value: (("other", "7"), (wire.RETRY_AFTER_KEY, v)))
            self.assertEqual(wire.retry_after(error), seconds, value)
        for nothing in (None, ()):
            self.assertIsNone(wire.retry_after(types.SimpleNamespace(trailing_metadata=lambda n=nothing: n)))

    def test_the_key_is_that_of_the_header(self):
        header = (HERE.parent.parent / "common" / "rpc" / "wire.h").read_text()
        self.assertIn(f'kRetryAfterKey[] = "{wire.RETRY_AFTER_KEY}"', header)


class BalanceTest(unittest.TestCase):
    def chosen(self, made, count=100):
        """How often each is chosen, with that many queries outstanding at once at the end."""
        asked = planners.Planners.__new__(planners.Planners)
        asked._planners, asked._lock = made, threading.Lock()
        asked._turn = iter(planners.itertools.cycle(made))
        for one in made:
            one.expected = planners._Planner.expected.__get__(one)
            one.chosen = 0
        for _ in range(count):
            one = asked._next()
            one.chosen += 1
            one.outstanding += 1
        return [one.chosen for one in made]

    def test_those_that_answer_sooner_are_asked_more_often(self):
        now = time.monotonic()
        fast, slow = self.chosen([known(0.01, now), known(0.04, now)])
        self.assertAlmostEqual(fast / slow, 4, delta=0.5)
        self.assertEqual(self.chosen([known(), known()]), [50, 50])

    def test_one_that_is_not_known_is_as_good_as_the_best_and_what_is_old_counts_less(self):
        now = time.monotonic()
        self.assertEqual(self.chosen([known(0.01, now), known()]), [50, 50])
        one, other = self.chosen([known(0.01, now), known(1.0, now - 3600)])
        self.assertAlmostEqual(one, other, delta=2)

    def test_those_that_are_full_or_avoided_are_left_alone(self):
        later = time.monotonic() + 3600
        self.assertEqual(self.chosen([known(full_until=later), known(1.0), known(avoided=True)]), [0, 100, 0])
        # Where nobody else is there, the one that has room first.
        self.assertEqual(self.chosen([known(full_until=later + 1), known(full_until=later), known(avoided=True)]),
                         [0, 100, 0])


class FullTest(InProcessTest):
    def test_a_planner_that_is_full_is_not_asked_before_it_expects_room(self):
        full, run = self.run_with(), self.run_with(seed_rows=0, rows=10**9)
        full.full_for_ms = "3600000"
        patch = unittest.mock.patch.object(planners.limits, "FULL_SECONDS", 3600)
        patch.start()
        self.addCleanup(patch.stop)
        outcome = self.in_background(
            lambda: self.play(run, contrary.Counting, planners=[full.address, run.address]))
        self.assertTrue(run.wait_until(lambda: run.plans > 100))
        self.assertEqual(len(full.asked_at), 1)
        self.stop.set()
        self.assertIsInstance(outcome(), lease.Stopped)

    def test_where_all_are_full_the_first_that_has_room_is_waited_for(self):
        run = self.run_with(seed_rows=0)
        run.full_for_ms = "300"
        outcome = self.in_background(lambda: self.play(run, contrary.Counting))
        self.wait_for_reason(run, f"no plan: planner {run.address}: RESOURCE_EXHAUSTED: the queue is full")
        self.assertTrue(run.wait_until(lambda: len(run.asked_at) > 3))
        asked = list(run.asked_at)
        for one, following in zip(asked, asked[1:]):
            self.assertGreater(following - one, 0.29)
        run.full_for_ms = None
        self.assertIsInstance(outcome(), lease.Stopped)

    def test_a_hint_is_bounded_and_one_that_is_missing_is_no_hint(self):
        run = self.run_with(seed_rows=0)
        for hint in ("999999999", ""):
            run.full_for_ms, self.identity = hint, None
            self.stop.clear()
            with unittest.mock.patch.object(planners.limits, "FULL_SECONDS", 0.05):
                outcome = self.in_background(lambda: self.play(run, contrary.Counting))
                before = len(run.asked_at)
                self.assertTrue(run.wait_until(lambda b=before: len(run.asked_at) > b + 3))
                self.stop.set()
                self.assertIsInstance(outcome(), lease.Stopped)


class PlannerTest(InProcessTest):
    def planner(self, addresses, **more):
        made = pompc.Planner(addresses, **more)
        self.addCleanup(made.close)
        return made

    def test_plans_one_and_many(self):
        run = self.run_with()
        planner = self.planner(run.address)
        self.assertEqual(planner.run_id, "run")
        plan = planner.plan([1.0, 2.0])
        self.assertEqual((plan.action.tolist(), plan.sequence.shape, plan.version), ([0, 0, 0], (3, 3), (1, 1)))
        plans = planner.plan_many(numpy.zeros((150, 2)), [plan] * 150)
        self.assertEqual((len(plans), run.queries), (150, [1, 64, 64, 22]))

    def test_the_run_is_found_or_must_be_named(self):
        run, away = self.run_with(), f"{NOBODY},127.0.0.1:10"
        self.assertEqual(self.planner([NOBODY, run.address]).run_id, "run")
        # A name helps where there are runs to name.
        for runs, words in (([], "serves no run yet: its learner has not published$"),
                            (["a", "b"], "serves a, b. Name it: .*run=ID")):
            run.served_runs = runs
            with self.assertRaisesRegex(Failed, f"which run.*{words}"):
                self.planner(run.address)
        with self.assertRaisesRegex(Failed, "UNAVAILABLE"):
            self.planner(away)
        self.assertEqual(self.planner(run.address, run="c").run_id, "c")
        with self.assertRaisesRegex(Refused, "'x' is not an address"):
            self.planner("x", run="c")

    def test_what_does_not_pass_is_told_at_once_and_what_does_in_time(self):
        class Refusing(FakeRun):
            def _plan(self, request, context):
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, "observation has 3 numbers, must have 2")
        run = Refusing()
        self.addCleanup(run.stop)
        with self.assertRaisesRegex(Failed, "must have 2"):
            self.planner(run.address).plan([0.0] * 3)
        with self.assertRaisesRegex(Failed, "no plan in time: .*UNAVAILABLE"):
            self.planner(NOBODY, run="run", seconds=0.5).plan([0.0] * 2)
        with self.assertRaisesRegex(Refused, "2 observations; as many plans"):
            self.planner(run.address).plan_many([[0.0], [0.0]], [None])

    def test_a_deadline_is_the_callers_however_seldom_it_looks(self):
        run = self.run_with()
        run.plans_go_out.clear()  # it hangs
        planner = self.planner(run.address, seconds=0.2)
        with unittest.mock.patch.object(limits, "RETRY_SECONDS", 3600):
            for _ in range(3):
                with self.assertRaisesRegex(Failed, "no plan in time"):
                    planner.plan([0.0, 0.0])
            # The planner hears how long it has, which is not held against it.
            self.assertLess(max(run.plan_timeouts), 0.5)
            self.assertFalse(planner._planners._planners[0].avoided)
            run.plans_go_out.set()
            patient = self.planner(run.address, seconds=60)
            self.assertEqual(patient.plan([0.0, 0.0]).action.tolist(), [0, 0, 0])

    def test_one_that_is_too_late_for_its_caller_is_asked_after_those_that_are_not(self):
        slow, quick = self.run_with(), self.run_with()
        slow.plans_go_out.clear()
        planner = self.planner([slow.address, quick.address], seconds=2)
        with self.assertRaisesRegex(Failed, "no plan in time"):
            planner.plan([0.0, 0.0])
        for _ in range(10):
            planner.plan([0.0, 0.0])
        self.assertEqual((len(slow.asked_at), len(quick.asked_at)), (1, 10))


class ChannelsTest(InProcessTest):
    def test_channels_end_with_their_lease(self):
        made, closed = [], []

        class Watched(wire.Stub):
            def __init__(self, service, *arguments):
                super().__init__(service, *arguments)
                made.append((service, id(self)))
                self.__dict__["kept"] = self  # so that no other object gets its id

            def close(self):
                closed.append(next(one for one in made if one[1] == id(self)))
                super().close()
        run = self.run_with(rows=10**9)
        with unittest.mock.patch.object(wire, "Stub", Watched):
            play = lambda: actor.play([made_at_home(contrary.Counting)], run.address,
                                      roles.Servers([run.address], [run.address]), False, self.stop)
            ended = self.in_background(play)
            for lease_number in range(1, 4):
                self.assertTrue(run.wait_until(lambda: len(run.registrations) == lease_number and run.stored() > 0))
                run.heartbeat_errors = [grpc.StatusCode.NOT_FOUND]
            self.assertTrue(run.wait_until(lambda: len(run.registrations) == 4))
            self.stop.set()
            ended()
        self.assertEqual([service for service, _ in made], ["RunService", "PlannerService", "ReplayService"] * 4)
        self.assertEqual(sorted(closed), sorted(made))


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=60)


def make_certificates(folder, names):
    """ca.crt, tls.crt, tls.key of a certificate for these names of hosts."""
    folder.mkdir()
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *key, "-keyout", folder / "ca.key", "-out", folder / "ca.crt", "-days", 2, "-subj", "/CN=CA")
    openssl("req", "-new", *key, "-keyout", folder / "tls.key", "-out", folder / "tls.csr", "-subj", "/CN=test")
    (folder / "names").write_text(f"subjectAltName={','.join(f'DNS:{name}' for name in names)}\n")
    openssl("x509", "-req", "-in", folder / "tls.csr", "-CA", folder / "ca.crt", "-CAkey", folder / "ca.key",
            "-CAcreateserial", "-days", 2, "-extfile", folder / "names", "-out", folder / "tls.crt")
    return str(folder)


@unittest.skipUnless(shutil.which("openssl"), "openssl makes the certificates (Debian: openssl)")
class CertificatesTest(InProcessTest):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.good = make_certificates(self.folder / "good", ("learner.pompc", "planner.pompc", "replay.pompc"))

    def test_an_actor_plays_where_all_prove_their_roles(self):
        run = self.run_with(certificates=self.good)
        self.certificates = self.good
        self.assertIsInstance(self.play(run, contrary.Counting), lease.Stopped)
        self.assertGreaterEqual(run.stored(), 100)
        self.assertGreater(run.plans, 0)

    def test_a_planner_is_asked_by_the_environments_certificates(self):
        run = self.run_with(certificates=self.good)
        with unittest.mock.patch.dict(os.environ, {"POMPC_CERTIFICATES": self.good}):
            with contextlib.closing(pompc.Planner(run.address)) as planner:
                self.assertEqual(planner.plan([0.0, 0.0]).action.tolist(), [0, 0, 0])

    def test_servers_of_another_role_or_authority_are_not_spoken_to(self):
        other = make_certificates(self.folder / "other", ("planner.pompc",))
        wrong = make_certificates(self.folder / "wrong", ("replay.pompc",))
        for served, used in ((other, self.good), (wrong, wrong), (self.good, ""), ("", self.good)):
            run = self.run_with(certificates=served)
            with self.subTest(served=served, used=used), unittest.mock.patch.dict(os.environ, {"POMPC_CERTIFICATES": ""}):
                planner = pompc.Planner(run.address, run="run", certificates=used, seconds=1)
                self.addCleanup(planner.close)
                with self.assertRaisesRegex(Failed, "UNAVAILABLE|no plan in time"):
                    planner.plan([0.0, 0.0])

    def test_a_folder_without_them_is_refused(self):
        with self.assertRaisesRegex(Refused, r"certificates: .*ca\.crt: No such file"):
            wire.Stub("RunService", NOBODY, str(self.folder))


class RegisteredTest(unittest.TestCase):
    def test_the_packages_version_is_the_projects(self):
        root = HERE.parent.parent
        project, package = ((root / name).read_text() for name in ("CMakeLists.txt", "python/pyproject.toml"))
        version = re.search(r"VERSION (\d+\.\d+\.\d+)", project)[1]
        self.assertIn(f'\nversion = "{version}"\n', package)

    def test_every_call_that_is_made_is_one_of_the_services(self):
        stub = wire.Stub("ReplayService", NOBODY)
        for name in ("Append", "Describe", "Sample", "ReadRows"):
            self.assertTrue(callable(getattr(stub, name)))
        with self.assertRaises(AttributeError):
            stub.Nothing  # noqa: B018
        self.assertEqual(proto.PlanRequest.DESCRIPTOR.full_name, "pompc.proto.PlanRequest")


if __name__ == "__main__":
    unittest.main()
