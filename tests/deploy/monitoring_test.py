"""Prometheus' configuration, its alerts and Grafana's dashboards hold together."""

import os
import subprocess
import unittest

import tools


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

    def test_every_metric_asked_for_is_documented(self):
        asked = tools.metrics_in(tools.alert_file_text())
        for _, query in tools.dashboard_queries():
            asked |= tools.metrics_in(query)
        self.assertTrue(asked)
        self.assertEqual(sorted(asked - tools.documented_metrics()), [])


if __name__ == "__main__":
    unittest.main()
