"""What the tests of pompc sweep share: a stand-in for the program that trains, and a folder for a sweep."""

import csv
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
import unittest

from program import POMPC, run

PATIENCE_SECONDS = 120

# Leaves the files of a run: returns 100 x seed, 200 x seed and 300 x seed, twice as much with a batch of 32; a KL of 1,
# 2, 3 and 4. What the folder of the program holds for a trial, a file named after its setting or setting and seed, says
# how it behaves: "fail" ends with an error, "once" does so the first time; "slow" waits for SIGTERM, as a run that takes
# long, and ends as an interrupted one does: with status 0; "deaf" does not end by it; "silent" leaves no evaluation.
STAND_IN = textwrap.dedent("""\
    #!/usr/bin/env python3
    import json, os, pathlib, signal, sys
    words = sys.argv[1:]
    assert words[0] == "train", words
    run_dir = pathlib.Path(words[words.index("--run-dir") + 1])
    config = pathlib.Path(words[words.index("--config") + 1]).read_text()
    seed = int(run_dir.name.removeprefix("seed-"))
    assert f"seed: {seed}\\n" in config, config
    setting, task = run_dir.parent.parent.name, run_dir.parent.name
    folder = pathlib.Path(__file__).parent
    manner = ""
    for name in (setting, f"{setting}-{seed}"):
        if (folder / name).exists():
            manner = (folder / name).read_text()
    with open(folder / "starts", "a") as file:
        file.write(f"{setting} {task} {seed} {'anew' if not run_dir.exists() else 'resumed'}\\n")
    run_dir.mkdir(parents=True, exist_ok=True)
    (run_dir / "words").write_text(" ".join(words))
    print("a line of the log")
    print(f"run directory {run_dir}, status page http://127.0.0.1:1234/")
    print("TRAINING  1 rows, 0 updates, 0 episodes | 1 rows/s, 0 updates/s | 0:05 | the learner waits for <rows>",
          flush=True)
    if manner == "once":
        (folder / setting).unlink()
    if manner in ("fail", "once"):
        sys.exit("this one fails")
    gain = seed * (2 if "batch_size: 32\\n" in config else 1)
    (run_dir / "run.json").write_text(json.dumps({"run_id": "run", "learner_incarnation": 1}))

    def end(outcome):
        (run_dir / "ended.json").write_text(json.dumps(
            {"start": 1, "outcome": outcome, "rows": 80, "updates": 40, "elapsed_seconds": 12.5}))
        sys.exit(0)

    if manner != "silent":
        (run_dir / "evaluations.csv").write_text("rows,return_mean\\n" + "".join(
            f"{rows},{rows * gain}\\n" for rows in (200, 100, 300)))
    (run_dir / "metrics.csv").write_text("update,rows,policy_prior_kl,prior_std\\n" + "".join(
        f"{10 * i},{20 * i},{i},\\n" for i in range(1, 5)))
    (run_dir / "timings.csv").write_text("update,elapsed_seconds,share_waiting_for_rows,share_updating,share_ended\\n"
                                         "40,12.5,0.75,0.25,0\\n")
    if manner in ("slow", "deaf"):
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        signal.alarm(300)
        (run_dir / "pid").write_text(str(os.getpid()))
        while True:
            signal.sigwait([signal.SIGTERM])
            (run_dir / "stopped").touch()
            if manner == "slow":
                end("interrupted: told to end by SIGTERM")
    end("FINISHED: all 80 rows are stored")
""")

BASE = """
name: "test"
base { preset: "quickstart" set: "schedule=LOCKSTEP" }
task: "cartpole-swingup"
"""

# Of pompc itself: ends within seconds. Episodes of ten decisions.
SMALL = """
name: "small"
base {
  preset: "quickstart"
  config {
    schedule: LOCKSTEP
    env { action_repeat: 100 }
    learner { seed_rows: 60 pretrain_updates: 10 batch_size: 16 utd: 1 log_every_updates: 3 }
    planner { samples: 32 }
    replay { min_rows: 30 durability: MEMORY }
    evaluation { every_rows: 50 episodes: 1 }
  }
}
axis { field: "po_mpc.lambda" value: "0" value: "1" }
task: "cartpole-swingup" task: "cartpole-balance"
budget { rows: 160 }
"""


class SweepTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.program = self.folder / "program" / "train"
        self.program.parent.mkdir()
        self.program.write_text(STAND_IN)
        self.program.chmod(0o755)
        self.file = self.folder / "file.textproto"
        self.dir = self.folder / "out"

    def write(self, text, base=BASE):
        self.file.write_text(base + text)

    def behave(self, name, manner):
        (self.program.parent / name).write_text(manner)

    def starts(self):
        file = self.program.parent / "starts"
        return file.read_text().splitlines() if file.exists() else []

    def words(self, *arguments):
        return ["run", str(self.file), "--dir", str(self.dir), "--program", str(self.program), *arguments]

    def sweep(self, *arguments, status=0):
        done = run("sweep", *self.words(*arguments))
        self.assertEqual(done.returncode, status, done)
        return done

    def start(self, *arguments, program=None):
        """A sweep in a process group of its own, as a shell starts it."""
        words = self.words(*arguments)
        if program:
            words[words.index("--program") + 1] = str(program)
        sweep = subprocess.Popen([POMPC, "sweep", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                 start_new_session=True)
        self.addCleanup(sweep.communicate)
        self.addCleanup(lambda: sweep.poll() is None and sweep.kill())
        return sweep

    def await_true(self, what, condition):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            self.assertLess(time.monotonic(), deadline, what)
            time.sleep(0.02)

    def run_dir(self, setting="base", seed=1, task="cartpole-swingup"):
        return self.dir / "trials" / setting / task / f"seed-{seed}"

    def await_trial(self, setting, seed=1):
        """Its process, once it waits."""
        file = self.run_dir(setting, seed) / "pid"
        self.await_true(file, lambda: file.exists() and file.read_text() != "")
        return int(file.read_text())

    def await_end(self, pid):
        """Of a process that is nobody's child here: where it is gone or waits to be reaped."""
        def ended():
            try:
                return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
            except FileNotFoundError:
                return True
        self.await_true(f"process {pid} ends", ended)

    def rows(self, name="results.csv"):
        with open(self.dir / name, newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def trials(self):
        return [(row["setting"], row["seed"]) for row in self.rows()]
