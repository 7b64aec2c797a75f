"""A fake run in this process, and actors that play in it."""

import io
import threading
import time
import unittest
import unittest.mock

from fake_run import SECONDS, FakeRun
from pompc import actor, home, lease, limits, roles, wire
from pompc import messages as proto
from pompc.log import log


def made_at_home(kind):
    return actor.make_at_home(kind.__name__, kind, home.Home(event_loop=True))


class InProcessTest(unittest.TestCase):
    certificates = ""

    def setUp(self):
        for module, name, seconds in ((limits, "RETRY_SECONDS", 0.02), (limits, "END_SECONDS", SECONDS)):
            patch = unittest.mock.patch.object(module, name, seconds)
            patch.start()
            self.addCleanup(patch.stop)
        self.log = io.StringIO()
        log.stream = self.log
        self.addCleanup(setattr, log, "stream", None)
        self.stop, self.identity = threading.Event(), None
        # What waits for ever fails rather than hangs.
        timer = threading.Timer(SECONDS, self.stop.set)
        timer.start()
        self.addCleanup(timer.cancel)

    def run_with(self, **more):
        run = FakeRun(**more)
        self.addCleanup(run.stop)
        return run

    def play(self, run, kind, role=roles.act, planners=None, replay=None):
        """Until the lease ends; returns why."""
        made = [made_at_home(kind) for _ in range(run.environments)]
        return self.play_in(made, run, role, planners, replay)

    def play_in(self, made, run, role=roles.act, planners=None, replay=None):
        """Likewise, in environments that were made before, as the same process."""
        servers = roles.Servers(planners or [run.address], replay or [run.address], self.certificates)
        self.identity = self.identity or lease.Identity(proto.Role.ACTOR, run.environments)
        with self.assertRaises(Exception) as caught:
            role(servers, wire.Stub("RunService", run.address, self.certificates), self.identity, made, self.stop)
        return caught.exception

    def wait_for_reason(self, run, words):
        """Until a heartbeat gives it."""
        self.assertTrue(run.wait_until(lambda: any(words in beat.waiting for beat in run.heartbeats)),
                        self.log.getvalue())

    def wait_for_no_reason(self):
        deadline = time.monotonic() + SECONDS
        while self.identity.waits.text() and time.monotonic() < deadline:
            self.stop.wait(0.01)
        self.assertEqual(self.identity.waits.text(), "")

    def in_background(self, function):
        """Calls it in a thread; a call of what this returns waits for it and gives its result."""
        results = []
        thread = threading.Thread(target=lambda: results.append(function()), daemon=True)
        thread.start()

        def result():
            thread.join(SECONDS)
            self.assertFalse(thread.is_alive())
            return results[0]
        return result
