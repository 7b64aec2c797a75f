"""Between a run, whose observations and actions are flat arrays of numbers, and the spaces of an environment.

Spaces are recognised by what they have, not by their class, so that Gymnasium is not needed:

  space           as part of an observation        as part of an action, each number in [-1, 1]
  Box             its numbers                      its numbers, scaled to the bounds (floats, finite bounds)
  Discrete(n)     n numbers, one of them 1         n numbers, of which the largest is the choice
  MultiDiscrete   the same for each of its parts   the same for each of its parts
  MultiBinary     its numbers                      its numbers, 1 where one is above 0
  Dict, Tuple     its parts, one after the other   its parts, one after the other

All others are refused with what to do.
"""

import contextlib
import math
import numbers
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import numpy
from numpy.typing import ArrayLike, NDArray

from pompc.errors import Failed, Refused
from pompc.limits import MAX_MAGNITUDE

Floats = NDArray[numpy.float32]


class Unstable(Exception):
    """The environment returned numbers that no run can learn from; the episode ends in the state before."""


@contextlib.contextmanager
def refusing(what: str) -> Iterator[None]:
    """What others' code raises becomes Refused, with its words and the place."""
    try:
        yield
    except (Refused, Failed):
        raise
    except BaseException as error:
        if is_by_the_user(error):
            raise
        raise Refused(told(error, what)) from error


def is_by_the_user(error: BaseException) -> bool:
    """Whether it is Ctrl-C, which Python raises in the main thread alone, and not what others' code raises."""
    return isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread()


def told(error: BaseException, what: str) -> str:
    """What others' code raised and where, in one line."""
    own = __file__.rpartition("spaces")[0]
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(own)]
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    try:
        text = " ".join("".join(traceback.format_exception_only(type(error), error)).split())
    except Exception:
        text = type(error).__name__  # it does not say what it is
    return f"{what} raised {text[:500]}{where}"


def brief(value: object) -> str:
    try:
        return " ".join(repr(value).split())[:120]
    except Exception:
        return f"a {type(value).__name__}"


def as_array(what: str, value: Any) -> NDArray[Any]:
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
        raise Unstable(f"the {what} is {brief(value)}: {error}") from error
    except Exception as error:
        raise Failed(told(error, f"the {what} is a {type(value).__name__} and no array: numpy.asarray()")) from error
    if array.dtype.kind not in "fiub":
        raise Failed(f"the {what} is not an array of numbers but {brief(value)}")
    return array


def is_box(space: Any) -> bool:
    return all(hasattr(space, name) for name in ("low", "high", "shape"))


def _choices(space: Any) -> tuple[list[int], list[int]] | None:
    """(number of choices, first choice) of each part of a Discrete or MultiDiscrete space; None of another one."""
    if hasattr(space, "nvec"):
        counts = numpy.asarray(space.nvec).reshape(-1)
        starts = numpy.asarray(getattr(space, "start", numpy.zeros_like(counts))).reshape(-1)
        return [int(n) for n in counts], [int(n) for n in starts]
    if isinstance(getattr(space, "n", None), numbers.Integral) and getattr(space, "shape", None) == ():
        return [int(space.n)], [int(getattr(space, "start", 0))]
    return None


def _is_multi_binary(space: Any) -> bool:
    return hasattr(space, "n") and bool(getattr(space, "shape", None)) and not hasattr(space, "nvec")


def _parts(space: Any) -> list[tuple[Any, Any]] | None:
    """(key or position, space) of each part of a Dict or Tuple; None of another one."""
    spaces = getattr(space, "spaces", None)
    if spaces is not None and hasattr(spaces, "items"):
        return list(spaces.items())
    # Spaces of sequences and graphs have no `spaces`; OneOf has, of which one is present at a time.
    if isinstance(spaces, (tuple, list)) and type(space).__name__ != "OneOf":
        return list(enumerate(spaces))
    return None


