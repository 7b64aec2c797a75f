"""pompc train from the first row to the learning curve, interrupted and gone on with, on a run of seconds."""

import csv
import os
import signal
import subprocess
import tempfile
import unittest
import xml.etree.ElementTree

from program import POMPC, run

# Episodes of ten decisions, updates of sixteen windows.
SMALL = ["--preset", "quickstart", "--set", "env.action_repeat=100", "--set", "learner.seed_rows=60",
         "--set", "learner.pretrain_updates=10", "--set", "learner.batch_size=16", "--set", "replay.min_rows=30",
         "--set", "evaluation.every_rows=50", "--set", "stop.return_mean=0"]


class TrainTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.run_dir = os.path.join(folder.name, "run")

    def file(self, name):
        return os.path.join(self.run_dir, name)

    def rows(self, name):
        with open(self.file(name), encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def start(self, *arguments):
        return subprocess.Popen([POMPC, "train", "--run-dir", self.run_dir, *arguments], text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def await_line(self, process, text):
        for line in process.stdout:
            if text in line:
                return
        self.fail(f"ended without {text!r}: {process.communicate()}")

    def test_run_to_its_limit_leaves_everything_behind(self):
        done = run("train", "--run-dir", self.run_dir, *SMALL, "--set", "stop.max_rows=200")
        self.assertEqual(done.returncode, 0, done)
        self.assertIn("FINISHED", done.stdout)
        self.assertEqual(done.stderr, "")
        evaluations = self.rows("evaluations.csv")
        self.assertGreaterEqual(len(evaluations), 1)
        self.assertGreaterEqual(float(evaluations[-1]["return_mean"]), 0)
        self.assertIn("all 200 rows are there", done.stdout)
        self.assertGreater(len(self.rows("metrics.csv")), 0)
        self.assertEqual(len(self.rows("metrics.csv")), len(self.rows("timings.csv")))
        xml.etree.ElementTree.parse(self.file("learning_curve.svg"))
        self.assertTrue(os.path.isdir(self.file("checkpoints/best")))

        first = run("evaluate", "--run-dir", self.run_dir, "--episodes", "3", "--seed", "5")
        self.assertEqual(first.returncode, 0, first)
        self.assertIn("mean return", first.stdout)
        self.assertEqual(first.stdout, run("evaluate", "--run-dir", self.run_dir, "--episodes", "3", "--seed", "5").stdout)
        policy = run("evaluate", "--run-dir", self.run_dir, "--episodes", "3", "--seed", "5", "--policy")
        self.assertEqual(policy.returncode, 0, policy.stderr)
        self.assertIn("mean return", policy.stdout)
        self.assertNotEqual(policy.stdout, first.stdout)

        more = run("train", "--run-dir", self.run_dir, "--set", "stop.max_rows=300")
        self.assertEqual(more.returncode, 0, more)
        self.assertGreaterEqual(int(self.rows("evaluations.csv")[-1]["rows"]), 300)
        self.assertEqual(self.rows("evaluations.csv")[0], evaluations[0])

        status = run("status", "--run-dir", self.run_dir)
        self.assertEqual(status.returncode, 0, status)
        self.assertRegex(status.stdout, r"progress +at \d+ rows, [\d,]+ updates, after")

        # Pure imitation has other networks; the refused start changes nothing.
        other = run("train", "--run-dir", self.run_dir, "--set", "po_mpc.alpha=1", "--set", "stop.max_rows=400")
        self.assertEqual(other.returncode, 1, other)
        self.assertIn("po_mpc (alpha", other.stderr)
        for setting, named in (("env.task=pendulum-swingup", 'env.task: "cartpole-swingup", now "pendulum-swingup"'),
                               ("env.action_repeat=50", "env.action_repeat: 100, now 50")):
            other = run("train", "--run-dir", self.run_dir, "--set", setting)
            self.assertEqual(other.returncode, 1, other)
            self.assertIn(named, other.stderr)
            self.assertNotIn("env.spec", other.stderr)
        again = run("train", "--run-dir", self.run_dir)
        self.assertEqual(again.returncode, 0, again)

        # A config that was cut off is not filled up with the defaults.
        with open(self.file("config.textproto"), encoding="utf-8") as file:
            text = file.read()
        for part in ("", text[:text.index("learner {")]):
            with open(self.file("config.textproto"), "w", encoding="utf-8") as file:
                file.write(part)
            for command in ("train", "status"):
                cut = run(command, "--run-dir", self.run_dir)
                self.assertEqual(cut.returncode, 1, cut)
                self.assertIn("config.textproto", cut.stderr)

    def test_interrupt_ends_with_a_checkpoint_and_the_run_goes_on(self):
        process = self.start(*SMALL, "--set", "stop.max_rows=1000000", "--listen", "127.0.0.1:0")
        self.await_line(process, "TRAINING")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, (out, err))
        self.assertIn("go on with: pompc train --run-dir " + self.run_dir, out)
        self.assertTrue(any(name.startswith("update-") for name in os.listdir(self.file("checkpoints"))))

        process = self.start()
        self.await_line(process, "TRAINING")
        other = run("train", "--run-dir", self.run_dir)
        self.assertEqual(other.returncode, 1, other)
        self.assertIn(self.run_dir, other.stderr)
        process.kill()
        process.communicate(timeout=60)


if __name__ == "__main__":
    unittest.main()
