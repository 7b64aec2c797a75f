#!/usr/bin/env python3
"""Writes the rules beside this file with all their times divided, for runs that are over in minutes: a trial of a
deployment, a test that breaks things on purpose.

  deploy/prometheus/scale_rules.py FACTOR FOLDER

A factor of 10 makes 30 s of [5m] and 6 s of "for: 1m". Thresholds stay as they are. Scrape at least four times within
the shortest window: with a factor of 10, every 5 s or more often.
"""

import pathlib
import re
import sys

RULES = ("recording.yml", "alerts.yml")
UNITS = {"s": 1, "m": 60, "h": 3600}
# A window of a query, and the time for which an alert must hold.
TIME = re.compile(r"(\[|\bfor: )(\d+)([smh])(?=\]|$)", re.MULTILINE)


def scaled(text, factor):
    def shorter(match):
        seconds = max(1, round(int(match[2]) * UNITS[match[3]] / factor))
        return f"{match[1]}{seconds}s"
    return TIME.sub(shorter, text)


def main(arguments):
    if len(arguments) != 2 or not re.fullmatch(r"[1-9][0-9]{0,2}", arguments[0]):
        print("usage: scale_rules.py FACTOR FOLDER; FACTOR: 1 to 999", file=sys.stderr)
        return 2
    folder = pathlib.Path(arguments[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name in RULES:
        text = (pathlib.Path(__file__).resolve().parent / name).read_text(encoding="utf-8")
        (folder / name).write_text(scaled(text, int(arguments[0])), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
