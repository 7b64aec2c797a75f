"""What the tests of deploy/ share: outside programs, and the numbers' names in dashboards, alerts and documentation."""

import json
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import metrics_table  # noqa: F401 (for the tests of this folder)
# scripts/install-deps.sh unpacks prometheus and promtool here when the system has none.
os.environ["PATH"] += os.pathsep + "/usr/local/lib/pompc/bin"

COMPOSE_FILE = os.path.join(ROOT, "deploy", "compose.yaml")
PROMETHEUS_FOLDER = os.path.join(ROOT, "deploy", "prometheus")
DASHBOARD_FOLDER = os.path.join(ROOT, "deploy", "grafana", "dashboards")
SKIPPED = 77


def skip(reason):
    """Ends the test as skipped, saying why."""
    print(f"SKIPPED: {reason}")
    sys.exit(SKIPPED)


def require(program):
    """Path of the program; the test is skipped where there is none."""
    return require_or(program, "scripts/install-deps.sh")


def require_or(program, remedy):
    """The same, where something else than scripts/install-deps.sh brings it."""
    return shutil.which(program) or skip(f"{program} is not installed ({remedy})")


def compose_command():
    """Words that start Compose, of whichever version there is."""
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    if shutil.which("docker") and subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0:
        return ["docker", "compose"]
    return skip("neither docker-compose nor docker compose is installed")


def dashboards():
    """Path -> parsed JSON."""
    found = {}
    for name in sorted(os.listdir(DASHBOARD_FOLDER)):
        path = os.path.join(DASHBOARD_FOLDER, name)
        with open(path, encoding="utf-8") as file:
            found[path] = json.load(file)
    return found


def panels(dashboard):
    """All panels, those inside rows included."""
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", ())


def dashboard_queries():
    """(title of the panel, PromQL, legend) of every query of every dashboard, Grafana's variables filled in."""
    filled = {"$__rate_interval": "20s", "$__interval": "5s", "$__range": "1m"}
    queries = []
    for dashboard in dashboards().values():
        for panel in panels(dashboard):
            for target in panel.get("targets", ()):
                expression = target["expr"]
                for variable, value in filled.items():
                    expression = expression.replace(variable, value)
                queries.append((panel["title"], expression, target.get("legendFormat") or ""))
    return queries


def alert_file_text():
    with open(os.path.join(PROMETHEUS_FOLDER, "alerts.yml"), encoding="utf-8") as file:
        return file.read()


def alert_rules():
    """(name, PromQL, the text about it) of every alert."""
    rules = []
    for rule in alert_file_text().split("- alert: ")[1:]:
        name, rest = rule.split("\n", 1)
        rules.append((name, re.search(r"^ +expr: (.*)$", rest, re.MULTILINE)[1], rest.split("annotations:")[1]))
    return rules
