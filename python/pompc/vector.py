"""Vector environments (gymnasium.vector.VectorEnv): several environments that one call steps together.

When the episode of one of them ends, the vector resets it by itself: in the next step, whose action it ignores, or in
the same step, with the last observation in the info; or it leaves that to its user (metadata "autoreset_mode").
"""

import dataclasses
from typing import Any

import numpy

from pompc import limits
from pompc.environment import OLD_GYM, Stepped, flag, scalar
from pompc.errors import Failed, Refused
from pompc.home import Home
from pompc.limits import MAX_MAGNITUDE
from pompc.spaces import Floats, Unstable, as_array, brief


def is_vector(environment: Any) -> bool:
    return hasattr(environment, "num_envs") and hasattr(environment, "single_action_space")


@dataclasses.dataclass
class Outcome:
    """What a step did to one of the environments."""

    observation: Floats | None = None  # after the step; the episode's last one if it has ended
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False
    # First observation of the next episode, if it has begun: then there may be no step besides (`observation` is None).
    first: Floats | None = None
    unstable: str = ""                 # why nothing of the step can be used; empty if it can


def stacked(values: list[Any]) -> Any:
    """Actions of several environments as a vector environment takes them: arrays, or dicts and tuples of arrays."""
    if isinstance(values[0], dict):
        return {key: stacked([value[key] for value in values]) for key in values[0]}
    if isinstance(values[0], tuple):
        return tuple(stacked([value[i] for value in values]) for i in range(len(values[0])))
    return numpy.stack([numpy.asarray(value) for value in values])


def part_of(batch: Any, i: int) -> Any:
    """The part of one environment in what a vector environment returns."""
    if isinstance(batch, dict):
        return {key: part_of(value, i) for key, value in batch.items()}
    if isinstance(batch, tuple):
        return tuple(part_of(value, i) for value in batch)
    return batch[i]


class VectorEnvironment(Stepped):
    """A vector of `count` environments. Their actions are not held: the run's env.action_repeat must be 1."""

    def __init__(self, name: str, environment: Any, home: Home | None = None):
        """Refused if the spaces are not what a run can use."""
        super().__init__(name, environment, home)
        self.count = int(environment.num_envs)
        if self.count < 1:
            raise Refused(f"{name} made {brief(environment)}, which holds no environment")
        self._take_spaces("single_")
        if self.max_episode_steps is None:
            inner = getattr(environment, "envs", None) or [None]
            self.max_episode_steps = getattr(getattr(inner[0], "spec", None), "max_episode_steps", None)
        metadata = getattr(environment, "metadata", None) or {}
        mode = metadata.get("autoreset_mode")
        # "NextStep", "SameStep", "Disabled"; empty: what the info shows.
        self._mode = str(getattr(mode, "value", mode) or "")
        self._resetting = [False] * self.count  # the next step resets it
        self._begun: tuple[Any, list[Floats]] | None = None

    def has_begun(self) -> bool:
        return self._begun is not None

    def _try_out(self) -> None:
        self.reset(0)
        self.step([numpy.zeros(self.action_size)] * self.count)

    def follow(self, settings: Any) -> None:
        super().follow(settings)
        if settings.action_repeat != 1:
            raise Refused(f"the run holds each action for {settings.action_repeat} steps (env.action_repeat), which "
                          f"{self.name} cannot, as it is a vector environment: let its environments hold them, and set "
                          "env.action_repeat: 1")

    @property
    def episode_decisions(self) -> float:
        """Longest episode."""
        return self._episode_decisions

    def reset(self, seed: int | list[int] | None = None) -> list[Floats]:
        """The first observations of an episode of each; as Environment.reset."""
        if self._begun is not None and seed in (None, self._begun[0]):
            return self._begun[1]
        self._begun, first_seed, problem = None, seed, ""
        self._resetting = [False] * self.count
        for _ in range(limits.RESET_TRIES):
            try:
                with self._called("reset"):
                    returned = self._environment.reset(seed=seed)
                    if not (isinstance(returned, tuple) and len(returned) == 2):
                        raise Failed(f"returned {brief(returned)}; Gymnasium's returns (observations, infos). "
                                     f"{OLD_GYM}")
                    first = [self._observations.of(part_of(returned[0], i)) for i in range(self.count)]
            except Unstable as error:
                seed, problem = None, str(error)
                continue
            self._begun = (first_seed, first)
            return first
        raise Failed(f"{self.name}: {limits.RESET_TRIES} resets one after the other: {problem}")

    def step(self, actions: list[Any]) -> list[Outcome]:
        """One decision of each; `actions` has an array in [-1, 1] for each."""
        self._begun = None
        with self._called("step"):
            returned = self._environment.step(stacked([self._actions.of(action) for action in actions]))
            if not (isinstance(returned, (tuple, list)) and len(returned) == 5):
                raise Failed(f"returned {brief(returned)}; Gymnasium's returns (observations, rewards, terminations, "
                             f"truncations, infos). {OLD_GYM}")
            observations, rewards, terminations, truncations, infos = returned
            for what, values in (("rewards", rewards), ("terminations", terminations), ("truncations", truncations)):
                if as_array(what, values).shape != (self.count,):
                    raise Failed(f"{what} have shape {numpy.shape(values)} for {self.count} environments")
            outcomes = [self._outcome(i, observations, rewards[i], flag("terminated flag", terminations[i]),
                                      flag("truncated flag", truncations[i]), infos) for i in range(self.count)]
        ended = numpy.array([outcome.terminated or outcome.truncated for outcome in outcomes])
        if self._mode == "Disabled" and ended.any():
            self._reset_those(ended, outcomes)
        for outcome in outcomes:
            if outcome.terminated:
                self._check_terminates()
        return outcomes

    def _outcome(self, i: int, observations: Any, reward: Any, terminated: bool, truncated: bool,
                 infos: Any) -> Outcome:
        outcome = Outcome(terminated=terminated, truncated=truncated)
        current = part_of(observations, i)
        try:
            if self._resetting[i]:
                self._resetting[i] = False
                outcome.first = self._observations.of(current)
                return outcome
            if not (terminated or truncated):
                outcome.observation = self._observations.of(current)
            else:
                final = _final(infos, i)
                if final is not None:  # what came with the step is the next episode's
                    outcome.first = self._observations.of(current)
                elif self._mode == "SameStep":
                    raise Failed("an episode has ended, and infos has no final_obs of it")
                else:
                    self._resetting[i] = self._mode != "Disabled"
                outcome.observation = self._observations.of(current if final is None else final)
            outcome.reward = float(scalar("reward", reward))
            if not abs(outcome.reward) <= MAX_MAGNITUDE:
                raise Unstable(f"reward {outcome.reward}; at most {MAX_MAGNITUDE:g} in magnitude can be learnt from")
        except Unstable as error:
            outcome.unstable = str(error)
        return outcome

    def _reset_those(self, ended: Any, outcomes: list[Outcome]) -> None:
        with self._called("reset"):
            observations, _ = self._environment.reset(options={"reset_mask": ended})
            for i in numpy.flatnonzero(ended):
                try:
                    outcomes[i].first = self._observations.of(part_of(observations, int(i)))
                except Unstable as error:
                    outcomes[i].unstable = str(error)


def _final(infos: Any, i: int) -> Any:
    """The last observation of an episode that environment i has already left; None where it is not there."""
    for key in ("final_obs", "final_observation"):
        if isinstance(infos, dict) and key in infos:
            present = infos.get(f"_{key}")
            if present is None or present[i]:
                return part_of(infos[key], i)
    return None
