#!/usr/bin/env python3
"""The boundary between environments of others and the Python actor, without any process."""

import asyncio
import fractions
import itertools
import math
import pathlib
import re
import sys
import threading
import types
import unittest
import unittest.mock
import warnings

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "python"))
sys.path.insert(0, str(HERE.parent / "support"))
from needs import needs

needs("grpc", "google.protobuf", "numpy")
import numpy

import contrary
from pompc import Failed, Refused
from pompc.actor import make_all
from pompc.environment import MAX_MAGNITUDE, Environment, maker
from pompc.spaces import Actions, Observations, Unstable


def settings(action_repeat=1, episode_decisions=1000, terminates=False, observation_size=2, action_size=3):
    return types.SimpleNamespace(action_repeat=action_repeat, spec=types.SimpleNamespace(
        episode_decisions=episode_decisions, terminates=terminates, observation_size=observation_size,
        action_size=action_size))


def environment_of(kind, **more):
    environment = Environment(kind.__name__, kind())
    environment.follow(settings(**more))
    return environment


class NeverSaid(BaseException):
    """Of no use in a message."""

    def __str__(self):
        raise ValueError("no words")


class DataTest(unittest.TestCase):
    """Nothing crosses by reference."""

    def test_rows_hold_what_was_there_when_they_were_made(self):
        for kind in contrary.HONEST:
            with self.subTest(kind.__name__):
                environment = environment_of(kind)
                seen = [environment.reset(1)]
                for _ in range(5):
                    seen.append(environment.step(numpy.zeros(3))[0])
                environment.reset()
                for step, observation in enumerate(seen):
                    self.assertEqual(observation.tolist(), [step, step])
                    self.assertEqual((observation.dtype, observation.ndim), (numpy.float32, 1))
                    self.assertTrue(observation.flags.owndata or observation.base.flags.owndata)

    def test_what_was_returned_is_not_shared_between_steps_or_with_the_environment(self):
        for kind in contrary.HONEST:
            with self.subTest(kind.__name__):
                inner = kind()
                environment = Environment("it", inner)
                returned = [environment.reset(1)] + [environment.step(numpy.zeros(3))[0] for _ in range(2)]
                own = [value for value in vars(inner).values() if isinstance(value, numpy.ndarray)]
                for one, other in itertools.combinations(returned + own, 2):
                    self.assertFalse(numpy.shares_memory(one, other))

    def test_rewards_and_flags_are_read_at_once(self):
        environment = environment_of(contrary.OneBuffer)
        environment.reset(1)
        steps = [environment.step(numpy.zeros(3)) for _ in range(20)]
        self.assertEqual([reward for _, reward, _, _ in steps], list(range(1, 21)))
        self.assertEqual([truncated for *_, truncated in steps], [False] * 19 + [True])
        self.assertEqual({tuple(type(value) for value in step[1:]) for step in steps}, {(float, bool, bool)})

    def test_actions_belong_to_the_environment_that_gets_them(self):
        environment = environment_of(contrary.Spoiling, action_repeat=4)
        environment.reset(1)
        action = numpy.array([0.5, -1, 1], numpy.float32)
        action.setflags(write=False)
        for _ in range(3):
            environment.step(action)
        inner = environment._environment
        self.assertEqual(len(inner.actions), 12)
        for given in inner.actions:
            self.assertEqual(given.tolist(), [1, -2, 2])
        self.assertEqual(action.tolist(), [0.5, -1, 1])

    def test_bounds_are_those_of_the_start(self):
        inner = contrary.with_spaces(action_space=contrary.box(-2, 2, (3,)))()
        environment = Environment("it", inner)
        inner.action_space.high[:] = 1
        self.assertEqual(environment._actions.of(numpy.ones(3)).tolist(), [2, 2, 2])


