"""docs/metrics.md has exactly the metrics that the source makes, under names that follow the rule."""

import pathlib
import re
import sys
import unittest

ROOT = pathlib.Path(sys.argv.pop(1))
FOLDERS = ("common", "replay", "planner", "learner", "actor", "model", "cli")
METRIC = re.compile(r'"((?:pompc|process)_[a-z0-9_]+)"')
NAME = re.compile(
    r"process_\w+|pompc_build_info|pompc_(actor|planner|replay|learner)_[a-z0-9]+(_[a-z0-9]+)*")


def names_in_source():
    """Name -> file of every metric named in the source: MetricName's are string literals."""
    names = {}
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.cc")) + sorted((ROOT / folder).rglob("*.h")):
            for name in METRIC.findall(path.read_text()):
                names[name] = path.relative_to(ROOT)
    return names


def rows_in_documentation():
    """Name -> kind."""
    page = (ROOT / "docs/metrics.md").read_text()
    return dict(re.findall(r"^\| `(\w+)` \| (counter|gauge|histogram) \|", page, re.MULTILINE))


class MetricsDocumentedTest(unittest.TestCase):
    def test_every_metric_is_a_row(self):
        missing = {name: str(path) for name, path in names_in_source().items()
                   if name not in rows_in_documentation()}
        self.assertEqual(missing, {}, "metrics without a row in docs/metrics.md")

    def test_every_row_is_a_metric(self):
        self.assertEqual(set(rows_in_documentation()) - set(names_in_source()), set(),
                         "rows of docs/metrics.md without a metric")

    def test_names_follow_the_rule(self):
        for name, kind in rows_in_documentation().items():
            self.assertTrue(NAME.fullmatch(name), name)
            self.assertEqual(name.endswith("_total"), kind == "counter", name)

    def test_the_source_is_found(self):
        self.assertIn("pompc_build_info", names_in_source())


if __name__ == "__main__":
    unittest.main(verbosity=2)
