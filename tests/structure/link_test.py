"""The role binaries load what their role needs and nothing heavier.

Usage: link_test.py BINARY_FOLDER
"""

import os
import re
import subprocess
import sys
import unittest

import source_tree

BINARIES = sys.argv[1] if len(sys.argv) > 1 else os.path.join(source_tree.ROOT, "build", "release", "bin")

TORCH = re.compile(r"libtorch|libc10|libopenblas")
MUJOCO = re.compile(r"libmujoco")
ROCKSDB = re.compile(r"librocksdb")
FORBIDDEN = {
    "pompc-actor": (TORCH, ROCKSDB),
    "pompc-replay": (TORCH, MUJOCO),
    "pompc-planner": (MUJOCO, ROCKSDB),
    "pompc-learner": (MUJOCO, ROCKSDB),
}


def loaded_libraries(binary):
    """Names of all shared libraries the binary loads, directly and through others."""
    listed = subprocess.run(["ldd", os.path.join(BINARIES, binary)], check=True, capture_output=True, text=True)
    return [line.split()[0] for line in listed.stdout.splitlines()]


class LinkTest(unittest.TestCase):
    def test_roles_load_only_what_they_need(self):
        for binary, forbidden in FORBIDDEN.items():
            with self.subTest(binary=binary):
                libraries = loaded_libraries(binary)
                found = [name for name in libraries for pattern in forbidden if pattern.search(name)]
                self.assertEqual(found, [])

    def test_the_search_finds_what_is_there(self):
        self.assertTrue([name for name in loaded_libraries("pompc-learner") if TORCH.search(name)])
        self.assertTrue([name for name in loaded_libraries("pompc-actor") if MUJOCO.search(name)])
        self.assertTrue([name for name in loaded_libraries("pompc-replay") if ROCKSDB.search(name)])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
