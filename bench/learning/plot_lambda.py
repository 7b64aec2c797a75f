#!/usr/bin/env python3
"""Draws what lambda does to the policy's standard deviation, to its KL from the learned prior and to the return: a line
for each task, a small point for each run.

  pompc sweep run presets/sweeps/lambda.textproto --jobs 2
  pompc sweep run bench/learning/lambda_corners.textproto --jobs 2
  bench/learning/plot_lambda.py runs/sweeps/lambda/results.csv runs/sweeps/lambda-corners/results.csv lambda.svg
"""

import argparse
import csv
import pathlib
import statistics

# The settings in the order of lambda, and what stands below the axis.
SETTINGS = (("lambda=0+learned", "0"), ("lambda=0.001", "0.001"), ("lambda=0.1+learned", "0.1"),
            ("lambda=1+learned", "1"), ("lambda=9+learned", "9"), ("imitation", "∞"))
# Column, title, and whether a run with lambda 0 has it: without a prior there is no KL.
PANELS = (("policy_std", "standard deviation of the policy", True),
          ("policy_prior_kl", "KL of the policy from the prior, nats", False),
          ("return_curve", "mean return of all evaluations", True))
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
WIDTH, HEIGHT, LEFT, TOP, PLOT_WIDTH, PLOT_HEIGHT, GAP = 1080, 340, 56, 60, 280, 210, 70


def read(paths):
    rows = []
    for path in paths:
        with path.open(encoding="utf-8", newline="") as file:
            rows += csv.DictReader(file)
    return rows


def values(rows, setting, task, column):
    return [float(row[column]) for row in rows if row["setting"] == setting and row["task"] == task]


def ceiling(number):
    """The smallest of 1, 2 and 5 times a power of ten that is not below the number."""
    scale = 10.0 ** (len(str(int(number))) - 1 if number >= 1 else -6)
    while True:
        for factor in (1, 2, 5):
            if factor * scale >= number:
                return factor * scale
        scale *= 10


def panel(rows, tasks, index):
    column, title, at_zero = PANELS[index]
    left = LEFT + index * (PLOT_WIDTH + GAP)
    first = 0 if at_zero else 1
    numbers = [value for setting, _ in SETTINGS[first:] for task in tasks
               for value in values(rows, setting, task, column)]
    top = ceiling(max(numbers))

    def x(position):
        return left + position * PLOT_WIDTH / (len(SETTINGS) - 1)

    def y(value):
        return TOP + PLOT_HEIGHT * (1 - value / top)

    parts = [f'<text x="{left}" y="{TOP - 12}">{title}</text>']
    for part in range(3):
        value = top * part / 2
        parts.append(f'<path d="M{left} {y(value):.1f}h{PLOT_WIDTH}" stroke="#ddd"/>'
                     f'<text x="{left - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:g}</text>')
    for position, (_, label) in enumerate(SETTINGS):
        parts.append(f'<text x="{x(position):.1f}" y="{TOP + PLOT_HEIGHT + 20}" text-anchor="middle">{label}</text>')
    for color, task in zip(COLORS, tasks):
        points = []
        for position, (setting, _) in enumerate(SETTINGS[first:], first):
            runs = values(rows, setting, task, column)
            if not runs:
                continue
            points.append(f"{x(position):.1f},{y(statistics.mean(runs)):.1f}")
            parts += [f'<circle cx="{x(position):.1f}" cy="{y(run):.1f}" r="2.5" fill="{color}" opacity="0.5"/>'
                      for run in runs]
        parts.append(f'<polyline points="{" ".join(points)}" fill="none" stroke="{color}" stroke-width="2"/>')
    return parts


def draw(rows):
    tasks = sorted({row["task"] for row in rows})
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
             'font-size="13"><rect width="100%" height="100%" fill="#fff"/>']
    for number, task in enumerate(tasks):
        parts.append(f'<text x="{LEFT + 200 * number}" y="22" fill="{COLORS[number]}">● {task}</text>')
    for index in range(len(PANELS)):
        parts += panel(rows, tasks, index)
    parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 16}" text-anchor="middle">lambda</text></svg>')
    return "\n".join(parts) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=pathlib.Path, nargs="+", metavar="RESULTS.csv")
    parser.add_argument("picture", type=pathlib.Path, metavar="PICTURE.svg")
    arguments = parser.parse_args()
    arguments.picture.write_text(draw(read(arguments.results)), encoding="utf-8")


if __name__ == "__main__":
    main()
