#!/usr/bin/env python3
"""Chaos: the processes of a run are killed, stopped, slowed down and cut off from each other at random, and started again
as a supervisor does. After each round of faults rows and updates must be back at their rates within half a minute, with
every row that was there before, within the limits that rows and updates set each other, and with no process grown. With
enough time the run must also have learned what one without faults learns from as many rows.

Usage: chaos_test.py BUILD_FOLDER [--seconds N] [--seed N] [--recovery-seconds N] [--share X] [--alone]
"""

import argparse
import collections
import math
import pathlib
import random
import shutil
import signal
import statistics
import sys
import tempfile
import threading
import time

from fleet import ACTORS, CHUNK_ROWS, ENVIRONMENTS, Fleet, Violation
from watch import Limits, PERIOD_SECONDS, RESUMED, ROWS, STORED, Watch, late_returns
from row_ledger import RowLedger  # pylint: disable=wrong-import-order

ROUND_SECONDS = 20
# Over which rates are measured.
RATE_SECONDS = 4
START_SECONDS, CALM_SECONDS = 300, 6
# From here on a run is long enough to be compared with one without faults, if it made so many rows, before which returns
# still rise from one evaluation to the next. More rows of the other one are not needed.
COMPARED_SECONDS, LEAST_ROWS, MOST_ROWS = 240, 10000, 15000
# The standard deviation of late returns between runs without faults, at least (docs/results.md).
SPREAD = 60
UTD, SLACK_ROWS = 0.5, 400
SETTINGS = (f"learner.utd={UTD}", f"replay.slack_rows={SLACK_ROWS}", "replay.min_rows=300",
            "replay.capacity_rows=4000000", "learner.checkpoint_every_updates=50", "stop.return_mean=0",
            "stop.max_rows=0")


class Chaos:
    """Draws faults for a fleet and ends them in time."""

    def __init__(self, fleet, rng, counts):
        self.fleet, self.random, self.counts = fleet, rng, counts
        # (when, what ends the fault).
        self.ends = []
        # One of each of these is never killed, so that what it holds can be compared over the whole run.
        spared = {rng.choice(names) for names in (fleet.shards, fleet.planners, fleet.actors)}
        self.killable = [name for name in fleet.members if name not in spared]
        # Actors that may still be lost in this round. If most episodes were cut short, replay would hold their beginnings
        # alone, and less could be learned from as many rows.
        self.actors_left = 1
        self.faults = {self.kill: 6, self.kill_several: 2, self.terminate: 2, self.pause: 4, self.throttle: 2,
                       self.isolate: 4, self.freeze_link: 3, self.cut: 4, self.slow_links: 3}

    def any(self):
        return self.random.choice(list(self.fleet.members))

    def seconds(self, longest=12):
        """How long a fault lasts: often short, sometimes long."""
        return math.exp(self.random.uniform(math.log(0.3), math.log(longest)))

    def ends_later(self, end):
        self.ends.append((time.monotonic() + self.seconds(), end))

    def some(self, count):
        """Members that may be lost."""
        names = []
        for name in self.random.sample(self.killable, len(self.killable)):
            if name in self.fleet.actors:
                if self.actors_left == 0:
                    continue
                self.actors_left -= 1
            names.append(name)
            if len(names) == count:
                break
        return names

    def kill(self):
        return self.kill_several(1)

    def kill_several(self, count=0):
        names = self.some(count or self.random.randint(2, len(self.killable)))
        for name in names:
            self.fleet.kill(name, self.random.uniform(0, 2))
        return ", ".join(names)

    def terminate(self):
        (name,) = self.some(1)
        self.fleet.terminate(name)
        return name

    def pause(self):
        name = self.any()
        self.ends_later(self.fleet.pause(name))
        return name

    def throttle(self):
        name = self.any()
        self.ends_later(self.fleet.throttle(name))
        return name

    def isolate(self):
        """Cuts a process off from all others."""
        name = self.any()
        for link in self.fleet.network.of(name):
            link.freeze()
        self.ends_later(lambda: [link.thaw() for link in self.fleet.network.of(name)])
        return name

    def freeze_link(self):
        link = self.random.choice(self.fleet.network.links)
        link.freeze()
        self.ends_later(link.thaw)
        return f"{link.source} to {link.target}"

    def cut(self):
        name = self.any()
        for link in self.fleet.network.of(name):
            link.cut()
        return name

    def slow_links(self):
        name, delay = self.any(), self.random.uniform(0.01, 0.2)
        for link in self.fleet.network.of(name):
            link.slow_down(delay)
        self.ends_later(lambda: [link.slow_down(0) for link in self.fleet.network.of(name)])
        return name

    def strike(self):
        fault = self.random.choices(list(self.faults), self.faults.values())[0]
        self.counts[fault.__name__] += 1
        return f"{fault.__name__} {fault()}".replace("_", " ")

    def end(self, now=math.inf):
        """Ends the faults that are due, all by default."""
        due = [end for when, end in self.ends if when <= now]
        self.ends = [(when, end) for when, end in self.ends if when > now]
        for end in due:
            end()


