"""The project's own files, for the checks of this folder. Python's standard library only."""

import os
import re

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
SOURCE_FOLDERS = ("common", "proto", "model", "parameters", "run", "rundir", "replay", "planner", "learner", "actor", "cli",
                  "tests", "bench")


def files(folders, suffixes):
    """Paths below the given folders, relative to the root, that end in one of the suffixes; sorted."""
    found = []
    for folder in folders:
        for directory, _, names in os.walk(os.path.join(ROOT, folder)):
            for name in names:
                if name.endswith(tuple(suffixes)):
                    found.append(os.path.relpath(os.path.join(directory, name), ROOT))
    return sorted(found)


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def without_comments(text):
    """C++ text with comments and the insides of string literals blanked; line numbers stay."""
    pattern = re.compile(
        r'//[^\n]*|/\*.*?\*/|R"(?P<tag>[^(\s]*)\(.*?\)(?P=tag)"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])\'', re.DOTALL)

    def blank(match):
        kept = '""' if match.group(0).startswith(('"', 'R"')) else ""
        return kept + "\n" * match.group(0).count("\n")

    return pattern.sub(blank, text)
