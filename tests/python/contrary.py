"""Environments with Gymnasium's interface that treat their data as the interface allows, or break it. The observation
of a step is its number in the episode, twice: rows that follow each other differ by 1."""

import asyncio
import logging.config
import os
import sys
import threading
import types

import numpy


def box(low, high, shape=None, dtype=numpy.float32):
    """What is read of Gymnasium's Box."""
    low, high = (numpy.array(bound if shape is None else numpy.full(shape, bound), dtype=dtype)
                 for bound in (low, high))

    def contains(value):
        return (isinstance(value, numpy.ndarray) and value.dtype == low.dtype and value.shape == low.shape
                and bool((value >= low).all() and (value <= high).all()))
    return types.SimpleNamespace(low=low, high=high, shape=low.shape, dtype=low.dtype, contains=contains)


class Counting:
    """The well-behaved one: everything it returns is new, and it changes nothing that it is given."""

    observation_space = box(-numpy.inf, numpy.inf, (2,))
    action_space = box(-2, 2, (3,))
    spec = types.SimpleNamespace(max_episode_steps=20)

    def __init__(self):
        self.count = 0
        self.actions = []

    def observe(self):
        return numpy.full(2, self.count, numpy.float32)

    def reset(self, seed=None):
        self.count = 0
        return self.observe(), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.count += 1
        self.actions.append(numpy.array(action))
        return self.observe(), 1.0, False, self.count >= 20, {}

    def close(self):
        pass


class OneBuffer(Counting):
    """Returns the same arrays each time, overwritten."""

    def __init__(self):
        super().__init__()
        self._observation, self._reward = numpy.zeros(2, numpy.float32), numpy.zeros(1, numpy.float32)
        self._flags, self._info = numpy.zeros(2, bool), {}

    def observe(self):
        self._observation[:] = self.count
        self._info["observation"] = self._observation
        return self._observation

    def step(self, action):
        observation, reward, self._flags[0], self._flags[1], _ = super().step(action)
        self._reward[:] = reward * self.count
        return observation, self._reward, self._flags[:1], self._flags[1:], self._info


class View(OneBuffer):
    """Returns a view with strides into a larger array."""

    def __init__(self):
        super().__init__()
        self._large = numpy.zeros((4, 8), ">f8")

    def observe(self):
        self._large += 1000
        self._large[1, ::4] = self.count
        return self._large[1, ::4]


class Spoiling(Counting):
    """Spoils what it returned, and what it was given, at the next call."""

    def __init__(self):
        super().__init__()
        self._returned = []

    def _spoil(self):
        for array in self._returned:
            array[...] = numpy.nan
        self._returned.clear()

    def observe(self):
        self._returned.append(super().observe())
        return self._returned[-1]

    def reset(self, seed=None):
        self._spoil()
        return super().reset(seed)

    def step(self, action):
        self._spoil()
        returned = super().step(action)
        action *= 1000
        self._returned.append(action)
        return returned


class Freeing(Counting):
    """Returns arrays over memory that it overwrites and gives back at the next call."""

    def __init__(self):
        super().__init__()
        self._memory = None

    def observe(self):
        if self._memory is not None:
            self._memory[:] = b"\xff" * len(self._memory)  # NaN
        self._memory = bytearray(super().observe().tobytes())
        return numpy.frombuffer(self._memory, numpy.float32)


class Arraylike(Counting):
    """Returns an object that makes an array of itself, over its own memory."""

    def __init__(self):
        super().__init__()
        self._own = numpy.zeros(2, numpy.float32)

    def __array__(self, dtype=None, copy=None):
        return self._own if dtype is None else self._own.astype(dtype)

    def observe(self):
        self._own[:] = self.count
        return self


class PlainNumbers(Counting):
    """Returns lists and Python's own numbers."""

    def observe(self):
        return [self.count, self.count]

    def step(self, action):
        observation, _, _, truncated, info = super().step(action)
        return observation, 1, 0, int(truncated), info


class Pixels(Counting):
    observation_space = box(0, 255, (1, 2, 1), numpy.uint8)

    def observe(self):
        return numpy.full((1, 2, 1), self.count, numpy.uint8)


HONEST = (Counting, OneBuffer, View, Spoiling, Freeing, Arraylike, PlainNumbers, Pixels)


def returning(**given):
    """A Counting that returns other things: observation, reward, terminated, truncated, or the whole of reset and
    step, by the number of the step."""
    class Returning(Counting):
        def reset(self, seed=None):
            observation, info = super().reset(seed)
            return given["reset"](observation) if "reset" in given else (self._of("observation", observation), info)

        def step(self, action):
            observation, reward, terminated, truncated, info = super().step(action)
            returned = (self._of("observation", observation), self._of("reward", reward),
                        self._of("terminated", terminated), self._of("truncated", truncated), info)
            return given["step"](*returned) if "step" in given else returned

        def _of(self, name, value):
            return given[name](self.count, value) if name in given else value
    return Returning


def with_spaces(**spaces):
    return type("WithSpaces", (Counting,), spaces)


class OldGym(Counting):
    """The interface before Gymnasium."""

    def reset(self):
        return super().reset()[0]

    def step(self, action):
        observation, reward, terminated, truncated, info = super().step(action)
        return observation, reward, terminated or truncated, info


class OldGymWithSeed(OldGym):
    def reset(self, seed=None):
        return Counting.reset(self)[0]


class Ending(Counting):
    """Its third step ends in a terminal state."""

    def step(self, action):
        observation, reward, _, truncated, info = super().step(action)
        return observation, reward, self.count == 3, truncated, info


class Exiting(Counting):
    def step(self, action):
        raise SystemExit(0)


class Raising(Counting):
    def __init__(self):
        super().__init__()
        raise RuntimeError("no licence\nfor this simulator")


class Interrupting(Counting):
    """Raises what Ctrl-C would, as libraries with a main loop of their own do."""

    def step(self, action):
        if self.count == 5:
            raise KeyboardInterrupt
        return super().step(action)


class Hiding(Counting):
    """Sees to it that nobody's log lines are shown any more, and breaks."""

    def __init__(self):
        super().__init__()
        logging.config.dictConfig({"version": 1})
        logging.disable(logging.CRITICAL)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        sys.stderr = None

    def step(self, action):
        if self.count == 5:
            raise RuntimeError("the simulator is gone")
        return super().step(action)


class Bound(Counting):
    """May only be used in the thread that made it, and by its event loop."""

    def __init__(self):
        super().__init__()
        self.thread, self.closed = threading.get_ident(), False
        self._loop = asyncio.get_event_loop()

    def _check(self):
        assert threading.get_ident() == self.thread, "used in another thread"
        assert asyncio.get_event_loop() is self._loop
        self._loop.run_until_complete(asyncio.sleep(0))

    def reset(self, seed=None):
        self._check()
        return super().reset(seed)

    def step(self, action):
        self._check()
        return super().step(action)

    def close(self):
        self._check()
        self._loop.close()
        print("closed", flush=True)


class Staying(Counting):
    """Has a thread that does not end, and no end to its close()."""

    def __init__(self):
        super().__init__()
        threading.Thread(target=threading.Event().wait).start()

    def close(self):
        threading.Event().wait()


SHARED = Counting()


def shared():
    """The same one each time."""
    return SHARED


def no_environment():
    return 5


class Printing(Counting):
    """Greets on standard output, as some packages do."""

    def __init__(self):
        super().__init__()
        print("hello from the simulator", flush=True)
