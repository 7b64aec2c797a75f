"""Who may call what: the option `access` of the methods in proto/, and the table in docs/deployment.md that shows it."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
SERVICE = re.compile(r"^service (\w+) \{")
METHOD = re.compile(r"^  rpc (\w+)\(")
OPTION = re.compile(r"\{ option \(access\) = \{callers: \[?([A-Z, ]+)\]?\}; \}$")
ROW = re.compile(r"^\| `(\w+)` \| ([a-z, ]+) \| ([A-Za-z, ]+) \|$")


def declared():
    """{(service, method): set of roles}; an empty set for a method without the option."""
    methods = {}
    for path in sorted((ROOT / "proto").glob("*.proto")):
        service = None
        for line in path.read_text(encoding="utf-8").splitlines():
            if match := SERVICE.match(line):
                service = match[1]
            if match := METHOD.match(line):
                option = OPTION.search(line)
                methods[service, match[1]] = set(option[1].lower().split(", ")) if option else set()
    return methods


def documented():
    """The same, from the table."""
    methods = {}
    for line in (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8").splitlines():
        if match := ROW.match(line):
            for method in match[3].split(", "):
                methods[match[1], method] = set(match[2].split(", "))
    return methods
