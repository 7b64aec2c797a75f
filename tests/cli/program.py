"""The pompc program of the build folder that the command line names first, as the tests of this folder run it."""

import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))

from processes import Process  # pylint: disable=wrong-import-position

BUILD = sys.argv.pop(1)
POMPC = os.path.join(BUILD, "bin", "pompc")


class Train(Process):
    """pompc train with a metrics page; the arguments stand behind it."""

    def __init__(self, name, log_folder, *arguments):
        super().__init__(name, log_folder, POMPC, *arguments)

    def start(self):
        # The flags of a command stand behind its name.
        if self.command[1] != "train":
            self.command.insert(1, "train")
        super().start()


def run(*arguments, **environment):
    return run_with({}, *arguments, **environment)


def run_with(options, *arguments, **environment):
    """run with options of subprocess.run: another stdout, or preexec_fn."""
    return subprocess.run([POMPC, *arguments], **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
                          text=True, errors="surrogateescape", timeout=200, check=False,
                          env={**os.environ, **environment})


def output(*arguments):
    done = run(*arguments)
    assert done.returncode == 0, done
    return done.stdout
