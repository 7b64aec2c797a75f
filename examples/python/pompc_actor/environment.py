"""An environment with Gymnasium's interface as a run sees it: a flat observation, actions in [-1, 1], decisions.

This is the boundary between the code of others and ours. Nothing crosses it by reference: an environment may return the
same buffer each time, change it later or free it, and may keep or change the actions that it is given. Nothing crosses
it unchecked: what is not as the spaces promise ends the process with one line that says so.
"""

import collections
import contextlib
import importlib
import math
import numbers
import sys
import threading
import time
import traceback

import numpy

from pompc_actor import Failed, Refused
from pompc_actor.home import MAX_EVENT_LOOPS, Home

RESET_TRIES = 20
SLOW_SECONDS = 0.1  # of a call that is remembered
# kMaxMagnitude in common/values/number_check.h: rows with larger numbers are refused.
MAX_MAGNITUDE = 1e18


class Unstable(Exception):
    """The environment returned numbers that no run can learn from; the episode ends in the state before."""


def maker(name):
    """A function that makes an environment. `name` is one of Gymnasium's ids, or module:function for a function that
    returns an environment."""
    module, colon, function = name.partition(":")
    if not (colon and function.isidentifier()):
        return _maker_by_id(name)
    with _refusing(f"importing {module}"):
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


def _maker_by_id(name):
    with _refusing("importing gymnasium"):
        try:
            gymnasium = importlib.import_module("gymnasium")
        except ImportError as error:
            raise Refused(f"{name} is an id of Gymnasium's, which is not installed ({error}): pip install gymnasium, "
                          "or give module:function") from error
    return lambda: _made(f"gymnasium.make({name!r})", lambda: gymnasium.make(name))


def _made(what, made_by):
    with _refusing(what):
        return made_by()


@contextlib.contextmanager
def _refusing(what):
    try:
        yield
    except (Refused, Failed):
        raise
    except BaseException as error:  # pylint: disable=broad-except
        if is_by_the_user(error):
            raise
        raise Refused(told(error, what)) from error


def is_by_the_user(error):
    """Whether it is Ctrl-C, which Python raises in the main thread alone, and not what others' code raises."""
    return isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread()


