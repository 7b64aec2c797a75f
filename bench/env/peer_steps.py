"""Control steps a second of dm_control's or EnvPool's environments; run by steps_per_second.py.

  echo cheetah-run | PYTHON bench/env/peer_steps.py {dm_control,envpool} --seconds 1

Answers each task on its input with one line, a JSON object of `rate` and `versions`, or of `absent` and why. Seconds
are CPU time of the process, all its threads. Actions are drawn at random; episodes follow each other.
"""

# What is not installed is told, not raised. pylint: disable=import-outside-toplevel

import argparse
import itertools
import json
import os
import sys
import time
from importlib import metadata

os.environ.setdefault("MUJOCO_GL", "disable")

SEED = 1
EPISODE_STEPS = 1000
ENVIRONMENTS = 64
DOMAINS = {"cup": "ball_in_cup"}


class Absent(Exception):
    pass


def domain_and_task(name):
    domain, task = name.split("-", 1)
    return DOMAINS.get(domain, domain), task.replace("-", "_")


def make_dm_control(name):
    """(control steps of one call, the call)."""
    from dm_control import suite
    import numpy
    if domain_and_task(name) not in suite.ALL_TASKS:
        raise Absent("not one of dm_control's tasks")
    environment = suite.load(*domain_and_task(name), task_kwargs={"random": SEED})
    spec = environment.action_spec()
    actions = numpy.random.default_rng(SEED).uniform(spec.minimum, spec.maximum, (EPISODE_STEPS, *spec.shape))

    def play():
        environment.reset()
        for action in actions:
            environment.step(action)
    return EPISODE_STEPS, play


def make_envpool(name):
    """As above: one worker thread steps a batch of environments, so that Python's part is shared by all of them."""
    import envpool
    import numpy
    words = "_".join(domain_and_task(name)).split("_")
    task = "".join(word.capitalize() for word in words) + "-v1"
    if task not in envpool.list_all_envs():
        raise Absent("not one of EnvPool's tasks")
    pool = envpool.make_dm(task, num_envs=ENVIRONMENTS, num_threads=1, seed=SEED)
    spec = pool.action_spec()
    random = numpy.random.default_rng(SEED)
    turns = random.uniform(spec.minimum, spec.maximum, (EPISODE_STEPS, ENVIRONMENTS, *spec.shape))
    actions = itertools.cycle(turns)
    pool.reset()
    return ENVIRONMENTS, lambda: pool.step(next(actions))


def measure(peer, make, task, seconds):
    try:
        steps, call = make(task)
    except ImportError as error:
        raise Absent(str(error)) from error
    call()
    begin, count = time.process_time(), 0
    while time.process_time() - begin < seconds:
        call()
        count += steps
    rate = count / (time.process_time() - begin)
    versions = [peer + " " + metadata.version(peer)]
    if peer == "dm_control":
        versions.append("MuJoCo " + metadata.version("mujoco"))
    return {"rate": rate, "versions": ", ".join(versions)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", choices=("dm_control", "envpool"))
    parser.add_argument("--seconds", type=float, required=True, help="of each task")
    flags = parser.parse_args()
    make = {"dm_control": make_dm_control, "envpool": make_envpool}[flags.peer]
    for line in sys.stdin:
        try:
            answer = measure(flags.peer, make, line.strip(), flags.seconds)
        except Absent as absent:
            answer = {"absent": str(absent)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