class World:
    """A run from its start to its end, with faults or without."""

    def __init__(self, build, folder, rng, short, flags):
        self.seed_rows, pretrain_updates = (400, 100) if short else (1000, 1000)
        settings = (*SETTINGS, f"learner.seed_rows={self.seed_rows}", f"learner.pretrain_updates={pretrain_updates}")
        self.limits = Limits(self.seed_rows, pretrain_updates, UTD, SLACK_ROWS,
                             unsure_rows=ACTORS * ENVIRONMENTS * CHUNK_ROWS)
        self.folder, self.random = pathlib.Path(folder), rng
        self.folder.mkdir()
        self.fleet = Fleet(build, self.folder, settings)
        self.fleet.begin()
        self.watch = Watch(self.fleet)
        self.ledger = RowLedger(self.fleet.binaries / "pompc", self.folder / "rows.safetensors")
        self.counts = collections.Counter()
        self.chaos = Chaos(self.fleet, rng, self.counts)
        self.pause = threading.Event()
        # Rates measured in peace, those that count as back as a share of their median, and how long that took.
        self.usual, self.share, self.recoveries = [], flags.share, []
        self.recovery_seconds = flags.recovery_seconds

    def wait(self, seconds):
        """Supervises the processes for so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.chaos.end(time.monotonic())
            self.fleet.tend()
            self.pause.wait(0.02)

    def wait_until(self, what, condition, seconds):
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise Violation(f"not within {seconds} s: {what}; rates {self.watch.rates(time.monotonic() - RATE_SECONDS)}")
            self.wait(PERIOD_SECONDS / 2)

    def await_training(self):
        """Until updates follow rows."""
        self.wait_until("updates beyond the first", lambda: self.watch.updates() > self.limits.pretrain_updates + 50,
                        START_SECONDS)

    def rest(self):
        """Notes the rates without faults."""
        start = time.monotonic()
        self.wait(CALM_SECONDS)
        self.usual.append(self.watch.rates(start))
        self.watch.mark()
        print("  without faults {:.0f} rows/s, {:.0f} updates/s".format(*self.usual[-1]), flush=True)

    def round(self, number, seconds):
        end = time.monotonic() + seconds
        rows, updates = self.watch.rows(), self.watch.updates()
        print(f"round {number}", flush=True)
        self.chaos.actors_left = 1
        while time.monotonic() < end:
            print(f"  {self.chaos.strike()}", flush=True)
            self.wait(min(self.random.uniform(0, 3), max(0, end - time.monotonic())))
        self.chaos.end()
        self.fleet.start_all()
        self.recover()
        problems = [f"not one more row than {rows}"] if self.watch.rows() <= rows else []
        if self.watch.updates() <= updates - self.limits.pretrain_updates:
            problems.append(f"{self.watch.updates()} updates after {updates}")
        self.check(problems)

    def recover(self):
        """Until rates are back after the last fault."""
        start = time.monotonic()

        wanted = [self.share * statistics.median(rates) for rates in zip(*self.usual)]

        def recovered():
            since = time.monotonic() - RATE_SECONDS
            return since >= start and self.fleet.settled() and all(
                rate >= least for rate, least in zip(self.watch.rates(since), wanted))

        self.wait_until("the rates are back", recovered, self.recovery_seconds + RATE_SECONDS)
        seconds = time.monotonic() - start - RATE_SECONDS
        self.recoveries.append(seconds)
        print(f"  back after {seconds:.1f} s: {self.watch.rows()} rows, {self.watch.updates()} updates", flush=True)

    def check(self, problems=()):
        """In peace: every row, limit and process."""
        problems = [*problems, *self.ledger.audit(*(self.fleet.address(name) for name in self.fleet.shards))]
        problems += self.watch.limiter_problems(self.limits)[:5]
        problems += [f"{name}: replay has lost acknowledged rows of a segment" for name in self.fleet.actors
                     if self.watch.most(name, RESUMED) > 0]
        if problems:
            raise Violation("\n".join(problems))

    def finish(self):
        self.fleet.finish()
        problems = self.ledger.audit(*(self.fleet.data(name) for name in self.fleet.shards))
        accepted = sum(self.watch.newest(name, ROWS) for name in self.fleet.shards)
        stored = sum(self.watch.newest(name, STORED) for name in self.fleet.shards)
        if not accepted == stored <= len(self.ledger.rows):
            problems.append(f"{accepted} rows were accepted, {stored} are stored, {len(self.ledger.rows)} can be read")
        problems += self.watch.leaks()
        if problems:
            raise Violation("\n".join(problems))
        for name, marks, *held in self.watch.growth():
            print(f"  {name}: over {marks} rounds {held[0] / 2**20:.0f} to {held[1] / 2**20:.0f} MiB beside its rows, "
                  f"{held[2]:.0f} to {held[3]:.0f} files", flush=True)

    def tails(self):
        return "".join(f"--- {member.name}, life {member.life}\n{member.tail()}\n"
                       for member in self.fleet.members.values())

    def close(self):
        self.chaos.end()
        self.watch.close()
        self.fleet.close()


def disturbed(world, seconds):
    world.await_training()
    end, number, told = time.monotonic() + seconds, 0, threading.Event()
    # Ctrl-C ends the run after the present round, with all checks.
    signal.signal(signal.SIGINT, lambda *_: told.set())
    while time.monotonic() < end and not told.is_set():
        world.check()
        world.rest()
        number += 1
        world.round(number, ROUND_SECONDS)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    world.rest()
    world.finish()
    back = sorted(world.recoveries)
    print(f"{sum(world.counts.values())} faults in {number} rounds ({dict(world.counts)}), {world.watch.rows()} rows, "
          f"{world.watch.updates()} updates; back after {statistics.median(back):.1f} s, {back[-1]:.1f} at most", flush=True)


def undisturbed(world, rows, seconds):
    world.await_training()
    world.wait_until(f"{rows} rows without faults", lambda: world.watch.rows() >= rows, seconds)
    world.check()
    world.finish()


def compare(chaos, calm):
    """Returns of evaluations late in both runs; those of the one with faults must not lie below the other's spread."""
    ours, theirs = (late_returns(world.fleet.run) for world in (chaos, calm))
    print(f"returns with faults {[round(value) for value in ours]}, without {[round(value) for value in theirs]}", flush=True)
    if len(ours) < 2 or len(theirs) < 2:
        raise Violation("too few evaluations")
    least = statistics.mean(theirs) - 2 * max(statistics.stdev(theirs), SPREAD)
    if statistics.mean(ours) < least:
        raise Violation(f"a mean return of {statistics.mean(ours):.0f} with faults; at least {least:.0f} without")


