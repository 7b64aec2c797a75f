"""deploy/compose.yaml is accepted by Compose and keeps to what 1.29 and 2 both do."""

import os
import re
import subprocess
import unittest

import tools

COMPOSE = tools.compose_command()


def config(*arguments):
    return subprocess.run([*COMPOSE, "-f", tools.COMPOSE_FILE, *arguments, "config"], capture_output=True, text=True)


class ComposeTest(unittest.TestCase):
    def test_is_valid(self):
        result = config()
        self.assertEqual(result.returncode, 0, result.stderr)
        for service in ("replay-0", "replay-1", "planner", "learner", "actor", "evaluator", "prometheus"):
            self.assertRegex(result.stdout, rf"(?m)^  {service}:$")

    def test_is_valid_with_grafana(self):
        result = config("--profile", "ui")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(result.stdout, r"(?m)^  grafana:$")

    def test_is_valid_with_assets_and_mounts_them_read_only(self):
        folder = os.path.dirname(tools.COMPOSE_FILE)
        arguments = ("-f", os.path.join(folder, "compose.assets.yaml"))
        result = subprocess.run([*COMPOSE, "-f", tools.COMPOSE_FILE, *arguments, "config"], capture_output=True,
                                text=True, env=dict(os.environ, POMPC_ASSETS="/srv/control-suite"))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stdout.count("POMPC_ASSETS: /assets"), 2)
        self.assertRegex(result.stdout, r"/srv/control-suite:/assets:ro|read_only: true\n *source: /srv/control-suite|"
                                        r"source: /srv/control-suite\n *target: /assets\n *read_only: true")
        self.assertIn("scripts/fetch-control-suite.sh", config(*arguments).stderr)

    def test_has_nothing_that_one_of_the_versions_lacks(self):
        with open(tools.COMPOSE_FILE, encoding="utf-8") as file:
            text = file.read()
        self.assertNotRegex(text, r"(?m)^(name|configs):")
        self.assertNotIn("container_name:", text)

    def test_publishes_on_loopback_alone(self):
        with open(tools.COMPOSE_FILE, encoding="utf-8") as file:
            published = re.findall(r"ports: \[(.*)\]", file.read())
        self.assertTrue(published)
        self.assertEqual([ports for ports in published if not ports.startswith('"127.0.0.1:')], [])

    def test_mounted_files_exist(self):
        with open(tools.COMPOSE_FILE, encoding="utf-8") as file:
            mounted = re.findall(r"- (\./[^:]*):", file.read())
        self.assertTrue(mounted)
        folder = os.path.dirname(tools.COMPOSE_FILE)
        self.assertEqual([path for path in mounted if not os.path.exists(os.path.join(folder, path))], [])


if __name__ == "__main__":
    unittest.main()
