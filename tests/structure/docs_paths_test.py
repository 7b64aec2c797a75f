"""Files and folders of the source that the docs name exist."""

import glob
import itertools
import os
import re
import unittest

import source_tree

PAGES = ("README.md", "CONTRIBUTING.md", "docs/*.md")
FOLDERS = ("actor|bench|cli|cmake|common|deploy|docker|docs|examples|learner|model|parameters|planner|presets|proto|python|"
           "replay|run|rundir|scripts|tests")
# A path stands in a code span of its own, or begins one: `learner/update/losses.{h,cc}`, `scripts/test.sh --all`.
PATH = re.compile(r"`((?:%s)/[\w./*{},-]*)" % FOLDERS)
# The pages say what these were called before.
HISTORY = "docs/changes.md"


def alternatives(path):
    """The paths that a{b,c}d stands for."""
    parts = [part.split(",") for part in re.split(r"[{}]", path)] if "{" in path else [[path]]
    return ["".join(choice) for choice in itertools.product(*parts)]


def exists(path):
    # NAME and X stand for what a reader will call theirs.
    pattern = re.sub(r"\b(NAME|X)\b", "*", path.rstrip("."))
    return bool(glob.glob(os.path.join(source_tree.ROOT, pattern)))


def missing(text):
    # Others of this form are names of tests and of charts.
    paths = [path for path in PATH.findall(text) if "." in path or "*" in path or path.endswith("/")]
    return sorted({path for named in paths for path in alternatives(named) if not exists(path)})


class DocsPathsTest(unittest.TestCase):
    def test_paths_in_the_docs_exist(self):
        pages = [page for pattern in PAGES for page in sorted(glob.glob(os.path.join(source_tree.ROOT, pattern)))]
        self.assertGreater(len(pages), 15)
        wrong = {}
        for page in pages:
            name = os.path.relpath(page, source_tree.ROOT)
            if name != HISTORY and (paths := missing(source_tree.read(name))):
                wrong[name] = paths
        self.assertEqual(wrong, {})

    def test_what_does_not_exist_is_found(self):
        self.assertEqual(missing("`common/base/check.h`, `common/base/no_such_file.{h,cc}`, `scripts/test.sh --all`"),
                         ["common/base/no_such_file.cc", "common/base/no_such_file.h"])


if __name__ == "__main__":
    unittest.main()
