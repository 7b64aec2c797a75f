"""What the tests of deploy/ share: outside programs, and the numbers' names in dashboards, rules and documentation."""

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
RULE_FILES = ("recording.yml", "alerts.yml")
CONSOLE_FOLDER = os.path.join(PROMETHEUS_FOLDER, "consoles")
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


# What stands for Grafana's variables when a query is run: all that there is, over short times.
FILLED = {"$__rate_interval": "20s", "$__interval": "5s", "$__range": "1m", "$run": ".*", "$shard": ".*"}
LABEL_VALUES = re.compile(r"label_values\((.*), (\w+)\)")


def filled(expression):
    for variable, value in FILLED.items():
        expression = expression.replace(variable, value)
    return expression


def dashboard_queries():
    """(where it stands, PromQL, legend) of every query of every dashboard, Grafana's variables filled in: those of
    panels, annotations and variables."""
    queries = []
    for dashboard in dashboards().values():
        title = dashboard["title"]
        for panel in panels(dashboard):
            queries += [(f'{title}: {panel["title"]}', filled(target["expr"]), target.get("legendFormat") or "")
                        for target in panel.get("targets", ())]
        queries += [(f'{title}: annotation {one["name"]}', filled(one["expr"]), one["textFormat"])
                    for one in dashboard["annotations"]["list"]]
        for one in dashboard["templating"]["list"]:
            metric, label = LABEL_VALUES.fullmatch(one["query"]).groups()
            queries.append((f'{title}: variable {one["name"]}', f"count by ({label}) ({filled(metric)})", ""))
    return sorted(set(queries))


class Rule:
    """A rule of deploy/prometheus: what it makes ("record" or "alert"), its name, PromQL, severity and annotations."""

    def __init__(self, text):
        self.makes, self.name = re.match(r"- (record|alert): (\S+)", text).groups()
        folded = re.search(r"^ +expr: (?:>\n((?: {10}.*\n)+)|(.*))", text, re.MULTILINE)
        self.expression = " ".join((folded[1] or folded[2]).split())
        severity = re.search(r"severity: (\w+)", text)
        self.severity = severity and severity[1]
        self.annotations = dict(re.findall(r"^ {10}(\w+): '?(.*?)'?$", text.partition("annotations:")[2], re.MULTILINE))


def rules(makes):
    """The recording rules ("record") or alerts ("alert"), in the order of their files."""
    found = []
    for name in RULE_FILES:
        with open(os.path.join(PROMETHEUS_FOLDER, name), encoding="utf-8") as file:
            found += [Rule(text) for text in re.split(r"^ +(?=- (?:record|alert): )", file.read(), flags=re.MULTILINE)[1:]]
    return [rule for rule in found if rule.makes == makes]


def compared(expression):
    """The parts of an alert's expression that have values in a run that is well: the sides of its comparisons."""
    parts, depth, start = [], 0, 0
    separator = re.compile(r"\s*(?:(?:==|!=|<=|>=|<|>)(?: on \([\w, ]+\))?|\b(?:and|or|unless)\b(?: on \([\w, ]+\))?)\s*")
    position = 0
    while position < len(expression):
        if expression[position] == '"':
            position = expression.index('"', position + 1)
        elif expression[position] in "([{":
            depth += 1
        elif expression[position] in ")]}":
            depth -= 1
        elif depth == 0 and (match := separator.match(expression, position)):
            parts.append(expression[start:position])
            position = start = match.end()
            continue
        position += 1
    found = []
    for part in (*parts, expression[start:]):
        # Brackets around a comparison hold further parts.
        if part.startswith("(") and part.endswith(")") and part.count("(") == part.count(")"):
            found += compared(part[1:-1])
        elif not re.fullmatch(r"[\d.]+(?: \* [\d.]+)?", part):
            found.append(part)
    return found


def recorded():
    """{name: labels} of what Prometheus makes itself: recorded series have the labels that their rule names."""
    made = {rule.name: re.search(r"by \(([\w, ]+)\)", rule.expression)[1].replace(" le", "").strip(", ").split(", ")
            for rule in rules("record")}
    return {**made, "ALERTS": ["alertname", "alertstate", "severity", "run", "shard"]}
