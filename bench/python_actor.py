#!/usr/bin/env python3
"""What a decision costs an actor in Python beside one in C++, in one run of separate processes on loopback ports.

  bench/python_actor.py FOLDER_OF_BINARIES [--seconds 30] [--environments 16]

Three actors act in the run at the same time, each with that many environments of one task's sizes: pompc-actor with
cart-poles, and two in Python with environments that do nothing, one that steps each in a thread of its own and one that
steps them as a vector environment. Plans are small (16 samples, one iteration) and updates are rare, so that both are
about the actors. Printed are each actor's decisions a second, and CPU time for a decision: all of its process's threads,
its environments included. Needs NumPy, grpcio and protobuf."""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import types

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "python"), str(ROOT / "scripts")]

import numpy

from integers import integer

OBSERVATION, ACTION = 5, 1
SETTINGS = ("env.task=cartpole-swingup", "env.action_repeat=1", "learner.seed_rows=2000", "learner.pretrain_updates=1",
            "learner.utd=0.001", "replay.min_rows=100", "replay.slack_rows=100000000", "planner.samples=16",
            "planner.iterations=1", "planner.policy_samples=4", "planner.elites=4", "actor.chunk_rows=16",
            "evaluation.every_rows=1000000000", "stop.return_mean=0", "stop.max_rows=0")
BEGIN_SECONDS = 120


def box(size):
    bound = numpy.ones(size, numpy.float32)
    return types.SimpleNamespace(low=-bound, high=bound, shape=(size,), dtype=bound.dtype)


class Still:
    """Does nothing."""

    observation_space, action_space = box(OBSERVATION), box(ACTION)

    def __init__(self):
        self._steps = 0
        self._observation = numpy.zeros(OBSERVATION, numpy.float32)

    def reset(self, seed=None):
        self._steps = 0
        return self._observation, {}

    def step(self, action):
        self._steps += 1
        return self._observation, 0.0, False, self._steps >= 1000, {}

    def close(self):
        pass


class StillVector:
    """Many that do nothing, in one."""

    metadata = types.MappingProxyType({"autoreset_mode": "NextStep"})
    single_observation_space, single_action_space = box(OBSERVATION), box(ACTION)

    def __init__(self):
        self.num_envs = int(os.environ["STILL_ENVIRONMENTS"])
        self._observations = numpy.zeros((self.num_envs, OBSERVATION), numpy.float32)
        self._nothing, self._never = numpy.zeros(self.num_envs), numpy.zeros(self.num_envs, bool)

    def reset(self, seed=None):
        return self._observations, {}

    def step(self, actions):
        return self._observations, self._nothing, self._never, self._never, {}

    def close(self):
        pass


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def start_run(binaries, folder, environments):
    """(learner's address, name -> process of each actor, all processes)."""
    from processes import Process, free_ports
    shard, planner, learner = (f"127.0.0.1:{port}" for port in free_ports(3))
    started = [Process("replay", folder, binaries / "pompc-replay", "--listen", shard),
               Process("planner", folder, binaries / "pompc-planner", "--listen", planner, "--learner", learner),
               Process("learner", folder, binaries / "pompc-learner", "--listen", learner, "--replay", shard, "--run-dir",
                       str(folder / "run"), "--preset", "quickstart",
                       *[word for setting in SETTINGS for word in ("--set", setting)])]
    servers = ("--learner", learner, "--planners", planner, "--replay", shard)
    cpp = Process("cpp", folder, binaries / "pompc-actor", *servers, "--environments", str(environments))
    started.append(cpp)
    actors = {"pompc-actor": cpp.popen}
    variables = {**os.environ, "PYTHONPATH": f"{ROOT / 'python'}{os.pathsep}{ROOT / 'bench'}",
                 "STILL_ENVIRONMENTS": str(environments)}
    for name, arguments in (("Python, a thread for each environment", ("Still", "--environments", str(environments))),
                            ("Python, a vector environment", ("StillVector",))):
        with open(folder / "python.log", "ab") as log:
            actors[name] = subprocess.Popen([sys.executable, "-m", "pompc", "--env", f"python_actor:{arguments[0]}",
                                             *arguments[1:], *servers], stdout=log, stderr=log, env=variables)
    return learner, actors, [*(process.popen for process in started), *actors.values()]


def rows_of(status, process):
    return next((peer["rows"] for peer in status["peers"] if peer["name"].endswith(f":{process.pid}")), 0)


def measure(learner, actors, seconds):
    """Name -> (decisions a second, CPU time of a decision in microseconds)."""
    import pompc
    run, pause = pompc.Run(learner), threading.Event()
    deadline = time.monotonic() + BEGIN_SECONDS
    while True:
        try:
            status = run.status()
            if status["phase"] == "TRAINING" and all(rows_of(status, process) > 500 for process in actors.values()):
                break
        except pompc.Failed:
            pass
        if time.monotonic() > deadline:
            sys.exit(f"not all actors act within {BEGIN_SECONDS} s")
        pause.wait(0.5)

    def reading():
        status = run.status()
        return {name: (rows_of(status, process), cpu_seconds(process.pid)) for name, process in actors.items()}
    before, since = reading(), time.monotonic()
    pause.wait(seconds)
    after, took = reading(), time.monotonic() - since
    result = {}
    for name in actors:
        rows, cpu = (after[name][i] - before[name][i] for i in (0, 1))
        result[name] = (rows / took, 1e6 * cpu / max(1, rows))
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binaries", type=lambda text: pathlib.Path(text).resolve())
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--environments", type=integer(1, 4096), default=16)
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        learner, actors, processes = start_run(flags.binaries, pathlib.Path(folder), flags.environments)
        try:
            for name, (rate, cost) in measure(learner, actors, flags.seconds).items():
                print(f"{name:40} {rate:8.0f} decisions/s  {cost:7.0f} us of CPU time a decision")
        finally:
            for process in processes:
                process.kill()
            for process in processes:
                process.wait()


if __name__ == "__main__":
    main()
