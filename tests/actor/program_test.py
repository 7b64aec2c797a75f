"""pompc-actor seen from outside. Usage: program_test.py PROGRAM."""

import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from processes import FEW_THREADS, limit_threads

PROGRAM = sys.argv.pop(1)


def run(*flags):
    return subprocess.run([PROGRAM, *flags], capture_output=True, text=True, timeout=20)


class ProgramTest(unittest.TestCase):
    def test_health_check_without_a_port_says_what_it_needs(self):
        result = run("--healthcheck")
        self.assertEqual(result.returncode, 2)
        self.assertIn("--metrics-listen", result.stderr)
        self.assertIn("has no port", result.stderr)

    def test_health_check_of_a_process_that_is_not_there_fails(self):
        result = run("--healthcheck", "--metrics-listen", "127.0.0.1:1")
        self.assertEqual(result.returncode, 1)

    def test_threads_that_the_system_refuses_are_told(self):
        # It serves no RPCs, but has channels. The leak sanitizer would start a thread of its own at the end.
        for threads in FEW_THREADS:
            result = subprocess.run([PROGRAM, "--learner", "127.0.0.1:1", "--planners", "127.0.0.1:1", "--replay",
                                     "127.0.0.1:1"], capture_output=True, text=True, timeout=20,
                                    env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"},
                                    preexec_fn=limit_threads(threads))
            self.assertEqual(result.returncode, 1, (threads, result))
            self.assertRegex(result.stderr.splitlines()[-1],
                             "^pompc-actor: .*no thread can be started: .*ulimit -u", threads)

    def test_help_says_what_environments_are_to_an_evaluator(self):
        self.assertRegex(run("--help").stdout, r"with\s+--evaluate:\s+number\s+of\s+episodes\s+to\s+play\s+at\s+a\s+time")


if __name__ == "__main__":
    unittest.main(verbosity=2)
