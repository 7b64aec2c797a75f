#!/usr/bin/env python3
"""What --certificates costs: CPU time of each process for a row that is written and for a decision that is planned, with
and without them, in small runs of scripts/local-cluster.sh. CPU time says the same on a machine that is busy otherwise.

  bench/certificates.py build/release/bin [REPEATS]

Rows are counted in the seed phase, when actors ask nobody for plans. Plans are as small as they can be, so that their
way counts: 2 samples, one iteration. Prints a table in Markdown: medians over the repeats, and the smallest and largest.
"""

import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))
import certificates
from processes import DIRECT

COMMON = ("env.action_repeat=10", "evaluation.every_rows=1000000", "stop.return_mean=0", "stop.max_rows=0",
          "replay.min_rows=100")
# Name -> settings, the counter and the processes that have it, and those whose CPU time is divided by it.
PATHS = {
    "row": (("learner.seed_rows=1000000",), "pompc_replay_accepted_rows_total", ("replay-0", "replay-1"),
            {"shards": ("replay-0", "replay-1"), "actors": ("actor-0", "actor-1")}, 5000, 40000),
    "decision": (("learner.seed_rows=200", "learner.pretrain_updates=2", "learner.utd=0.001", "replay.slack_rows=1000000",
                  "planner.samples=2", "planner.iterations=1", "planner.policy_samples=0", "planner.elites=1"),
                 "pompc_planner_plans_total", ("planner",),
                 {"planner": ("planner",), "actors": ("actor-0", "actor-1")}, 1000, 10000),
}
PATIENCE_SECONDS = 300


def total(state, process, name):
    try:
        address = (state / f"{process}.metrics").read_text().strip()
        with DIRECT.open(f"http://{address}/metrics", timeout=5) as page:
            lines = page.read().decode().splitlines()
    except OSError:
        return 0.0
    return sum(float(line.split()[-1]) for line in lines if line.partition("{")[0].split(" ")[0] == name)


def measure(binaries, folder, path, secured):
    """CPU microseconds for each count: {who: number}."""
    settings, counter, counted, groups, first, last = PATHS[path]
    state = pathlib.Path(f"{folder}/run.cluster")
    words = [word for setting in COMMON + settings for word in ("--set", setting)]
    if secured:
        words += ["--certificates", str(certificates.make(folder / "certificates"))]
    with open(folder / "log", "wb") as log:
        cluster = subprocess.Popen([ROOT / "scripts" / "local-cluster.sh", "--run-dir", folder / "run", *words],
                                   stdout=log, stderr=log, stdin=subprocess.DEVNULL, env={"POMPC_BIN_DIR": str(binaries),
                                                                                          "PATH": "/usr/bin:/bin"})
    try:
        samples, deadline = [], time.monotonic() + PATIENCE_SECONDS
        for bound in (first, last):
            while (count := sum(total(state, process, counter) for process in counted)) < bound:
                if time.monotonic() > deadline or cluster.poll() is not None:
                    sys.exit(f"{count} of {bound} for one {path}\n{(folder / 'log').read_text()[-2000:]}")
                threading.Event().wait(0.1)
            samples.append((count, {who: sum(total(state, process, "process_cpu_seconds_total") for process in processes)
                                    for who, processes in groups.items()}))
        (count, before), (end, after) = samples
        return {who: 1e6 * (after[who] - before[who]) / (end - count) for who in groups}
    finally:
        cluster.terminate()
        cluster.wait(60)


def main():
    binaries, repeats = pathlib.Path(sys.argv[1]).resolve(), int(sys.argv[2]) if len(sys.argv) > 2 else 5
    found = {}
    for _ in range(repeats):
        for path in PATHS:
            for secured in (False, True):
                with tempfile.TemporaryDirectory() as folder:
                    for who, value in measure(binaries, pathlib.Path(folder), path, secured).items():
                        found.setdefault((path, who), ([], []))[secured].append(value)
    print("| CPU time, microseconds | plaintext | with certificates |\n|---|---|---|")
    for (path, who), values in found.items():
        cells = (f"{statistics.median(v):.1f} ({min(v):.1f} to {max(v):.1f})" for v in values)
        print(f"| of the {who} for one {path} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
