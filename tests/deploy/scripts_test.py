"""The scripts parse, are executable, and say what is wrong with a bad argument. scripts/local-cluster.sh, with stand-ins
for its programs, knows its own processes.
"""

import fcntl
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import tools

SCRIPTS = os.path.join(tools.ROOT, "scripts")
# Sourced by others.
LIBRARIES = ("lib.sh", "engines.sh")
PATIENCE_SECONDS = 60


def run(script, *arguments):
    return subprocess.run([os.path.join(SCRIPTS, script), *arguments], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL)


class ScriptsTest(unittest.TestCase):
    def scripts(self):
        return sorted(name for name in os.listdir(SCRIPTS) if name.endswith(".sh"))

    def test_parse_and_are_executable(self):
        for name in self.scripts():
            with self.subTest(script=name):
                path = os.path.join(SCRIPTS, name)
                self.assertEqual(subprocess.run(["bash", "-n", path]).returncode, 0)
                self.assertEqual(os.access(path, os.X_OK), name not in LIBRARIES)

    def test_shellcheck_has_nothing_to_say(self):
        if not shutil.which("shellcheck"):
            self.skipTest("shellcheck is not installed")
        paths = [os.path.join(SCRIPTS, name) for name in self.scripts()] + [
            os.path.join(tools.ROOT, *place) for place in (
                (".ci", "run"), ("docker", "build.sh"), ("deploy", "certificates.sh"), ("deploy", "slurm", "submit.sh"),
                ("deploy", "slurm", "keep.sh"), ("deploy", "slurm", "await.sh"),
                ("deploy", "slurm", "run.sbatch"))]
        # SC1091, SC2154: lib.sh is found at run time; SC2016: single quotes that are meant.
        result = subprocess.run(["shellcheck", "-x", "-e", "SC1091,SC2016,SC2154", *paths], capture_output=True, text=True)
        self.assertEqual(result.returncode, 0, result.stdout)

    def test_bad_arguments_are_named(self):
        for script, arguments, expected in (
                ("install-deps.sh", ["everything"], "'everything': allowed are all, build, --mujoco, --list"),
                ("install-deps.sh", ["build", "--mujoco", "conda"], "--mujoco 'conda': allowed are pip, debian"),
                ("install-deps.sh", ["--mujoco"], "--mujoco '': allowed are pip, debian"),
                ("install-deps.sh", ["--list", "docs"], "docs: allowed are build, test"),
                ("test.sh", ["benchmark"], "'benchmark': allowed are"),
                ("bare-root.sh", ["sid", "scripts/test.sh"], "'sid': allowed are bookworm, trixie"),
                ("docker-base.sh", ["sid"], "'sid': allowed are"),
                ("compose-check.sh", ["kubernetes"], "'kubernetes': allowed are --installed, compose, stack"),
                ("compose-check.sh", ["--installed"], "--installed needs a value"),
                ("sweep-check.sh", ["kubernetes"],
                 "'kubernetes': allowed are --installed, --install, compose, swarm, slurm"),
                ("slurm-check.sh", ["--nodes", "2"], "'--nodes': allowed are --install, --programs"),
                ("kubernetes-check.sh", ["all"], "'all': allowed is --programs"),
                ("../docker/build.sh", ["evaluator"], "'evaluator': allowed are --tag, --prefix, --installed, --cuda"),
                ("../docker/build.sh", ["--tag"], "--tag needs a value"),
                ("local-cluster.sh", ["--shards", "3"], "'--shards'"),
                ("local-cluster.sh", ["--actors", "010"], '--actors: "010"; allowed: integer in decimal, 0 to 256'),
                ("local-cluster.sh", ["--actors", "-1"], '--actors: "-1"'),
                ("local-cluster.sh", ["--actors", "257"], '--actors: "257"'),
                ("local-cluster.sh", ["--actors"], "--actors needs a value"),
                ("local-cluster.sh", ["--seed", "1", "--run-dir"], "--run-dir needs a value"),
                ("local-cluster.sh", ["status", "--run-dir"], "--run-dir needs a value")):
            with self.subTest(script=script, arguments=arguments):
                result = run(script, *arguments)
                self.assertEqual(result.returncode, 2)
                self.assertIn(expected, result.stderr)

    def test_a_cluster_that_does_not_run_is_named(self):
        result = run("local-cluster.sh", "status", "--run-dir", "/nonexistent")
        self.assertEqual(result.returncode, 1)
        self.assertIn("no cluster runs in /nonexistent", result.stderr)

    def test_programs_read_integers_as_pompc_does(self):
        # argparse's own int takes 010, 1_0 and -5.
        for folder in ("scripts", "bench", "examples"):
            for path in pathlib.Path(tools.ROOT, folder).rglob("*.py"):
                self.assertNotRegex(path.read_text(), r"\btype=int\b", path)

    def test_one_cluster_for_each_folder(self):
        with tempfile.TemporaryDirectory() as folder:
            state = os.path.join(folder, "run.cluster")
            os.mkdir(state)
            with open(os.path.join(state, "claim"), "w") as claim:
                fcntl.flock(claim, fcntl.LOCK_EX)
                result = subprocess.run([os.path.join(SCRIPTS, "local-cluster.sh"), "--run-dir", state[:-8]],
                                        capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60,
                                        env={**os.environ, "POMPC_BIN_DIR": folder})
            self.assertEqual(result.returncode, 1)
            self.assertIn(f"a cluster runs in {state[:-8]} already", result.stderr)
            self.assertEqual(os.listdir(state), ["claim"])

    def test_package_lists_are_printed(self):
        self.assertIn("libtorch-dev\n", run("install-deps.sh", "--list", "build").stdout)
        self.assertIn("libgtest-dev\n", run("install-deps.sh", "--list", "test").stdout)


