"""A learner that is killed and resumed makes the same updates as one that never was."""

import os
import signal
import subprocess
import sys
import tempfile
import unittest

FROZEN_RUN = os.path.join(sys.argv.pop(1), "tests", "learner_frozen_run")
UPDATES = 24


def numbers(folder, updates):
    """Parameters, optimisers and scales after so many updates, as they lie on the disk."""
    with open(os.path.join(folder, f"update-{updates:09d}", "updater.safetensors"), "rb") as file:
        return file.read()


def run(folder, updates):
    """The update that it began at."""
    done = subprocess.run([FROZEN_RUN, folder, str(updates), "0"], capture_output=True, text=True, timeout=100,
                          check=False)
    assert done.returncode == 0, done
    return int(done.stdout.split()[-1])


class ResumeTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.straight = os.path.join(cls.folder.name, "straight")
        assert run(cls.straight, UPDATES) == 0

    def resumed(self):
        return os.path.join(self.folder.name, self.id().rpartition(".")[2])

    def kill_at(self, folder, update):
        """Kills it between the updates `update` and `update` + 1, whatever its other threads are at."""
        with subprocess.Popen([FROZEN_RUN, folder, str(UPDATES), str(update)], stdout=subprocess.PIPE,
                              text=True) as process:
            lines = [process.stdout.readline().strip() for _ in range(2)]
            process.send_signal(signal.SIGKILL)
            self.assertEqual(process.wait(timeout=50), -signal.SIGKILL)
        self.assertEqual(lines[1], "holding")

    def test_killed_half_way(self):
        self.kill_at(self.resumed(), UPDATES // 2)
        begin = run(self.resumed(), UPDATES)
        self.assertLessEqual(begin, UPDATES // 2)
        self.assertEqual(numbers(self.resumed(), UPDATES), numbers(self.straight, UPDATES))

    def test_killed_after_every_few_updates(self):
        # Right after a checkpoint was asked for, and in between.
        for update in (3, 5, 11, 15, 22):
            self.kill_at(self.resumed(), update)
        run(self.resumed(), UPDATES)
        self.assertEqual(numbers(self.resumed(), UPDATES), numbers(self.straight, UPDATES))

    def test_ended_and_gone_on_with(self):
        self.assertEqual(run(self.resumed(), UPDATES // 2), 0)
        self.assertEqual(run(self.resumed(), UPDATES), UPDATES // 2)
        self.assertEqual(numbers(self.resumed(), UPDATES), numbers(self.straight, UPDATES))

    def test_updates_change_the_numbers(self):
        run(self.resumed(), UPDATES - 1)
        self.assertNotEqual(numbers(self.resumed(), UPDATES - 1), numbers(self.straight, UPDATES))


if __name__ == "__main__":
    unittest.main()
