#!/usr/bin/env python3
"""Records what dm_control's own tasks do, as test data: trajectories, placed states, seeded starts.

    python3 -m venv /tmp/dm_control && /tmp/dm_control/bin/pip install dm_control==1.0.7 mujoco==2.2.2 'numpy<1.24'
    /tmp/dm_control/bin/python scripts/control-suite-reference.py --out tests/data/control_suite TASK...

    ... scripts/control-suite-reference.py --replay tests/data/control_suite --out tests/data/control_suite/mujoco4 TASK...

The second form computes the trajectories of a folder again, from their starts, with the MuJoCo that is installed; and its
placed states, if there is a reward_probes.json in --out. (dm_control 1.0.50 runs under MuJoCo 3; under 4.0.0 it does if
mujoco/index.py passes over the fields that 4.0.0 no longer has. Its dog needs the inertials of
actor/env/assets/dog_inertials.xml in dog.xml.)

Tasks of TD-MPC2's own (cup-spin, ...) need a checkout of its repository: --tdmpc2 DIR. Writes TASK.json, and the task's
entries of reward_probes.json and seeded_resets.json, in the format that tests/actor/env/reference_test.cc reads.
Which starts and states are recorded is a matter of chance, except that they are the most telling of many: those whose
rewards differ most.
"""

import argparse
import json
import os
import pathlib
import sys

os.environ.setdefault("MUJOCO_GL", "disable")

import mujoco
import numpy as np
from dm_control import suite

from integers import integer

OMEGA = 0.1
PHASE_PER_DIM = 1
STARTS_TRIED = 30
PROBES = 8
PROBES_TRIED = 1000
SEEDS = (0, 1, 2)
EPISODES = 2

# Where a task's movable target is in its model.
TARGETS = {"reacher": "geom_pos", "finger-turn": "site_pos", "fish-swim": "geom_pos"}


class Task:
    """One of dm_control's environments, driven state by state."""

    def __init__(self, name, seed):
        domain, task = name.split("-", 1)
        self.name = name
        self.env = suite.load({"cup": "ball_in_cup"}.get(domain, domain), task.replace("-", "_"),
                              task_kwargs={"random": np.random.RandomState(seed)})
        self.physics = self.env.physics
        self.model = self.physics.model
        self.target_field = next((field for prefix, field in TARGETS.items() if name.startswith(prefix)), None)

    def target(self):
        return getattr(self.physics.named.model, self.target_field)["target"]

    def state(self):
        state = {"qpos": list(self.physics.data.qpos), "qvel": list(self.physics.data.qvel)}
        if self.model.na:
            state["act"] = list(self.physics.data.act)
        if self.target_field:
            state["target_pos"] = list(self.target())
        return state

    def place(self, state, actuation):
        self.physics.reset()
        self.physics.data.qpos[:] = state["qpos"]
        self.physics.data.qvel[:] = state["qvel"]
        if "act" in state:
            self.physics.data.act[:] = state["act"]
        if "ctrl" in state:
            self.physics.set_control(state["ctrl"])
        if self.target_field:
            self.target()[:] = state["target_pos"]
        if actuation:
            self.physics.forward()
        else:
            with self.model.disable("actuation"):
                self.physics.forward()

    def step(self, action):
        task = self.env.task
        task.before_step(action, self.physics)
        self.physics.step(self.env._n_sub_steps)
        task.after_step(self.physics)

    def obs(self):
        observation = self.env.task.get_observation(self.physics)
        return [float(x) for value in observation.values() for x in np.ravel(value)]

    def reward(self):
        return float(self.env.task.get_reward(self.physics))

    def record(self, step, total):
        return {"step": step, "time": self.physics.data.time, **self.state(), "obs": self.obs(), "reward": self.reward(),
                "return": total, "ncon": int(self.physics.data.ncon)}


def run(task, start, steps, every):
    """The records and the rewards of the episode from `start` under the sine rule."""
    task.place(start, actuation=False)
    records, rewards = [task.record(0, 0)], []
    low, high = task.model.actuator_ctrlrange.T
    for t in range(steps):
        action = np.sin(OMEGA * t + PHASE_PER_DIM * np.arange(task.model.nu))
        task.step(low + (action + 1) * (high - low) / 2)
        rewards.append(task.reward())
        if (t + 1) % every == 0 or t + 1 == steps:
            records.append(task.record(t + 1, sum(rewards)))
    return records, rewards


def trajectory(name, steps, every):
    task = Task(name, 17)
    best, spread = None, -1
    for _ in range(STARTS_TRIED):
        task.env.reset()
        records, rewards = run(task, task.state(), steps, every)
        if np.std(rewards) > spread:
            best, spread = records, np.std(rewards)
    return {"task": name, "mujoco_version": mujoco.mj_version(), "n_sub_steps": task.env._n_sub_steps,
            "nq": task.model.nq, "nv": task.model.nv, "nu": task.model.nu, "obs_dim": len(best[0]["obs"]),
            "action_rule": {"kind": "sine", "omega": OMEGA, "phase_per_dim": PHASE_PER_DIM}, "records": best}


