"""pompc train on a disk that fills and is freed again, or that cannot be written: nothing is lost that fits, and what
does not is said. Mounts a small disk in a mount namespace of the test's own."""

import contextlib
import csv
import ctypes
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from program import Train, run

# Episodes of ten decisions, updates of sixteen windows.
SMALL = ["--preset", "quickstart", "--set", "env.action_repeat=100", "--set", "learner.seed_rows=60",
         "--set", "learner.pretrain_updates=10", "--set", "learner.batch_size=16", "--set", "replay.min_rows=30",
         "--set", "learner.checkpoint_every_updates=20", "--set", "learner.log_every_updates=5",
         "--set", "evaluation.every_rows=250", "--set", "evaluation.episodes=1", "--set", "stop.return_mean=0",
         "--set", "stop.max_rows=1000000"]

CLONE_NEWNS, CLONE_NEWUSER, MS_REC, MS_PRIVATE = 0x20000, 0x10000000, 0x4000, 1 << 18
LIBC = ctypes.CDLL(None, use_errno=True)


def enter_namespace():
    """Whether mounts of this process are its own now."""
    user, group = os.getuid(), os.getgid()
    if user == 0:
        if LIBC.unshare(CLONE_NEWNS) != 0:
            return False
    else:
        if LIBC.unshare(CLONE_NEWNS | CLONE_NEWUSER) != 0:
            return False
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
            pathlib.Path("/proc/self", name).write_text(text, encoding="utf-8")
    return LIBC.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None) == 0


if not enter_namespace():
    print("skipped: this system lets no disk be mounted for the test (root, or user namespaces, are needed)")
    sys.exit(77)


class FullDiskTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.logs = pathlib.Path(folder.name)
        self.disk = self.logs / "disk"
        self.disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160m", "tmpfs", self.disk], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", self.disk], check=True)
        self.run_dir = self.disk / "run"

    def fill(self):
        # To the last byte of the last page.
        for size in (1 << 20, 1 << 12, 1):
            with contextlib.suppress(OSError), open(self.disk / "filler", "ab", buffering=0) as filler:
                while True:
                    filler.write(bytes(size))

    def free(self):
        os.remove(self.disk / "filler")

    def start(self, *arguments):
        process = Train("train", self.logs, "--run-dir", str(self.run_dir), *arguments)
        self.addCleanup(process.kill)
        return process

    def await_that(self, process, condition, what):
        give_up = time.monotonic() + 60
        while not condition():
            self.assertIsNone(process.popen.poll(), process.log.read_text())
            self.assertLess(time.monotonic(), give_up, f"no {what}: " + process.log.read_text())
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.popen.wait(timeout=0.05)

    def failed(self, process):
        return process.metrics()["pompc_learner_checkpoints_total"].get('result="failed"', 0)

    def end(self, process):
        process.popen.send_signal(signal.SIGINT)
        return process.popen.wait(timeout=60), process.log.read_text()

    def rows(self, name):
        with open(self.run_dir / name, encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def checkpoints(self):
        return sorted(path.name for path in (self.run_dir / "checkpoints").glob("update-*"))

    def begin(self):
        """A run whose best checkpoint is there, on a disk that is then filled."""
        process = self.start(*SMALL)
        self.await_that(process, (self.run_dir / "checkpoints" / "best").exists, "best checkpoint")
        self.fill()
        return process

    def test_a_disk_that_was_full_for_a_moment_costs_nothing_that_counts(self):
        process = self.begin()
        full = len(self.rows("evaluations.csv"))
        # Those that are evaluated and the periodic ones.
        self.await_that(process, lambda: self.failed(process) >= 4, "failed checkpoint")
        self.free()
        self.await_that(process, lambda: len(self.rows("evaluations.csv")) > full + 1, "evaluation")
        self.await_that(process, lambda: not process.total("pompc_learner_checkpoints_waiting"), "room for checkpoints")
        status, log = self.end(process)
        self.assertEqual(status, 0, log)

        results = self.rows("evaluations.csv")
        self.assertEqual([int(row["evaluation_id"]) for row in results], list(range(1, len(results) + 1)))
        self.assertTrue(all(None not in row.values() and None not in row for row in results), results)
        updates = [int(row["update"]) for row in self.rows("metrics.csv")]
        self.assertEqual(updates, list(range(5, updates[-1] + 1, 5)))
        # The best of those that exist.
        returns = {}
        for row in results:
            name = f"update-{int(row['updates']):09d}"
            returns[name] = max(float(row["return_mean"]), returns.get(name, 0))
        best = max((name for name in self.checkpoints() if name in returns), key=lambda name: returns[name])
        self.assertEqual(returns[best], max(returns.values()), "the checkpoint of the best evaluation was written")
        link = os.readlink(self.run_dir / "checkpoints" / "best")
        self.assertEqual(returns[link], returns[best])
        self.assertIn(f"checkpoints/{link}, return", log)
        self.assertIn(f"checkpoints/{self.checkpoints()[-1]}\n", log)
        played = run("evaluate", "--run-dir", str(self.run_dir), "--episodes", "1")
        self.assertIn(f"checkpoints/{link}: ", played.stdout)

        # Damage to the best one: the next best is taken, and that is said.
        with open(self.run_dir / "checkpoints" / link / "state.json", "a", encoding="utf-8") as file:
            file.write(" ")
        played = run("evaluate", "--run-dir", str(self.run_dir), "--episodes", "1")
        self.assertEqual(played.returncode, 0, played)
        self.assertNotIn(f"checkpoints/{link}: ", played.stdout)
        self.assertIn(link, played.stderr)
        self.assertIn("is damaged", played.stderr)

    def test_a_last_checkpoint_without_room_is_an_error_and_the_run_goes_on_later(self):
        process = self.begin()
        self.await_that(process, lambda: self.failed(process) >= 1, "failed checkpoint")
        newest = self.checkpoints()[-1]
        status, log = self.end(process)
        self.assertEqual(status, 1, log)
        last = log.splitlines()[-1]
        for words in ("pompc train: ", "the last checkpoint, of update ", "No space left on device",
                      f"the newest is of update {int(newest[7:])}"):
            self.assertIn(words, last)
        self.assertNotIn("go on with", log)

        # To begin at all it needs room, and says for what. What failed may have left some.
        self.fill()
        refused = run("train", "--run-dir", str(self.run_dir))
        self.assertEqual(refused.returncode, 1, refused)
        self.assertIn("No space left on device", refused.stderr)
        self.assertIn(str(self.run_dir), refused.stderr)
        self.assertNotIn("another learner", refused.stderr)
        self.free()
        process = self.start()
        self.await_that(process, lambda: self.checkpoints()[-1] > newest, "newer checkpoint")
        status, log = self.end(process)
        self.assertEqual(status, 0, log)

    def test_a_disk_that_cannot_be_written_is_no_other_learner(self):
        self.fill()
        refused = run("train", "--run-dir", str(self.run_dir), *SMALL)
        self.assertEqual(refused.returncode, 1, refused)
        self.assertRegex(refused.stderr, rf"\Apompc train: .*{self.run_dir}.*No space left on device\n\Z")
        self.free()
        shutil.rmtree(self.run_dir, ignore_errors=True)
        self.run_dir.mkdir()
        subprocess.run(["mount", "-o", "remount,ro", self.disk], check=True)
        refused = run("train", "--run-dir", str(self.run_dir), *SMALL)
        self.assertEqual(refused.returncode, 1, refused)
        self.assertRegex(refused.stderr, rf"\Apompc train: .*{self.run_dir}.*Read-only file system\n\Z")


if __name__ == "__main__":
    unittest.main()
