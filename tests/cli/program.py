"""The pompc program of the build folder that the command line names first, as the tests of this folder run it."""

import os
import subprocess
import sys

BUILD = sys.argv.pop(1)
POMPC = os.path.join(BUILD, "bin", "pompc")


def run(*arguments, **environment):
    return subprocess.run([POMPC, *arguments], capture_output=True, text=True, timeout=200, check=False,
                          env={**os.environ, **environment})


def output(*arguments):
    done = run(*arguments)
    assert done.returncode == 0, done
    return done.stdout