def replayed(name, recorded, steps, every):
    """The trajectory of a recorded start, as the MuJoCo that is installed computes it."""
    task = Task(name, 17)
    task.env.reset()
    records, _ = run(task, recorded["records"][0], min(steps, recorded["records"][-1]["step"]), every)
    return {**recorded, "mujoco_version": mujoco.mj_version(), "records": records}


def placed_again(name, recorded):
    task = Task(name, 18)
    task.env.reset()
    again = []
    for state in recorded:
        task.place(state, actuation=True)
        again.append({**state, "obs": task.obs(), "reward": task.reward()})
    return again


def random_state(task, random):
    """A start of the task, disturbed."""
    task.env.reset()
    state = task.state()
    scale = np.full(task.model.nq, 0.1)
    scale[task.model.jnt_qposadr[task.model.jnt_type == mujoco.mjtJoint.mjJNT_SLIDE]] = 0.3
    state["qpos"] = list(state["qpos"] + scale * random.randn(task.model.nq))
    for joint in np.flatnonzero(task.model.jnt_type == mujoco.mjtJoint.mjJNT_FREE):
        start = task.model.jnt_qposadr[joint] + 3
        orientation = np.array(state["qpos"][start:start + 4])
        state["qpos"][start:start + 4] = list(orientation / np.linalg.norm(orientation))
    state["qvel"] = list(random.choice([0.1, 1, 10]) * random.randn(task.model.nv))
    state["ctrl"] = list(random.uniform(-1.2, 1.2, task.model.nu))
    return state


def probes(name):
    task, random = Task(name, 18), np.random.RandomState(19)
    tried = []
    for _ in range(PROBES_TRIED):
        state = random_state(task, random)
        task.place(state, actuation=True)
        tried.append({**state, "obs": task.obs(), "reward": task.reward()})
    chosen = []
    rewards = [probe["reward"] for probe in tried]
    for wanted in np.linspace(min(rewards), max(rewards), PROBES):
        chosen.append(min(tried, key=lambda probe: abs(probe["reward"] - wanted)))
        tried.remove(chosen[-1])
    return chosen


def starts(name):
    found = []
    for seed in SEEDS:
        task = Task(name, seed)
        for episode in range(EPISODES):
            task.env.reset()
            found.append({"seed": seed, "episode": episode, **task.state(), "obs": task.obs()})
    return found


def merge(path, name, entries):
    """Replaces the entries of task `name` in a file of many tasks; one entry a line."""
    content = json.loads(path.read_text())
    content["tasks"][name] = entries
    tasks = content.pop("tasks")
    blocks = [f'"{task}": [\n' + ",\n".join("  " + json.dumps(entry) for entry in found) + "]"
              for task, found in tasks.items()]
    path.write_text(json.dumps(content)[:-1] + ', "tasks": {\n' + ",\n".join(blocks) + "}}\n")


def write_trajectory(path, content):
    records = content.pop("records")
    lines = ",\n".join("  " + json.dumps(record) for record in records)
    path.write_text(json.dumps(content)[:-1] + ', "records": [\n' + lines + "]}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--replay", type=pathlib.Path, help="a folder with trajectories of other versions of MuJoCo")
    parser.add_argument("--tdmpc2", help="a checkout of TD-MPC2's repository")
    parser.add_argument("--steps", type=integer(1, 1_000_000), default=200, help="control steps of a trajectory")
    parser.add_argument("--every", type=integer(1, 1_000_000), default=40, help="control steps between records")
    parser.add_argument("tasks", nargs="+", metavar="TASK")
    arguments = parser.parse_args()
    if arguments.tdmpc2:
        sys.path.insert(0, os.path.join(arguments.tdmpc2, "tdmpc2", "envs"))
        from tasks import ball_in_cup, cheetah, hopper, pendulum, reacher, walker  # noqa: F401 (they register)
    for name in arguments.tasks:
        if arguments.replay:
            recorded = json.loads((arguments.replay / f"{name}.json").read_text())
            write_trajectory(arguments.out / f"{name}.json",
                             replayed(name, recorded, arguments.steps, arguments.every))
            if (arguments.out / "reward_probes.json").exists():
                states = json.loads((arguments.replay / "reward_probes.json").read_text())["tasks"][name]
                merge(arguments.out / "reward_probes.json", name, placed_again(name, states))
            continue
        write_trajectory(arguments.out / f"{name}.json", trajectory(name, arguments.steps, arguments.every))
        merge(arguments.out / "reward_probes.json", name, probes(name))
        merge(arguments.out / "seeded_resets.json", name, starts(name))
        print(name)


if __name__ == "__main__":
    main()