class ActionsTest(unittest.TestCase):
    BOUNDS = ((-1, 1), (-2, 2), (0, 1), (-0.1, 0.3), (0.1, 0.7), (-1 / 3, 1e-7), (5, 5), (1e-3, 1e3), (-6e4, 6.5e4))

    def test_each_is_one_of_the_space(self):
        actions = numpy.random.default_rng(1).uniform(-1.00001, 1.00001, (200, 3))
        actions[:3] = [[-1] * 3, [0] * 3, [1] * 3]
        dtypes = ("float16", "float32", "float64", ">f4", "longdouble")
        for dtype, (low, high) in itertools.product(dtypes, self.BOUNDS):
            space = contrary.box(low, high, (3,), dtype)
            with self.subTest(space=space), warnings.catch_warnings(), numpy.errstate(all="raise"):
                warnings.simplefilter("error")
                mapped = Actions(space)
                for action in actions:
                    given = mapped.of(action)
                    self.assertTrue(space.contains(given), given)
                    self.assertEqual(given.dtype, space.dtype)
                self.assertEqual(mapped.of(-numpy.ones(3)).tolist(), space.low.tolist())
                self.assertEqual(mapped.of(numpy.ones(3)).tolist(), space.high.tolist())

    def test_bounds_of_another_dtype_are_kept_too(self):
        """float32(0.1) is above 0.1: a cast alone would step over the bound."""
        for bound in (0.1, 0.2, 0.3, 0.7, 1 / 3, 1e5, 1e-9):
            for dtype in (numpy.float16, numpy.float32):
                with self.subTest(bound=bound, dtype=dtype):
                    space = types.SimpleNamespace(low=numpy.array([-bound]), high=numpy.array([bound]), shape=(1,),
                                                  dtype=dtype)
                    for action in (-1, 1):
                        (given,) = Actions(space).of([action])
                        self.assertEqual(given.dtype, dtype)
                        self.assertLessEqual(abs(float(given)), bound)
                        self.assertGreater(abs(float(given)), 0.9 * min(bound, float(numpy.finfo(dtype).max))
                                           if bound > 1e-6 else -1)

    def test_shapes_are_those_of_the_space(self):
        for shape in ((), (1,), (2, 3), (1, 4, 1)):
            with self.subTest(shape=shape):
                space = contrary.box(-1, 1, shape)
                actions = Actions(space)
                self.assertEqual(actions.size, math.prod(shape))
                self.assertTrue(space.contains(actions.of(numpy.linspace(-1, 1, actions.size))))

    def test_wide_bounds_do_not_overflow(self):
        space = contrary.box(-1.7e308, 1.7e308, (2,), numpy.float64)
        middle, further = Actions(space).of([0, 0.5])
        self.assertEqual(middle, 0)
        self.assertAlmostEqual(further / 0.85e308, 1)

    def test_order_and_scale_are_kept(self):
        self.assertEqual(Actions(contrary.box([-1, 0], [3, 0.5])).of([0.5, -0.5]).tolist(), [2, 0.125])

    def test_what_is_no_box_of_floats_is_refused_with_what_to_do(self):
        sequence = types.SimpleNamespace(feature_space=contrary.box(-1, 1, (2,)), shape=None, dtype=None)
        either = type("OneOf", (), {"spaces": (contrary.box(-1, 1, (2,)),), "shape": None})()
        nested = types.SimpleNamespace(spaces={"a": contrary.box(-1, 1, (2,)), "b": sequence}, shape=None, dtype=None)
        for space, words in ((sequence, "not a Box, Discrete"), (either, "not a Box"), (nested, "not a Box"),
                             (contrary.box(0, 5, (2,), numpy.int64), "int64 numbers"),
                             (contrary.box(0, 255, (2,), numpy.uint8), "uint8 numbers"),
                             (contrary.box(False, True, (2,), bool), "bool numbers"),
                             (contrary.box(-1, numpy.inf, (2,)), "infinite bounds"),
                             (contrary.box(numpy.nan, 1, (2,)), "infinite bounds"),
                             (contrary.box(1, -1, (2,)), "above the upper one"),
                             (contrary.box(0, 1, (0,)), "no numbers")):
            with self.subTest(words=words, space=space), self.assertRaises(Refused) as caught:
                Environment("mine:make", contrary.with_spaces(action_space=space)())
            self.assertRegex(str(caught.exception), f"mine:make: .*{words}")
            if words not in ("above the upper one", "no numbers"):
                self.assertIn("Wrap the environment", str(caught.exception))

    def test_a_space_that_contains_none_of_its_bounds_is_refused(self):
        space = contrary.box(-1, 1, (3,))
        space.contains = lambda action: abs(action).max() < 1
        with self.assertRaisesRegex(Refused, "does not contain"):
            Actions(space)


def discrete(n, start=0):
    return types.SimpleNamespace(n=n, start=start, shape=(), dtype=numpy.dtype("int64"),
                                 contains=lambda value: numpy.issubdtype(type(value), numpy.integer)
                                 and start <= value < start + n)