class Actions:
    """Maps actions in [-1, 1] onto an action space: values that the space contains. Thread-safe."""

    def __init__(self, space: Any):
        """Refused if it is a space that no action of a run can be mapped onto."""
        self.size, self._map = _action_map(space)
        if self.size == 0:
            raise Refused(f"the action space {brief(space)} has no numbers")
        self._check(space)

    def _check(self, space: Any) -> None:
        """Whether the space agrees that these are its actions."""
        if not hasattr(space, "contains"):
            return
        for number in (-1, 0, 1):
            action = self.of(numpy.full(self.size, number))
            with refusing("action_space.contains()"):
                contained = space.contains(action)
            if not contained:
                raise Refused(f"the action space {brief(space)} does not contain {action!r}, which its bounds allow")

    def of(self, action: ArrayLike) -> Any:
        """A new array (or number, dict or tuple of arrays), to be given away. REQUIRES: `action` holds `size` finite
        numbers."""
        return self._map(numpy.asarray(action, dtype=float).reshape(self.size))


_Map = Callable[[NDArray[numpy.float64]], Any]


def _action_map(space: Any) -> tuple[int, _Map]:
    """(numbers that an action of the space takes, what makes one of them)."""
    if is_box(space):
        return _box_map(space)
    choices = _choices(space)
    if choices is not None:
        return _choice_map(space, *choices)
    if _is_multi_binary(space):
        shape, dtype = tuple(space.shape), numpy.dtype(getattr(space, "dtype", numpy.int8))
        return math.prod(shape), lambda numbers_: (numbers_ > 0).reshape(shape).astype(dtype)
    parts = _parts(space)
    if parts is None:
        raise Refused(f"the action space {brief(space)} is not a Box, Discrete, MultiDiscrete, MultiBinary, Dict or "
                      "Tuple: pompc's actions are arrays of numbers within bounds. Wrap the environment so that its "
                      "action_space is a Box of floats")
    maps = [(key, *_action_map(part)) for key, part in parts]
    bounds = [0, *numpy.cumsum([size for _, size, _ in maps], dtype=int).tolist()]

    def of(numbers_: NDArray[numpy.float64]) -> Any:
        made = {key: one(numbers_[bounds[i]:bounds[i + 1]]) for i, (key, _, one) in enumerate(maps)}
        return made if hasattr(space.spaces, "items") else tuple(made.values())
    return bounds[-1], of


def _choice_map(space: Any, counts: list[int], starts: list[int]) -> tuple[int, _Map]:
    dtype = numpy.dtype(getattr(space, "dtype", None) or numpy.int64)
    shape = tuple(getattr(space, "shape", None) or ())
    if any(count < 1 for count in counts):
        raise Refused(f"the action space {brief(space)} has a part without a choice")
    bounds = numpy.cumsum([0, *counts])

    def of(numbers_: NDArray[numpy.float64]) -> Any:
        chosen = [start + int(numpy.argmax(numbers_[begin:end]))
                  for start, begin, end in zip(starts, bounds[:-1], bounds[1:], strict=True)]
        return numpy.array(chosen, dtype).reshape(shape) if shape else dtype.type(chosen[0])
    return int(bounds[-1]), of


def _box_map(space: Any) -> tuple[int, _Map]:
    shape = tuple(space.shape)
    dtype = getattr(space, "dtype", None)
    dtype = numpy.asarray(space.low).dtype if dtype is None else numpy.dtype(dtype)
    if dtype.kind != "f":
        raise Refused(f"the action space {brief(space)} has {dtype} numbers; pompc's actions are continuous. Wrap "
                      "the environment so that its action_space is a Box of floats, which its step() rounds")
    with numpy.errstate(all="ignore"):
        low, high = (numpy.array(numpy.broadcast_to(bound, shape), dtype=float) for bound in (space.low, space.high))
        if not (numpy.isfinite(low).all() and numpy.isfinite(high).all()):
            raise Refused(f"the action space {brief(space)} has infinite bounds; every number of an action must "
                          "have finite ones. Wrap the environment so that its action_space has them")
        # The bounds as numbers of the dtype, rounded inwards.
        least, most = low.astype(dtype), high.astype(dtype)
        above, below = (numpy.nextafter(bound, dtype.type(towards)) for bound, towards in
                        ((least, math.inf), (most, -math.inf)))
        least = numpy.where(least < low, above, least)
        most = numpy.where(most > high, below, most)
    if (least > most).any():
        raise Refused(f"the action space {brief(space)} has a lower bound above the upper one")

    def of(numbers_: NDArray[numpy.float64]) -> Any:
        with numpy.errstate(all="ignore"):
            part = (numpy.clip(numbers_, -1, 1).reshape(shape) + 1) / 2
            scaled = numpy.array(low * (1 - part) + high * part, dtype=dtype)
        return numpy.clip(scaled, least, most, out=scaled)
    return math.prod(shape), of


