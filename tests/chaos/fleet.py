"""A run as separate processes on loopback, with a supervisor that starts again what ended and a network between them that
can fail."""

import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from network import Network
from processes import Process, die_with_parent, free_ports

SHARDS, PLANNERS, ACTORS = 2, 2, 3
# Environments of each actor, and rows of a message to a shard.
ENVIRONMENTS, CHUNK_ROWS = 2, 4
# How long a process that is told to end may take.
GRACE_SECONDS = 60


class Violation(Exception):
    """What must not happen."""


class Member(Process):
    """A process of the fleet. Its starts are counted; each is a life."""

    life = 0
    # When it is started again; None while it runs.
    due = None
    # Until when it must have ended, if it was told to.
    end_by = None
    # Of the newest fault that stops it: nobody asks it for anything meanwhile.
    paused = False

    def start(self):
        super().start()
        self.life += 1
        self.due = self.end_by = None
        self.paused = False

    def alive(self):
        return self.due is None and self.popen.poll() is None

    def tail(self):
        return self.log.read_text(errors="replace")[-2500:]


class Fleet:
    """Its methods are for one thread."""

    def __init__(self, build, folder, settings):
        self.binaries, self.folder = pathlib.Path(build) / "bin", pathlib.Path(folder)
        self.run = self.folder / "run"
        self.network, self.members = Network(), {}
        ports = free_ports(SHARDS + PLANNERS + 1)
        self.ports = {f"replay-{i}": ports.pop() for i in range(SHARDS)}
        self.ports |= {f"planner-{i}": ports.pop() for i in range(PLANNERS)}
        self.ports["learner"] = ports.pop()
        self.shards = [name for name in self.ports if name.startswith("replay")]
        self.planners = [name for name in self.ports if name.startswith("planner")]
        self.actors = [f"actor-{i}" for i in range(ACTORS)]
        self.settings = [word for setting in (*settings, f"actor.chunk_rows={CHUNK_ROWS}")
                         for word in ("--set", setting)]

    def begin(self):
        for i, name in enumerate(self.shards):
            self.add(name, "replay", "--listen", self.address(name), "--shard", str(i), "--data-dir", self.data(name))
        self.add("learner", "learner", "--listen", self.address("learner"), "--run-dir", str(self.run), "--preset",
                 "quickstart", "--replay", self.reached("learner", self.shards), *self.settings)
        for name in self.planners:
            self.add(name, "planner", "--listen", self.address(name), "--learner", self.reached(name, ["learner"]),
                     "--threads", "1")
        for name in self.actors:
            self.add(name, "actor", *self.peers(name), "--replay", self.reached(name, self.shards), "--environments",
                     str(ENVIRONMENTS), "--name", name)
        self.add("evaluator", "actor", "--evaluate", *self.peers("evaluator"), "--name", "evaluator")

    def add(self, name, role, *arguments):
        self.members[name] = Member(name, self.folder, self.binaries / f"pompc-{role}", *arguments,
                                    preexec_fn=die_with_parent)

    def address(self, name):
        return f"127.0.0.1:{self.ports[name]}"

    def data(self, name):
        return str(self.folder / f"data-{name}")

    def reached(self, source, targets):
        """The addresses at which one process reaches others, over links of its own."""
        return ",".join(f"127.0.0.1:{self.network.connect(source, name, self.ports[name])}" for name in targets)

    def peers(self, source):
        return "--learner", self.reached(source, ["learner"]), "--planners", self.reached(source, self.planners)

    def kill(self, name, seconds):
        """The machine loses it; it is started again after so many seconds."""
        self.members[name].kill()
        self.members[name].due = time.monotonic() + seconds

    def terminate(self, name):
        member = self.members[name]
        if member.alive() and member.end_by is None:
            member.popen.terminate()
            member.end_by = time.monotonic() + GRACE_SECONDS

    def pause(self, name):
        """Stops a process; returns what lets it go on."""
        member = self.members[name]
        popen, member.paused = member.popen, True
        popen.send_signal(signal.SIGSTOP)

        def go_on():
            popen.send_signal(signal.SIGCONT)
            if member.popen is popen:
                member.paused = False

        return go_on

    def throttle(self, name):
        """Lets a process run for a quarter of the time; returns what lets it run again."""
        popen, over = self.members[name].popen, threading.Event()

        def stop_and_go():
            while not over.wait(0.01):
                popen.send_signal(signal.SIGSTOP)
                over.wait(0.03)
                popen.send_signal(signal.SIGCONT)

        thread = threading.Thread(target=stop_and_go)
        thread.start()

        def go_on():
            over.set()
            thread.join()

        return go_on

    def tend(self):
        """Starts again what was killed and told to end. A process that ended by itself is a violation."""
        now = time.monotonic()
        for member in self.members.values():
            if member.due is not None:
                if now >= member.due:
                    member.start()
                continue
            status = member.popen.poll()
            if member.end_by is not None:
                # One that has just been started may not handle signals yet.
                if status in (0, -signal.SIGTERM):
                    member.start()
                elif status is not None:
                    raise Violation(f"{member.name}, told to end, ended with {status}")
                elif now > member.end_by:
                    raise Violation(f"{member.name} does not end within {GRACE_SECONDS} s")
            elif status is not None:
                raise Violation(f"{member.name} ended by itself with {status}")

    def start_all(self):
        """Starts at once what is to be started later."""
        for member in self.members.values():
            if member.due is not None:
                member.start()

    def settled(self):
        return all(member.alive() and member.end_by is None for member in self.members.values())

    def finish(self):
        """Ends the run as a user does."""
        subprocess.run([self.binaries / "pompc", "stop", "--learner", self.address("learner")], check=True, timeout=60,
                       stdout=subprocess.DEVNULL)
        for name in (*self.actors, "evaluator", "learner"):
            self.await_end(name)
        for name in (*self.planners, *self.shards):
            self.members[name].popen.terminate()
            self.await_end(name)

    def await_end(self, name):
        try:
            status = self.members[name].popen.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            raise Violation(f"{name} does not end with the run") from None
        if status != 0:
            raise Violation(f"{name} ended with {status} at the end of the run")

    def close(self):
        for member in self.members.values():
            member.kill()
        self.network.close()