MULTI_DISCRETE = types.SimpleNamespace(nvec=numpy.array([2, 3]), start=numpy.array([0, 5]), shape=(2,),
                                       dtype=numpy.dtype("int64"))
MULTI_BINARY = types.SimpleNamespace(n=3, shape=(3,), dtype=numpy.dtype("int8"))
DICT = types.SimpleNamespace(spaces={"place": contrary.box(-1, 1, (2, 1)), "key": discrete(3), "lamps": MULTI_BINARY})
TUPLE = types.SimpleNamespace(spaces=(discrete(2), DICT))


class CompositeTest(unittest.TestCase):
    """Discrete spaces, and spaces made of others."""

    def test_choices_are_the_largest_of_their_numbers(self):
        actions = Actions(discrete(3, start=-1))
        self.assertEqual(actions.size, 3)
        for numbers_, choice in (([-1, -1, -1], -1), ([0, 0.5, 0.4], 0), ([-1, 0, 1], 1)):
            chosen = actions.of(numbers_)
            self.assertEqual((chosen, type(chosen)), (choice, numpy.int64))
        actions = Actions(MULTI_DISCRETE)
        self.assertEqual(actions.size, 5)
        self.assertEqual(actions.of([0, 1, 0.3, 0.2, 0.9]).tolist(), [1, 7])
        actions = Actions(MULTI_BINARY)
        chosen = actions.of([0.1, 0, -0.1])
        self.assertEqual((chosen.tolist(), chosen.dtype), ([1, 0, 0], numpy.int8))

    def test_parts_stand_one_after_the_other(self):
        actions = Actions(TUPLE)
        self.assertEqual(actions.size, 2 + 2 + 3 + 3)
        choice, parts = actions.of([0, 1, 0.5, -0.5, 1, 0, 0, -1, 1, 1])
        self.assertEqual((choice, parts["place"].tolist(), parts["key"], parts["lamps"].tolist()),
                         (1, [[0.5], [-0.5]], 0, [0, 1, 1]))
        observations = Observations(TUPLE)
        self.assertEqual(observations.size, actions.size)
        seen = observations.of((1, {"lamps": [1, 0, 1], "key": 2, "place": numpy.array([[7], [8]])}))
        self.assertEqual(seen.tolist(), [0, 1, 7, 8, 0, 0, 1, 1, 0, 1])
        self.assertEqual(seen.dtype, numpy.float32)
        self.assertEqual(Observations(MULTI_DISCRETE).of(numpy.array([1, 5])).tolist(), [0, 1, 1, 0, 0])

    def test_what_is_not_of_the_space_is_told(self):
        observations = Observations(TUPLE)
        good = {"lamps": [1, 0, 1], "key": 2, "place": numpy.zeros((2, 1))}
        for value, words in (((1, {**good, "key": 3}), "'key'.* is 3; observation_space has 3 choices from 0 on"),
                             ((0.5, good), "is 0.5; observation_space has 2 choices"),
                             ((1, {"lamps": [1, 0, 1]}), "has no part 'place'"), ((1,), "has no part 1"), (5, "has no part 0"),
                             ((1, {**good, "lamps": [1, 0]}), r"'lamps' has shape \(2,\)"),
                             ((1, {**good, "place": {}}), "'place' is not an array of numbers"),
                             (([0, 1], good), "has 1 choices")):
            with self.subTest(words), self.assertRaisesRegex(Failed, words):
                observations.of(value)
        with self.assertRaisesRegex(Unstable, "number 2 of an observation"):
            observations.of((1, {**good, "place": [[math.nan], [0]]}))

    def test_an_environment_of_them_is_stepped(self):
        class Composite(contrary.Counting):
            observation_space, action_space = DICT, discrete(4)

            def observe(self):
                return {"place": numpy.full((2, 1), self.count), "key": self.count % 3, "lamps": numpy.ones(3)}
        environment = environment_of(Composite, observation_size=8, action_size=4)
        environment.try_out()
        environment.reset()
        self.assertEqual(environment.step([0, 0, 1, 0])[0].tolist(), [1, 1, 0, 1, 0, 1, 1, 1])
        self.assertEqual(environment._environment.actions[-1], 2)


