#!/usr/bin/env python3
"""What callers give the package that cannot be used, and files of runs that are damaged: each is Refused or Failed with
words of the package's own, and nothing is computed from it in silence."""

import json
import math
import pathlib
import sys
import tempfile
import unittest
import unittest.mock

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent.parent / "python"), str(HERE.parent / "support")]
from needs import needs

needs("grpc", "google.protobuf", "numpy")
import grpc
import numpy

import pompc.track
from in_process import InProcessTest
from pompc import Failed, Refused, wire
from pompc import messages as proto


class PlannerTest(InProcessTest):
    def planner(self, addresses, **more):
        made = pompc.Planner(addresses, **more)
        self.addCleanup(made.close)
        return made

    def test_addresses_and_settings(self):
        run = self.run_with()
        for addresses in (5, None, "", [], [5], "127.0.0.1:9,127.0.0.1:9"):
            with self.subTest(addresses), self.assertRaises(Refused):
                self.planner(addresses, run="run")
        for settings in ({"run": 5}, {"seconds": 0}, {"seconds": -1}, {"seconds": math.nan}, {"seconds": "1"}):
            with self.subTest(settings), self.assertRaises(Refused):
                self.planner(run.address, **settings)

    def test_what_a_plan_is_asked_for(self):
        planner = self.planner(self.run_with().address)
        for observation in ("abc", [[1], [2, 3]], object()):
            with self.assertRaisesRegex(Refused, "an observation is no array of numbers"):
                planner.plan(observation)
        for seed in (-1, 2**64, 1.5, "1"):
            with self.assertRaisesRegex(Refused, "a seed is .*; allowed: a whole number from 0 to"):
                planner.plan([0.0, 0.0], seed=seed)
        with self.assertRaisesRegex(Refused, "the plan before is a ndarray"):
            planner.plan([0.0, 0.0], numpy.zeros((3, 1)))
        with self.assertRaisesRegex(Refused, "must be sequences"):
            planner.plan_many(3)
        self.assertEqual(len(planner.plan_many(numpy.zeros((2, 2)), [], seeds=numpy.arange(2))), 2)

    def test_what_is_closed_says_so(self):
        planner = self.planner(self.run_with().address)
        planner.close()
        with self.assertRaisesRegex(Failed, "has been closed"):
            planner.plan([0.0, 0.0])

    def test_a_server_of_another_role_is_named_as_such(self):
        with self.assertRaisesRegex(Failed, "is this the address of another role"):
            pompc.Replay(self.run_with().address)


class ReplayTest(unittest.TestCase):
    def replay(self, addresses="127.0.0.1:9"):
        info = proto.ShardInfo(mass=5) if hasattr(proto.ShardInfo, "mass") else proto.ShardInfo()
        description = proto.ShardDescription(run_id="run", shard_count=1, info=info, horizon=3)
        count = len(wire.parse_addresses(addresses))
        with unittest.mock.patch.object(pompc.Replay, "_descriptions", return_value=[description] * count):
            made = pompc.Replay(addresses)
        self.addCleanup(made.close)
        return made

    def test_a_shard_is_read_once(self):
        with self.assertRaisesRegex(Refused, "'127.0.0.1:9' is given twice"):
            self.replay("127.0.0.1:9,127.0.0.1:9")
        with self.assertRaisesRegex(Failed, "2 shards are named, and run run has 1"):
            self.replay("127.0.0.1:9,localhost:9")

    def test_numbers(self):
        replay = self.replay()
        for count in (0, -1, 1.5, "3", None):
            with self.subTest(count), self.assertRaisesRegex(Refused, "the number of windows is"):
                replay.sample(count)
        with self.assertRaisesRegex(Refused, "seed is -1"):
            replay.sample(1, seed=-1)
        for name, number in (("actor", -1), ("environment", 2**32), ("episode", 1.5)):
            with self.assertRaisesRegex(Refused, f"{name} is "):
                replay.rows(**{name: number})

    def test_a_file_that_cannot_be_written(self):
        replay = self.replay()
        with (unittest.mock.patch.object(replay, "rows", return_value={"rewards": numpy.zeros(1, numpy.float32)}),
              self.assertRaisesRegex(Failed, "cannot write /dev/null/rows: Not a directory")):
            replay.export("/dev/null/rows")


class RunTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "run.json").write_text(json.dumps({"run_id": "the-run"}))

    def test_what_is_no_run(self):
        for where in (None, 5, "nowhere", pathlib.Path("nowhere"), self.folder / "run.json"):
            with self.subTest(where), self.assertRaises(Refused):
                pompc.Run(where)

    def test_files_that_are_damaged(self):
        for text in ("", '{"addr', "[1]", "{}", '{"address": 5}'):
            (self.folder / "learner.json").write_text(text)
            with self.subTest(text), self.assertRaisesRegex(Failed, "learner.json is damaged: it names no address"):
                pompc.Run(self.folder)
        (self.folder / "learner.json").unlink()
        run = pompc.Run(self.folder)
        (self.folder / "run.json").write_text("{")
        with self.assertRaisesRegex(Failed, "run.json is damaged"):
            run.run_id()
        with self.assertRaisesRegex(Failed, "config.textproto: No such file"):
            run.config()
        (self.folder / "evaluations.csv").write_bytes(b"\xff\xfe\n1\n")
        with self.assertRaisesRegex(Failed, "evaluations.csv is no text"):
            run.evaluations()

    def test_a_run_without_evaluations_has_their_columns_where_pandas_is(self):
        class Frames:
            @staticmethod
            def DataFrame(rows, columns):
                return rows, columns
        with unittest.mock.patch.dict(sys.modules, pandas=Frames):
            rows, columns = pompc.Run(self.folder).evaluations()
            self.assertEqual((rows, columns[:3]), ([], ["evaluation_id", "version", "rows"]))
            (self.folder / "evaluations.csv").write_text("rows,return_mean\n1,2.5\n2")
            self.assertEqual(pompc.Run(self.folder).evaluations(),
                             ([{"rows": 1, "return_mean": 2.5}], ["rows", "return_mean"]))

    def test_a_table_of_something_else_is_not_tracked(self):
        class Sink:
            def log(self, update, values):
                pass

            def close(self):
                pass
        (self.folder / "metrics.csv").write_text("x,y\n1,2\n")
        with self.assertRaisesRegex(Failed, "metrics.csv has no column update"):
            pompc.track.follow(self.folder, Sink(), once=True)
        (self.folder / "metrics.csv").write_text("update,y\nx,2\n")
        with self.assertRaisesRegex(Failed, "update is 'x' and no whole number"):
            pompc.track.follow(self.folder, Sink(), once=True)
        with self.assertRaisesRegex(Refused, r"has no log\(update, values\) and close\(\)"):
            pompc.track.follow(self.folder, object(), once=True)


class WordsTest(unittest.TestCase):
    def test_what_an_error_says_is_kept(self):
        error = unittest.mock.Mock()
        error.code.return_value, error.details.return_value = grpc.StatusCode.UNIMPLEMENTED, "not here"
        self.assertEqual(wire.words(error), "UNIMPLEMENTED: not here; is this the address of another role?")
        error.details.return_value = ""
        self.assertEqual(wire.words(error), "UNIMPLEMENTED: no such call; is this the address of another role?")


if __name__ == "__main__":
    unittest.main()
