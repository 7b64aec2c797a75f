"""Includes point down only, and third-party libraries stay where they belong."""

import unittest

import layering
import source_tree


class LayeringTest(unittest.TestCase):
    def test_every_include_points_down(self):
        problems = []
        for path in source_tree.files(source_tree.SOURCE_FOLDERS, (".h", ".cc")):
            problems += layering.violations(path, source_tree.read(path))
        self.assertEqual(problems, [])

    def test_upward_and_sideways_includes_are_found(self):
        self.assertTrue(layering.violations("common/base/threads.cc", '#include "replay/core/table.h"\n'))
        self.assertTrue(layering.violations("common/base/threads.cc", '#include "common/rpc/server.h"\n'))
        self.assertTrue(layering.violations("actor/app.cc", '#include "planner/service.h"\n'))
        self.assertTrue(layering.violations("replay/core/table.cc", '#include "replay/app.h"\n'))
        self.assertTrue(layering.violations("replay/app.cc", '#include "tests/integration/mini_cluster.h"\n'))
        self.assertTrue(layering.violations("cli/report/csv.cc", '#include "cli/commands/command.h"\n'))
        self.assertTrue(layering.violations("run/control/leases.cc", '#include "run/run_client.h"\n'))
        self.assertTrue(layering.violations("learner/feed/prefetcher.cc", '#include "learner/trainer.h"\n'))
        self.assertEqual(layering.violations("actor/app.cc", '#include "planner/client/planner_client.h"\n'), [])

    def test_misplaced_libraries_are_found(self):
        self.assertTrue(layering.violations("planner/core/batcher.cc", "#include <torch/torch.h>\n"))
        self.assertTrue(layering.violations("replay/core/table.h", '#include "proto/replay.pb.h"\n'))
        self.assertTrue(layering.violations("model/mppi.cc", "  #  include <grpcpp/grpcpp.h>\n"))
        self.assertTrue(layering.violations("learner/app.cc", "#include <mujoco/mujoco.h>\n"))
        self.assertEqual(layering.violations("planner/backend.cc", "#include <ATen/ATen.h>\n"), [])

    def test_own_headers_are_rooted_and_quoted(self):
        self.assertTrue(layering.violations("common/base/turns.h", '#include "threads.h"\n'))
        self.assertTrue(layering.violations("replay/app.cc", "#include <common/base/threads.h>\n"))


if __name__ == "__main__":
    unittest.main()
