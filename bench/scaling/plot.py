#!/usr/bin/env python3
"""Draws what fleet_scaling printed: rows a second over actors, a line for each number of planners.

  build/release/bench/scaling/fleet_scaling --planners 1,4,16,64 --shards 16 > scaling.csv
  bench/scaling/plot.py scaling.csv docs/results/scaling.svg
"""

import argparse
import csv
import math
import pathlib

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 860, 480, 80, 150, 40, 56
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#8a63d2")
DASHES = ("", "7 3", "2 3", "9 3 2 3")


def decades(numbers):
    return range(math.floor(math.log10(min(numbers))), math.ceil(math.log10(max(numbers))) + 1)


def draw(rows):
    actors, rates = [float(row["actors"]) for row in rows], [float(row["rows_per_second"]) for row in rows]
    x_decades, y_decades = decades(actors), decades(rates)

    def x(value):
        return LEFT + (math.log10(value) - x_decades[0]) / (len(x_decades) - 1) * (WIDTH - LEFT - RIGHT)

    def y(value):
        return HEIGHT - BOTTOM - (math.log10(value) - y_decades[0]) / (len(y_decades) - 1) * (HEIGHT - TOP - BOTTOM)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
           'font-family="sans-serif" font-size="13">', f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
           f'<text x="{LEFT}" y="22" font-size="15">Rows a second of simulated fleets</text>']
    for decade in x_decades:
        out.append(f'<path d="M{x(10**decade):.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#ddd"/>'
                   f'<text x="{x(10**decade):.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{10**decade:,}</text>')
    for decade in y_decades:
        out.append(f'<path d="M{LEFT} {y(10**decade):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>'
                   f'<text x="{LEFT - 8}" y="{y(10**decade) + 4:.1f}" text-anchor="end">{10**decade:,}</text>')
    out.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 14}" text-anchor="middle">actors</text>')
    for index, planners in enumerate(sorted({int(row["planners"]) for row in rows})):
        points = sorted((float(row["actors"]), float(row["rows_per_second"])) for row in rows
                        if int(row["planners"]) == planners)
        color, dashes = COLORS[index % len(COLORS)], DASHES[index % len(DASHES)]
        path = "L".join(f"{x(a):.1f} {y(rate):.1f}" for a, rate in points)
        out.append(f'<path d="M{path}" fill="none" stroke="{color}" stroke-width="2" stroke-dasharray="{dashes}"/>')
        out += [f'<circle cx="{x(a):.1f}" cy="{y(rate):.1f}" r="3.5" fill="{color}"/>' for a, rate in points]
        out.append(f'<text x="{x(points[-1][0]) + 10:.1f}" y="{y(points[-1][1]) + 4:.1f}" fill="{color}">'
                   f'{planners} planner{"s" if planners > 1 else ""}</text>')
    return "\n".join([*out, "</svg>", ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("csv", type=pathlib.Path, help="of fleet_scaling, with one number of shards")
    parser.add_argument("svg", type=pathlib.Path, help="the picture")
    flags = parser.parse_args()
    with open(flags.csv, newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        parser.error(f"{flags.csv}: no lines in it")
    if len({row["shards"] for row in rows}) > 1:
        parser.error(f"{flags.csv}: fleets with different numbers of shards; draw them one by one")
    flags.svg.write_text(draw(rows))


if __name__ == "__main__":
    main()
