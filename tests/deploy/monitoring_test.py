"""Prometheus' configuration, its rules, their runbook, Grafana's dashboards and the consoles hold together. That every
query has an answer is shown by cluster_test.py."""

import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

import alert_cases
import tools
from tools import metrics_table

RUNBOOK = os.path.join(tools.ROOT, "docs", "runbook.md")
CONFIGURATIONS = ("prometheus.yml", "prometheus.files.yml", "prometheus.kubernetes.yml")
# Debian builds Prometheus without this discovery: there the rest of the file is checked.
KUBERNETES = re.compile(r"    kubernetes_sd_configs:\n      - role: pod\n        selectors: \[{role: pod, label: [^}]*}\]\n")


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


class PrometheusTest(unittest.TestCase):
    def setUp(self):
        self.promtool = tools.require("promtool")

    def check(self, *arguments):
        result = subprocess.run([self.promtool, *arguments], capture_output=True, text=True)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_configurations_are_valid(self):
        for name in CONFIGURATIONS:
            with self.subTest(name=name):
                text = read(os.path.join(tools.PROMETHEUS_FOLDER, name))
                for rules in tools.RULE_FILES:
                    self.assertIn(rules, text)
                    text = text.replace(rules, os.path.join(tools.PROMETHEUS_FOLDER, rules))
                self.assertEqual(len(KUBERNETES.findall(text)), name.count("kubernetes"))
                with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
                    file.write(KUBERNETES.sub("    static_configs: [{targets: [a]}]\n", text))
                    file.flush()
                    self.check("check", "config", file.name)

    def test_alerts_fire_when_they_should_and_not_otherwise(self):
        severities = {rule.name: rule.severity for rule in tools.rules("alert")}
        files = [os.path.join(tools.PROMETHEUS_FOLDER, name) for name in tools.RULE_FILES]
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as cases:
            json.dump(alert_cases.promtool_tests(files, severities), cases)
            cases.flush()
            self.check("test", "rules", cases.name)
        fired = {alert for _, _, _, fires in alert_cases.CASES for alert, _ in fires} | {"Watchdog"}
        self.assertEqual(severities.keys() - fired, set(), "no case in which it fires")

    def test_rules_can_be_scaled_in_time(self):
        script = os.path.join(tools.PROMETHEUS_FOLDER, "scale_rules.py")
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([sys.executable, script, "10", folder], check=True)
            for name in tools.RULE_FILES:
                self.check("check", "rules", os.path.join(folder, name))
            alerts = read(os.path.join(folder, "alerts.yml"))
            self.assertIn("increase(pompc_learner_updates_total[30s])", alerts)
            self.assertNotIn("[5m]", alerts)
            self.assertIn("for: 6s", alerts)
            self.assertIn("> 3600", alerts, "thresholds stay")
        refused = subprocess.run([sys.executable, script, "0"], capture_output=True, text=True)
        self.assertEqual(refused.returncode, 2)


class RunbookTest(unittest.TestCase):
    def test_every_alert_has_an_entry_and_every_entry_an_alert(self):
        entries = re.findall(r"^### (\w+)$", read(RUNBOOK), re.MULTILINE)
        self.assertEqual(sorted(entries), sorted(rule.name for rule in tools.rules("alert")))
        for rule in tools.rules("alert"):
            self.assertEqual(rule.annotations["runbook"], f"docs/runbook.md#{rule.name.lower()}")
            self.assertTrue(rule.annotations["summary"], rule.name)

    def test_entries_name_what_there_is(self):
        named = set(re.findall(r"`((?:pompc|process)_[a-z0-9_]+)`", read(RUNBOOK)))
        self.assertEqual(named - metrics_table.all_documented().keys() - alert_cases.MADE_ELSEWHERE, set())


class RulesTest(unittest.TestCase):
    def test_rules_ask_for_what_there_is(self):
        others = {**tools.recorded(), **dict.fromkeys(alert_cases.MADE_ELSEWHERE, ())}
        for makes in ("record", "alert"):
            self.assertTrue(tools.rules(makes))
            for rule in tools.rules(makes):
                with self.subTest(rule=rule.name):
                    text = rule.annotations.get("summary", "")
                    self.assertEqual(metrics_table.unknown_in(rule.expression, text, others), [])

    def test_what_is_of_a_run_says_so(self):
        """An alert has the label of its run, or is about a process."""
        for rule in tools.rules("alert"):
            with self.subTest(alert=rule.name):
                self.assertRegex(rule.annotations["summary"], r"\$labels\.(run|instance)|Always")


