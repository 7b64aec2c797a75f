#!/usr/bin/env python3
"""A simulated robot: a pendulum with a motor, whose control loop runs by its own clock and waits for nobody.

  robot.py --port 0 --period-ms 20 --ticks 1000 --jitter-ms 20 --loss 0.05 --takeover 300:360

At each tick it executes the newest action that it has for that tick: actors send it a whole sequence at a time, and
each tells for which tick its first one is. It never waits for one. After the tick it tells what it saw and did, with
the frames before, so that a lost datagram loses nothing. While a person has taken over, the person's actions are
executed. It prints its port, and at the end one line of JSON: ticks by what was executed in them, and ticks that began
late."""

import argparse
import collections
import json
import math
import random
import threading
import time

from link import Link, integer

FRAMES = 8          # that each datagram repeats
KEPT_SEQUENCES = 64
GOODBYE_SECONDS = 30


class Pendulum:
    """The pendulum of Gymnasium's Pendulum-v1; an action of 1 is its largest torque, 2."""

    def __init__(self, seed):
        start = random.Random(seed)
        self.angle, self.velocity = start.uniform(-math.pi, math.pi), start.uniform(-1, 1)

    def observe(self):
        return [math.cos(self.angle), math.sin(self.angle), self.velocity]

    def step(self, action):
        torque = 2 * min(1.0, max(-1.0, action))
        wrapped = (self.angle + math.pi) % (2 * math.pi) - math.pi
        reward = -(wrapped**2 + 0.1 * self.velocity**2 + 0.001 * torque**2)
        self.velocity = min(8.0, max(-8.0, self.velocity + (15 * math.sin(self.angle) + 3 * torque) * 0.05))
        self.angle += self.velocity * 0.05
        return reward


def person(observation):
    """What somebody at the stick does: damps the swing."""
    return [min(1.0, max(-1.0, -0.5 * observation[2]))]


class Buffer:
    """The sequences of actions that have arrived. Thread-safe."""

    def __init__(self):
        self._lock = threading.Lock()
        self._sequences = collections.deque(maxlen=KEPT_SEQUENCES)  # (tick of its first action, made at, actions)

    def add(self, message):
        with self._lock:
            self._sequences.append(message)

    def empty(self):
        with self._lock:
            return not self._sequences

    def action(self, tick):
        """(action, what it is) for the tick, of the sequence that was made last: "plan" if it was made at what was seen
        at this tick, "ahead" if before, "held" if it is the last one of a plan that did not reach so far; "missed"
        where no sequence does."""
        with self._lock:
            reaching = [each for each in self._sequences if each["tick"] <= tick < each["tick"] + len(each["actions"])]
        if not reaching:
            return [0.0], "missed"
        newest = max(reaching, key=lambda each: (each["made_at"], each["tick"]))
        i = tick - newest["tick"]
        return newest["actions"][i], ("held" if i >= newest["planned"] else
                                      "plan" if newest["made_at"] == tick else "ahead")


def listen(link, buffer, actors, stop):
    while not stop.is_set():
        received = link.receive(0.1)
        if received:
            message, port = received
            if "hello" in message:
                actors.add(port)
            if "actions" in message:
                buffer.add(message)
            if "bye" in message:
                actors.discard(port)


def control(flags, link, buffer, actors):
    """(ticks by source, ticks that began more than a period late)."""
    robot, sources, late = Pendulum(flags.seed), collections.Counter(), 0
    frames = collections.deque(maxlen=FRAMES)
    begin, end = flags.takeover
    pause = threading.Event()
    before = {"action": None, "reward": None, "source": None}
    while buffer.empty():  # the motor is switched on, and the clock begins, when there is something to do
        first = {"tick": 0, "observation": robot.observe(), **before}
        for port in list(actors):
            link.send({"frames": [first], "period_ms": flags.period_ms, "last": False}, port)
        pause.wait(flags.period_ms / 1000)
    start = time.monotonic()
    for tick in range(flags.ticks + 1):
        delay = start + tick * flags.period_ms / 1000 - time.monotonic()
        late += delay < -flags.period_ms / 1000
        pause.wait(max(0.0, delay))
        observation = robot.observe()
        # What was seen at this tick, and what was done in the one before.
        frames.append({"tick": tick, "observation": observation, **before})
        for port in list(actors):
            link.send({"frames": list(frames), "period_ms": flags.period_ms, "last": tick == flags.ticks}, port)
        action, source = (person(observation), "human") if begin <= tick < end else buffer.action(tick)
        if tick < flags.ticks:
            reward = robot.step(action[0])
            before = {"action": action, "reward": reward, "source": source}
            sources[source] += 1
    deadline = time.monotonic() + GOODBYE_SECONDS
    while actors and time.monotonic() < deadline:  # the last frames, until they have arrived
        pause.wait(flags.period_ms / 1000)
        for port in list(actors):
            link.send({"frames": list(frames), "period_ms": flags.period_ms, "last": True}, port)
    return sources, late


def span(text):
    begin, _, end = text.partition(":")
    return int(begin), int(end)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=integer, default=0)
    parser.add_argument("--period-ms", type=float, default=20)
    parser.add_argument("--ticks", type=integer, default=1000)
    parser.add_argument("--jitter-ms", type=float, default=20, help="datagrams are held back for up to so long")
    parser.add_argument("--loss", type=float, default=0.05, help="share of the datagrams that is lost")
    parser.add_argument("--takeover", type=span, default=(0, 0), metavar="FROM:TO", help="ticks in which a person acts")
    parser.add_argument("--seed", type=integer, default=1)
    flags = parser.parse_args()
    link, buffer = Link(flags.port, flags.jitter_ms / 1000, flags.loss, flags.seed), Buffer()
    actors, stop = set(), threading.Event()
    print(json.dumps({"port": link.port}), flush=True)
    listener = threading.Thread(target=listen, args=(link, buffer, actors, stop), daemon=True)
    listener.start()
    sources, late = control(flags, link, buffer, actors)
    stop.set()
    listener.join()
    print(json.dumps({"ticks": dict(sources), "late": late, "datagrams": link.sent, "lost": link.lost}), flush=True)
    link.close()


if __name__ == "__main__":
    main()
