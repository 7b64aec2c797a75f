"""A pendulum with the interface, sizes and rewards of Gymnasium's Pendulum-v1, for machines without Gymnasium."""

import math
import types

import numpy


class Pendulum:
    action_space = types.SimpleNamespace(low=numpy.array([-2.0]), high=numpy.array([2.0]), shape=(1,))
    observation_space = types.SimpleNamespace(low=numpy.array([-1, -1, -8]), high=numpy.array([1, 1, 8]), shape=(3,))
    spec = types.SimpleNamespace(max_episode_steps=200)

    def __init__(self):
        self._random = numpy.random.default_rng()
        self._angle = self._velocity = 0.0
        self._steps = 0

    def reset(self, seed=None):
        if seed is not None:
            self._random = numpy.random.default_rng(seed)
        self._angle, self._velocity = self._random.uniform((-math.pi, -1), (math.pi, 1))
        self._steps = 0
        return self._observation(), {}

    def step(self, action):
        (torque,) = numpy.clip(action, -2, 2)
        assert self._steps < 200, "a step after the episode's last"
        wrapped = (self._angle + math.pi) % (2 * math.pi) - math.pi
        reward = -(wrapped**2 + 0.1 * self._velocity**2 + 0.001 * torque**2)
        self._velocity = min(8.0, max(-8.0, self._velocity + (15 * math.sin(self._angle) + 3 * torque) * 0.05))
        self._angle += self._velocity * 0.05
        self._steps += 1
        return self._observation(), reward, False, self._steps >= 200, {}

    def _observation(self):
        return numpy.array([math.cos(self._angle), math.sin(self._angle), self._velocity])

    def close(self):
        pass


class CutOff(Pendulum):
    """Ends its episodes by a time limit of its own, which the run's settings know nothing of."""

    def step(self, action):
        observation, reward, terminated, _, info = super().step(action)
        return observation, reward, terminated, self._steps >= 5, info


class Several:
    """Three of them as a vector environment, each reset by the step after its last one."""

    num_envs = 3
    single_action_space, single_observation_space, spec = (Pendulum.action_space, Pendulum.observation_space,
                                                           Pendulum.spec)
    metadata = types.MappingProxyType({"autoreset_mode": "NextStep"})

    def __init__(self):
        self._inner = [Pendulum() for _ in range(self.num_envs)]
        self._over = [False] * self.num_envs

    def reset(self, seed=None):
        seeds = seed if isinstance(seed, list) else [None if seed is None else seed + i for i in range(self.num_envs)]
        self._over = [False] * self.num_envs
        return numpy.stack([one.reset(each)[0] for one, each in zip(self._inner, seeds)]), {}

    def step(self, actions):
        done = [(one.reset()[0], 0.0, False, False, {}) if over else one.step(action)
                for one, over, action in zip(self._inner, self._over, actions)]
        observations, rewards, terminated, truncated = (numpy.array([each[i] for each in done]) for i in range(4))
        self._over = truncated.tolist()
        return observations, rewards, terminated, truncated, {}

    def close(self):
        pass