class ObservationsTest(unittest.TestCase):
    def test_what_is_no_array_of_the_space_is_refused_at_the_start(self):
        masked = numpy.ma.masked_array([1.0, 2.0], [True, False])
        for observation, words in ((masked, "masked array"), ({"a": 1.0}, "not an array of numbers but {'a': 1.0}"),
                                   (None, "not an array of numbers but None"),
                                   ("ab", "not an array of numbers but 'ab'"),
                                   (numpy.zeros(2, complex), "not an array of numbers"),
                                   ([[1], [1, 2]], "observation is a"),
                                   (numpy.zeros(3), r"shape \(3,\); observation_space says \(2,\)"),
                                   (numpy.zeros((2, 1)), r"shape \(2, 1\)"), (5.0, r"shape \(\)"),
                                   ([numpy.zeros(2), {}], "observation")):
            for since in (0, 1):
                with self.subTest(words=words, since=since), self.assertRaises(Refused) as caught:
                    kind = contrary.returning(observation=lambda step, good: observation if step >= since else good)
                    Environment("mine:make", kind()).try_out()
                self.assertRegex(str(caught.exception), words)
                self.assertIn("mine:make: " + ("step" if since else "reset"), str(caught.exception))

    def test_a_shape_that_changes_later_ends_the_process_with_a_word(self):
        kind = contrary.returning(observation=lambda step, good: good if step < 7 else numpy.zeros(5))
        environment = environment_of(kind)
        environment.try_out()
        environment.reset()
        with self.assertRaisesRegex(Failed, r"Returning: step\(\): an observation has shape \(5,\)"):
            for _ in range(10):
                environment.step(numpy.zeros(3))

    def test_numbers_that_no_run_can_learn_from_end_the_episode_without_a_warning(self):
        for number in (math.nan, math.inf, -math.inf, 1.1e18, 1e39, -1e300, 1.7e308, numpy.longdouble("1e400")):
            kind = contrary.returning(observation=lambda step, good: [good[0], number] if step == 3 else good)
            with self.subTest(number=number), warnings.catch_warnings():
                warnings.simplefilter("error")
                environment = environment_of(kind)
                environment.reset()
                with numpy.errstate(all="raise"):
                    for _ in range(2):
                        environment.step(numpy.zeros(3))
                    with self.assertRaisesRegex(Unstable, "number 1 of an observation"):
                        environment.step(numpy.zeros(3))
                self.assertEqual(environment.reset().tolist(), [0, 0])

    def test_whole_numbers_of_any_size_end_the_episode(self):
        for number in (10**20, -10**20, 2**64, 10**400, 10**5000):
            for name, value in (("observation", [0, number]), ("observation", [0.5, number]), ("reward", number),
                                ("reward", [number])):
                with self.subTest(name=name, digits=math.log10(abs(number))):
                    kind = contrary.returning(**{name: lambda step, good, v=value: v if step == 2 else good})
                    environment = environment_of(kind)
                    environment.reset()
                    environment.step(numpy.zeros(3))
                    with self.assertRaisesRegex(Unstable, name):
                        environment.step(numpy.zeros(3))

    def test_whole_numbers_beyond_those_of_numpy_are_taken_where_they_are_small_enough(self):
        environment = environment_of(contrary.returning(
            observation=lambda step, good: numpy.array([step, fractions.Fraction(1, 2)], dtype=object)))
        self.assertEqual(environment.reset().tolist(), [0, 0.5])

    def test_spaces_that_are_no_arrays_are_refused_with_what_to_do(self):
        for space in (types.SimpleNamespace(max_length=4, shape=()), types.SimpleNamespace(feature_space=1, shape=None)):
            with self.assertRaisesRegex(Refused, "FlattenObservation"):
                Environment("mine:make", contrary.with_spaces(observation_space=space)())
        with self.assertRaisesRegex(Refused, "no numbers"):
            Observations(types.SimpleNamespace(spaces={}, shape=None))

    def test_reset_is_tried_again_within_bounds(self):
        def reset(observation):
            tries.append(1)
            return (observation if len(tries) > good_after else observation * numpy.nan), {}
        for good_after, works in ((5, True), (1000, False)):
            tries = []
            environment = environment_of(contrary.returning(reset=reset))
            if works:
                self.assertEqual(environment.reset(1).tolist(), [0, 0])
            else:
                with self.assertRaisesRegex(Failed, "20 resets .* number 0 of an observation is nan"):
                    environment.reset(1)
                self.assertEqual(len(tries), 20)


