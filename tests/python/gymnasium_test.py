#!/usr/bin/env python3
"""Environments and vector environments of Gymnasium itself, as a run sees them."""

import pathlib
import sys
import unittest

try:
    import google.protobuf  # noqa: F401
    import grpc  # noqa: F401
    import gymnasium
    import numpy
except ImportError as error:
    print(f"skipped: {error} (pip install gymnasium grpcio protobuf numpy)")
    sys.exit(77)

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "python"))
from pompc.actor import make_all
from pompc.environment import Environment, named
from pompc.vector import VectorEnvironment

# id -> sizes of observation and action.
SIZES = {"Pendulum-v1": (3, 1), "MountainCarContinuous-v0": (2, 1), "CartPole-v1": (4, 2), "Acrobot-v1": (6, 3),
         "FrozenLake-v1": (16, 4), "Blackjack-v1": (32 + 11 + 2, 2)}


class Every(gymnasium.Env):
    """Spaces made of all that are taken."""

    observation_space = gymnasium.spaces.Dict({
        "a": gymnasium.spaces.Tuple((gymnasium.spaces.Box(-1, 1, (2, 2)), gymnasium.spaces.MultiBinary((2, 2)))),
        "b": gymnasium.spaces.MultiDiscrete([2, 3], start=[1, -1])})
    action_space = gymnasium.spaces.Dict({"go": gymnasium.spaces.Discrete(3, start=2), "how": gymnasium.spaces.Box(0, 5, (2,))})

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        return self.observation_space.sample(), 1.0, False, False, {}


class GymnasiumTest(unittest.TestCase):
    def test_environments_of_every_kind_of_space_are_stepped(self):
        for name, sizes in SIZES.items():
            with self.subTest(name):
                (made,) = make_all(name, 1)
                self.assertEqual((made.observation_size, made.action_size), sizes)
                made.home.call(lambda m=made: [m.step(numpy.ones(m.action_size)) for _ in range(1)])
                made.home.call(made.close)

    def test_spaces_made_of_others_are_flattened_as_gymnasium_does(self):
        made = Environment("every", Every())
        self.assertEqual((made.observation_size, made.action_size), (4 + 4 + 5, 5))
        made.try_out()
        made._environment.observation_space.seed(1)
        sample = made._environment.observation_space.sample()
        expected = gymnasium.spaces.flatten(made._environment.observation_space, sample)
        self.assertEqual(made._observations.of(sample).tolist(), expected.astype(numpy.float32).tolist())

    def test_vectors_play_the_same_episodes_as_single_environments_however_they_reset(self):
        def alone():
            environment = gymnasium.make("CartPole-v1", max_episode_steps=15)
            seen, rewards = [environment.reset(seed=3)[0]], []
            while not rewards or not (terminated or truncated):
                observation, reward, terminated, truncated, _ = environment.step(len(rewards) % 2)
                seen.append(observation)
                rewards.append(reward)
            return seen, rewards, terminated
        seen, rewards, terminated = alone()
        modes = [mode for mode in ("NextStep", "SameStep", "Disabled") if hasattr(gymnasium.vector, "AutoresetMode")]
        for mode in modes or [None]:
            more = {"autoreset_mode": gymnasium.vector.AutoresetMode(mode)} if mode else {}
            with self.subTest(mode):
                vector = gymnasium.vector.SyncVectorEnv(
                    [lambda: gymnasium.make("CartPole-v1", max_episode_steps=15)] * 2, **more)
                made = VectorEnvironment("vector", vector)
                first = made.reset([3, 4])
                self.assertEqual(first[0].tolist(), seen[0].tolist())
                for step, (following, reward) in enumerate(zip(seen[1:], rewards)):
                    one_hot = numpy.eye(2)[step % 2]
                    outcome = made.step([one_hot, one_hot])[0]
                    self.assertEqual((outcome.observation.tolist(), outcome.reward), (following.tolist(), reward))
                self.assertEqual((outcome.terminated, outcome.truncated), (terminated, not terminated))
                if outcome.first is None:  # the next step only resets
                    outcome = made.step([one_hot, one_hot])[0]
                    self.assertIsNone(outcome.observation)
                self.assertLess(abs(outcome.first).max(), 0.06)  # where CartPole begins
                self.assertIsNotNone(made.step([one_hot, one_hot])[0].observation)
                vector.close()

    def test_functions_and_their_names(self):
        name, make = named(lambda: gymnasium.make_vec("Pendulum-v1", num_envs=2) if hasattr(gymnasium, "make_vec")
                           else gymnasium.vector.make("Pendulum-v1", 2))
        self.assertEqual(name, "make_env")
        (made,) = make_all(make, 1)
        self.assertEqual((made.count, made.max_episode_steps), (2, 200))


if __name__ == "__main__":
    unittest.main()