class Observations:
    """Turns what an environment returns as observation into flat float32 arrays of our own. Thread-safe."""

    def __init__(self, space: Any):
        """Refused if its observations are no numbers."""
        self.size, self._read = _observation_reader(space, "observation")
        if self.size == 0:
            raise Refused(f"the observation space {brief(space)} has no numbers")

    def of(self, observation: Any) -> Floats:
        """A new array. Failed if it is not of the space's kind, Unstable if a number is NaN or too large."""
        given = self._read(observation)
        with numpy.errstate(all="ignore"):
            flat = numpy.array(given, dtype=numpy.float32, order="C")
            usable = numpy.abs(flat) <= MAX_MAGNITUDE
        if not usable.all():
            i = int(numpy.argmin(usable))
            raise Unstable(f"number {i} of an observation is {given[i]}; at most {MAX_MAGNITUDE:g} in magnitude can be "
                           "learnt from")
        return flat


_Reader = Callable[[Any], NDArray[Any]]


def _observation_reader(space: Any, what: str) -> tuple[int, _Reader]:
    """(numbers of an observation, what makes a flat array of one)."""
    if is_box(space) or _is_multi_binary(space):
        shape = tuple(space.shape)

        def read(value: Any) -> NDArray[Any]:
            array = as_array(what, value)
            if array.shape != shape:
                raise Failed(f"an {what} has shape {array.shape}; observation_space says {shape}")
            return array.reshape(-1)
        return math.prod(shape), read
    choices = _choices(space)
    if choices is not None:
        return sum(choices[0]), lambda value: _one_hot(what, value, *choices)
    parts = _parts(space)
    if parts is None:
        raise Refused(f"the observation space {brief(space)} is not a Box, Discrete, MultiDiscrete, MultiBinary, Dict "
                      "or Tuple: pompc's observations are arrays of numbers. Wrap the environment in "
                      "gymnasium.wrappers.FlattenObservation or the like")
    readers = [(key, *_observation_reader(part, f"{what} {key!r}")) for key, part in parts]

    def read_parts(value: Any) -> NDArray[Any]:
        flat = []
        for key, _, reader in readers:
            try:
                part = value[key]
            except (KeyError, IndexError, TypeError):
                raise Failed(f"the {what} {brief(value)} has no part {key!r}, which observation_space has") from None
            flat.append(reader(part))
        return numpy.concatenate(flat) if flat else numpy.zeros(0)
    return sum(size for _, size, _ in readers), read_parts


def _one_hot(what: str, value: Any, counts: list[int], starts: list[int]) -> NDArray[Any]:
    array = as_array(what, value).reshape(-1)
    if array.size != len(counts):
        raise Failed(f"an {what} is {brief(value)}; observation_space has {len(counts)} choices")
    flat, begin = numpy.zeros(sum(counts), numpy.float32), 0
    for number, count, start in zip(array, counts, starts, strict=True):
        if not 0 <= number - start < count or number != int(number):
            raise Failed(f"an {what} is {brief(value)}; observation_space has {count} choices from {start} on")
        flat[begin + int(number) - start] = 1
        begin += count
    return flat
