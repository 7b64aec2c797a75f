#!/usr/bin/env python3
"""An actor for a robot that waits for nobody (robot.py simulates one).

  actor.py --robot PORT --planners HOST:PORT[,...] --out rows       # plans
  actor.py --robot PORT --checkpoint runs/a --out rows              # acts by a policy, without planners

At every tick of the robot it sends a whole sequence of actions, twice: the plan's, made at the newest observation, or,
where no plan came by the deadline, what is left of the one before (the next action of its warm start). So a plan that
is late or lost costs the robot freshness, not a tick. A plan that comes after its deadline still serves the next ticks.

--out names two files. OUT.safetensors is a data set of all rows (docs/datasets.md), which `pompc replay import` brings
into a run; rows of a person, and those without a plan at their observation, have has_plan 0. OUT.csv has a line for
every tick: what was executed (plan, ahead, held, human, missed), and whether its row is stored, or dropped since a
frame of it never arrived. At the end one line of JSON sums up."""

import argparse
import collections
import concurrent.futures
import csv
import json
import pathlib
import random
import sys
import time

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "python"))  # where pompc is not installed
import numpy
from link import Link, integer
from pompc import tensor_file

SILENCE_SECONDS = 10.0  # without a frame, after which the robot is taken to be gone
COPIES = 2              # of each datagram
GOODBYES = 10           # of which the robot needs one

Plan = collections.namedtuple("Plan", "sequence mean std value version")


def planner(addresses, run, seconds):
    """What makes a plan of (observation, plan before), with pompc's planners."""
    from pompc import Planner
    client = Planner(addresses, run=run, seconds=seconds)

    def plan(observation, before):
        made = client.plan(observation, before.made if before else None, evaluate=False)
        whole = Plan(numpy.vstack([made.action, made.sequence[1:]]), made.mean, made.std, made.value, made.version)
        return Made(whole, made)
    return plan


def policy(checkpoint, horizon):
    """The same with a policy: its action, held."""
    from pompc import load_policy
    loaded = load_policy(checkpoint)

    def plan(observation, _):
        return Made(Plan(numpy.tile(loaded.act(observation), (horizon, 1)), None, None, 0.0, (0, 0)), None)
    return plan


class Made:
    """A plan, and what the next one begins with."""

    def __init__(self, plan, made=None):
        self.plan, self.made = plan, made


