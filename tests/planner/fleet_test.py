"""Planners under the load of a thousand simulated actors: all are answered, each once and with the plan of its own
request, while planners are added, killed, stopped as if they hung, and told to end; and memory does not grow.

Usage: fleet_test.py FOLDER_OF_BINARIES FLEET_LOAD [--long]. With --long each test takes two minutes; without, a number of
requests that takes seconds.
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from processes import Process, free_ports  # pylint: disable=wrong-import-position

LONG = "--long" in sys.argv
if LONG:
    sys.argv.remove("--long")
FLEET_LOAD = pathlib.Path(sys.argv.pop())
BINARIES = pathlib.Path(sys.argv.pop())
ACTORS = 1000
ROUNDS = 8
SECONDS = 120
# What a process may grow by from the first quarter to the end: pools of the allocator and of gRPC fill up slowly.
GROWTH, GROWTH_BYTES = 0.1, 24 << 20


def resident_bytes(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmRSS:"))


class Load:
    """The simulated actors, and how far they are."""

    def __init__(self, *arguments):
        amount = ["--rounds", "0", "--seconds", str(SECONDS)] if LONG else ["--rounds", str(ROUNDS)]
        command = [FLEET_LOAD, "--actors", str(ACTORS), *amount, *arguments]
        self.popen = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                      text=True)
        self.start = time.monotonic()
        self.answered, self.result, self.errors = 0, None, ""
        self.threads = [threading.Thread(target=self.read), threading.Thread(target=self.read_errors)]
        for thread in self.threads:
            thread.start()

    def read(self):
        for line in self.popen.stdout:
            if line.startswith("answered "):
                self.answered = int(line.split()[1])
            elif line.startswith("{"):
                self.result = json.loads(line)

    def read_errors(self):
        self.errors = self.popen.stderr.read()[-3000:]

    def progress(self):
        """From 0 to 1."""
        if LONG:
            return (time.monotonic() - self.start) / SECONDS
        return self.answered / (ACTORS * ROUNDS)

    def end(self):
        self.popen.kill()
        self.popen.wait()
        for thread in self.threads:
            thread.join()
        self.popen.stdout.close()
        self.popen.stderr.close()


class FleetTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.file = self.folder / "planners"
        self.learner = f"127.0.0.1:{free_ports(1)[0]}"
        self.planners = {}
        self.pause = threading.Event()

    def start(self, name):
        (port,) = free_ports(1)
        process = Process(name, self.folder, BINARIES / "pompc-planner", "--listen", f"127.0.0.1:{port}", "--learner",
                          self.learner, "--threads", "1")
        process.address = f"127.0.0.1:{port}"
        self.planners[name] = process
        self.addCleanup(process.kill)

    def list(self, *names):
        new = self.folder / "planners.new"
        new.write_text("".join(f"{self.planners[name].address}  # {name}\n" for name in names), encoding="ascii")
        new.replace(self.file)

    def load(self, *arguments):
        load = Load("--listen", self.learner, "--planners", f"@{self.file}", *arguments)
        self.addCleanup(load.end)
        return load

    def await_progress(self, load, share):
        while load.progress() < share and load.popen.poll() is None:
            self.pause.wait(0.02)

    def finish(self, load):
        self.assertEqual(load.popen.wait(600), 0, load.errors)
        for thread in load.threads:
            thread.join()
        result = load.result
        print(self.id().rsplit(".", maxsplit=1)[-1], result, flush=True)
        self.assertEqual(result["begun"], result["ended"], "requests are lost")
        if not LONG:
            self.assertEqual(result["ended"], ACTORS * ROUNDS)
        self.assertEqual((result["twice"], result["failed"], result["different"]), (0, 0, 0), load.errors)
        self.assertGreater(result["compared"], result["ended"] / 200)
        return result

    def refused(self, name):
        return sum(value for labels, value in
                   self.planners[name].metrics()["pompc_planner_unplanned_requests_total"].items()
                   if 'reason="refused"' in labels)

    def watch_memory(self, load, processes):
        """Of each process, what it held after a quarter of the requests and what it holds near the end."""
        self.await_progress(load, 0.25)
        before = [resident_bytes(process.pid) for process in processes]
        self.await_progress(load, 0.95)
        for process, held in zip(processes, before):
            now = resident_bytes(process.pid)
            print(f"{held / 2**20:.0f} MiB, then {now / 2**20:.0f} MiB", flush=True)
            self.assertLess(now, held * (1 + GROWTH) + GROWTH_BYTES)

    def test_one_planner_answers_a_thousand_actors(self):
        self.start("a")
        self.list("a")
        load = self.load()
        self.watch_memory(load, [load.popen, self.planners["a"].popen])
        self.finish(load)
        self.assertEqual(self.refused("a"), 0, "a queue that was not full has refused")

    def test_a_full_queue_refuses_and_loses_nobody(self):
        self.start("a")
        self.list("a")
        self.finish(self.load("--max-queue", "64"))
        self.assertGreater(self.refused("a"), 0, "the queue was never full")

    def test_planners_that_come_and_go_lose_no_actor(self):
        self.start("a")
        self.list("a")
        load = self.load()
        self.await_progress(load, 0.1)
        self.start("b")
        self.list("a", "b")
        self.await_progress(load, 0.25)
        self.planners["a"].kill()
        self.await_progress(load, 0.4)
        self.start("c")
        self.list("b", "c")
        self.await_progress(load, 0.55)
        self.planners["b"].popen.send_signal(signal.SIGSTOP)
        self.await_progress(load, 0.7)
        self.planners["b"].popen.send_signal(signal.SIGCONT)
        self.await_progress(load, 0.8)
        self.planners["b"].popen.send_signal(signal.SIGTERM)
        self.await_progress(load, 0.9)
        self.list("c")
        self.finish(load)
        self.assertEqual(self.planners["b"].popen.wait(30), 0)
        self.assertGreater(self.planners["c"].total("pompc_planner_plans_total"), load.result["ended"] * 0.2)


if __name__ == "__main__":
    unittest.main()
