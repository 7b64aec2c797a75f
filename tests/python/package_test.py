#!/usr/bin/env python3
"""The package is built and installed as its users would, without a compiler: the wheel and the source distribution, two
generations of grpcio and protobuf, which the package's tests then run with, type checks and lint. Virtual environments
are made in BUILD_FOLDER/python and kept for the next time; without a package index the test is skipped.
Usage: package_test.py BUILD_FOLDER"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILD = pathlib.Path()
TOOLS = ("setuptools>=64", "wheel", "grpcio-tools", "mypy", "ruff", "gymnasium", "pandas")
GENERATIONS = {"old": ("grpcio==1.51.3", "protobuf==4.21.12", "numpy<2"), "new": ("grpcio", "protobuf", "numpy", *TOOLS)}
INSTALL_SECONDS = 900
# No program that compiles can be found, and none that is named starts.
WITHOUT_COMPILER = {"CC": "/bin/false", "CXX": "/bin/false", "PATH": "/nowhere", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def python(venv, *arguments, timeout=INSTALL_SECONDS, **more):
    return subprocess.run([BUILD / "python" / venv / "bin" / "python", *map(str, arguments)], capture_output=True,
                          text=True, timeout=timeout, check=False, env={**os.environ, **WITHOUT_COMPILER}, **more)


def make_venv(name):
    """Why it cannot be made; empty if it is there."""
    folder, wanted = BUILD / "python" / name, " ".join(GENERATIONS[name])
    stamp = folder / "requirements"
    if stamp.exists() and stamp.read_text() == wanted:
        return ""
    shutil.rmtree(folder, ignore_errors=True)
    made = subprocess.run([sys.executable, "-m", "venv", folder], capture_output=True, text=True, check=False,
                          timeout=INSTALL_SECONDS)
    if made.returncode != 0:
        return f"python3 -m venv does not work here (Debian: python3-venv): {made.stdout.strip()}"
    done = python(name, "-m", "pip", "install", "-q", "--only-binary", ":all:", "--retries", "1", *GENERATIONS[name])
    if done.returncode != 0:
        return f"pip does not get {wanted} here: {done.stderr.strip().splitlines()[-1:]}"
    stamp.write_text(wanted)
    return ""


class PackageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        why = make_venv("new")
        if why:
            print(f"skipped: {why}")
            sys.exit(77)
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        # A copy, so that building leaves nothing in the source tree.
        for part in ("python", "proto"):
            shutil.copytree(ROOT / part, cls.folder / "source" / part,
                            ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
        cls.wheel = cls.build_wheel(cls.folder / "source" / "python", cls.folder / "wheels")

    @classmethod
    def build_wheel(cls, source, out):
        done = python("new", "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", out, source)
        assert done.returncode == 0, done.stdout + done.stderr
        (wheel,) = out.glob("*.whl")
        return wheel

    def succeeds(self, done):
        self.assertEqual(done.returncode, 0, done.stdout[-4000:] + done.stderr[-4000:])

    def test_the_wheel_is_for_every_platform_and_holds_no_generated_code(self):
        self.assertRegex(self.wheel.name, r"^pompc-[0-9.]+-py3-none-any\.whl$")
        with zipfile.ZipFile(self.wheel) as file:
            names = file.namelist()
        for name in ("pompc/messages.binpb", "pompc/messages.pyi", "pompc/py.typed"):
            self.assertIn(name, names)
        self.assertEqual([name for name in names if name.endswith(".so") or "_pb2" in name], [])

    def test_a_source_distribution_gives_the_same_wheel(self):
        self.succeeds(python("new", "setup.py", "-q", "sdist", "-d", self.folder / "sdist",
                             cwd=self.folder / "source" / "python"))
        (archive,) = (self.folder / "sdist").glob("*.tar.gz")
        shutil.unpack_archive(archive, self.folder / "unpacked")
        (source,) = (self.folder / "unpacked").iterdir()
        again = self.build_wheel(source, self.folder / "again")
        with zipfile.ZipFile(self.wheel) as one, zipfile.ZipFile(again) as other:
            self.assertEqual(sorted(one.namelist()), sorted(other.namelist()))
            for name in ("pompc/messages.binpb", "pompc/messages.pyi"):
                self.assertEqual(one.read(name), other.read(name))

    def copied_tests(self, folder):
        """Copies of the tests, with the files that they read, and no package beside them."""
        for part in ("tests/python", "tests/support", "common/rpc", "common/values"):
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", "*.cc"))
        # Not the package: what says its version.
        (folder / "python").mkdir()
        for name in ("CMakeLists.txt", "python/pyproject.toml"):
            shutil.copy(ROOT / name, folder / name)
        return folder / "tests" / "python"

    def check_generation(self, name, programs):
        why = make_venv(name)
        if why:
            self.skipTest(why)
        self.succeeds(python(name, "-m", "pip", "install", "-q", "--no-deps", "--force-reinstall", self.wheel))
        tests = self.copied_tests(self.folder / name)
        versions = python(name, "-c", "import google.protobuf as p, grpc, numpy, pompc, pompc.messages\n"
                          "print(f'grpcio {grpc.__version__}, protobuf {p.__version__}, NumPy {numpy.__version__}', "
                          "pompc.__file__)")
        self.succeeds(versions)
        print(f"{name}: {versions.stdout.strip()}", flush=True)
        self.assertIn("site-packages", versions.stdout)
        for program in programs:
            with self.subTest(generation=name, program=program):
                self.succeeds(python(name, tests / program, timeout=300))

    def test_an_old_generation_of_grpcio_and_protobuf(self):
        self.check_generation("old", ("environment_test.py", "vector_test.py", "planners_test.py"))

    def test_the_newest_generation(self):
        self.check_generation("new", ("environment_test.py", "vector_test.py", "planners_test.py", "gymnasium_test.py",
                                      "clients_test.py"))

    def test_the_example_prints_its_config(self):
        self.succeeds(python("new", "-m", "pip", "install", "-q", "--no-deps", "--force-reinstall", self.wheel))
        done = python("new", ROOT / "examples" / "python" / "actor.py", "--print-config", cwd=self.folder)
        self.succeeds(done)
        self.assertIn("observation_size: 3 action_size: 1 episode_decisions: 200", done.stdout)

    def test_types_and_style(self):
        unpacked = self.folder / "typed"
        shutil.copytree(self.folder / "source" / "python", unpacked)
        with zipfile.ZipFile(self.wheel) as file:
            file.extract("pompc/messages.pyi", unpacked)
        self.succeeds(python("new", "-m", "mypy", cwd=unpacked))
        self.succeeds(python("new", "-m", "ruff", "check", "--no-cache", ".", cwd=unpacked))


if __name__ == "__main__":
    BUILD = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main()
