#!/usr/bin/env python3
"""What one request of a running learner's HTTP pages costs: its bytes, its time, and the CPU time of the server's threads.

Usage: status_cost.py http://127.0.0.1:PORT PID [--requests N]. PID is the learner's (or pompc train's) on this machine.
"""

import argparse
import glob
import pathlib
import statistics
import sys
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))
from integers import integer

PAGES = ("status.json", "status", "metrics")


def server_cpu_ms(pid):
    """CPU time of the threads that serve pages."""
    total = 0
    for folder in glob.glob(f"/proc/{pid}/task/*"):
        with open(f"{folder}/comm", encoding="ascii") as name:
            if not name.read().startswith("http"):
                continue
        with open(f"{folder}/schedstat", encoding="ascii") as times:
            total += int(times.read().split()[0])
    return total / 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address")
    parser.add_argument("pid", type=integer(1))
    parser.add_argument("--requests", type=integer(1), default=100)
    options = parser.parse_args()
    for page in PAGES:
        times, size, before = [], 0, server_cpu_ms(options.pid)
        for _ in range(options.requests):
            begin = time.perf_counter()
            with urllib.request.urlopen(f"{options.address.rstrip('/')}/{page}", timeout=20) as reply:
                size = len(reply.read())
            times.append((time.perf_counter() - begin) * 1e3)
        cpu = (server_cpu_ms(options.pid) - before) / options.requests
        print(f"{page}: {size} bytes, median {statistics.median(times):.1f} ms, "
              f"90 % within {sorted(times)[len(times) * 9 // 10]:.1f} ms, CPU {cpu:.2f} ms")


if __name__ == "__main__":
    main()
