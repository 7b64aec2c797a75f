"""The scripts parse, are executable, and say what is wrong with a bad argument."""

import fcntl
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import tools

SCRIPTS = os.path.join(tools.ROOT, "scripts")
LIBRARY = "lib.sh"


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
                self.assertEqual(os.access(path, os.X_OK), name != LIBRARY)

    def test_shellcheck_has_nothing_to_say(self):
        if not shutil.which("shellcheck"):
            self.skipTest("shellcheck is not installed")
        paths = [os.path.join(SCRIPTS, name) for name in self.scripts()] + [os.path.join(tools.ROOT, ".ci", "run")]
        # SC1091, SC2154: lib.sh is found at run time; SC2016: single quotes that are meant.
        result = subprocess.run(["shellcheck", "-x", "-e", "SC1091,SC2016,SC2154", *paths], capture_output=True, text=True)
        self.assertEqual(result.returncode, 0, result.stdout)

    def test_bad_arguments_are_named(self):
        for script, arguments, expected in (
                ("install-deps.sh", ["everything"], "'everything': allowed are all, build, --list"),
                ("install-deps.sh", ["--list", "docs"], "docs: allowed are build, test"),
                ("test.sh", ["fuzz"], "'fuzz': allowed are"),
                ("bare-root.sh", ["sid", "scripts/test.sh"], "'sid': allowed are bookworm, trixie"),
                ("docker-base.sh", ["sid"], "'sid': allowed are"),
                ("local-cluster.sh", ["--shards", "3"], "'--shards'"),
                ("local-cluster.sh", ["--actors", "010"], '--actors: "010"; allowed: integer in decimal, 0 to 256'),
                ("local-cluster.sh", ["--actors", "-1"], '--actors: "-1"'),
                ("local-cluster.sh", ["--actors", "257"], '--actors: "257"'),
                ("local-cluster.sh", ["--actors"], "--actors needs a value"),
                ("local-cluster.sh", ["--seed", "1", "--run-dir"], "--run-dir needs a value")):
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


if __name__ == "__main__":
    unittest.main()
