"""An environment with Gymnasium's interface as a run sees it: a flat observation, actions in [-1, 1], decisions.

This is the boundary between the code of others and ours. Nothing crosses it by reference: an environment may return the
same buffer each time, change it later or free it, and may keep or change the actions that it is given. Nothing crosses
it unchecked: what is not as the spaces promise ends the process with one line that says so.
"""

import collections
import contextlib
import importlib
import math
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy
from numpy.typing import ArrayLike

from pompc import limits
from pompc.errors import Failed, Refused
from pompc.home import Home
from pompc.limits import MAX_MAGNITUDE
from pompc.spaces import Actions, Floats, Observations, Unstable, as_array, brief, is_by_the_user, refusing, told

# What makes an environment: a function, one of Gymnasium's ids, or module:function.
Maker = Callable[[], Any]


def maker(name: str) -> Maker:
    """A function that makes an environment. `name` is one of Gymnasium's ids, or module:function for a function that
    returns an environment."""
    module, colon, function = name.partition(":")
    if not (colon and function.isidentifier()):
        return _maker_by_id(name)
    with refusing(f"importing {module}"):
        try:
            loaded = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if not error.name or not f"{module}.".startswith(f"{error.name}."):
                raise
            where = ("on Python's search path, without the current folder (PYTHONSAFEPATH, -P or -I)"
                     if getattr(sys.flags, "safe_path", False) else "in the current folder and on PYTHONPATH")
            raise Refused(f"there is no module {module}: it is searched for {where}") from error
        made_by = getattr(loaded, function, None)
        if not callable(made_by):
            raise Refused(f"module {module} ({getattr(loaded, '__file__', None)}) has no function {function}")
    return lambda: _made(f"{name}()", made_by)


def named(make_env: Maker | str) -> tuple[str, Maker]:
    """What it is called in messages, and the function."""
    if isinstance(make_env, str):
        return make_env, maker(make_env)
    if not callable(make_env):
        raise Refused(f"make_env is {brief(make_env)}; it must be a function that returns a new environment each time, "
                      "an id of Gymnasium's or 'module:function'")
    name = getattr(make_env, "__name__", "make_env").replace("<lambda>", "make_env")
    return name, lambda: _made(f"{name}()", make_env)


def _maker_by_id(name: str) -> Maker:
    with refusing("importing gymnasium"):
        try:
            gymnasium = importlib.import_module("gymnasium")
        except ImportError as error:
            raise Refused(f"{name} is an id of Gymnasium's, which is not installed ({error}): pip install gymnasium, "
                          "or give module:function") from error
    return lambda: _made(f"gymnasium.make({name!r})", lambda: gymnasium.make(name))


def _made(what: str, made_by: Maker) -> Any:
    with refusing(what):
        return made_by()


def scalar(what: str, value: Any) -> Any:
    array = as_array(what, value)
    if array.size != 1:
        raise Failed(f"the {what} is {array.size} numbers, not one: {brief(value)} (a vector environment "
                     "has num_envs; --environments steps several at a time)")
    return array.reshape(()).item()


def flag(what: str, value: Any) -> bool:
    try:
        number = scalar(what, value)
    except Unstable as error:
        raise Failed(str(error)) from error
    if number not in (0, 1):
        raise Failed(f"the {what} is {brief(value)}, neither true nor false")
    return bool(number)


def _final_observation(returned: Any) -> Any:
    """Of the last step of an episode. Environments that reset themselves return the next episode's first observation,
    and in the info the one that is asked for: Gymnasium's AutoResetWrapper, for one."""
    info = returned[4] if isinstance(returned[4], dict) else {}
    found = (info.get(key) for key in ("final_observation", "final_obs"))
    return next((value for value in found if value is not None), returned[0])