def runs(pid):
    """Whether the process does; one that has ended may not have been reaped yet."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


class LocalClusterTest(unittest.TestCase):
    NAMES = ("replay-0", "replay-1", "planner", "learner", "actor-0", "evaluator")

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.run_dir = self.folder / "run"
        self.state = self.folder / "run.cluster"
        self.environment = {**os.environ, "POMPC_BIN_DIR": str(self.folder)}
        # In /proc/PID/stat a program's name is in brackets, and may have some of its own.
        (self.folder / "sleep) (1").symlink_to(shutil.which("sleep"))
        for role in ("replay", "planner", "learner", "actor"):
            program = self.folder / f"pompc-{role}"
            program.write_text(f"#!/bin/bash\nexec -a sleep '{self.folder}/sleep) (1' 300\n")
            program.chmod(0o755)
        self.script = None
        self.addCleanup(self.end)

    def end(self):
        for pid in [self.pid(name) for name in self.NAMES if (self.state / f"{name}.pid").exists()]:
            if runs(pid):
                os.kill(pid, signal.SIGKILL)
        if self.script:
            self.script.kill()
            self.script.communicate()

    def start(self):
        self.script = subprocess.Popen(
            [os.path.join(SCRIPTS, "local-cluster.sh"), "--run-dir", self.run_dir, "--actors", "1"], text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=self.environment)
        for line in self.script.stdout:
            if line.startswith("Run "):
                return
        self.fail("the cluster did not start")

    def control(self, *arguments):
        return subprocess.run([os.path.join(SCRIPTS, "local-cluster.sh"), *arguments, "--run-dir", self.run_dir],
                              capture_output=True, text=True, stdin=subprocess.DEVNULL, env=self.environment,
                              timeout=PATIENCE_SECONDS)

    def pid(self, name):
        return int((self.state / f"{name}.pid").read_text().split()[0])

    def pids(self):
        return {name: self.pid(name) for name in self.NAMES}

    def await_true(self, what, condition):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            self.assertLess(time.monotonic(), deadline, what)
            time.sleep(0.02)

    def stranger(self):
        process = subprocess.Popen(["sleep", "300"])
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def test_processes_whose_script_was_killed_are_told_and_stopped(self):
        self.start()
        pids = self.pids()
        self.script.kill()
        self.script.wait()
        status = self.control("status")
        self.assertEqual(status.returncode, 0, status.stderr)
        self.assertIn("is gone; its processes run on", status.stdout)
        self.assertEqual(status.stdout.count(" running "), len(pids), status.stdout)
        for arguments in ((), ("restart", "planner"), ("kill", "planner")):
            refused = self.control(*arguments)
            self.assertEqual(refused.returncode, 1)
            self.assertIn(f"local-cluster.sh stop --run-dir {self.run_dir}' ends them", refused.stderr)
        self.assertTrue(all(map(runs, pids.values())))
        stopped = self.control("stop")
        self.assertEqual((stopped.returncode, stopped.stderr), (0, ""))
        self.assertEqual([name for name, pid in pids.items() if runs(pid)], [])
        self.assertIn("no cluster runs in", self.control("status").stderr)
        # What showed the learner's log ends as well: the pipe is closed.
        self.script.communicate(timeout=PATIENCE_SECONDS)
        self.start()
        self.assertEqual(self.control("stop").returncode, 0)
        self.script.wait(timeout=PATIENCE_SECONDS)

    def test_a_number_that_went_to_another_process_is_left_alone(self):
        stranger = self.stranger()
        self.state.mkdir()
        for text in (f"{stranger.pid}", f"{stranger.pid} 1", ""):
            (self.state / "supervisor.pid").write_text(text)
            for action in ("status", "stop"):
                refused = self.control(action)
                self.assertEqual(refused.returncode, 1, (action, text))
                self.assertIn("no cluster runs in", refused.stderr)
        self.start()
        actor = self.pid("actor-0")
        (self.state / "actor-0.pid").write_text(f"{stranger.pid} 1")
        refused = self.control("kill", "actor-0")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("actor-0 does not run", refused.stderr)
        self.assertRegex(self.control("status").stdout, "actor-0 +gone")
        self.assertEqual(self.control("restart", "actor-0").returncode, 0)
        self.assertEqual(self.control("stop").returncode, 0)
        self.script.wait(timeout=PATIENCE_SECONDS)
        self.assertFalse(runs(actor))
        self.assertIsNone(stranger.poll())

    def test_kill_and_restart_reach_the_process(self):
        self.start()
        before = self.pid("planner")
        self.assertEqual(self.control("kill", "planner").returncode, 0)
        self.await_true("the planner is gone", lambda: not runs(before))
        self.assertRegex(self.control("status").stdout, "planner +gone")
        for _ in range(2):
            self.assertEqual(self.control("restart", "planner").returncode, 0)
            self.await_true("the planner runs again", lambda: self.pid("planner") != before)
            before = self.pid("planner")
            self.assertTrue(runs(before))
        self.assertEqual(self.control("stop").returncode, 0)
        self.script.wait(timeout=PATIENCE_SECONDS)
        self.assertFalse(runs(before))


if __name__ == "__main__":
    unittest.main()
