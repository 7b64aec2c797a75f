"""The status page and its document of a real run: pompc train, from its first row to its first evaluations."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

from program import POMPC

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import status_document

# Episodes of ten decisions, updates of sixteen windows.
SMALL = ["--preset", "quickstart", "--set", "env.action_repeat=100", "--set", "learner.seed_rows=60",
         "--set", "learner.pretrain_updates=10", "--set", "learner.batch_size=16", "--set", "replay.min_rows=30",
         "--set", "evaluation.every_rows=50", "--set", "evaluation.episodes=2", "--set", "stop.return_mean=0",
         "--set", "stop.max_rows=1000000"]
DEADLINE_S = 60


class StatusPageTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.run_dir = os.path.join(folder.name, "run")
        self.process = subprocess.Popen([POMPC, "train", "--run-dir", self.run_dir, *SMALL], text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(self.process.communicate, timeout=60)
        self.addCleanup(self.process.kill)
        line = next(line for line in self.process.stdout if "status page" in line)
        self.address = re.search(r"status page (http://\S+/)", line)[1]

    def get(self, page):
        with urllib.request.urlopen(self.address + page, timeout=20) as reply:
            return reply.headers["Content-Type"], reply.read()

    def document(self):
        kind, body = self.get("status.json")
        self.assertEqual(kind, "application/json; charset=utf-8")
        self.assertLess(len(body), 300_000)
        document = json.loads(body)
        self.assertEqual(document["format"], 1)
        self.assertEqual(status_document.paths(document) - {"evaluations.best"} - status_document.documented(), set())
        return document

    def await_document(self, condition, what):
        deadline = time.monotonic() + DEADLINE_S
        while True:
            document = self.document()
            if condition(document):
                return document
            self.assertLess(time.monotonic(), deadline, f"{what}: {document}")

    def test_the_document_follows_the_run(self):
        first = self.document()
        self.assertEqual(first["run"]["task"], "cartpole-swingup")
        self.assertEqual(first["run"]["run_dir"], self.run_dir)
        self.assertEqual(len(first["references"]["curves"]), 7)
        later = self.await_document(
            lambda now: now["evaluations"]["total"] >= 2 and len(now["recent"]["seconds"]) >= 3, "no second evaluation")
        for field in ("rows", "updates", "episodes"):
            self.assertGreater(later["counts"][field], first["counts"][field], field)
        self.assertEqual(later["counts"]["frames"], 100 * later["counts"]["rows"])
        self.assertEqual(later["run"]["phase"], "TRAINING")
        self.assertGreater(later["run"]["elapsed_seconds"], first["run"]["elapsed_seconds"])
        self.assertEqual(len(later["evaluations"]["rows"]), later["evaluations"]["total"])
        self.assertGreater(sum(later["training"]["episodes"]), 0)
        self.assertEqual({process["role"] for process in later["processes"]},
                         {"learner", "shard", "planner", "actor", "evaluator"})
        self.assertEqual({process["health"] for process in later["processes"]} - {"ok", "waiting"}, set())
        self.assertGreater(max(later["recent"]["rows_per_second"]), 0)
        # Timers are read one after the other, so that the parts sum to 1 but for moments.
        self.assertAlmostEqual(sum(activity["share"][-1] for activity in later["recent"]["learner"]), 1, delta=0.1)
        self.assertTrue(any("evaluation 1:" in line["text"] for line in later["log"]), later["log"])
        self.assertGreater(sum(shard["stored_rows"] for shard in later["replay"]["shards"]), 0)

        kind, page = self.get("status?reload=1")
        self.assertEqual(kind, "text/html; charset=utf-8")
        self.assertIn(later["run"]["id"], page.decode())
        self.assertEqual(self.get("status/video/0")[1], b"")

        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=60)
        self.assertEqual(self.process.returncode, 0)


if __name__ == "__main__":
    unittest.main()
