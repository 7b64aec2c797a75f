"""Every test file is built and registered: nothing under tests/ is left behind.

Usage: registered_test.py BUILD_FOLDER
"""

import json
import os
import re
import subprocess
import sys
import unittest

import source_tree

BUILD = sys.argv[1] if len(sys.argv) > 1 else os.path.join(source_tree.ROOT, "build", "release")


def registered_commands():
    """Commands of all registered tests, as lists of words."""
    shown = subprocess.run(["ctest", "--test-dir", BUILD, "--show-only=json-v1"], check=True, capture_output=True)
    return [test.get("command", []) for test in json.loads(shown.stdout)["tests"]]


def compiled_into():
    """Source path below the root -> object file, for all that the build compiles."""
    outputs = {}
    with open(os.path.join(BUILD, "compile_commands.json"), encoding="utf-8") as file:
        commands = json.load(file)
    for entry in commands:
        compiled = entry["file"]
        output = entry["command"].partition(" -o ")[2].split()[0]
        for source in united(compiled) if "/Unity/" in compiled else [compiled]:
            outputs[os.path.relpath(source, source_tree.ROOT)] = output
    return outputs


def united(path):
    """The sources that CMake compiles as one file."""
    with open(path, encoding="utf-8") as file:
        return re.findall(r'^#include "(.+)"', file.read(), re.MULTILINE)


class RegisteredTest(unittest.TestCase):
    def test_every_cc_test_is_in_a_registered_binary(self):
        outputs = compiled_into()
        binaries = {os.path.basename(command[0]) for command in registered_commands() if command}
        problems = []
        for path in source_tree.files(("tests",), ("_test.cc",)):
            # Object files lie in <folder>/CMakeFiles/<target>.dir/.
            target = outputs.get(path, "").partition(".dir/")[0].rpartition("/")[2]
            if target not in binaries:
                problems.append(f"{path}: {'not compiled' if not target else target + ' is not registered'}")
        self.assertEqual(problems, [])

    def test_every_script_test_is_registered(self):
        words = {os.path.relpath(word, source_tree.ROOT) for command in registered_commands() for word in command
                 if word.startswith(source_tree.ROOT)}
        scripts = source_tree.files(("tests",), ("_test.py", "_test.sh"))
        self.assertEqual([path for path in scripts if path not in words], [])

    def test_every_source_is_compiled(self):
        outputs = compiled_into()
        folders = [folder for folder in source_tree.SOURCE_FOLDERS if folder != "tests"]
        self.assertEqual([path for path in source_tree.files(folders, (".cc",)) if path not in outputs], [])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
