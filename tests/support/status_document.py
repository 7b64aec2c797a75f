"""The table of docs/status.md, to compare with documents that programs serve."""

import pathlib
import re

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "status.md"


def documented():
    """Paths of all fields, like recent.learner[].share[]."""
    return set(re.findall(r"^\| `([^`]+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE))


def paths(value, path=""):
    """Paths of all values of a document."""
    if isinstance(value, dict):
        return set().union(*(paths(field, f"{path}.{key}" if path else key) for key, field in value.items()))
    if isinstance(value, list):
        return set().union(*(paths(entry, path + "[]") for entry in value))
    return {path}