class DashboardTest(unittest.TestCase):
    UNITS = {"short", "s", "bytes", "Bps", "percentunit"}

    def test_files_are_what_the_script_writes(self):
        script = os.path.join(tools.ROOT, "deploy", "grafana", "dashboards.py")
        result = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_are_provisioned(self):
        dashboards = tools.dashboards()
        self.assertEqual(len(dashboards), 6)
        for name in ("uid", "title"):
            values = [dashboard[name] for dashboard in dashboards.values()]
            self.assertEqual(len(set(values)), len(values))
            self.assertTrue(all(values))
        self.assertTrue(all(re.fullmatch(r"[\w-]{1,40}", dashboard["uid"]) for dashboard in dashboards.values()))

    def test_panels_are_of_the_schema(self):
        for dashboard in tools.dashboards().values():
            panels = list(tools.panels(dashboard))
            ids = [panel["id"] for panel in panels]
            self.assertEqual(len(set(ids)), len(ids), dashboard["title"])
            for panel in panels:
                with self.subTest(dashboard=dashboard["title"], panel=panel["title"]):
                    self.assertIn(panel["type"], ("row", "stat", "timeseries", "table"))
                    if panel["type"] == "row":
                        continue
                    self.assertIn(panel["fieldConfig"]["defaults"]["unit"], self.UNITS)
                    references = [target["refId"] for target in panel["targets"]]
                    self.assertEqual(len(set(references)), len(references))
                    self.assertTrue(references)

    def test_everything_asks_the_provisioned_datasource(self):
        datasources = os.path.join(tools.ROOT, "deploy", "grafana", "provisioning", "datasources", "prometheus.yml")
        self.assertIn("uid: prometheus\n", read(datasources))
        for dashboard in tools.dashboards().values():
            asking = [panel for panel in tools.panels(dashboard) if panel["type"] != "row"]
            asking += [target for panel in asking for target in panel["targets"]]
            asking += dashboard["annotations"]["list"] + dashboard["templating"]["list"]
            for one in asking:
                self.assertEqual(one["datasource"], {"type": "prometheus", "uid": "prometheus"}, one)

    def test_variables_are_declared(self):
        builtin = {"__rate_interval", "__interval", "__range"}
        for dashboard in tools.dashboards().values():
            declared = {one["name"] for one in dashboard["templating"]["list"]}
            self.assertIn("run", declared)
            used = set(re.findall(r"\$(\w+)", json.dumps([dashboard["panels"], dashboard["annotations"],
                                                          dashboard["templating"]]))) - {"__all"}
            self.assertEqual(used - builtin, declared, dashboard["title"])

    def test_panels_do_not_overlap(self):
        for dashboard in tools.dashboards().values():
            cells = {}
            for panel in tools.panels(dashboard):
                place = panel["gridPos"]
                self.assertLessEqual(place["x"] + place["w"], 24)
                for x in range(place["x"], place["x"] + place["w"]):
                    for y in range(place["y"], place["y"] + place["h"]):
                        self.assertNotIn((x, y), cells, f'{panel["title"]} lies over {cells.get((x, y))}')
                        cells[x, y] = panel["title"]

    def test_panels_ask_for_what_there_is(self):
        others = {**tools.recorded(), **dict.fromkeys(alert_cases.MADE_ELSEWHERE, ())}
        for title, expression, legend in tools.dashboard_queries():
            with self.subTest(panel=title, expression=expression):
                self.assertEqual(metrics_table.unknown_in(expression, legend, others), [])

    def test_every_metric_of_a_run_is_shown(self):
        """A metric that nobody can see is worth little; those of a rank above 0 are for its own page."""
        shown = set(re.findall(r"\w+", " ".join(expression for _, expression, _ in tools.dashboard_queries())))
        shown |= set(re.findall(r"\w+", " ".join(rule.expression for rule in tools.rules("record"))))
        shown = {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown}
        sections = metrics_table.documented()
        hidden = {name for section in (metrics_table.ACTOR, metrics_table.PLANNER, metrics_table.REPLAY,
                                       metrics_table.LEARNER) for name in sections[section].keys() - shown}
        self.assertEqual(hidden, NOT_SHOWN)


# Metrics without a panel: what they say is said by another one.
NOT_SHOWN = {
    # Shown by the learner in the same words.
    "pompc_replay_imported_rows_total", "pompc_replay_loaded_percent", "pompc_replay_store_failing",
    "pompc_learner_blocked_writers", "pompc_learner_rows_per_second", "pompc_learner_updates_per_second",
    "pompc_learner_episodes_total", "pompc_learner_parameters_number", "pompc_planner_parameters_incarnation",
}


if __name__ == "__main__":
    unittest.main()