def told(error, what):
    """What others' code raised and where, in one line."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    try:
        text = " ".join("".join(traceback.format_exception_only(type(error), error)).split())
    except Exception:  # pylint: disable=broad-except
        text = type(error).__name__  # it does not say what it is
    return f"{what} raised {text[:500]}{where}"


def _is_box(space):
    return all(hasattr(space, name) for name in ("low", "high", "shape"))


class Actions:
    """Maps actions in [-1, 1] onto an action space: arrays of its dtype and shape that lie within its bounds."""

    def __init__(self, space):
        if not _is_box(space):
            raise Refused(f"the action space {_brief(space)} is not a Box: pompc's actions are arrays of numbers "
                          "within bounds. Wrap the environment so that its action_space is a Box of floats")
        self.shape = tuple(space.shape)
        self.size = math.prod(self.shape)
        dtype = getattr(space, "dtype", None)
        dtype = numpy.asarray(space.low).dtype if dtype is None else numpy.dtype(dtype)
        if dtype.kind != "f":
            raise Refused(f"the action space {_brief(space)} has {dtype} numbers; pompc's actions are continuous. Wrap "
                          "the environment so that its action_space is a Box of floats, which its step() rounds")
        if self.size == 0:
            raise Refused(f"the action space {_brief(space)} has no numbers")
        self._dtype = dtype
        with numpy.errstate(all="ignore"):
            self._low, self._high = (numpy.array(numpy.broadcast_to(bound, self.shape), dtype=float)
                                     for bound in (space.low, space.high))
            if not (numpy.isfinite(self._low).all() and numpy.isfinite(self._high).all()):
                raise Refused(f"the action space {_brief(space)} has infinite bounds; every number of an action must "
                              "have finite ones. Wrap the environment so that its action_space has them")
            # The bounds as numbers of the dtype, rounded inwards.
            self._least, self._most = self._low.astype(dtype), self._high.astype(dtype)
            above, below = (numpy.nextafter(bound, dtype.type(towards)) for bound, towards in
                            ((self._least, math.inf), (self._most, -math.inf)))
            self._least = numpy.where(self._least < self._low, above, self._least)
            self._most = numpy.where(self._most > self._high, below, self._most)
        if (self._least > self._most).any():
            raise Refused(f"the action space {_brief(space)} has a lower bound above the upper one")
        self._check(space)

    def _check(self, space):
        """Whether the space agrees that these are its actions."""
        if not hasattr(space, "contains"):
            return
        for number in (-1, 0, 1):
            action = self.of(numpy.full(self.size, number))
            with _refusing("action_space.contains()"):
                contained = space.contains(action)
            if not contained:
                raise Refused(f"the action space {_brief(space)} does not contain {action!r}, which its bounds allow")

    def of(self, action):
        """A new array, to be given away. REQUIRES: `action` holds `size` finite numbers."""
        with numpy.errstate(all="ignore"):
            part = (numpy.clip(numpy.asarray(action, dtype=float), -1, 1).reshape(self.shape) + 1) / 2
            scaled = numpy.array(self._low * (1 - part) + self._high * part, dtype=self._dtype)
        return numpy.clip(scaled, self._least, self._most, out=scaled)


class Observations:
    """Turns what an environment returns as observation into flat float32 arrays of our own."""

    def __init__(self, space):
        if not _is_box(space):
            raise Refused(f"the observation space {_brief(space)} is not a Box: pompc's observations are arrays of "
                          "numbers. Wrap the environment in gymnasium.wrappers.FlattenObservation or the like")
        self.shape = tuple(space.shape)
        self.size = math.prod(self.shape)
        if self.size == 0:
            raise Refused(f"the observation space {_brief(space)} has no numbers")

    def of(self, observation):
        """A new array. Failed if it is not of the space's kind, Unstable if a number is NaN or too large."""
        array = _array("observation", observation)
        if array.shape != self.shape:
            raise Failed(f"an observation has shape {array.shape}; observation_space says {self.shape}")
        with numpy.errstate(all="ignore"):
            flat = numpy.array(array, dtype=numpy.float32, order="C").reshape(-1)
            usable = numpy.abs(flat) <= MAX_MAGNITUDE
        if not usable.all():
            i = int(numpy.argmin(usable))
            raise Unstable(f"number {i} of an observation is {array.reshape(-1)[i]}; at most {MAX_MAGNITUDE:g} in "
                           "magnitude can be learnt from")
        return flat


def _brief(value):
    try:
        return " ".join(repr(value).split())[:120]
    except Exception:  # pylint: disable=broad-except
        return f"a {type(value).__name__}"


def _array(what, value):
    """`value` as an array of real numbers, not copied."""
    if isinstance(value, numpy.ma.MaskedArray):
        raise Failed(f"the {what} is a masked array; return plain numbers: numpy.ma.filled puts some in place of those "
                     "masked")
    try:
        array = numpy.asarray(value)
        # What NumPy makes of whole numbers beyond 64 bits.
        if array.dtype.kind == "O" and all(isinstance(number, numbers.Real) for number in array.flat):
            array = array.astype(float)
    except OverflowError as error:
        raise Unstable(f"the {what} is {_brief(value)}: {error}") from error
    except Exception as error:  # pylint: disable=broad-except
        raise Failed(told(error, f"the {what} is a {type(value).__name__} and no array: numpy.asarray()")) from error
    if array.dtype.kind not in "fiub":
        raise Failed(f"the {what} is not an array of numbers but {_brief(value)}")
    return array


