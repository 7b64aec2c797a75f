"""pompc train from the first row to the learning curve, interrupted and resumed, on a run of seconds."""

import csv
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request
import xml.etree.ElementTree

from program import POMPC, run, run_with

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import metrics_table

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

    def start(self, *arguments, **options):
        return subprocess.Popen([POMPC, "train", "--run-dir", self.run_dir, *arguments], text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)

    def await_line(self, process, text):
        for line in process.stdout:
            if text in line:
                return line
        self.fail(f"ended without {text!r}: {process.communicate()}")

    def test_run_to_its_limit_leaves_everything_behind(self):
        done = run("train", "--run-dir", self.run_dir, *SMALL, "--set", "stop.max_rows=200")
        self.assertEqual(done.returncode, 0, done)
        self.assertIn("FINISHED", done.stdout)
        self.assertEqual(done.stderr, "")
        evaluations = self.rows("evaluations.csv")
        self.assertGreaterEqual(len(evaluations), 1)
        self.assertGreaterEqual(float(evaluations[-1]["return_mean"]), 0)
        self.assertIn("all 200 rows are stored", done.stdout)
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
        other = run("evaluate", "--run-dir", self.run_dir, "--episodes", "3", "--seed", "5", "--set", "planner.method=CEM")
        self.assertEqual(other.returncode, 0, other.stderr)
        self.assertNotIn(other.stdout, (first.stdout, policy.stdout))
        refused = run("evaluate", "--run-dir", self.run_dir, "--set", "learner.utd=2")
        self.assertEqual((refused.returncode, "learner.utd=2" in refused.stderr), (2, True), refused)

        more = run("train", "--run-dir", self.run_dir, "--set", "stop.max_rows=300")
        self.assertEqual(more.returncode, 0, more)
        self.assertGreaterEqual(int(self.rows("evaluations.csv")[-1]["rows"]), 300)
        self.assertEqual(self.rows("evaluations.csv")[0], evaluations[0])

        status = run("status", "--run-dir", self.run_dir)
        self.assertEqual(status.returncode, 0, status)
        self.assertRegex(status.stdout, r"progress +\d+ rows, [\d,]+ updates, after")

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

    def check_pages(self, address):
        """One process serves what all roles serve, and the health of the run."""
        def get(page):
            with urllib.request.urlopen(address + page, timeout=20) as reply:
                return reply.read().decode()
        table = metrics_table
        self.assertEqual(table.differences(get("metrics"), table.EVERY, table.ACTOR, table.PLANNER, table.REPLAY,
                                           table.LEARNER), [])
        self.assertEqual(get("healthz"), "ok\n")

    def test_interrupt_ends_with_a_checkpoint_and_the_run_goes_on(self):
        process = self.start(*SMALL, "--set", "stop.max_rows=1000000", "--listen", "127.0.0.1:0")
        pages = re.search(r"status page (http://\S+/)", self.await_line(process, "status page"))[1]
        self.await_line(process, "TRAINING")
        self.check_pages(pages)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, (out, err))
        self.assertIn("resume with: pompc train --run-dir " + self.run_dir, out)
        self.assertTrue(any(name.startswith("update-") for name in os.listdir(self.file("checkpoints"))))

        process = self.start()
        self.await_line(process, "TRAINING")
        other = run("train", "--run-dir", self.run_dir)
        self.assertEqual(other.returncode, 1, other)
        self.assertIn(self.run_dir, other.stderr)
        process.kill()
        process.communicate(timeout=60)


    def rows_of_shards(self, address):
        """Rows that the shards accepted and rows that they store, and those that the learner counts."""
        with urllib.request.urlopen(address + "metrics", timeout=20) as reply:
            lines = reply.read().decode().splitlines()
        return [sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))
                for name in ("pompc_replay_accepted_rows_total{", "pompc_replay_stored_rows{", "pompc_learner_rows_total")]

    def test_a_run_that_is_killed_resumes_with_all_its_rows(self):
        """Rows that were there before SIGKILL are there afterwards, are counted once, and nothing is refilled."""
        settings = [*SMALL, "--set", "replay.min_rows=60", "--set", "stop.max_rows=1000000"]
        accepted = stored = 0
        for start in range(3):
            process = self.start(*(settings if start == 0 else []))
            self.addCleanup(process.wait)
            self.addCleanup(process.kill)
            address = re.search(r"status page (http://\S+/)", self.await_line(process, "status page"))[1]
            now = self.rows_of_shards(address)
            self.assertGreaterEqual(now[0], accepted, f"start {start}")
            self.assertGreaterEqual(now[1], stored, f"start {start}")
            self.await_line(process, "TRAINING")
            accepted, stored, counted = self.rows_of_shards(address)
            self.assertGreaterEqual(accepted, 60)
            self.assertEqual(accepted, stored, "nothing is evicted yet")
            self.assertLessEqual(counted, self.rows_of_shards(address)[0], "the learner counts no row twice")
            process.kill()
            process.communicate(timeout=60)
        last = run("train", "--run-dir", self.run_dir, "--set", f"stop.max_rows={int(accepted) + 50}")
        self.assertEqual(last.returncode, 0, last)
        self.assertIn(f"all {int(accepted) + 50} rows are stored", last.stdout)

    def test_a_run_without_rows_on_disk_refills_replay(self):
        process = self.start(*SMALL, "--set", "replay.durability=MEMORY", "--set", "stop.max_rows=1000000")
        self.await_line(process, "TRAINING")
        process.kill()
        process.communicate(timeout=60)
        self.assertFalse(os.path.exists(self.file("replay")))
        process = self.start()
        self.await_line(process, "TRAINING")
        process.kill()
        process.communicate(timeout=60)

    def ends_with_a_checkpoint(self, number, reason):
        process = self.start(*SMALL, "--set", "stop.max_rows=1000000")
        self.await_line(process, "TRAINING")
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, (out, err))
        self.assertIn(f"{reason}: stopping with a checkpoint", out)
        self.assertTrue(any(name.startswith("update-") for name in os.listdir(self.file("checkpoints"))))

    def test_hangup_ends_with_a_checkpoint(self):
        self.ends_with_a_checkpoint(signal.SIGHUP, "told to end by SIGHUP")

    def test_the_limit_of_cpu_time_ends_with_a_checkpoint(self):
        self.ends_with_a_checkpoint(signal.SIGXCPU, "CPU time limit (ulimit -t) reached")

    def test_nohup_keeps_the_run(self):
        process = self.start(*SMALL, "--set", "stop.max_rows=1000000",
                             preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
        self.await_line(process, "TRAINING")
        process.send_signal(signal.SIGHUP)
        self.await_line(process, "TRAINING")
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, (out, err))

    def test_a_folder_whose_name_is_no_text_and_output_that_nobody_gets(self):
        self.run_dir = os.path.join(os.path.dirname(self.run_dir), os.fsdecode(b"run-\xe4\xff"))
        with open("/dev/full", "w", encoding="utf-8") as full:
            done = run_with({"stdout": full}, "train", "--run-dir", self.run_dir, *SMALL, "--set", "stop.max_rows=100")
        self.assertEqual(done.returncode, 0, done)
        lines = done.stderr.splitlines()
        self.assertEqual(len(lines), 1, lines)
        self.assertIn("standard output: No space left on device; the run is in " + self.run_dir, lines[0])
        self.assertTrue(os.path.isdir(self.file("checkpoints/best")))
        more = run("train", "--run-dir", self.run_dir, "--set", "stop.max_rows=150")
        self.assertEqual(more.returncode, 0, more)
        self.assertIn("FINISHED", more.stdout)

    def test_files_that_may_not_grow_end_the_run_with_their_names(self):
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
        done = run_with({"preexec_fn": limit}, "train", "--run-dir", self.run_dir, *SMALL, "--set", "stop.max_rows=200")
        self.assertEqual(done.returncode, 1, done)
        # No checkpoint of this run is so small; without the first one it does not begin.
        self.assertRegex(done.stderr.splitlines()[-1],
                         rf"^pompc train: learner: the checkpoint before the first version, .* could not be written .*"
                         rf"{re.escape(self.run_dir)}/checkpoints/.*: File too large$")


class DefaultFolderTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def test_runs_of_the_same_second_have_folders_of_their_own(self):
        # Others that started in this second, or in the next two minutes.
        now = int(time.time())
        taken = ["runs/cartpole-swingup-" + time.strftime("%Y%m%d-%H%M%S", time.localtime(now + i)) for i in range(120)]
        for name in taken:
            os.makedirs(os.path.join(self.folder, name))
        process = subprocess.Popen([POMPC, "train", *SMALL], text=True, stdout=subprocess.PIPE, cwd=self.folder)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        line = process.stdout.readline()
        made = re.match("run directory (runs/[^,]*)", line)
        self.assertTrue(made, line)
        self.assertIn(made[1].removesuffix("-2"), taken)
        self.assertNotIn(made[1], taken)

    def test_a_task_that_another_program_steps_is_refused_before_anything_begins(self):
        spec = ["observation_size=2", "action_size=1", "episode_decisions=10"]
        external = [part for field in ["task=external", *(f"spec.{field}" for field in spec)]
                    for part in ("--set", "env." + field)]
        for arguments in ([], ["--run-dir", "run"]):
            done = run_with({"cwd": self.folder}, "train", *SMALL, *external, *arguments)
            self.assertEqual(done.returncode, 2, done)
            self.assertEqual(done.stdout, "")
            self.assertEqual(len(done.stderr.splitlines()), 1, done)
            for text in ("scripts/local-cluster.sh --actor-command", "docs/external-environments.md"):
                self.assertIn(text, done.stderr)
            self.assertEqual(os.listdir(self.folder), [])

    def test_a_start_that_fails_leaves_none(self):
        done = run_with({"cwd": self.folder}, "train", *SMALL, "--device", "abacus")
        self.assertEqual(done.returncode, 2, done)
        self.assertEqual(os.listdir(os.path.join(self.folder, "runs")), [])


if __name__ == "__main__":
    unittest.main()
