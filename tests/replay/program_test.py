"""pompc-replay with rows on disk, seen from outside. Usage: program_test.py PROGRAM."""

import os
import re
import subprocess
import sys
import tempfile
import unittest

PROGRAM = sys.argv.pop(1)


def run(*flags):
    return subprocess.run([PROGRAM, "--listen", "127.0.0.1:0", *flags], capture_output=True, text=True, timeout=60)


class DataDirTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.data = os.path.join(folder.name, "data", "shard-0")

    def start(self):
        """Starts a shard, and returns it with its incarnation once it serves."""
        process = subprocess.Popen([PROGRAM, "--listen", "127.0.0.1:0", "--data-dir", self.data],
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        said = []
        for line in process.stdout:
            said.append(line)
            ready = re.search("ready, incarnation ([0-9a-f]+)", line)
            if ready:
                return process, ready[1]
        self.fail("".join(said))

    def test_a_second_process_with_the_same_folder_is_refused(self):
        self.start()
        second = run("--data-dir", self.data)
        self.assertEqual(second.returncode, 1, second)
        last = second.stderr.splitlines()[-1]
        self.assertIn(self.data + " is in use: another process", last)

    def test_a_folder_that_cannot_be_locked_is_not_called_in_use(self):
        os.makedirs(os.path.dirname(self.data))
        with open(self.data, "w", encoding="utf-8"):
            pass
        done = run("--data-dir", self.data)
        self.assertEqual(done.returncode, 1, done)
        last = done.stderr.splitlines()[-1]
        self.assertNotIn("in use", last)
        self.assertIn(self.data, last)
        self.assertIn("Not a directory", last)

    def test_a_shard_that_was_killed_is_the_same_when_it_comes_back(self):
        process, incarnation = self.start()
        process.kill()
        process.wait()
        self.assertEqual(self.start()[1], incarnation)

    def test_a_damaged_folder_is_named(self):
        process, _ = self.start()
        process.kill()
        process.wait()
        with open(os.path.join(self.data, "CURRENT"), "w", encoding="utf-8"):
            pass
        done = run("--data-dir", self.data)
        self.assertEqual(done.returncode, 1, done)
        self.assertIn(self.data, done.stderr.splitlines()[-1])
        self.assertIn("CURRENT", done.stderr.splitlines()[-1])

    def test_durability_and_folder_must_fit_together(self):
        for flags, text in ((["--durability", "SYNC"], "--data-dir"),
                            (["--durability", "MEMORY", "--data-dir", self.data], "--data-dir must be absent"),
                            (["--durability", "sync", "--data-dir", self.data], "allowed: SYNC, BACKGROUND, MEMORY"),
                            (["--on-disk"], "--on-disk: rows can be served from disk only where --data-dir"),
                            (["--skip-damaged"], "--skip-damaged: only rows in a --data-dir"),
                            (["--on-disk", "--row-cache-bytes", "5"], "1048576")):
            done = run(*flags)
            self.assertEqual(done.returncode, 2, done)
            self.assertIn(text, done.stderr)
            self.assertFalse(os.path.exists(self.data))


if __name__ == "__main__":
    unittest.main(verbosity=2)
