"""schedule: LOCKSTEP: the same seed gives the same run, number by number, however busy the machine is."""

import os
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from processes import die_with_parent, free_ports  # pylint: disable=wrong-import-position

BIN = os.path.join(sys.argv.pop(1), "bin")
# Episodes of ten decisions in two environments, rows in two shards, plans made anew, values every few updates.
SMALL = ["--preset", "quickstart", "--set", "schedule=LOCKSTEP", "--set", "env.action_repeat=100",
         "--set", "learner.seed_rows=60", "--set", "learner.pretrain_updates=10", "--set", "learner.batch_size=16",
         "--set", "learner.utd=1",
         "--set", "learner.log_every_updates=3", "--set", "learner.reanalyze.every_updates=7",
         "--set", "planner.samples=32", "--set", "replay.min_rows=30", "--set", "evaluation.every_rows=50",
         "--set", "stop.return_mean=0", "--set", "stop.max_rows=161"]


def program(name, *arguments):
    return subprocess.run([os.path.join(BIN, name), *arguments], capture_output=True, text=True, timeout=200,
                          check=False)


def content(*path):
    with open(os.path.join(*path), "rb") as file:
        return file.read()


class LockstepTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def train(self, name, *arguments):
        """Metrics, evaluations and the last checkpoint's numbers of a run."""
        run_dir = os.path.join(self.folder, name)
        done = program("pompc", "train", "--run-dir", run_dir, *SMALL, *arguments)
        self.assertEqual(done.returncode, 0, done)
        checkpoints = os.path.join(run_dir, "checkpoints")
        newest = max(entry for entry in os.listdir(checkpoints) if entry.startswith("update-"))
        return (content(run_dir, "metrics.csv"), content(run_dir, "evaluations.csv"),
                content(checkpoints, newest, "updater.safetensors"))

    def busy(self):
        process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)

    def test_the_same_seed_gives_the_same_run(self):
        first = self.train("first", "--seed", "5")
        # 161 rows in turns of two, 10 updates before and one for each row after the 60th.
        self.assertEqual(first[0].splitlines()[-1].split(b",")[:2], [b"111", b"162"])
        # The first milestone lies in the seed phase; the last evaluation is of the end.
        self.assertEqual([line.split(b",")[2] for line in first[1].splitlines()[1:]], [b"60", b"100", b"150", b"162"])
        self.assertEqual(self.train("second", "--seed", "5"), first)
        other = self.train("third", "--seed", "6")
        for mine, theirs in zip(first, other):
            self.assertNotEqual(mine, theirs)

    def test_a_busy_machine_changes_nothing(self):
        first = self.train("first", "--seed", "5")
        for _ in range(3):
            self.busy()
        self.assertEqual(self.train("second", "--seed", "5"), first)

    def planner(self, **environment):
        """The address of a planner that serves runs of others."""
        (port,) = free_ports(1)
        process = subprocess.Popen(
            [os.path.join(BIN, "pompc-planner"), "--listen", f"127.0.0.1:{port}", "--accept-runs", "--threads", "2",
             "--metrics-listen", "127.0.0.1:0"],
            stderr=subprocess.DEVNULL, env={**os.environ, **environment}, preexec_fn=die_with_parent)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return f"127.0.0.1:{port}"

    def test_planners_of_other_processes_change_nothing(self):
        first = self.train("first", "--seed", "5")
        planner = self.planner()
        # Another run has its plans of it meanwhile.
        other = subprocess.Popen([os.path.join(BIN, "pompc"), "train", "--run-dir", os.path.join(self.folder, "other"),
                                  *SMALL, "--seed", "6", "--planners", planner], stdout=subprocess.DEVNULL)
        try:
            second = self.train("second", "--seed", "5", "--planners", planner)
        finally:
            self.assertEqual(other.wait(200), 0)
        self.assertEqual(second, first)
        # Both have gone, and left room for others.
        self.assertEqual(len(program("pompc", "planner", "runs", "--planners", planner).stdout.splitlines()), 1)

    def test_planners_that_compute_otherwise_are_refused(self):
        planner = self.planner(POMPC_INSTRUCTIONS="BASELINE")
        run_dir = os.path.join(self.folder, "run")
        done = program("pompc", "train", "--run-dir", run_dir, *SMALL, "--planners", planner)
        self.assertEqual(done.returncode, 1, done)
        self.assertRegex(done.stderr, f"--planners: {planner} computes with \"pompc .*BASELINE.*, this process with \"pompc .*"
                                      "a run of schedule LOCKSTEP could not be repeated")
        self.assertFalse(os.path.exists(run_dir))

    def test_separate_processes_refuse_it(self):
        done = program("pompc-learner", "--run-dir", os.path.join(self.folder, "run"), "--replay", "127.0.0.1:1",
                       "--listen", "127.0.0.1:0", *SMALL)
        self.assertEqual(done.returncode, 2, done)
        self.assertIn("schedule: LOCKSTEP is for runs in one process (`pompc train`); allowed elsewhere: CONCURRENT",
                      done.stderr)
        self.assertFalse(os.path.exists(os.path.join(self.folder, "run")))


if __name__ == "__main__":
    unittest.main()