class Stepped:
    """What single and vector environments have in common: the calls of the environment's own code.

    Made and used in the thread of its `home`, if it has one; others may ask for `inside` and was_in(). What the
    environment raises becomes Failed, with its words and the place."""

    # Environments that are stepped together, each with episodes of its own.
    count = 1
    action_size = observation_size = 0

    def __init__(self, name: str, environment: Any, home: Home | None = None):
        self.name, self.home = name, home
        # (what, since when by the monotonic clock) while the environment's own code runs; else None.
        self.inside: tuple[str, float] | None = None
        self._environment = environment
        # (what, from, to), the last ones.
        self._slow_calls: collections.deque[tuple[str, float, float]] = collections.deque(maxlen=64)
        self._action_repeat, self._terminates = 1, True
        self._episode_decisions: float = math.inf
        with refusing(f"{name}: reading its spec and spaces"):
            # How long its episodes are, as Gymnasium's wrappers note it; None if it does not say.
            self.max_episode_steps = getattr(getattr(environment, "spec", None), "max_episode_steps", None)

    def _take_spaces(self, prefix: str = "") -> None:
        """Refused if they are not what a run can use."""
        with refusing(f"{self.name}: reading its spec and spaces"):
            for space in (f"{prefix}action_space", f"{prefix}observation_space"):
                if not hasattr(self._environment, space):
                    raise Refused(f"{self.name} made {brief(self._environment)}, which has no {space}: it is not an "
                                  "environment of Gymnasium's kind")
            try:
                self._actions = Actions(getattr(self._environment, f"{prefix}action_space"))
                self._observations = Observations(getattr(self._environment, f"{prefix}observation_space"))
            except Refused as error:
                raise Refused(f"{self.name}: {error}") from error
        self.action_size, self.observation_size = self._actions.size, self._observations.size

    def was_in(self, start: float, end: float) -> str:
        """What the environment's own code did for most of that time, by the monotonic clock: "reset" or "step", or
        nothing that is known. Thread-safe."""
        inside = self.inside
        calls = [*self._slow_calls, *([(*inside, time.monotonic())] if inside else [])]
        return next((what for what, since, until in calls if min(until, end) - max(since, start) > (end - start) / 2),
                    "")

    def is_the_same_as(self, other: "Stepped") -> bool:
        return self._environment is other._environment

    def try_out(self) -> None:
        """One reset and one step, so that an environment with another interface is refused before a run sees it."""
        try:
            self._try_out()
        except Unstable:
            pass
        except Failed as error:
            raise Refused(str(error)) from error

    def _try_out(self) -> None:
        raise NotImplementedError

    def has_begun(self) -> bool:
        """Whether an episode has begun in which no step came yet."""
        raise NotImplementedError

    def follow(self, settings: Any) -> None:
        """Takes on the run's `env`. Refused if the environment has other sizes."""
        for size in ("observation_size", "action_size"):
            if getattr(self, size) != getattr(settings.spec, size):
                raise Refused(f"the run expects env.spec.{size} {getattr(settings.spec, size)}; {self.name} has "
                              f"{getattr(self, size)}")
        self._action_repeat, self._episode_decisions = settings.action_repeat, settings.spec.episode_decisions
        self._terminates = settings.spec.terminates

    def close(self) -> None:
        """What goes wrong in it is nobody's concern any more."""
        with contextlib.suppress(BaseException):
            self._environment.close()

    def _check_terminates(self) -> None:
        """In a terminal state."""
        if not self._terminates:
            raise Failed(f"{self.name}: an episode ended in a terminal state, but the run's config knows of none. Set "
                         "env.spec.terminates: true (--print-config --terminates prints it), or let the "
                         "environment return truncated, not terminated, where an episode is only cut")

    @contextlib.contextmanager
    def _called(self, what: str) -> Iterator[None]:
        """Around a call of the environment and the reading of what it returned."""
        since = time.monotonic()
        self.inside = (what, since)
        try:
            yield
        except Unstable:
            raise
        except Failed as error:
            raise Failed(f"{self.name}: {what}(): {error}") from error
        except BaseException as error:
            if is_by_the_user(error):
                raise
            text = told(error, f"{what}()")
            hint = " (Gymnasium's reset takes a seed)" if what == "reset" and "'seed'" in text else ""
            raise Failed(f"{self.name}: {text}{hint}") from error
        finally:
            if time.monotonic() - since > limits.SLOW_SECONDS:
                self._slow_calls.append((what, since, time.monotonic()))
            self.inside = None


class Environment(Stepped):
    """Holds each action for a number of steps and sums their rewards; cuts episodes after a number of decisions."""

    def __init__(self, name: str, environment: Any, home: Home | None = None):
        """Refused if the spaces are not what a run can use."""
        super().__init__(name, environment, home)
        self._take_spaces()
        # (seed, observation) of the last reset, until the first step.
        self._begun: tuple[int | None, Floats] | None = None
        self._decisions = 0

    def has_begun(self) -> bool:
        return self._begun is not None

    def _try_out(self) -> None:
        self.reset(0)
        self.step(numpy.zeros(self.action_size))

    def reset(self, seed: int | None = None) -> Floats:
        """The first observation of an episode: of the one that has begun, where no step came yet and it is as good. A
        reset may take longer than a lease, and would be lost with it again and again."""
        if self._begun is not None and seed in (None, self._begun[0]):
            return self._begun[1]
        self._begun, self._decisions, first_seed = None, 0, seed
        for _ in range(limits.RESET_TRIES):
            try:
                self._begun = (first_seed, self._begin(seed))
                return self._begun[1]
            except Unstable as error:
                seed, problem = None, error
        raise Failed(f"{self.name}: {limits.RESET_TRIES} resets one after the other: {problem}")

    def _begin(self, seed: int | None) -> Floats:
        with self._called("reset"):
            returned = self._environment.reset(seed=seed)
            if not (isinstance(returned, tuple) and len(returned) == 2 and isinstance(returned[1], dict)):
                raise Failed(f"returned {brief(returned)}; Gymnasium's returns (observation, info). {OLD_GYM}")
            return self._observations.of(returned[0])

    def step(self, action: ArrayLike) -> tuple[Floats, float, bool, bool]:
        """(observation, reward, terminated, truncated) of one decision."""
        self._begun = None
        total, terminated, truncated = 0.0, False, False
        for _ in range(self._action_repeat):
            with self._called("step"):
                returned = self._environment.step(self._actions.of(action))
                if not (isinstance(returned, (tuple, list)) and len(returned) == 5):
                    count = f"{len(returned)} values" if isinstance(returned, (tuple, list)) else brief(returned)
                    raise Failed(f"returned {count}; Gymnasium's returns (observation, reward, terminated, truncated, "
                                 f"info). {OLD_GYM}")
                # What is not copied here may be another thing after the next call.
                terminated, truncated = (flag(name, value) for name, value in
                                         zip(("terminated flag", "truncated flag"), returned[2:4],
                                             strict=True))
                observation = self._observations.of(
                    _final_observation(returned) if terminated or truncated else returned[0])
                total += float(scalar("reward", returned[1]))
            if not abs(total) <= MAX_MAGNITUDE:
                raise Unstable(f"reward {total}; at most {MAX_MAGNITUDE:g} in magnitude can be learnt from")
            if terminated or truncated:
                break
        if terminated:
            self._check_terminates()
        self._decisions += 1
        return observation, total, terminated, truncated or self._decisions >= self._episode_decisions


OLD_GYM = "Environments of old gym must be wrapped (for example by the package shimmy)"