class Recorder:
    """The frames of the robot, and the rows that they make: row t needs the frames of the ticks t and t + 1."""

    def __init__(self):
        self.frames, self.plans = {}, {}

    def add(self, frames):
        for frame in frames:
            self.frames.setdefault(frame["tick"], frame)

    def rows(self, ticks):
        """[(tick, source or "", its frame or None, the following frame or None)] of all ticks."""
        found = []
        for tick in range(ticks):
            now, following = self.frames.get(tick), self.frames.get(tick + 1)
            found.append((tick, following["source"] if following else "", now, following))
        return found

    def write(self, out, ticks):
        """Returns (rows stored, rows dropped, ticks by source)."""
        rows, sources = self.rows(ticks), collections.Counter()
        kept, starts, finals = [], [], []
        with open(f"{out}.csv", "w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(["tick", "executed", "row"])
            for tick, source, now, following in rows:
                stored = now is not None and following is not None
                table.writerow([tick, source or "unknown", "stored" if stored else "dropped"])
                sources[source or "unknown"] += 1
                if stored:
                    if not kept or kept[-1][0] != tick - 1:  # an episode ends where rows are missing
                        starts.append(len(kept))
                        finals.append(None)
                    finals[-1] = following["observation"]
                    kept.append((tick, source, now, following))
        if kept:
            tensor_file.save(f"{out}.safetensors", self.data_set(kept, starts, finals), {"format": "pompc rows 1"})
        return len(kept), ticks - len(kept), sources

    def data_set(self, kept, starts, finals):
        """The arrays of rows (tick, source, frame, following frame)."""
        actions = numpy.array([following["action"] for *_, following in kept], numpy.float32)
        plans = [self.plans.get(tick) if source != "human" else None for tick, source, *_ in kept]
        planned = [plan is not None and plan.mean is not None for plan in plans]
        column = lambda name, default: numpy.array(
            [getattr(plan, name) if has else default for plan, has in zip(plans, planned)], numpy.float32)
        width = actions.shape[1]
        return {"observations": numpy.array([now["observation"] for _, _, now, _ in kept], numpy.float32),
                "actions": actions, "terminated": numpy.zeros(len(kept), bool),
                "rewards": numpy.array([following["reward"] for *_, following in kept], numpy.float32),
                "episode_starts": numpy.array(starts, numpy.int64),
                "final_observations": numpy.array(finals, numpy.float32),
                "plan_mean": column("mean", numpy.zeros(width)), "plan_std": column("std", numpy.ones(width)),
                "plan_value": column("value", 0.0), "has_plan": numpy.array(planned)}


class Actor:
    """Keeps a robot supplied with actions for `reach` ticks. `plan` makes a Made of (observation, Made before or
    None)."""

    def __init__(self, link, port, plan, deadline, reach):
        self._link, self._port, self._plan, self._deadline, self._reach = link, port, plan, deadline, reach
        self.recorder = Recorder()
        self.counts = collections.Counter()
        self._pool = concurrent.futures.ThreadPoolExecutor(1)
        self._pending = None          # (tick it is made at, future)
        self._newest = None           # (tick it was made at, Made)

    def run(self):
        """Until the robot says that a frame is its last one. Returns the number of its ticks."""
        self._link.send({"hello": True}, self._port)
        heard, seen, last = time.monotonic(), -1, None
        while last is None or not all(tick in self.recorder.frames for tick in range(max(0, last - 7), last + 1)):
            received = self._link.receive(0.05)
            if received is None:
                if time.monotonic() - heard > SILENCE_SECONDS:
                    break
                if seen < 0:
                    self._link.send({"hello": True}, self._port)  # the first one may be lost
                continue
            heard, (message, _) = time.monotonic(), received
            self.recorder.add(message["frames"])
            tick = message["frames"][-1]["tick"]
            last = tick if message["last"] else last
            # Others were overtaken; the robot repeats its first frame until there is something to do.
            if tick > seen or (tick == seen and self._newest is None):
                self.counts["skipped_frames"] += max(0, tick - seen - 1)
                seen = tick
                if not message["last"]:
                    self._supply(message["frames"][-1], message["period_ms"] / 1000)
        self._pool.shutdown(wait=False, cancel_futures=True)
        for _ in range(GOODBYES):
            self._link.send({"bye": True}, self._port)
        return last if last is not None else max(self.recorder.frames, default=0)

    def _supply(self, frame, period):
        """Sends actions for the next ticks, made at this frame where a plan comes in time."""
        tick, human = frame["tick"], frame["source"] == "human"
        if human:
            self._newest = None  # what was planned before is of no use after a person acted
        self._collect(0)
        if self._pending is None:
            before = self._newest[1] if self._newest and tick - self._newest[0] <= 2 else None
            self._pending = (tick, self._pool.submit(self._plan, frame["observation"], before))
        made_in_time = self._collect(self._deadline * period) == tick
        if self._newest is None:
            self.counts["without_plan"] += 1
            return
        self.counts["plans" if made_in_time else "fallbacks"] += 1
        made_at, made = self._newest
        ahead = made.plan.sequence[tick - made_at:]
        # Behind its end the last action is held, so that the robot has one for every tick until it hears again.
        held = numpy.tile(made.plan.sequence[-1], (max(0, self._reach - len(ahead)), 1))
        message = {"tick": tick, "made_at": made_at, "planned": len(ahead),
                   "actions": numpy.vstack([ahead, held]).astype(float).tolist()}
        for _ in range(COPIES):
            self._link.send(message, self._port)

    def _collect(self, seconds):
        """The tick at which the plan was made that is there within that time, else None."""
        if self._pending is None:
            return None
        tick, future = self._pending
        try:
            made = future.result(timeout=seconds)
        except (TimeoutError, concurrent.futures.TimeoutError):
            return None
        except Exception as error:  # no plan: the fallback goes on
            self.counts["failed_plans"] += 1
            print(f"no plan: {error}", file=sys.stderr)
            self._pending = None
            return None
        self._pending, self._newest = None, (tick, made)
        self.recorder.plans[tick] = made.plan
        return tick


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--robot", type=integer, required=True, help="the robot's port")
    parser.add_argument("--planners", help="host:port of each, comma-separated")
    parser.add_argument("--run", help="id of the run, where a planner serves several")
    parser.add_argument("--checkpoint", help="act by its policy instead")
    parser.add_argument("--out", default="rows", help="names the files (default: rows)")
    parser.add_argument("--deadline", type=float, default=0.5, help="of a plan, share of the period (default: 0.5)")
    parser.add_argument("--reach", type=integer, default=16, help="ticks with actions in a message (default: 16)")
    parser.add_argument("--jitter-ms", type=float, default=0, help="hold datagrams back, to try it out")
    parser.add_argument("--loss", type=float, default=0, help="lose a share of them, to try it out")
    parser.add_argument("--seed", type=integer, default=random.randrange(2**31), help="of jitter and loss")
    flags = parser.parse_args()
    if bool(flags.planners) == bool(flags.checkpoint):
        parser.error("give --planners or --checkpoint")
    plan = planner(flags.planners, flags.run, 1.0) if flags.planners else policy(flags.checkpoint, 16)
    link = Link(0, flags.jitter_ms / 1000, flags.loss, flags.seed)
    actor = Actor(link, flags.robot, plan, flags.deadline, flags.reach)
    ticks = actor.run()
    stored, dropped, sources = actor.recorder.write(flags.out, ticks)
    print(json.dumps({"ticks": ticks, "stored": stored, "dropped": dropped, "executed": dict(sources),
                      **dict(actor.counts), "datagrams": link.sent, "lost": link.lost}))
    link.close()


if __name__ == "__main__":
    main()