class ResetTest(unittest.TestCase):
    def test_an_episode_that_has_begun_is_not_begun_anew_before_its_first_step(self):
        seeds = []

        class Seeing(contrary.Counting):
            def reset(self, seed=None):
                seeds.append(seed)
                return super().reset(seed)
        environment = environment_of(Seeing)
        self.assertFalse(environment.has_begun())
        for seed in (1, 1, None, 2, None):
            self.assertEqual(environment.reset(seed).tolist(), [0, 0])
            self.assertTrue(environment.has_begun())
        self.assertEqual(seeds, [1, 2])
        environment.step(numpy.zeros(3))
        self.assertFalse(environment.has_begun())
        environment.reset(2)
        self.assertEqual(seeds, [1, 2, 2])


class StepTest(unittest.TestCase):
    def test_the_largest_number_is_that_of_the_header(self):
        header = (HERE.parent.parent / "common" / "values" / "number_check.h").read_text()
        self.assertEqual(float(re.search(r"kMaxMagnitude = ([0-9.e]+)f;", header)[1]), MAX_MAGNITUDE)

    def test_rewards_that_no_run_can_learn_from_end_the_episode(self):
        for reward in (math.nan, math.inf, -math.inf, 1e39, -1e39, 1.1e18, -1.1e18, numpy.float32("inf")):
            with self.subTest(reward=reward):
                environment = environment_of(contrary.returning(reward=lambda step, good: reward))
                environment.reset()
                with self.assertRaisesRegex(Unstable, "reward"):
                    environment.step(numpy.zeros(3))

    def test_such_rewards_do_not_hide_in_a_sum(self):
        environment = environment_of(contrary.returning(reward=lambda step, good: (1e39, -1e39)[step % 2]),
                                     action_repeat=2)
        environment.reset()
        with self.assertRaisesRegex(Unstable, "reward"):
            environment.step(numpy.zeros(3))

    def test_rewards_within_are_taken_as_they_are(self):
        for reward in (1e18, -1e18, 0, True, numpy.float16(0.5), numpy.array([[2.5]]), numpy.int64(7)):
            with self.subTest(reward=reward):
                environment = environment_of(contrary.returning(reward=lambda step, good: reward))
                environment.reset()
                self.assertEqual(environment.step(numpy.zeros(3))[1], float(numpy.asarray(reward).reshape(())))

    def test_what_is_no_number_or_flag_is_refused_at_the_start(self):
        for name, value, words in (("reward", None, "reward is not an array of numbers but None"),
                                   ("reward", "1", "reward is no"), ("reward", numpy.ones(4), "reward is 4 numbers"),
                                   ("reward", numpy.ma.masked_array([1.0], [True]), "masked"),
                                   ("terminated", {}, "terminated flag is no"),
                                   ("truncated", None, "truncated flag is no"),
                                   ("truncated", "False", "truncated flag is no"),
                                   ("terminated", 2, "flag is 2, neither true nor false"),
                                   ("terminated", 0.5, "neither true nor false"),
                                   ("truncated", math.nan, "neither true nor false"),
                                   ("truncated", -1, "neither true nor false"),
                                   ("truncated", 10**400, "flag is"),
                                   ("observation", [None, 1], "observation is no"),
                                   ("reward", numpy.array([None]), "reward is no"),
                                   ("terminated", numpy.zeros(4, bool), "--environments")):
            with self.subTest(name=name, value=value), self.assertRaisesRegex(Refused, words):
                Environment("it", contrary.returning(**{name: lambda step, good: value})()).try_out()

    def test_flags_of_every_kind_are_taken(self):
        for value in (False, True, numpy.False_, numpy.True_, numpy.array([True]), numpy.array(False), 0, 1, 1.0,
                      numpy.uint8(1)):
            with self.subTest(value=value):
                environment = environment_of(contrary.returning(terminated=lambda step, good: value), terminates=True)
                environment.reset()
                self.assertIs(environment.step(numpy.zeros(3))[2], bool(value))

    def test_old_gym_and_other_interfaces_are_refused_at_the_start(self):
        for kind, words in ((contrary.OldGym, r"OldGym: reset\(\) raised TypeError: .*seed.*takes a seed"),
                            (contrary.OldGymWithSeed, r"reset\(\): returned array.*\(observation, info\).*old gym"),
                            (contrary.returning(step=lambda *five: five[:4]), r"step\(\): returned 4 values.*old gym"),
                            (contrary.returning(step=lambda *five: None), r"step\(\): returned None"),
                            (contrary.returning(reset=lambda observation: None), r"reset\(\): returned None"),
                            (contrary.returning(reset=lambda observation: (1.0, 2.0)), r"returned \(1.0, 2.0\)")):
            with self.subTest(words=words), self.assertRaisesRegex(Refused, words) as caught:
                Environment(kind.__name__, kind()).try_out()
            self.assertNotIn("\n", str(caught.exception))

    def test_termination_that_the_config_does_not_know_is_refused(self):
        environment = environment_of(contrary.Ending)
        environment.reset()
        environment.step(numpy.zeros(3))
        environment.step(numpy.zeros(3))
        with self.assertRaisesRegex(Failed, "env.spec.terminates: true"):
            environment.step(numpy.zeros(3))
        environment = environment_of(contrary.Ending, terminates=True)
        environment.reset()
        self.assertEqual([environment.step(numpy.zeros(3))[2] for _ in range(3)], [False, False, True])

    def test_decisions_hold_actions_and_sum_rewards_up_to_the_episodes_end(self):
        environment = environment_of(contrary.Ending, action_repeat=2, terminates=True)
        environment.reset()
        observation, reward, terminated, truncated = environment.step(numpy.zeros(3))
        self.assertEqual((observation.tolist(), reward, terminated, truncated), ([2, 2], 2, False, False))
        observation, reward, terminated, truncated = environment.step(numpy.zeros(3))
        self.assertEqual((observation.tolist(), reward, terminated, truncated), ([3, 3], 1, True, False))

    def test_the_last_observation_is_that_of_the_episode_where_the_environment_has_reset_itself(self):
        nan = numpy.full(2, math.nan)
        for key, ended, found, seen in (("final_observation", (True, False), numpy.array([3, 3]), [3, 3]),
                                        ("final_obs", (True, False), [3, 3], [3, 3]),
                                        ("final_observation", (False, True), numpy.array([3, 3]), [3, 3]),
                                        ("final_obs", (False, True), numpy.array([3, 3]), [3, 3]),
                                        ("final_obs", (False, True), None, [0, 0]),
                                        ("other", (False, True), [3, 3], [0, 0]),
                                        ("final_obs", (False, False), [3, 3], [0, 0]),
                                        ("final_obs", (False, True), nan, Unstable),
                                        ("final_observation", (False, True), [3, 3, 3], Failed)):
            with self.subTest(key=key, ended=ended, found=found):
                environment = environment_of(contrary.returning(
                    step=lambda *_, k=key, e=ended, f=found: (numpy.zeros(2), 1, *e, {k: f})), terminates=True)
                environment.reset()
                if isinstance(seen, list):
                    observation, _, *flags = environment.step(numpy.zeros(3))
                    self.assertEqual((observation.tolist(), tuple(flags)), (seen, ended))
                    self.assertFalse(isinstance(found, numpy.ndarray) and numpy.shares_memory(observation, found))
                else:
                    with self.assertRaises(seen):
                        environment.step(numpy.zeros(3))

    def test_the_time_limit_truncates(self):
        environment = environment_of(contrary.Counting, episode_decisions=4)
        for _ in range(2):
            environment.reset()
            self.assertEqual([environment.step(numpy.zeros(3))[3] for _ in range(4)], [False] * 3 + [True])


