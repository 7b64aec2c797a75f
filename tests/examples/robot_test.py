#!/usr/bin/env python3
"""The robot of examples/robot/ and its actor, as processes of their own: with jitter, lost datagrams, late plans and a
person who takes over, no control tick is missed, and every row is accounted for."""

import csv
import json
import pathlib
import random
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

HERE = pathlib.Path(__file__).resolve().parent
ROBOT = HERE.parent.parent / "examples" / "robot"
sys.path[:0] = [str(HERE.parent.parent / "python"), str(HERE.parent / "python"), str(ROBOT)]
sys.path.insert(0, str(HERE.parent / "support"))
from needs import needs

needs("grpc", "google.protobuf", "numpy")
import numpy

from actor import Actor, Made, Plan, Recorder
from fake_run import FakeRun
from link import Link
from pompc import tensor_file
from robot import Buffer

SECONDS = 120
TICKS, PERIOD_MS, TAKEOVER = 300, 20, (100, 160)


class LateAtTimes(FakeRun):
    """One plan in ten takes two periods."""

    def __init__(self, seed):
        super().__init__(observation_size=3, action_size=1)
        self._late = random.Random(seed)
        self._wait = threading.Event()

    def _plan(self, request, context):
        if self._late.random() < 0.1:
            self._wait.wait(2 * PERIOD_MS / 1000)
        return super()._plan(request, context)


class RobotTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def start(self, name, *arguments):
        process = subprocess.Popen([sys.executable, ROBOT / name, *map(str, arguments)], stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def test_no_tick_is_missed_and_every_row_is_accounted_for(self):
        seed = random.randrange(2**31)
        print(f"seed {seed}", flush=True)
        run = LateAtTimes(seed)
        self.addCleanup(run.stop)
        robot = self.start("robot.py", "--ticks", TICKS, "--period-ms", PERIOD_MS, "--jitter-ms", 20, "--loss", 0.05,
                           "--takeover", f"{TAKEOVER[0]}:{TAKEOVER[1]}", "--seed", seed)
        port = json.loads(robot.stdout.readline())["port"]
        # Actions for ten seconds in each message: a busy machine stops this process for less.
        actor = self.start("actor.py", "--robot", port, "--planners", run.address, "--out", self.folder / "rows",
                           "--jitter-ms", 20, "--loss", 0.05, "--seed", seed + 1, "--reach", 500)
        told = json.loads(actor.communicate(timeout=SECONDS)[0])
        itself = json.loads(robot.communicate(timeout=SECONDS)[0])
        print(f"robot {itself}\nactor {told}", flush=True)
        executed = itself["ticks"]
        self.assertNotIn("missed", executed)
        self.assertEqual(sum(executed.values()), TICKS)
        self.assertEqual(executed["human"], TAKEOVER[1] - TAKEOVER[0])
        self.assertGreater(min(itself["lost"], told["lost"], told["fallbacks"], told["plans"]), 0)
        self.assertEqual(told["stored"] + told["dropped"], TICKS)
        with open(self.folder / "rows.csv", newline="") as file:
            lines = list(csv.DictReader(file))
        self.assertEqual([int(line["tick"]) for line in lines], list(range(TICKS)))
        self.assertEqual(sum(line["row"] == "stored" for line in lines), told["stored"])
        rows = tensor_file.load(self.folder / "rows.safetensors")
        stored = [line for line in lines if line["row"] == "stored"]
        self.assertEqual(len(rows["rewards"]), len(stored))
        human = numpy.array([line["executed"] == "human" for line in stored])
        self.assertEqual(human.sum(), sum(TAKEOVER[0] <= int(line["tick"]) < TAKEOVER[1] for line in stored))
        self.assertFalse(rows["has_plan"][human].any())
        self.assertTrue(rows["has_plan"][~human].any())
        self.assertLessEqual(numpy.abs(rows["actions"]).max(), 1)

    def test_actions_are_those_of_the_sequence_that_was_made_last(self):
        buffer = Buffer()
        self.assertEqual(buffer.action(0), ([0.0], "missed"))
        message = lambda tick, made_at, planned, *actions: {
            "tick": tick, "made_at": made_at, "planned": planned, "actions": [[action] for action in actions]}
        buffer.add(message(0, 0, 2, 0.1, 0.2, 0.2))
        buffer.add(message(1, 1, 3, 0.5, 0.6, 0.7))
        buffer.add(message(1, 0, 1, 0.2, 0.2, 0.2, 0.2, 0.2))  # what was left of the first one, and came late
        self.assertEqual([buffer.action(tick) for tick in (0, 1, 2, 3, 4, 5, 6)],
                         [([0.1], "plan"), ([0.5], "plan"), ([0.6], "ahead"), ([0.7], "ahead"), ([0.2], "held"),
                          ([0.2], "held"), ([0.0], "missed")])

    def test_a_late_plan_is_bridged_by_what_is_left_of_the_one_before(self):
        """The third tick is a late one too, and the fourth is behind the plan's end."""
        sent, ticks, planner_answers = [], iter(range(5)), threading.Event()
        planner_answers.set()
        self.addCleanup(planner_answers.set)

        def plan(observation, _):
            planner_answers.wait(SECONDS)
            return Made(Plan(numpy.array([[1.0], [2.0], [3.0]]), numpy.zeros(1), numpy.ones(1), 0.0, (1, 1)))

        class Scripted:
            """Frames one after the other; the first plan has all the time, the others have none."""

            @staticmethod
            def receive(_):
                tick = next(ticks)
                if tick == 1:
                    planner_answers.clear()
                frame = {"tick": tick, "observation": [0.0], "action": [0.0], "reward": 0.0, "source": "plan"}
                return {"frames": [frame], "period_ms": 0 if tick else 1000 * SECONDS, "last": tick == 4}, 1

            @staticmethod
            def send(message, _):
                if "actions" in message and message not in sent:  # each goes out several times
                    sent.append(message)

        actor = Actor(Scripted(), 1, plan, deadline=0.5, reach=4)
        self.assertEqual(actor.run(), 4)
        self.assertEqual([(each["tick"], each["made_at"], each["planned"]) for each in sent],
                         [(0, 0, 3), (1, 0, 2), (2, 0, 1), (3, 0, 0)])
        self.assertEqual([[action for (action,) in each["actions"]] for each in sent],
                         [[1, 2, 3, 3], [2, 3, 3, 3], [3, 3, 3, 3], [3, 3, 3, 3]])
        self.assertEqual((actor.counts["plans"], actor.counts["fallbacks"]), (1, 3))

    def test_what_is_no_message_is_let_pass_and_what_is_too_large_is_refused(self):
        one, other = Link(), Link()
        self.addCleanup(one.close)
        self.addCleanup(other.close)
        for data in (b"\xff", b"[1]"):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                stranger.sendto(data, ("127.0.0.1", other.port))
            self.assertIsNone(other.receive(SECONDS))
        with self.assertRaisesRegex(ValueError, "of [0-9]+ bytes is too large for a datagram .*--reach"):
            one.send({"actions": [[0.0] * 50] * 500}, other.port)
        one.send({"hello": True}, other.port)
        self.assertEqual(other.receive(SECONDS), ({"hello": True}, one.port))

    def test_rows_whose_frames_never_came_are_dropped_and_counted(self):
        recorder = Recorder()
        for tick in (0, 1, 2, 5, 6, 7):
            recorder.add([{"tick": tick, "observation": [tick, 0, 0], "action": [0.5], "reward": tick,
                           "source": "human" if tick == 7 else "plan"}])
        recorder.plans[5] = Plan(None, numpy.array([0.25]), numpy.array([2.0]), 7.0, (1, 1))
        recorder.plans[6] = recorder.plans[5]
        self.assertEqual(recorder.write(self.folder / "rows", 8)[:2], (4, 4))
        rows = tensor_file.load(self.folder / "rows.safetensors")
        self.assertEqual(rows["observations"][:, 0].tolist(), [0, 1, 5, 6])
        self.assertEqual(rows["rewards"].tolist(), [1, 2, 6, 7])
        self.assertEqual(rows["episode_starts"].tolist(), [0, 2])
        self.assertEqual(rows["final_observations"][:, 0].tolist(), [2, 7])
        self.assertEqual(rows["has_plan"].tolist(), [False, False, True, False])
        self.assertEqual((rows["plan_mean"][2, 0], rows["plan_std"][2, 0], rows["plan_value"][2]), (0.25, 2, 7))
        lines = (self.folder / "rows.csv").read_text().split()
        self.assertEqual(lines[1:], ["0,plan,stored", "1,plan,stored", "2,unknown,dropped", "3,unknown,dropped",
                                     "4,plan,dropped", "5,plan,stored", "6,human,stored", "7,unknown,dropped"])


if __name__ == "__main__":
    unittest.main()
