#!/usr/bin/env python3
"""Finds the smallest fleets that make so many rows a second, with fleet_scaling, and prints the table of docs/operations.md.

Usage: bench/scaling/sizes.py [--simulation PROGRAM] [--rows N,N,...] [FLAG OF fleet_scaling]...

For each rate the smallest number of planner threads is taken with which some number of environments reaches it, and then
the smallest number of environments. The learner makes as many updates a row as it can at this rate.
"""

import argparse
import csv
import math
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "scripts"))
from integers import integer  # pylint: disable=wrong-import-position

# Environments for each planner thread that are tried.
PER_THREAD = (2, 3, 4, 6, 8, 12)
# Rows that one shard is given; and updates a second that are left for the learner's other work.
ROWS_OF_A_SHARD = 20000
SPARE = 0.9


def simulate(arguments, rows, threads, environments, shards):
    """What fleet_scaling says of the fleet, as name -> text."""
    slack = max(1000, rows // 5)
    done = subprocess.run([str(arguments.simulation), "--planners", str(threads), "--actors", str(environments), "--shards",
                           str(shards), "--utd", "0.001", "--slack-rows", str(slack), *arguments.flags],
                          capture_output=True, text=True, check=True, timeout=900)
    return next(csv.DictReader(done.stdout.splitlines()))


def smallest(arguments, rows):
    """Threads, environments, shards, and what the simulation says of that fleet."""
    shards = math.ceil(rows / ROWS_OF_A_SHARD)
    threads = max(1, math.ceil(rows * arguments.plan_us / 1e6))
    while True:
        for each in PER_THREAD:
            found = simulate(arguments, rows, threads, each * threads, shards)
            if float(found["rows_per_second"]) >= rows:
                return threads, each * threads, shards, found
        threads += max(1, threads // 20)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulation", type=pathlib.Path,
                        default=ROOT / "build" / "release" / "bench" / "scaling" / "fleet_scaling")
    parser.add_argument("--rows", type=lambda text: [integer(1, 100000)(part) for part in text.split(",")],
                        default=[100, 500, 2000, 8000])
    parser.add_argument("--plan-us", type=integer(1, 10000000), default=2000)
    parser.add_argument("--update-us", type=integer(1, 10000000), default=6800)
    arguments, arguments.flags = parser.parse_known_args()
    arguments.flags += [f"--plan-us={arguments.plan_us}", f"--update-us={arguments.update_us}"]
    print("| rows/s | planner threads | environments | shards | updates a row, at most | plan: median, p99 in ms | busy: planners |")
    print("|---|---|---|---|---|---|---|")
    for rows in arguments.rows:
        threads, environments, shards, found = smallest(arguments, rows)
        utd = SPARE * 1e6 / arguments.update_us / rows
        # Rounded down, to one digit.
        digit = 10.0 ** math.floor(math.log10(utd))
        print(f"| {rows:,} | {threads} | {environments} | {shards} | {digit * math.floor(utd / digit):g} | "
              f"{float(found['plan_p50_ms']):.1f}, {float(found['plan_p99_ms']):.1f} | "
              f"{float(found['planners_busy']):.0%} |", flush=True)


if __name__ == "__main__":
    main()