def run(folder, seed, flags):
    rng, long = random.Random(seed), flags.seconds >= COMPARED_SECONDS and not flags.alone
    worlds = []

    def world(name):
        worlds.append(World(flags.build, folder / name, rng, not long, flags))
        return worlds[-1]

    try:
        chaos = world("chaos")
        disturbed(chaos, flags.seconds)
        if long and chaos.watch.rows() < LEAST_ROWS:
            print("too few rows to compare returns: the machine is slow or busy", flush=True)
        elif long:
            worlds.pop().close()
            calm = world("calm")
            undisturbed(calm, min(chaos.watch.rows(), MOST_ROWS), 2 * flags.seconds + START_SECONDS)
            compare(chaos, calm)
    except Violation:
        print(worlds[-1].tails(), flush=True)
        raise
    finally:
        for last in worlds:
            last.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build")
    parser.add_argument("--seconds", type=float, default=40)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--alone", action="store_true", help="without the run without faults")
    parser.add_argument("--recovery-seconds", type=float, default=30, help="how soon rates must be back after a round")
    parser.add_argument("--share", type=float, default=0.5, help="of the usual rates that counts as back; less where the "
                        "machine has other work")
    flags = parser.parse_args()
    seed = flags.seed if flags.seed is not None else random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}", flush=True)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="pompc-chaos-"))
    try:
        run(folder, seed, flags)
    except Violation as violation:
        print(f"VIOLATION with seed {seed}: {violation}\nall files are in {folder}", flush=True)
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
