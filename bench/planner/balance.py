"""How two planners of different speed share the load of many simulated actors: plans a second of each alone, of both by
their expected wait, and of both with every planner asked as often. The slow one is stopped for three quarters of the time.

Usage: balance.py FOLDER_OF_BINARIES FLEET_LOAD [ROUNDS]
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "tests", "support"))
from processes import Process, free_ports  # pylint: disable=wrong-import-position

ACTORS, SECONDS, WARM_UP, PERIOD = 256, 24, 7, 0.04
PLANS = ["--samples", "64", "--iterations", "3"]
# The shares of time for which the planners may run, and the preference of the actors.
CASES = (([1], 3), ([0.25], 3), ([1, 0.25], 3), ([1, 0.25], 0))


def hold(process, share, ended):
    """Lets the process run for that share of the time."""
    while not ended.is_set():
        process.popen.send_signal(signal.SIGSTOP)
        ended.wait(PERIOD * (1 - share))
        process.popen.send_signal(signal.SIGCONT)
        ended.wait(PERIOD * share)


def measure(binaries, fleet_load, shares, preference):
    """Plans a second of each planner, and what the actors say."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        learner, *addresses = [f"127.0.0.1:{port}" for port in free_ports(1 + len(shares))]
        planners = [Process(f"planner-{i}", folder, pathlib.Path(binaries) / "pompc-planner", "--listen", address,
                            "--learner", learner, "--threads", "1") for i, address in enumerate(addresses)]
        ended = threading.Event()
        holders = [threading.Thread(target=hold, args=(planner, share, ended))
                   for planner, share in zip(planners, shares) if share < 1]
        try:
            with subprocess.Popen([fleet_load, "--listen", learner, "--planners", ",".join(addresses), "--actors",
                                   str(ACTORS), "--rounds", "0", "--seconds", str(SECONDS), *PLANS, "--preference",
                                   str(preference)], stdout=subprocess.PIPE, text=True) as load:
                for holder in holders:
                    holder.start()
                ended.wait(WARM_UP)
                before, start = [planner.total("pompc_planner_plans_total") for planner in planners], time.monotonic()
                ended.wait(SECONDS - WARM_UP - 2)
                after, seconds = [planner.total("pompc_planner_plans_total") for planner in planners], \
                    time.monotonic() - start
                result = json.loads(load.communicate()[0].splitlines()[-1])
        finally:
            ended.set()
            for holder in holders:
                if holder.is_alive():
                    holder.join()
            for planner in planners:
                planner.kill()
    return [round((late - early) / seconds) for early, late in zip(before, after)], result


def main():
    binaries, fleet_load = sys.argv[1:3]
    for _ in range(int(sys.argv[3]) if len(sys.argv) > 3 else 1):
        for shares, preference in CASES:
            rates, result = measure(binaries, fleet_load, shares, preference)
            print(f"planners {shares}, preference {preference}: {rates} plans/s, sum {sum(rates)}, median "
                  f"{result['p50_ms']:.0f} ms, failed {result['failed']}", flush=True)


if __name__ == "__main__":
    main()
