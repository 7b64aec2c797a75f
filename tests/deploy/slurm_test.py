"""deploy/slurm/: what is submitted, and what the job does, with stand-ins for Slurm's commands and for the programs.
scripts/slurm-check.sh shows it on a real Slurm.

Usage: slurm_test.py BINARY_FOLDER
"""

import json
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import programs
import tools

BINARIES = sys.argv[1] if len(sys.argv) > 1 else os.path.join(tools.ROOT, "build", "release", "bin")
FOLDER = pathlib.Path(tools.ROOT, "deploy", "slurm")
PATIENCE_SECONDS = 60
# What the programs of the stand-ins do: a shard, a planner and an actor run until SIGTERM; the learner, too, and writes
# how it ended; or it ends at once as the file `outcome` says.
STAND_IN = """#!/bin/bash
printf '%s\\n' "$0 $*" >>"$STATE/started"
finish() {{ echo "{{\\"outcome\\": \\"$1\\", \\"updates\\": 5}}" >"$STATE/run/ended.json"; }}
if [[ "$0" == *learner ]]; then
  rm -f "$STATE/run/ended.json"
  if [[ -e "$STATE/outcome" ]]; then
    finish "$(<"$STATE/outcome")"
    [[ "$(<"$STATE/outcome")" == finished ]]
    exit
  fi
  trap 'finish "interrupted: told to end"; exit 0' TERM
else
  trap 'exit 0' TERM
fi
touch "$STATE/up-$(basename "$0")-$$"
# No program in the foreground: bash has ended with status 255 where SIGTERM came while it started one.
while true; do sleep 60 & wait $!; done
"""
SRUN = """#!/bin/bash
# Runs the tasks of a step, in a process group each, as Slurm does; scancel finds them in the folder `steps`.
tasks=1
while [[ "$1" == --* ]]; do
  case "$1" in --ntasks=*) tasks="${1#*=}" ;; esac
  shift
done
for (( task = 0; task < tasks; task++ )); do
  SLURM_PROCID=$task SLURMD_NODENAME=node-a setsid "$@" &
  touch "$STATE/steps/$!"
done
status=0
for (( task = 0; task < tasks; task++ )); do wait -n || status=$?; done
exit "$status"
"""
SCANCEL = """#!/bin/bash
echo "$*" >>"$STATE/scancel"
for step in "$STATE"/steps/*; do kill -TERM -- "-$(basename "$step")" 2>/dev/null; done
true
"""
SCONTROL = """#!/bin/bash
if [[ "$1 $2" == "show hostnames" ]]; then printf '%s\\n' node-a node-b; else echo "$*" >>"$STATE/scontrol"; fi
"""


def submit(*arguments):
    return subprocess.run([FOLDER / "submit.sh", *arguments], capture_output=True, text=True)


class SubmitTest(unittest.TestCase):
    def dry_run(self, *arguments):
        result = submit("--run-dir", "/scratch/a", "--insecure", "--dry-run", *arguments)
        self.assertEqual(result.returncode, 0, result.stderr)
        return shlex.split(result.stdout)

    def test_shows_what_it_would_submit(self):
        words = self.dry_run("--actors", "64", "--planners", "2", "--planner-cpus", "8", "--notice", "300",
                             "--sbatch", "--time=12:00:00", "--", "--preset", "po-mpc", "--set", "env.task=walker-run")
        self.assertEqual(words[0], "sbatch")
        script = words.index(str(FOLDER / "run.sbatch"))
        self.assertLessEqual({"--requeue", "--signal=B:USR1@300", "--time=12:00:00", "--open-mode=append",
                              # Two shards, the learner, the evaluator.
                              f"--ntasks={2 + 1 + 2 * 8 + 64 + 1}"}, set(words[:script]))
        self.assertEqual(words[-4:], ["--preset", "po-mpc", "--set", "env.task=walker-run"])

    def test_refuses_what_is_no_good(self):
        for arguments, expected in (
                ((), "--run-dir is missing"),
                (("--run-dir", "/a"), "--certificates is missing"),
                (("--run-dir", "/a", "--insecure", "--certificates", "/c"), "exclude each other"),
                (("--run-dir", "/a", "--insecure", "--actors", "010"), '--actors: "010"; allowed: integer in decimal, 1 to 256'),
                (("--run-dir", "/a", "--insecure", "--shards", "0"), "--shards"),
                (("--run-dir",), "--run-dir needs a value"),
                (("--nodes", "3"), "'--nodes'")):
            with self.subTest(arguments=arguments):
                result = submit(*arguments)
                self.assertEqual(result.returncode, 2)
                self.assertIn(expected, result.stderr)

    def test_says_that_there_is_no_slurm(self):
        with tempfile.TemporaryDirectory() as folder:
            for program in ("bash", "dirname", "realpath", "basename"):
                os.symlink(f"/usr/bin/{program}", os.path.join(folder, program))
            result = subprocess.run([FOLDER / "submit.sh", "--run-dir", f"{folder}/a", "--insecure"], capture_output=True,
                                    text=True, env={"PATH": folder})
        self.assertEqual((result.returncode, "there is no sbatch here" in result.stderr), (1, True))


class JobTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.state = pathlib.Path(folder.name)
        for name in ("bin", "programs", "run", "steps"):
            (self.state / name).mkdir()
        for name, text in (("srun", SRUN), ("scancel", SCANCEL), ("scontrol", SCONTROL)):
            self.write(self.state / "bin" / name, text)
        for image in programs.IMAGES:
            self.write(self.state / "programs" / f"pompc-{image}", STAND_IN.format())
        self.job = None
        self.addCleanup(self.end)

    def write(self, path, text):
        path.write_text(text)
        path.chmod(0o755)

    def end(self):
        for step in (self.state / "steps").iterdir():
            try:
                os.killpg(int(step.name), signal.SIGKILL)
            except OSError:
                pass
        if self.job:
            self.job.kill()
            self.job.communicate()

    def start(self):
        environment = {**os.environ, "STATE": str(self.state), "SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "node-[a-b]",
                       "PATH": f"{self.state}/bin:{os.environ['PATH']}"}
        arguments = [FOLDER, self.state / "run", "", self.state / "programs", "", "", "", "2", "1", "2", "3",
                     "--preset", "quickstart"]
        self.job = subprocess.Popen(["bash", FOLDER / "run.sbatch", *map(str, arguments)], env=environment, text=True,
                                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def await_true(self, what, condition):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            self.assertLess(time.monotonic(), deadline, what)
            time.sleep(0.02)

    def text(self, name):
        path = self.state / name
        return path.read_text() if path.exists() else ""

    def everything_runs(self):
        # Two shards, the learner, a planner, an evaluator, three actors.
        self.await_true("every role runs", lambda: len(list(self.state.glob("up-*"))) == 8)

    def test_starts_every_role_with_addresses_of_the_nodes(self):
        self.start()
        self.everything_runs()
        started = self.text("started")
        # Learner, shards and planner are on the nodes in turn.
        self.assertIn("--replay node-b:17002,node-a:17004", started)
        self.assertEqual(self.text("run.slurm/planners"), "node-b:17006\n")
        targets = [json.loads(path.read_text())[0] for path in (self.state / "run.slurm" / "targets").glob("*.json")]
        self.assertEqual(len({target["targets"][0].rpartition(":")[2] for target in targets}), 8)
        for line in started.splitlines():
            program, *words = line.split()
            image = program.rpartition("pompc-")[2]
            self.assertEqual(programs.unknown_arguments(BINARIES, image, words, ()), [])
            [metrics] = re.findall(r"--metrics-listen \S+:(\d+)", line)
            self.assertTrue(any(target["targets"][0].endswith(f":{metrics}") for target in targets))

    def test_ahead_of_the_limit_it_drains_and_queues_again(self):
        self.start()
        self.everything_runs()
        self.job.send_signal(signal.SIGUSR1)
        self.await_true("it queues again", lambda: "requeue 7" in self.text("scontrol"))
        self.assertIn("interrupted", self.text("run/ended.json"))
        self.assertEqual(len(self.text("scancel").splitlines()), 1)
        # It waits for its end, so that it does not count as completed.
        self.assertIsNone(self.job.poll())

    def test_preempted_it_drains_and_leaves_queueing_to_slurm(self):
        self.start()
        self.everything_runs()
        for step in (self.state / "steps").iterdir():
            os.killpg(int(step.name), signal.SIGTERM)
        self.await_true("the learner was interrupted", lambda: "interrupted" in self.text("run/ended.json"))
        said = ""
        for line in self.job.stdout:
            said += line
            if "ended with status 0: interrupted" in line:
                break
        self.assertIsNone(self.job.poll(), said)
        self.assertEqual(self.text("scontrol"), "")
        # What drains is not told a second time: that would end it at once.
        self.assertEqual(self.text("scancel"), "")

    def test_a_finished_run_ends_the_job_well(self):
        (self.state / "outcome").write_text("finished")
        self.start()
        self.assertEqual(self.job.wait(PATIENCE_SECONDS), 0)
        self.assertNotIn("requeue", self.text("scontrol"))

    def test_a_program_that_fails_starts_again_and_refused_flags_end_it(self):
        self.write(self.state / "fails", '#!/bin/bash\necho x >>"$STATE/tries"\n[[ $(wc -l <"$STATE/tries") -ge 2 ]]\n')
        self.write(self.state / "refuses", '#!/bin/bash\necho x >>"$STATE/refusals"\nexit 2\n')
        (self.state / "targets").mkdir()
        for program, status in (("fails", 0), ("refuses", 2)):
            result = subprocess.run([FOLDER / "keep.sh", "a", "planner", self.state / "targets", "9", self.state / program],
                                    env={**os.environ, "STATE": str(self.state)}, capture_output=True,
                                    timeout=PATIENCE_SECONDS)
            self.assertEqual(result.returncode, status)
        self.assertEqual((self.text("tries"), self.text("refusals")), ("x\nx\n", "x\n"))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