class MakeTest(unittest.TestCase):
    def test_what_cannot_be_made_is_refused_with_the_place(self):
        for name, words in (("nothing_of_this_name:make", "no module nothing_of_this_name"),
                            ("contrary:nothing", "has no function nothing"), ("contrary:types", "has no function"),
                            ("contrary:Raising", r"RuntimeError: no licence for this simulator \(.*contrary.py:\d+\)"),
                            ("contrary:no_environment", "has no action_space"), ("sys:nothing", "has no function"),
                            ("contrary.more:make", "no module contrary.more"),
                            ("contr:make", "no module contr:"), (":make", "importing"),
                            ("NoSuchThing-v0", "Gymnasium|raised"), ("", "Gymnasium|raised")):
            with self.subTest(name=name), self.assertRaisesRegex(Refused, words) as caught:
                Environment(name, maker(name)())
            self.assertNotIn("\n", str(caught.exception))

    def test_environments_of_one_process_are_different_ones(self):
        self.assertEqual(len(make_all("contrary:Counting", 3)), 3)
        with self.assertRaisesRegex(Refused, "same environment twice"):
            make_all("contrary:shared", 2)

    def test_environments_live_in_threads_of_their_own_that_have_event_loops(self):
        made = make_all("contrary:Bound", 2)
        loops = {id(one.home.call(lambda: asyncio.get_event_loop_policy().get_event_loop())) for one in made}
        self.assertEqual(len(loops), 2)
        threads = {one._environment.thread for one in made} | {threading.get_ident()}
        self.assertEqual(len(threads), 3)
        with unittest.mock.patch("threading.Thread.start", side_effect=RuntimeError("can't start new thread")), \
                self.assertRaisesRegex(Failed, "cannot start a thread for another environment: can't start"):
            make_all("contrary:Counting", 1)

    def test_sizes_that_are_not_the_runs_are_refused(self):
        for size in ("observation_size", "action_size"):
            with self.assertRaisesRegex(Refused, f"env.spec.{size} 7"):
                environment_of(contrary.Counting, **{size: 7})

    def test_what_is_raised_while_it_is_made_is_refused(self):
        class NoSpec(contrary.Counting):
            @property
            def spec(self):
                raise KeyError("no spec")

        class NoSpace(contrary.Counting):
            @property
            def action_space(self):
                raise SystemExit(0)
        for kind, words in ((NoSpec, "reading its spec and spaces raised KeyError: 'no spec'"),
                            (NoSpace, "reading its spec and spaces raised SystemExit: 0")):
            with self.assertRaisesRegex(Refused, words):
                Environment("it", kind())
        for error in (SystemExit(0), asyncio.CancelledError(), NeverSaid()):
            loader = types.SimpleNamespace(side_effect=error)
            with unittest.mock.patch("importlib.import_module", side_effect=loader.side_effect), \
                    self.assertRaisesRegex(Refused, f"importing own raised .*{type(error).__name__}"):
                maker("own:make")

    def test_whatever_is_raised_ends_the_process_with_one_line(self):
        class Recursive(contrary.Counting):
            def step(self, action):
                return self.step(action)
        kinds = [(Recursive, "RecursionError")]
        for error in (KeyboardInterrupt, GeneratorExit, StopIteration, asyncio.CancelledError, NeverSaid):
            kinds.append((contrary.returning(reward=unittest.mock.Mock(side_effect=error)), error.__name__))
        for kind, words in kinds:
            with self.subTest(words):
                raised = []

                def play(kind=kind, raised=raised):
                    environment = environment_of(kind)
                    environment.reset()
                    try:
                        environment.step(numpy.zeros(3))
                    except BaseException as error:  # pylint: disable=broad-except
                        raised.append(error)
                # Where environments are stepped: no Ctrl-C comes there.
                thread = threading.Thread(target=play)
                thread.start()
                thread.join()
                self.assertIsInstance(raised[0], Failed)
                self.assertRegex(str(raised[0]), rf"^\w+: step\(\) raised .*{words}")
                self.assertNotIn("\n", str(raised[0]))

    def test_ctrl_c_is_no_fault_of_the_environment(self):
        environment = environment_of(contrary.returning(reward=unittest.mock.Mock(side_effect=KeyboardInterrupt)))
        environment.reset()
        with self.assertRaises(KeyboardInterrupt):
            environment.step(numpy.zeros(3))

    def test_what_an_environment_raises_is_told_in_one_line_with_the_place(self):
        class Broken(contrary.Counting):
            def step(self, action):
                raise ValueError("first line\nsecond line " + "x" * 5000)
        for kind, words in ((Broken, r"Broken: step\(\) raised ValueError: first line second line x+ \(.*:\d+\)$"),
                            (contrary.Exiting, r"step\(\) raised SystemExit: 0 \(.*contrary.py:\d+\)")):
            environment = environment_of(kind)
            environment.reset()
            with self.assertRaisesRegex(Failed, words) as caught:
                environment.step(numpy.zeros(3))
            self.assertNotIn("\n", str(caught.exception))
            self.assertLess(len(str(caught.exception)), 1000)
            self.assertIsNone(environment.inside)


if __name__ == "__main__":
    unittest.main()
