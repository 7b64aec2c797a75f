"""What a header asks of its callers is checked: a class or function with REQUIRES in its header has checks in it."""

import os
import re
import unittest

import source_tree

FOLDERS = ("common/base", "common/config", "common/io", "common/process", "common/rpc", "model", "parameters", "run",
           "rundir", "replay", "planner", "learner", "actor", "cli")
# Interfaces, and where what they ask for is checked.
CHECKED_BY = {
    "learner/engine/engine.h": "learner/engine/torch_engine.cc",
    "actor/core/row_sink.h": "actor/writer_row_sink.cc",
    "planner/core/backend.h": "planner/torch_engine.cc",
    "replay/core/disk_rows.h": "replay/store/rocks_rows.cc",
    "replay/core/selectors/selector.h": "replay/core/selectors/prioritized.cc",
}
CHECK = re.compile(r"\bPOMPC_D?CHECK(_[A-Z]+)?\(")


def unchecked(path):
    """Whether the file asks for something that neither it nor its .cc checks."""
    if "REQUIRES:" not in source_tree.read(path):
        return False
    places = [path, CHECKED_BY.get(path, re.sub(r"\.h$", ".cc", path))]
    return not any(CHECK.search(source_tree.read(place)) for place in places
                   if os.path.exists(os.path.join(source_tree.ROOT, place)))


class ContractsTest(unittest.TestCase):
    def test_what_is_required_is_checked(self):
        paths = source_tree.files(FOLDERS, (".h", ".cc"))
        self.assertGreater(len(paths), 100)
        self.assertEqual([path for path in paths if unchecked(path)], [], "REQUIRES without a check")

    def test_the_exceptions_still_exist(self):
        for path in CHECKED_BY:
            self.assertIn("REQUIRES:", source_tree.read(path))


if __name__ == "__main__":
    unittest.main()
