"""Control steps a second per core of every task, as Markdown: pompc beside dm_control and EnvPool, in one run.

  python3 bench/env/steps_per_second.py --install-peers /tmp/peers     # makes a virtual environment with both, once
  python3 bench/env/steps_per_second.py --peers /tmp/peers [--tasks cheetah-run humanoid-run] [--seconds 0.5]

Every process keeps to one core; a second is one of its CPU time. `two` is what two processes did at the same time,
each on a core of its own, added up. Without --peers, or where one of them is not installed, the others are measured.
--steps-bench may be given several times, for builds with different versions of MuJoCo.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "support"), os.path.join(HERE, "..", "..", "scripts")]
import rates  # pylint: disable=wrong-import-position
from integers import integer  # pylint: disable=wrong-import-position

# EnvPool has MuJoCo 3.6.0 built in; dm_control is to have the same one.
PEER_PACKAGES = ("dm_control==1.0.38", "mujoco==3.6.0", "envpool==1.2.5")
PEERS = ("dm_control", "envpool")
CASES = ("Episodes", "Environment", "Read", "Physics")


def on_core(core):
    return lambda: os.sched_setaffinity(0, {core})


class Pompc:
    """One build's benchmark."""

    def __init__(self, binary, seconds):
        self.binary, self.seconds = binary, seconds
        listed = subprocess.run([binary, "--benchmark_list_tests"], check=True, capture_output=True, text=True).stdout
        self.tasks = [line.split("/")[1] for line in listed.splitlines() if line.startswith("Episodes/")]
        _, context = self.measure([0], "Physics", "pendulum-swingup")
        self.name = "pompc, MuJoCo " + context["mujoco"]

    def measure(self, cores, case, task):
        processes = [rates.start(self.binary, f"^{case}/{task}$", self.seconds, on_core(core)) for core in cores]
        measured = [rates.results(process) for process in processes]
        return sum(1 / rates.seconds_of(cases[f"{case}/{task}"], "cpu_time") for cases, _ in measured), measured[0][1]


class Peer:
    """One of the peers, in a process on each core."""

    def __init__(self, python, peer, cores, seconds):
        self.name = peer
        self.processes = [subprocess.Popen([python, os.path.join(HERE, "peer_steps.py"), peer, "--seconds", str(seconds)],
                                           stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                           preexec_fn=on_core(core)) for core in cores]

    def measure(self, task, processes):
        """Steps a second of so many processes together, None if it has no such task."""
        for process in self.processes[:processes]:
            process.stdin.write(task + "\n")
            process.stdin.flush()
        answers = [json.loads(process.stdout.readline()) for process in self.processes[:processes]]
        if "absent" in answers[0]:
            return None
        self.name = answers[0]["versions"]
        return sum(answer["rate"] for answer in answers)

    def close(self):
        for process in self.processes:
            process.stdin.close()
            process.wait()


def start_peers(folder, cores, seconds):
    if folder is None:
        print("dm_control and EnvPool are left out: no --peers", file=sys.stderr)
        return []
    python = os.path.join(folder, "bin", "python")
    peers = []
    for peer in PEERS:
        if subprocess.run([python, "-c", f"import importlib.metadata as m; m.version('{peer}')"],
                          capture_output=True, check=False).returncode == 0:
            peers.append(Peer(python, peer, cores, seconds))
        else:
            print(f"{peer} is left out: {folder} does not have it", file=sys.stderr)
    return peers


def install_peers(folder):
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([os.path.join(folder, "bin", "pip"), "install", "--quiet", *PEER_PACKAGES], check=True)


def measure_task(task, builds, peers, cores, turns):
    """(column, row of that column's table) -> rates of the turns."""
    found = {}
    add = lambda key, rate: found.setdefault(key, []).append(rate)
    for _ in range(turns):
        for build in builds:
            for case in CASES:
                add((build.name, case), build.measure(cores[:1], case, task)[0])
            if len(cores) > 1:
                add((build.name, "two"), build.measure(cores, "Episodes", task)[0])
        for peer in peers:
            for processes, case in ((1, "Episodes"), (2, "two"))[:len(cores)]:
                rate = peer.measure(task, processes)
                if rate is not None:
                    add((peer.name, case), rate)
    return found


def print_table(title, header, rows):
    print(f"\n{title}\n\n| {' | '.join(header)} |\n|{'---|' * len(header)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")


def print_rates(found, names):
    header = ["task"] + [f"{name}{suffix}" for name in names for suffix in ("", ": two")]
    rows = []
    for task, measured in found.items():
        cells = (measured.get((name, case)) for name in names for case in ("Episodes", "two"))
        rows.append([task] + [rates.summary(values, 0) if values else "" for values in cells])
    print_table("Control steps per second of CPU time, starts of episodes included: median of the turns (least, most)",
                header, rows)


def print_ratios(found, builds, peers):
    header = ["task"] + [f"{build} / {peer}" for build in builds for peer in peers]
    rows = []
    for task, measured in found.items():
        row = [task]
        for build in builds:
            for peer in peers:
                theirs = measured.get((peer, "Episodes"))
                ours = measured[build, "Episodes"]
                row.append(f"{statistics.median(ours) / statistics.median(theirs):.1f}" if theirs else "")
        rows.append(row)
    print_table("Times as many steps per second as the peers (one process each, medians)", header, rows)


def print_parts(found, build):
    header = ["task", "mj_step, µs", "+ reward, observation", "environment", "environment / those", "+ episode starts"]
    rows = []
    for task, measured in found.items():
        micros = {case: 1e6 / statistics.median(measured[build, case]) for case in CASES}
        rows.append([task] + [f"{micros[case]:.2f}" for case in ("Physics", "Read", "Environment")] +
                    [f"{micros['Environment'] / micros['Read']:.2f}", f"{micros['Episodes']:.2f}"])
    print_table(f"One control step of {build}: µs of CPU time, medians", header, rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps-bench", action="append", help="default: build/release/bench/env/env_steps_bench")
    parser.add_argument("--peers", metavar="DIR", help="a virtual environment with dm_control and EnvPool")
    parser.add_argument("--install-peers", metavar="DIR", help="make such an environment, and nothing else")
    parser.add_argument("--tasks", nargs="+", help="default: all whose models are here")
    parser.add_argument("--seconds", type=float, default=0.5, help="of each measurement")
    parser.add_argument("--turns", type=integer(1, 1000), default=3, help="of each measurement")
    flags = parser.parse_args()
    if flags.install_peers:
        return install_peers(flags.install_peers)
    cores = sorted(os.sched_getaffinity(0))[:2]
    builds = [Pompc(binary, flags.seconds)
              for binary in flags.steps_bench or ["build/release/bench/env/env_steps_bench"]]
    peers = start_peers(flags.peers, cores, flags.seconds)
    found = {}
    for task in flags.tasks or builds[0].tasks:
        try:
            found[task] = measure_task(task, builds, peers, cores, flags.turns)
            print(task, "measured", file=sys.stderr, flush=True)
        except RuntimeError as error:
            print(task, "left out:", error, file=sys.stderr, flush=True)
    for peer in peers:
        peer.close()
    print_rates(found, [column.name for column in builds + peers])
    if peers:
        print_ratios(found, [build.name for build in builds], [peer.name for peer in peers])
    for build in builds:
        print_parts(found, build.name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
