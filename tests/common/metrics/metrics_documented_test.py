"""docs/metrics.md has exactly the metrics that the source makes, under names that follow the rule. What each program
really serves is compared with it by tests/integration and tests/cli/train_test.py."""

import os
import pathlib
import re
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "support"))
import metrics_table

ROOT = pathlib.Path(sys.argv.pop(1))
FOLDERS = ("common", "parameters", "run", "rundir", "replay", "planner", "learner", "actor", "model", "cli")
METRIC = re.compile(r'"((?:pompc|process)_[a-z0-9_]+)"')
# A name and the literals of its help text.
HELP = re.compile(METRIC.pattern + r',\s*((?:"(?:[^"\\]|\\.)*"\s*)+)')
NAME = re.compile(
    r"process_\w+|pompc_build_info|pompc_certificate_expiry_timestamp_seconds|"
    r"pompc_(actor|planner|replay|learner)_[a-z0-9]+(_[a-z0-9]+)*")


def source_files():
    for folder in FOLDERS:
        yield from sorted((ROOT / folder).rglob("*.cc")) + sorted((ROOT / folder).rglob("*.h"))


def names_in_source():
    """Name -> file of every metric named in the source: MetricName's are string literals."""
    return {name: str(path.relative_to(ROOT)) for path in source_files() for name in METRIC.findall(path.read_text())}


def help_in_source():
    """Name -> help text, the same way."""
    return {name: "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', literals))
            for path in source_files() for name, literals in HELP.findall(path.read_text())}


class MetricsDocumentedTest(unittest.TestCase):
    def test_every_metric_is_a_row_and_every_row_a_metric(self):
        rows, source = metrics_table.all_documented().keys(), names_in_source()
        self.assertIn("pompc_build_info", source)
        self.assertEqual({name: source[name] for name in source.keys() - rows}, {}, "metrics without a row")
        self.assertEqual(rows - source.keys(), set(), "rows without a metric")

    def test_meanings_begin_with_the_help_text(self):
        rows, texts = metrics_table.all_documented(), help_in_source()
        self.assertGreater(len(texts), len(rows) // 2)
        self.assertEqual({name: (text, rows[name].text) for name, text in texts.items()
                          if name in rows and not metrics_table.begins(rows[name].text, text)}, {})

    def test_names_follow_the_rule(self):
        for name, metric in metrics_table.all_documented().items():
            self.assertTrue(NAME.fullmatch(name), name)
            self.assertIn(metric.kind, ("counter", "gauge", "histogram"), name)
            self.assertEqual(name.endswith("_total"), metric.kind == "counter", name)


class TableTest(unittest.TestCase):
    """The comparison finds each kind of difference."""

    def page(self, **changes):
        lines = []
        for name, metric in metrics_table.documented()[metrics_table.EVERY].items():
            labels = ",".join(f'{label}="x"' for label in metric.labels)
            lines += [f"# HELP {name} {metric.text}", f"# TYPE {name} {metric.kind}", f"{name}{{{labels}}} 1"]
        page = "\n".join(lines)
        for old, new in changes.values():
            self.assertIn(old, page)
            page = page.replace(old, new)
        return metrics_table.differences(page, metrics_table.EVERY)

    def test_the_page_as_documented_passes(self):
        self.assertEqual(self.page(), [])

    def test_each_difference_is_found(self):
        for old, new, problem in (
                ("process_threads", "process_thread", "process_threads: not served"),
                ("process_threads", "process_thread", "process_thread: not documented"),
                ("TYPE process_threads gauge", "TYPE process_threads counter", "process_threads: is a counter"),
                ("HELP process_threads T", "HELP process_threads x", 'its help "x'),
                ('role="x"', 'rule="x"', "pompc_build_info: has labels ['rule', 'version']")):
            with self.subTest(new=new):
                found = self.page(change=(old, new))
                self.assertTrue(any(problem in line for line in found), found)

    def test_values_of_labels_are_compared(self):
        text = metrics_table.documented()[metrics_table.LEARNER]["pompc_learner_leases"].text
        page = (f"# HELP pompc_learner_leases {text}\n# TYPE pompc_learner_leases gauge\n"
                'pompc_learner_leases{role="actor",run="a"} 1\n')
        self.assertIn("pompc_learner_leases: label role is ['actor'], documented ['actor', 'evaluator']",
                      metrics_table.differences(page, metrics_table.LEARNER))

    def test_unknown_names_in_queries_are_found(self):
        for expression, legend, problem in (
                ("rate(pompc_learner_update_total[5m])", "", "no metric pompc_learner_update_total"),
                ("sum(process_fds)", "", "no metric process_fds"),
                ('pompc_learner_leases{rank="1"}', "", "has no label rank"),
                ('pompc_learner_leases{role="planner"}', "", "label role is never planner"),
                ('pompc_learner_leases{role=~"actor|planner"}', "", "label role is never planner"),
                ("sum by (state) (pompc_learner_leases)", "", "has a label state"),
                ("pompc_learner_leases", "{{state}}", "has a label state")):
            with self.subTest(expression=expression):
                found = metrics_table.unknown_in(expression, legend)
                self.assertTrue(any(problem in line for line in found), found)
        good = ('sum by (role, job) (pompc_learner_leases{role=~"act.*"}) / on() group_left() up and '
                "histogram_quantile(0.5, sum by (le) (rate(pompc_actor_plan_latency_seconds_bucket[20s]))) > 1e3")
        self.assertEqual(metrics_table.unknown_in(good, "{{role}} {{ $labels.instance }}"), [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
