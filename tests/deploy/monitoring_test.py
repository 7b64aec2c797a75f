"""Prometheus' configuration, its alerts and Grafana's dashboards hold together."""

import os
import re
import subprocess
import unittest

import tools
from tools import metrics_table


class PrometheusTest(unittest.TestCase):
    def setUp(self):
        self.promtool = tools.require("promtool")

    def check(self, *arguments):
        result = subprocess.run([self.promtool, *arguments], capture_output=True, text=True)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_configuration_is_valid(self):
        self.check("check", "config", os.path.join(tools.PROMETHEUS_FOLDER, "prometheus.yml"))

    def test_alerts_fire_when_they_should(self):
        self.check("test", "rules", os.path.join(os.path.dirname(__file__), "alerts_test.yml"))


class DashboardTest(unittest.TestCase):
    def test_are_provisioned(self):
        dashboards = tools.dashboards()
        self.assertTrue(dashboards)
        for path, dashboard in dashboards.items():
            with self.subTest(path=path):
                self.assertTrue(dashboard["uid"])
                self.assertTrue(dashboard["title"])

    def test_panels_ask_the_provisioned_datasource(self):
        datasources = os.path.join(tools.ROOT, "deploy", "grafana", "provisioning", "datasources", "prometheus.yml")
        with open(datasources, encoding="utf-8") as file:
            self.assertIn("uid: prometheus\n", file.read())
        for dashboard in tools.dashboards().values():
            for panel in tools.panels(dashboard):
                if panel["type"] != "row":
                    self.assertEqual(panel["datasource"], {"type": "prometheus", "uid": "prometheus"}, panel["title"])

    def test_panels_do_not_overlap(self):
        for dashboard in tools.dashboards().values():
            cells = {}
            for panel in tools.panels(dashboard):
                place = panel["gridPos"]
                for x in range(place["x"], place["x"] + place["w"]):
                    for y in range(place["y"], place["y"] + place["h"]):
                        self.assertNotIn((x, y), cells, f'{panel["title"]} lies over {cells.get((x, y))}')
                        cells[x, y] = panel["title"]

    def test_panels_ask_for_what_there_is(self):
        self.assertTrue(tools.dashboard_queries())
        for title, expression, legend in tools.dashboard_queries():
            with self.subTest(panel=title, expression=expression):
                self.assertEqual(metrics_table.unknown_in(expression, legend), [])


class AlertTest(unittest.TestCase):
    def test_alerts_ask_for_what_there_is(self):
        self.assertTrue(tools.alert_rules())
        for name, expression, text in tools.alert_rules():
            with self.subTest(alert=name):
                self.assertEqual(metrics_table.unknown_in(expression, text), [])
                named = set(re.findall(r"\b(?:pompc|process)_[a-z0-9_]+", text))
                self.assertEqual(named - metrics_table.all_documented().keys(), set())


if __name__ == "__main__":
    unittest.main()
