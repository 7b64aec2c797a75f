#!/usr/bin/env python3
"""Measures the C++ sources, folder by folder, and prints a table.

  scripts/measures.py                 the folders beside this one
  scripts/measures.py --root FOLDER   those of another checkout, to compare two commits

Columns: source files directly in the folder; their lines; lines of comments in headers and in .cc files, as a share of the
lines that are not blank; includes of the project's own headers per 100 lines; functions longer than 25 and than 70 lines;
checks (CHECK and DCHECK of all kinds) per 1,000 lines; lines of the tests in the folder of the same name under tests/ for
each line of source. The last line is the whole of it, tests, benchmarks and generated code left out."""

import argparse
import collections
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "structure"))
import source_tree
from sizes_test import long_functions

OWN_INCLUDE = re.compile(r'^\s*#\s*include "(?:%s)/' % "|".join(source_tree.SOURCE_FOLDERS), re.MULTILINE)
CHECK = re.compile(r"\bD?CHECK(_[A-Z]+)?\(")


class Measures(collections.Counter):
    """What is counted of a folder; two of them can be added."""

    def add_source(self, path):
        text = path.read_text()
        lines = text.splitlines()
        kind = "header" if path.suffix == ".h" else "cc"
        filled = [line.strip() for line in lines if line.strip()]
        self["files"] += 1
        self["lines"] += len(lines)
        self[f"{kind}_filled"] += len(filled)
        self[f"{kind}_comments"] += sum(line.startswith("//") for line in filled)
        self["includes"] += len(OWN_INCLUDE.findall(text))
        self["over_25"] += len(long_functions(text, 25))
        self["over_70"] += len(long_functions(text, 70))
        self["checks"] += len(CHECK.findall(text))

    def row(self, name):
        share = lambda part, whole, scale: f"{scale * self[part] / self[whole]:.1f}" if self[whole] else "-"
        return [name, str(self["files"]), str(self["lines"]), share("header_comments", "header_filled", 100),
                share("cc_comments", "cc_filled", 100), share("includes", "lines", 100), str(self["over_25"]),
                str(self["over_70"]), share("checks", "lines", 1000),
                f"{self['test_lines'] / self['lines']:.2f}" if self["lines"] else "-"]


HEADINGS = ["folder", "files", "lines", ".h comments %", ".cc comments %", "own includes /100", "functions >25", ">70",
            "checks /1000", "tests / source"]


def measure(root):
    """Folder -> Measures."""
    folders = collections.defaultdict(Measures)
    for name in set(source_tree.SOURCE_FOLDERS) - {"tests", "bench"}:
        for path in sorted((root / name).rglob("*")):
            if path.suffix in (".h", ".cc"):
                folders[str(path.parent.relative_to(root))].add_source(path)
    for path in (root / "tests").rglob("*"):
        folder = str(path.parent.relative_to(root / "tests"))
        if path.suffix in (".h", ".cc", ".py") and folder in folders:
            folders[folder]["test_lines"] += len(path.read_text().splitlines())
    return folders


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=pathlib.Path, default=ROOT, help="checkout to measure (by default this one)")
    folders = measure(parser.parse_args().root.resolve())
    total = Measures()
    for folder in folders.values():
        total.update(folder)
    rows = [HEADINGS] + [folders[name].row(name) for name in sorted(folders)] + [total.row("total")]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADINGS))]
    for row in rows:
        print("  ".join([row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]).rstrip())


if __name__ == "__main__":
    main()