def _scalar(what, value):
    array = _array(what, value)
    if array.size != 1:
        raise Failed(f"the {what} is {array.size} numbers, not one: {_brief(value)} (a vector environment? "
                     "--environments steps several at a time)")
    return array.reshape(()).item()


def _flag(what, value):
    try:
        number = _scalar(what, value)
    except Unstable as error:
        raise Failed(str(error)) from error
    if number not in (0, 1):
        raise Failed(f"the {what} is {_brief(value)}, neither true nor false")
    return bool(number)


def _final_observation(returned):
    """Of the last step of an episode. Environments that reset themselves return the next episode's first observation,
    and in the info the one that is asked for: Gymnasium's AutoResetWrapper, for one."""
    info = returned[4] if isinstance(returned[4], dict) else {}
    found = (info.get(key) for key in ("final_observation", "final_obs"))
    return next((value for value in found if value is not None), returned[0])


class Environment:
    """Holds each action for a number of steps and sums their rewards; cuts episodes after a number of decisions.

    Made and used in the thread of its `home`, if it has one; others may ask for `inside` and was_in(). What the
    environment raises becomes Failed, with its words and the place."""

    def __init__(self, name, environment, home=None):
        """Refused if the spaces are not what a run can use."""
        self.name, self.home = name, home
        # (what, since when by the monotonic clock) while the environment's own code runs; else None.
        self.inside = None
        self._environment = environment
        with _refusing(f"{name}: reading its spec and spaces"):
            # How long its episodes are, as Gymnasium's wrappers note it; None if it does not say.
            self.max_episode_steps = getattr(getattr(environment, "spec", None), "max_episode_steps", None)
            for space in ("action_space", "observation_space"):
                if not hasattr(environment, space):
                    raise Refused(f"{name} made {_brief(environment)}, which has no {space}: it is not an environment "
                                  "of Gymnasium's kind")
            try:
                self._actions = Actions(environment.action_space)
                self._observations = Observations(environment.observation_space)
            except Refused as error:
                raise Refused(f"{name}: {error}") from error
        self.action_size, self.observation_size = self._actions.size, self._observations.size
        self._slow_calls = collections.deque(maxlen=64)  # (what, from, to), the last ones
        # (seed, observation) of the last reset, until the first step.
        self._begun = None
        self._action_repeat, self._episode_decisions, self._terminates = 1, math.inf, True
        self._decisions = 0

    def has_begun(self):
        """Whether an episode has begun in which no step came yet."""
        return self._begun is not None

    def was_in(self, start, end):
        """What the environment's own code did for most of that time, by the monotonic clock: "reset" or "step", or
        nothing that is known. Thread-safe."""
        inside = self.inside
        calls = [*self._slow_calls, *([(*inside, time.monotonic())] if inside else [])]
        return next((what for what, since, until in calls if min(until, end) - max(since, start) > (end - start) / 2),
                    "")

    def is_the_same_as(self, other):
        return self._environment is other._environment

    def try_out(self):
        """One reset and one step, so that an environment with another interface is refused before a run sees it."""
        try:
            self.reset(0)
            self.step(numpy.zeros(self.action_size))
        except Unstable:
            pass
        except Failed as error:
            raise Refused(str(error)) from error

    def follow(self, settings):
        """Takes on the run's `env`. Refused if the environment has other sizes."""
        for size in ("observation_size", "action_size"):
            if getattr(self, size) != getattr(settings.spec, size):
                raise Refused(f"the run expects env.spec.{size} {getattr(settings.spec, size)}; {self.name} has "
                              f"{getattr(self, size)}")
        self._action_repeat, self._episode_decisions = settings.action_repeat, settings.spec.episode_decisions
        self._terminates = settings.spec.terminates

    def reset(self, seed=None):
        """The first observation of an episode: of the one that has begun, where no step came yet and it is as good. A
        reset may take longer than a lease, and would be lost with it again and again."""
        if self._begun is not None and seed in (None, self._begun[0]):
            return self._begun[1]
        self._begun, self._decisions, first_seed = None, 0, seed
        for _ in range(RESET_TRIES):
            try:
                self._begun = (first_seed, self._begin(seed))
                return self._begun[1]
            except Unstable as error:
                seed, problem = None, error
        raise Failed(f"{self.name}: {RESET_TRIES} resets one after the other: {problem}")

    def _begin(self, seed):
        with self._called("reset"):
            returned = self._environment.reset(seed=seed)
            if not (isinstance(returned, tuple) and len(returned) == 2 and isinstance(returned[1], dict)):
                raise Failed(f"returned {_brief(returned)}; Gymnasium's returns (observation, info). {_OLD_GYM}")
            return self._observations.of(returned[0])

    def step(self, action):
        """(observation, reward, terminated, truncated) of one decision."""
        self._begun = None
        total, terminated, truncated = 0.0, False, False
        for _ in range(self._action_repeat):
            with self._called("step"):
                returned = self._environment.step(self._actions.of(action))
                if not (isinstance(returned, (tuple, list)) and len(returned) == 5):
                    count = f"{len(returned)} values" if isinstance(returned, (tuple, list)) else _brief(returned)
                    raise Failed(f"returned {count}; Gymnasium's returns (observation, reward, terminated, truncated, "
                                 f"info). {_OLD_GYM}")
                # What is not copied here may be another thing after the next call.
                terminated, truncated = (_flag(flag, value) for flag, value in
                                         zip(("terminated flag", "truncated flag"), returned[2:4]))
                observation = self._observations.of(
                    _final_observation(returned) if terminated or truncated else returned[0])
                total += float(_scalar("reward", returned[1]))
            if not abs(total) <= MAX_MAGNITUDE:
                raise Unstable(f"reward {total}; at most {MAX_MAGNITUDE:g} in magnitude can be learnt from")
            if terminated or truncated:
                break
        if terminated and not self._terminates:
            raise Failed(f"{self.name}: an episode ended in a terminal state, but the run's config knows of none. Set "
                         "env.spec.terminates: true (--print-config --terminates prints it), or let the "
                         "environment return truncated, not terminated, where an episode is only cut")
        self._decisions += 1
        return observation, total, terminated, truncated or self._decisions >= self._episode_decisions

    @contextlib.contextmanager
    def _called(self, what):
        """Around a call of the environment and the reading of what it returned."""
        since = time.monotonic()
        self.inside = (what, since)
        try:
            yield
        except Unstable:
            raise
        except Failed as error:
            raise Failed(f"{self.name}: {what}(): {error}") from error
        except BaseException as error:  # pylint: disable=broad-except
            if is_by_the_user(error):
                raise
            text = told(error, f"{what}()")
            hint = " (Gymnasium's reset takes a seed)" if what == "reset" and "'seed'" in text else ""
            raise Failed(f"{self.name}: {text}{hint}") from error
        finally:
            if time.monotonic() - since > SLOW_SECONDS:
                self._slow_calls.append((what, since, time.monotonic()))
            self.inside = None

    def close(self):
        """What goes wrong in it is nobody's concern any more."""
        with contextlib.suppress(BaseException):
            self._environment.close()


_OLD_GYM = "Environments of old gym must be wrapped (for example by the package shimmy)"


def make_at_home(name, make, home):
    """The environment that `make` makes, in the thread of that home."""
    return home.call(lambda: Environment(name, make(), home))


def make_all(name, count):
    """`count` environments, tried out, each in a home of its own. Refused if they are of no use to any run."""
    make = maker(name)
    made = []
    for _ in range(count):
        made.append(make_at_home(name, make, Home(event_loop=count <= MAX_EVENT_LOOPS)))
        if any(made[-1].is_the_same_as(other) for other in made[:-1]):
            raise Refused(f"{name} returned the same environment twice: with --environments each call must make a new "
                          "one")
    made[0].home.call(made[0].try_out)
    return made
