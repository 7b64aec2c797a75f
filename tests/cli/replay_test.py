"""pompc replay and data sets: rows go out of running shards and into others, and runs learn from them."""

import csv
import json
import os
import pathlib
import sys
import tempfile
import threading
import unittest

try:
    import numpy
except ImportError:
    print("skipped: NumPy is missing (apt-get install python3-numpy)")
    sys.exit(77)

from program import BUILD, output, run
from processes import Process, free_ports  # found by the way of program.py

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "scripts"))
import tensor_file

# Episodes of ten decisions, updates of sixteen windows of cartpole-swingup, which has five numbers to observe.
OFFLINE = ["--preset", "quickstart", "--offline", "--set", "env.action_repeat=100", "--set", "learner.batch_size=16",
           "--set", "planner.samples=32", "--set", "evaluation.every_updates=20", "--set", "evaluation.episodes=1",
           "--set", "stop.return_mean=0", "--set", "learner.log_every_updates=5"]
OBSERVATION, ACTION = 5, 1


def demonstrations(lengths, seed=1):
    """A data set as docs/datasets.md makes one, with as little as it may have and the final observations."""
    rng = numpy.random.default_rng(seed)
    rows = sum(lengths)
    return {
        "observations": rng.normal(size=(rows, OBSERVATION)).astype(numpy.float32),
        "actions": rng.uniform(-1, 1, (rows, ACTION)).astype(numpy.float32),
        "rewards": rng.uniform(0, 1, rows).astype(numpy.float32),
        "terminated": numpy.zeros(rows, bool),
        "episode_starts": numpy.cumsum([0] + lengths[:-1]),
        "final_observations": rng.normal(size=(len(lengths), OBSERVATION)).astype(numpy.float32),
    }


def episodes(data):
    """The rows of a data set by episodes, as tuples of bytes in no order."""
    bounds = [*data["episode_starts"], len(data["rewards"])]
    columns = ("observations", "actions", "rewards")
    return sorted(tuple(data[name][begin:end].tobytes() for name in columns) +
                  (bytes(data["terminated"][begin:end].astype(bool)), data["final_observations"][i].tobytes())
                  for i, (begin, end) in enumerate(zip(bounds, bounds[1:])))


class DataSetTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def file(self, name):
        return str(self.folder / name)

    def write(self, name, arrays):
        tensor_file.save(self.file(name), arrays)
        return self.file(name)

    def start(self, name, *arguments):
        process = Process(name, self.folder, pathlib.Path(BUILD) / "bin" / ("pompc-" + name.split("-")[0]), *arguments)
        self.addCleanup(process.kill)
        return process

    def start_run(self, files, data=None):
        """Two shards with the data sets, for as long as the test lasts; their addresses. With `data`, their rows are
        in the folders that they would have in a run directory of this name."""
        addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
        for i, address in enumerate(addresses):
            folder = ["--data-dir", self.file(f"{data}/replay/shard-{i}")] if data else []
            self.start(f"replay-{i}", "--listen", address, *folder)
        (port,) = free_ports(1)
        learner = self.start("learner", "--listen", f"127.0.0.1:{port}", "--replay", ",".join(addresses), "--run-dir",
                             self.file("run"), *(word for word in OFFLINE if word != "--offline"), "--set",
                             "schedule=OFFLINE", "--set", "replay.import=" + files, "--set", "stop.max_minutes=10",
                             "--set", "evaluation.every_updates=0")
        for _ in range(600):
            if "pompc_learner_updates_total" in learner.scrape() and \
                    sum(learner.metrics()["pompc_learner_updates_total"].values()) > 0:
                return ",".join(addresses)
            self.assertIsNone(learner.popen.poll(), learner.log.read_text())
            threading.Event().wait(0.1)
        self.fail("no update was made: " + learner.log.read_text())

    def test_rows_go_into_shards_and_out_of_them(self):
        lengths = [10, 25, 3, 40, 7]
        given = demonstrations(lengths)
        where = self.start_run(self.write("demos.safetensors", given))

        shards = [json.loads(line) for line in output("replay", "info", where, "--json").splitlines()]
        self.assertEqual([shard["shard"] for shard in shards], [0, 1])
        self.assertEqual([shard["imported_rows"] for shard in shards], [10 + 3 + 7, 25 + 40])
        self.assertEqual([shard["stored_rows"] for shard in shards], [20, 65])
        self.assertEqual({shard["accepted_rows"] for shard in shards}, {0})
        self.assertEqual({shard["task"] for shard in shards}, {"cartpole-swingup"})
        table = output("replay", "info", where)
        for text in ("cartpole-swingup", "windows", "imported", "65"):
            self.assertIn(text, table)

        listed = [json.loads(line) for line in output("replay", "episodes", where, "--json").splitlines()]
        self.assertEqual(sorted(episode["rows"] for episode in listed), sorted(lengths))
        self.assertEqual({episode["end"] for episode in listed}, {"ended"})
        third = next(episode for episode in listed if episode["rows"] == 3)
        self.assertAlmostEqual(third["return"], float(given["rewards"][35:38].sum()), places=5)
        self.assertIn("data set", output("replay", "episodes", where))

        first_shard = where.split(",")[0]
        rows = [json.loads(line) for line in
                output("replay", "rows", first_shard, "--episode", "2", "--limit", "0", "--json").splitlines()]
        self.assertEqual([row["row"] for row in rows], [0, 1, 2, 3])
        numpy.testing.assert_array_equal(numpy.float32([row["observation"] for row in rows[:3]]),
                                         given["observations"][35:38])
        numpy.testing.assert_array_equal(numpy.float32(rows[3]["final_observation"]), given["final_observations"][2])
        self.assertFalse(rows[0]["has_plan"])
        shown = output("replay", "rows", first_shard, "--from", "1", "--to", "5").splitlines()
        self.assertEqual(len(shown), 1 + 4, shown)
        self.assertEqual(len(output("replay", "rows", where).splitlines()), 1 + 20)

        self.assertIn("85 rows of 5 episodes", output("replay", "export", where, "--out", self.file("out.safetensors")))
        exported = tensor_file.load(self.file("out.safetensors"))
        self.assertEqual(episodes(exported), episodes(given))
        self.assertEqual(exported["has_plan"].sum(), 0)
        self.assertIn("25 rows of 1 episodes", output("replay", "export", where, "--episode", "1", "--out",
                                                      self.file("one.safetensors")))

        # What is there is not taken twice, under whatever name; another set is.
        again = output("replay", "import", self.file("demos.safetensors"), where)
        self.assertIn("shard 0: 0 rows imported, 20 were there already", again)
        more = self.write("more.safetensors", demonstrations([30, 20], seed=2))
        self.assertIn("shard 1: 20 rows imported", output("replay", "import", more, where))
        self.assertIn("135 rows of 7 episodes", output("replay", "export", where, "--out", self.file("all.safetensors")))

        for arguments, status, texts in (
                (["import", self.file("out.safetensors"), first_shard], 1, ["2 shards", "shard 1"]),
                (["import", self.file("none"), where], 1, ["none"]),
                (["import", self.write("bad.safetensors", {**given, "rewards": given["rewards"] * numpy.nan}), where],
                 2, ["bad.safetensors", "episode 0: row 0", "reward number 0 is nan"]),
                (["export", where, "--out", self.file("no/such/folder")], 1, ["no/such/folder"]),
                (["export", where, "--actor", "77", "--out", self.file("none")], 1, ["there are no rows"])):
            done = run("replay", *arguments)
            self.assertEqual(done.returncode, status, done)
            for text in texts:
                self.assertIn(text, done.stderr)

    def test_snapshots_are_made_while_a_run_goes_on_and_become_data_folders(self):
        given = demonstrations([10, 25, 3])
        where = self.start_run(self.write("demos.safetensors", given), data="data")
        first_shard = where.split(",")[0]

        # All shards of the run, through its learner; one of them, by its address.
        folders = [self.file(f"data/replay/shard-{i}") for i in range(2)]
        made = output("replay", "snapshot", self.file("run"), "--name", "monday").splitlines()
        self.assertEqual(made, [folder + "/snapshots/monday" for folder in folders])
        output("replay", "import", self.write("more.safetensors", demonstrations([30, 20], seed=2)), where)
        self.assertIn(folders[0] + "/snapshots/later", output("replay", "snapshot", first_shard, "--name", "later"))

        restored = output("replay", "restore", self.file("data"), self.file("copy"), "--name", "monday")
        self.assertIn("shard-0: 13 rows", restored)
        self.assertIn("shard-1: 25 rows", restored)
        output("replay", "export", self.file("copy"), "--out", self.file("out.safetensors"))
        self.assertEqual(episodes(tensor_file.load(self.file("out.safetensors"))), episodes(given))
        self.assertIn("2 episodes, from 1 of the run's 2 shards", output("replay", "export", self.file(
            "copy/replay/shard-0"), "--out", self.file("half.safetensors")))
        self.assertIn("43 rows", output("replay", "restore", folders[0], self.file("one"), "--name", "later"))
        before = json.loads(output("replay", "info", first_shard, "--json"))
        copied = json.loads(output("replay", "info", self.file("one"), "--json"))
        for key in ("stored_rows", "imported_rows", "accepted_rows", "windows"):
            self.assertEqual(copied[key], before[key], key)

        # Rows of one shard are not taken for those of all.
        os.remove(self.file("copy/replay/shard-1/CURRENT"))

        for arguments, status, texts in (
                (["info", self.file("copy")], 1, ["copy/replay/shard-1", "CURRENT is missing"]),
                (["info", self.file("nowhere")], 2, ["nowhere", "a folder that exists", "host:port"]),
                (["snapshot", self.file("run"), "--name", "monday"], 1, ["monday already"]),
                (["snapshot", first_shard, "--name", "../x"], 2, ["name of the snapshot", "allowed"]),
                (["snapshot", self.file("copy"), "--name", "x"], 1, ["no run here"]),
                (["restore", folders[0], self.file("one"), "--name", "later"], 1, ["exists", "new folder"]),
                (["restore", self.file("data"), self.file("copy"), "--name", "monday"], 1, ["exists", "new folder"]),
                (["restore", self.file("data"), self.file("third"), "--name", "later"], 1, ["no snapshot"])):
            done = run("replay", *arguments)
            self.assertEqual(done.returncode, status, done)
            for text in texts:
                self.assertIn(text, done.stderr)
        self.assertFalse(os.path.exists(self.file("third/replay/shard-0")), "all or nothing")

    def test_a_run_learns_offline_and_is_resumed(self):
        data = self.write("demos.safetensors", demonstrations([40] * 6))
        run_dir = self.file("offline")
        done = run("train", "--run-dir", run_dir, *OFFLINE, "--import", data, "--set", "stop.max_updates=45")
        self.assertEqual(done.returncode, 0, done)
        self.assertIn("all 45 updates are made", done.stdout)
        with open(os.path.join(run_dir, "evaluations.csv"), encoding="utf-8") as file:
            evaluations = list(csv.DictReader(file))
        self.assertEqual([int(row["updates"]) for row in evaluations], [20, 40, 45])
        with open(os.path.join(run_dir, "metrics.csv"), encoding="utf-8") as file:
            metrics = list(csv.DictReader(file))
        self.assertEqual([int(row["update"]) for row in metrics], list(range(5, 50, 5)))
        self.assertEqual({row["rows"] for row in metrics}, {"0"})
        self.assertEqual({float(row["planned_share"]) for row in metrics}, {0.0})

        more = run("train", "--run-dir", run_dir, "--set", "stop.max_updates=60")
        self.assertEqual(more.returncode, 0, more)
        self.assertIn("all 60 updates are made", more.stdout)
        self.assertEqual(run("evaluate", "--run-dir", run_dir, "--episodes", "1").returncode, 0)
        other = run("train", "--run-dir", run_dir, "--set", "schedule=CONCURRENT", "--set", "stop.max_updates=0")
        self.assertEqual(other.returncode, 1, other)
        self.assertIn("schedule: OFFLINE, now CONCURRENT", other.stderr)

    def test_a_run_that_acts_begins_with_a_data_set(self):
        data = self.write("demos.safetensors", demonstrations([40] * 3))
        done = run("train", "--run-dir", self.file("online"), "--preset", "quickstart", "--import", data,
                   "--set", "env.action_repeat=100", "--set", "learner.seed_rows=30",
                   "--set", "learner.pretrain_updates=10", "--set", "learner.batch_size=16",
                   "--set", "replay.min_rows=100", "--set", "planner.samples=32", "--set", "evaluation.every_rows=100",
                   "--set", "stop.return_mean=0", "--set", "stop.max_rows=100")
        self.assertEqual(done.returncode, 0, done)
        self.assertIn("all 100 rows are stored", done.stdout)
        # Its shards kept their rows in its folder.
        shards = [json.loads(line) for line in output("replay", "info", self.file("online"), "--json").splitlines()]
        self.assertEqual(sum(shard["imported_rows"] for shard in shards), 120)
        # One row more is allowed for each shard beyond the first.
        self.assertIn(sum(shard["accepted_rows"] for shard in shards), range(100, 100 + len(shards)))
        self.assertRegex(output("replay", "export", self.file("online"), "--out", self.file("out.safetensors")),
                         "22[01] rows of")
        none = run("replay", "info", str(self.folder))
        self.assertEqual(none.returncode, 1, none)
        self.assertIn("holds no rows", none.stderr)

    def test_what_cannot_be_learned_from_is_refused_before_anything_is_made(self):
        run_dir = self.file("refused")
        bad = self.write("bad.safetensors", {**demonstrations([5]), "actions": numpy.full((5, ACTION), 2, numpy.float32)})
        short = {name: array for name, array in demonstrations([5]).items() if name != "rewards"}
        for arguments, texts in (
                ([], ["replay.import"]),
                (["--import", bad], ["bad.safetensors", "episode 0: row 0: action number 0 is 2"]),
                (["--import", self.write("short.safetensors", short)], ['missing "rewards"'])):
            done = run("train", "--run-dir", run_dir, *OFFLINE, *arguments, "--set", "stop.max_updates=45")
            self.assertEqual(done.returncode, 2, done)
            for text in texts:
                self.assertIn(text, done.stderr)
            self.assertFalse(os.path.exists(run_dir))
        done = run("train", "--run-dir", run_dir, *OFFLINE, "--import", bad)
        self.assertEqual(done.returncode, 2, done)
        self.assertIn("stop.max_updates", done.stderr)


if __name__ == "__main__":
    unittest.main()
