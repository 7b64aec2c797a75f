"""An environment with Gymnasium's interface as a run sees it: a flat observation, actions in [-1, 1], decisions."""

import importlib
import math

import numpy


def make(name):
    """`name` is one of Gymnasium's ids, or module:function for a function that returns an environment."""
    module, colon, function = name.partition(":")
    if colon:
        return getattr(importlib.import_module(module), function)()
    return importlib.import_module("gymnasium").make(name)


class Unstable(Exception):
    """The environment returned what is no number; the episode ends in the state before."""


class Environment:
    """Holds each action for `action_repeat` steps and sums their rewards; cuts episodes after `episode_decisions`."""

    def __init__(self, environment, action_repeat, episode_decisions=math.inf):
        self._environment = environment
        self._action_repeat = action_repeat
        self._episode_decisions = episode_decisions
        space = environment.action_space
        if not hasattr(space, "low") or not hasattr(environment.observation_space, "low"):
            raise SystemExit("actions and observations must be arrays of numbers (Gymnasium's Box)")
        self._low, self._high = numpy.asarray(space.low, float), numpy.asarray(space.high, float)
        if not (numpy.isfinite(self._low).all() and numpy.isfinite(self._high).all()):
            raise SystemExit("every number of an action must have finite bounds")
        self.action_size = self._low.size
        self.observation_size = math.prod(environment.observation_space.shape)
        self._decisions = 0

    def reset(self, seed=None):
        self._decisions = 0
        observation, _ = self._environment.reset(seed=seed)
        return self._checked(observation)

    def step(self, action):
        """(observation, reward, terminated, truncated) of one decision."""
        scaled = self._low + (numpy.clip(action, -1, 1).reshape(self._low.shape) + 1) / 2 * (self._high - self._low)
        total, terminated, truncated = 0.0, False, False
        for _ in range(self._action_repeat):
            observation, reward, terminated, truncated, _ = self._environment.step(scaled)
            total += float(reward)
            if terminated or truncated:
                break
        if not math.isfinite(total):
            raise Unstable(f"reward {total}")
        self._decisions += 1
        return self._checked(observation), total, terminated, truncated or self._decisions >= self._episode_decisions

    def _checked(self, observation):
        flat = numpy.asarray(observation, dtype=numpy.float32).reshape(-1)
        if not numpy.isfinite(flat).all():
            raise Unstable(f"observation {flat}")
        return flat

    def close(self):
        self._environment.close()
