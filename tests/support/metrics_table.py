"""The tables of docs/metrics.md, to compare with what programs serve and what dashboards and alerts ask for."""

import pathlib
import re

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "metrics.md"

ROW = re.compile(r"^\| `(\w+)` \| (\w+) \|(.*?)\| (.*) \|$")
# One label of a row: a name and, where they are known, its values.
LABEL = re.compile(r"(\w+)(?: \(([^)]*)\))?")
SAMPLE = re.compile(r"(\w+)(?:\{(.*)\})? \S+")
PAIR = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

EVERY, ACTOR, PLANNER, REPLAY, LEARNER = "Every process", "Actor and evaluator", "Planner", "Replay", "Learner"
# Served beside those of EVERY by processes with --certificates.
CERTIFICATES = "With certificates"
# The second table of the learner's section, with the rows of the first that the text above it names.
FOLLOWER = "Learner, rank above 0"
# Where the label "run" is in all rows.
OF_ONE_RUN = (ACTOR, REPLAY, LEARNER, FOLLOWER)


class Metric:
    """A row of the table, or a metric as it is served: labels is name -> set of values; None: any."""

    def __init__(self, kind, labels, text):
        self.kind, self.labels, self.text = kind, labels, text


def documented():
    """Section -> {name: Metric}."""
    sections, section = {}, None
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            section = line[3:]
        elif line.startswith("A learner process of rank above 0"):
            section = FOLLOWER
        if section == FOLLOWER and not line.startswith("|"):
            shared = re.findall(r"`(pompc_\w+)`", line)
            sections.setdefault(section, {}).update((name, sections[LEARNER][name]) for name in shared)
        if match := ROW.match(line):
            name, kind, labels, meaning = match.groups()
            labels += " run" if section in OF_ONE_RUN else ""
            values = {label: set(known.split(", ")) if known else None for label, known in LABEL.findall(labels)}
            sections.setdefault(section, {})[name] = Metric(kind, values, meaning.replace("`", ""))
    return sections


def all_documented():
    """{name: Metric} of all sections."""
    return {name: metric for metrics in documented().values() for name, metric in metrics.items()}


def served(page):
    """{name: Metric} of a page in Prometheus' text format."""
    found = {}
    for line in page.splitlines():
        if line.startswith("# HELP "):
            _, _, name, text = line.split(" ", 3)
            found[name] = Metric(None, {}, text)
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ", 3)
            found[name].kind = kind
        elif match := SAMPLE.fullmatch(line):
            name = match[1] if match[1] in found else re.sub(r"_(bucket|sum|count)$", "", match[1])
            for label, value in PAIR.findall(match[2] or ""):
                if label != "le":
                    found[name].labels.setdefault(label, set()).add(value)
    return found


def begins(meaning, text):
    """Whether the meaning begins with the help text, up to the full stop."""
    text = text.removesuffix(".")
    return meaning.startswith(text) and not meaning[len(text):len(text) + 1].isalnum()


def differences(page, *sections):
    """In words, how a served page differs from what the tables of these sections promise."""
    wanted = {name: metric for section in sections for name, metric in documented()[section].items()}
    got = served(page)
    problems = [f"{name}: not served" for name in sorted(wanted.keys() - got.keys())]
    problems += [f"{name}: not documented" for name in sorted(got.keys() - wanted.keys())]
    for name in sorted(wanted.keys() & got.keys()):
        row, metric = wanted[name], got[name]
        if metric.kind != row.kind:
            problems.append(f"{name}: is a {metric.kind}, documented as {row.kind}")
        if not metric.text or not begins(row.text, metric.text):
            problems.append(f'{name}: its help "{metric.text}" does not begin its meaning "{row.text}"')
        if metric.labels.keys() != row.labels.keys():
            problems.append(f"{name}: has labels {sorted(metric.labels)}, documented {sorted(row.labels)}")
            continue
        for label, values in metric.labels.items():
            if row.labels[label] not in (None, values):
                problems.append(f"{name}: label {label} is {sorted(values)}, documented {sorted(row.labels[label])}")
    return problems


# What PromQL knows that is no metric.
WORDS = {"and", "or", "unless", "on", "ignoring", "by", "without", "group_left", "group_right", "bool", "offset"}
MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')


def unknown_in(expression, legend="", others=None):
    """In words, what a query or its legend names that no process serves. Prometheus itself adds `up` and its labels;
    `others` is {name: labels} of what there is besides."""
    table = all_documented() | {name: Metric(None, dict.fromkeys(names), "") for name, names in (others or {}).items()}
    problems, used = [], set()
    labels = {"job", "instance", "process", "le"}
    for name, matchers in re.findall(r"(?<![\w:])([A-Za-z_][\w:]*)\b(?!\s*\()(?:\s*\{([^}]*)\})?",
                                     clauses_removed(expression)):
        if name in WORDS or name == "up":
            continue
        metric = table.get(name) or table.get(re.sub(r"_(bucket|sum|count)$", "", name))
        if metric is None:
            problems.append(f"there is no metric {name}")
            continue
        used.add(name)
        labels |= metric.labels.keys()
        for label, operator, value in MATCHER.findall(matchers):
            if label not in metric.labels:
                problems.append(f"{name} has no label {label}")
            elif metric.labels[label] is not None:
                asked = value.split("|") if "~" in operator else [value]
                problems += [f"{name}: label {label} is never {one}" for one in asked
                             if not any(re.fullmatch(one, known) for known in metric.labels[label])]
    asked = re.findall(r"\b(?:by|on|without|ignoring|group_left|group_right)\s*\(([^)]*)\)", expression)
    asked += re.findall(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}", legend)
    for label in {word.strip() for group in asked for word in group.split(",")} - {"", "else", "end"} - labels:
        problems.append(f"none of {sorted(used)} has a label {label}")
    return problems


def clauses_removed(expression):
    """The expression without what names labels or durations."""
    expression = re.sub(r"\b(by|on|without|ignoring|group_left|group_right)\s*\([^)]*\)", " ", expression)
    return re.sub(r"\[[^\]]*\]", " ", expression)
