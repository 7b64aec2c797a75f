#!/usr/bin/env python3
"""The acked-row ledger: what a shard has acknowledged is never lost, never there twice and never altered, whatever happens
to processes and connections. Real shards and writers, with a faulty proxy between them; a referee in the learner's place.
Rounds of random faults; each ends with an audit of everything that was ever acknowledged.

Usage: ledger_test.py BUILD_FOLDER [--minutes N] [--seed N] [--durability LEVEL]
"""

import argparse
import collections
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "support"))
from faulty_proxy import FaultyProxy
from processes import die_with_parent, free_ports

SHARDS, WRITERS = 2, 3
ROUND_SECONDS = 15
# A world keeps its data for so many rounds; then another begins with other settings.
ROUNDS_OF_A_WORLD = 3
# A writer's exit status when a later start of it has written.
REFUSED = 3


class Violation(Exception):
    """What must not happen."""


class World:
    """Shards, writers and a referee of one run on one set of data, and the faults that they suffer."""

    def __init__(self, build, folder, seed, faults, durability):
        self.build, self.folder, self.seed, self.faults = pathlib.Path(build), pathlib.Path(folder), seed, faults
        self.random = random.Random(seed)
        self.processes = set()
        self.learner = 0
        self.incarnations = [0] * WRITERS
        # Rows that a shard keeps: all that come, or fewer, so that most are evicted.
        self.capacity_rows = self.random.choice((200000, 20000, 3000))
        self.horizon = self.random.choice((1, 2, 3, 5))
        self.durability = durability or self.random.choice(("SYNC", "BACKGROUND", "MEMORY"))
        self.pause = threading.Event()
        self.proxy = None
        ports = free_ports(2 * SHARDS)
        self.ports, self.proxied = ports[:SHARDS], ports[SHARDS:]
        self.addresses = ",".join(f"127.0.0.1:{port}" for port in self.proxied)

    def begin(self):
        self.proxy = FaultyProxy(self.proxied, self.ports, self.seed)
        self.shards = [self.start_shard(s) for s in range(SHARDS)]
        self.start_referee()
        self.writers = [self.start_writer(w) for w in range(WRITERS)]

    def __str__(self):
        return f"seed {self.seed}: {self.durability}, capacity {self.capacity_rows}, horizon {self.horizon}"

    def start(self, name, program, *arguments):
        with open(self.folder / f"{name}.log", "ab") as log:
            process = subprocess.Popen([str(self.build / program), *map(str, arguments)], stdin=subprocess.DEVNULL,
                                       stdout=log, stderr=log, preexec_fn=die_with_parent)
        process.name = name
        self.processes.add(process)
        return process

    def start_shard(self, s):
        data = ("--data-dir", self.folder / f"data-{s}", "--durability", self.durability)
        return self.start(f"shard-{s}", "bin/pompc-replay", "--listen", f"127.0.0.1:{self.ports[s]}",
                          *(data if self.durable() else ()))

    def durable(self):
        """Whether rows outlive the processes of their shards."""
        return self.durability != "MEMORY"

    def start_writer(self, w):
        self.incarnations[w] += 1
        return self.start(f"writer-{w}-{self.incarnations[w]}", "tests/replay_ledger_writer", "--writer", w,
                          "--incarnation", self.incarnations[w], "--shards", self.addresses, "--folder", self.folder,
                          "--seed", self.seed, "--environments", self.random.choice((1, 4, 16)))

    def referee_arguments(self):
        self.learner += 1
        return ("--shards", self.addresses, "--folder", self.folder, "--seed", self.seed, "--incarnation", self.learner,
                "--horizon", self.horizon, "--capacity-rows", self.capacity_rows)

    def start_referee(self):
        self.referee = self.start("referee", "tests/replay_ledger_referee", *self.referee_arguments())

    def kill(self, process):
        self.check(process)
        process.kill()
        process.wait()
        self.processes.discard(process)

    def end(self, process, allowed=(0,)):
        """Tells a process to end and waits until it has."""
        process.terminate()
        try:
            status = process.wait(90)
        except subprocess.TimeoutExpired:
            raise Violation(f"{process.name} does not end: {self.tail(process)}") from None
        self.processes.discard(process)
        if status not in allowed:
            raise Violation(f"{process.name} ended with {status}: {self.tail(process)}")

    def tail(self, process):
        return (self.folder / f"{process.name}.log").read_text(errors="replace")[-2000:]

    def check(self, process):
        """A process that nobody told to end runs."""
        if process.poll() is not None:
            raise Violation(f"{process.name} ended with {process.returncode}: {self.tail(process)}")

    # Faults.

    def kill_shard(self):
        s = self.random.randrange(SHARDS)
        self.kill(self.shards[s])
        self.pause.wait(self.random.uniform(0, 1))
        self.shards[s] = self.start_shard(s)

    def kill_all_shards(self):
        for shard in self.shards:
            self.kill(shard)
        self.shards = [self.start_shard(s) for s in range(SHARDS)]

    def stop_shard(self):
        """A shard that hangs for a while."""
        shard = self.random.choice(self.shards)
        shard.send_signal(signal.SIGSTOP)
        self.pause.wait(self.random.uniform(0, 2))
        shard.send_signal(signal.SIGCONT)

    def end_shard(self):
        s = self.random.randrange(SHARDS)
        # One that has just been started may not handle signals yet.
        self.end(self.shards[s], allowed=(0, -signal.SIGTERM))
        self.shards[s] = self.start_shard(s)

    def kill_writer(self):
        w = self.random.randrange(WRITERS)
        self.kill(self.writers[w])
        self.writers[w] = self.start_writer(w)

    def replace_writer(self):
        """A writer that hangs, is replaced and comes back: its rows must be refused from then on."""
        w = self.random.randrange(WRITERS)
        zombie = self.writers[w]
        zombie.send_signal(signal.SIGSTOP)
        self.writers[w] = self.start_writer(w)
        self.pause.wait(self.random.uniform(0, 1))
        zombie.send_signal(signal.SIGCONT)
        self.pause.wait(self.random.uniform(0, 2))
        if zombie.poll() is None:
            self.kill(zombie)
        elif zombie.returncode == REFUSED:
            self.processes.discard(zombie)
            self.faults["refused zombie"] += 1
        else:
            self.check(zombie)

    def kill_referee(self):
        self.kill(self.referee)
        self.start_referee()

    def cut_connections(self):
        self.proxy.cut_all()

    FAULTS = {stop_shard: 3, kill_writer: 4, replace_writer: 3, kill_referee: 2, cut_connections: 2}
    # Those that take memory along.
    LOSSES = {kill_shard: 6, kill_all_shards: 1, end_shard: 2}

    def round(self, seconds):
        """Faults for a while, then peace until all writers have what they wrote acknowledged, then the audit."""
        end = time.monotonic() + seconds
        self.proxy.faulty = True
        faults = self.FAULTS | (self.LOSSES if self.durable() else {})
        while time.monotonic() < end:
            fault = self.random.choices(list(faults), faults.values())[0]
            fault(self)
            self.faults[fault.__name__.replace("_", " ")] += 1
            self.pause.wait(self.random.uniform(0, 1.5))
            for process in (*self.shards, *self.writers, self.referee):
                self.check(process)
        self.proxy.faulty = False
        self.proxy.cut_all()
        for writer in self.writers:
            self.end(writer)
        self.end(self.referee)
        self.audit()
        if self.durable():
            # What is in memory alone is not there the second time.
            self.kill_all_shards()
            self.audit()
        self.start_referee()
        self.writers = [self.start_writer(w) for w in range(WRITERS)]

    def await_health(self):
        """Shards that were just started load their rows first."""
        for port in self.ports:
            check = [self.build / "bin/pompc-replay", "--listen", f"127.0.0.1:{port}", "--healthcheck"]
            end = time.monotonic() + 60
            while subprocess.run(check, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode != 0:
                if time.monotonic() > end:
                    raise Violation(f"the shard at port {port} does not become healthy")
                self.pause.wait(0.1)

    def audit(self):
        self.await_health()
        audit = self.start("audit", "tests/replay_ledger_referee", "--audit", *self.referee_arguments())
        if audit.wait(180) != 0:
            raise Violation(self.tail(audit))
        self.processes.discard(audit)
        lines = self.tail(audit).splitlines()[-SHARDS:]
        print("  " + "\n  ".join(lines), flush=True)

    def close(self):
        for process in self.processes:
            process.kill()
            process.wait()
        if self.proxy is not None:
            self.proxy.close()
            for fault, count in self.proxy.counts.items():
                self.faults[f"{fault} connection"] += count


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build")
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--durability", choices=("SYNC", "BACKGROUND", "MEMORY"), help="by default one for each world")
    flags = parser.parse_args()
    seed = flags.seed if flags.seed is not None else random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}", flush=True)
    start, faults, rounds = time.monotonic(), collections.Counter(), 0
    while True:
        folder = tempfile.mkdtemp(prefix="pompc-ledger-")
        world = World(flags.build, folder, seed, faults, flags.durability)
        print(world, flush=True)
        try:
            world.begin()
            for _ in range(ROUNDS_OF_A_WORLD):
                world.round(ROUND_SECONDS)
                rounds += 1
                minutes = (time.monotonic() - start) / 60
                print(f"{minutes:.1f} minutes, {rounds} rounds: {dict(faults)}", flush=True)
                if minutes >= flags.minutes:
                    return 0
        except Violation as violation:
            print(f"FAILED, {world}; all files are in {folder}\n{violation}", flush=True)
            folder = None
            return 1
        finally:
            world.close()
            if folder is not None:
                shutil.rmtree(folder)
        seed += 1


if __name__ == "__main__":
    sys.exit(main())
