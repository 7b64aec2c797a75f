#!/usr/bin/env python3
"""Vector environments in a fake run: how each kind of them resets, what is stored, and what ends an episode."""

import pathlib
import sys
import types
import unittest
import unittest.mock

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent.parent / "python"), str(HERE.parent / "support")]
from needs import needs

needs("grpc", "google.protobuf", "numpy")
import grpc
import numpy

import contrary
from fake_run import FakeRun
from in_process import InProcessTest, made_at_home
from pompc import Failed, Refused, lease, roles, wire
from pompc import messages as proto
from pompc.vector import VectorEnvironment, is_vector


class Vector:
    """Copies of a small environment whose episodes are of different lengths; they reset as `mode` says, and tell of it in
    their metadata if `tells`. Observations are (number of the step, number of the episode)."""

    mode, tells, ends = "NextStep", True, "truncated"
    num_envs = 3
    lengths = (4, 6, 9)
    single_observation_space = contrary.box(-numpy.inf, numpy.inf, (2,))
    single_action_space = contrary.box(-2, 2, (3,))
    spec = types.SimpleNamespace(max_episode_steps=20)

    def __init__(self):
        self.metadata = {"autoreset_mode": types.SimpleNamespace(value=self.mode)} if self.tells else {}
        self.count = numpy.zeros(self.num_envs)
        self.episode = numpy.zeros(self.num_envs)
        self.over = numpy.zeros(self.num_envs, bool)
        self.buffer = numpy.zeros((self.num_envs, 2), numpy.float32)
        self.seeds, self.actions = [], []

    def observe(self):
        self.buffer[:] = numpy.stack([self.count, self.episode], 1)  # the same memory each time
        return self.buffer

    def begin(self, those):
        self.count[those], self.over[those] = 0, False
        self.episode[those] += 1

    def reset(self, seed=None, options=None):
        self.seeds.append(seed)
        self.begin(options["reset_mask"] if options else numpy.ones(self.num_envs, bool))
        return self.observe(), {}

    def step(self, actions):
        assert actions.shape == (self.num_envs, 3) and abs(actions).max() <= 2, actions
        self.actions.append(actions.copy())
        resetting = self.over.copy() if self.mode == "NextStep" else numpy.zeros(self.num_envs, bool)
        assert self.mode == "NextStep" or not self.over.any(), "a step after the episode's last"
        self.begin(resetting)
        self.count[~resetting] += 1
        self.over = self.count >= numpy.array(self.lengths)[:self.num_envs]
        rewards = numpy.where(resetting, 0, self.count)
        ended, infos = self.over.copy(), {}
        if self.mode == "SameStep" and ended.any():
            final = numpy.empty(self.num_envs, object)
            for i in numpy.flatnonzero(ended):
                final[i] = numpy.array([self.count[i], self.episode[i]])
            infos = {"final_obs": final, "_final_obs": ended}
            self.begin(ended)
        none = numpy.zeros(self.num_envs, bool)
        flags = (ended, none) if self.ends == "terminated" else (none, ended)
        return (self.observe(), rewards, *flags, infos)

    def close(self):
        pass


def vector(**members):
    return type("Vector", (Vector,), members)


class VectorTest(InProcessTest):
    def episodes_of(self, run, index):
        """(whole episodes as lists of observations with the final one, their rewards) of one environment."""
        found = []
        for key in sorted(key for key in run.episodes if key[1] == index):
            final = run.episodes[key][-1].final_observation
            if final:
                observations = run.column(key, "observations").reshape(-1, 2).tolist()
                found.append(([*observations, wire.to_array(final).tolist()], run.column(key, "rewards").tolist()))
        return found

    def test_episodes_are_whole_however_the_vector_resets(self):
        for mode, tells in (("NextStep", True), ("NextStep", False), ("SameStep", True), ("SameStep", False),
                            ("Disabled", True)):
            with self.subTest(mode=mode, tells=tells):
                self.identity = None
                run = self.run_with(rows=300, environments=3)
                self.assertIsInstance(self.play(run, vector(mode=mode, tells=tells)), lease.Stopped)
                for index, length in enumerate(Vector.lengths):
                    whole = self.episodes_of(run, index)
                    self.assertGreater(len(whole), 3)
                    for observations, rewards in whole:
                        episode = observations[0][1]
                        self.assertEqual(observations, [[step, episode] for step in range(length + 1)])
                        self.assertEqual(rewards, list(range(1, length + 1)))
                # One request has the queries of all environments that are in an episode.
                self.assertIn(3, run.queries)

    def play(self, run, kind, **more):
        return self.play_in([made_at_home(kind)], run, **more)

    def test_terminal_states_are_stored_where_the_run_knows_them(self):
        run = self.run_with(rows=100, environments=3, terminates=True)
        self.assertIsInstance(self.play(run, vector(ends="terminated")), lease.Stopped)
        ends = {b"".join(chunk.terminated for chunk in chunks)[-1] for chunks in run.episodes.values()
                if chunks[-1].final_observation}
        self.assertEqual(ends, {1})
        self.identity = None
        error = self.play(self.run_with(environments=3), vector(ends="terminated"))
        self.assertIsInstance(error, Failed)
        self.assertIn("env.spec.terminates: true", str(error))

    def test_the_runs_time_limit_cuts_and_the_next_episode_goes_on_from_there(self):
        run = self.run_with(rows=200, environments=3, episode_decisions=2)
        self.assertIsInstance(self.play(run, Vector), lease.Stopped)
        lengths = {len(rewards) for index in range(3) for _, rewards in self.episodes_of(run, index)}
        self.assertEqual(lengths, {2, 1})
        begins = {observations[0][0] for observations, _ in self.episodes_of(run, 2)}
        self.assertEqual(begins, {0, 2, 4, 6, 8})

    def test_numbers_that_no_run_can_learn_from_cut_one_episode_alone(self):
        class Bad(Vector):
            def observe(self):
                seen = super().observe()
                seen[1, 0] = numpy.nan if self.count[1] == 3 else seen[1, 0]
                return seen
        run = self.run_with(rows=200, environments=3)
        self.assertIsInstance(self.play(run, Bad), lease.Stopped)
        self.assertEqual({len(rewards) for _, rewards in self.episodes_of(run, 1)}, {2})
        self.assertEqual({len(rewards) for _, rewards in self.episodes_of(run, 2)}, {9})
        self.assertIn("environment 1: an episode is cut: number 0 of an observation is nan", self.log.getvalue())

    def test_an_episode_that_a_shard_refuses_holds_up_no_other_for_long(self):
        run = self.run_with(rows=200, environments=3)
        run.append_errors = [grpc.StatusCode.UNAVAILABLE] * 4
        self.assertIsInstance(self.play(run, Vector), lease.Stopped)
        self.assertIn("an episode is abandoned", self.log.getvalue())
        for index in range(3):
            self.assertGreater(len(self.episodes_of(run, index)), 1)

    def test_several_vectors_and_single_environments_are_numbered_through(self):
        run = self.run_with(rows=300, environments=7)
        made = [made_at_home(Vector), made_at_home(contrary.Counting), made_at_home(Vector)]
        self.assertIsInstance(self.play_in(made, run), lease.Stopped)
        self.assertEqual({key[1] for key in run.episodes}, set(range(7)))
        self.assertEqual(made[0]._environment.actions[0].shape, (3, 3))

    def test_a_lease_that_ends_is_followed_by_another(self):
        run = self.run_with(rows=10**9, environments=3)
        made = [made_at_home(Vector)]
        outcome = self.in_background(lambda: self.play_in(made, run))
        self.assertTrue(run.wait_until(lambda: run.stored() > 60))
        run.heartbeat_errors = [grpc.StatusCode.NOT_FOUND]
        self.assertIsInstance(outcome(), lease.LeaseEnded)
        outcome, before = self.in_background(lambda: self.play_in(made, run)), run.stored()
        self.assertTrue(run.wait_until(lambda: run.stored() > before + 60))
        self.stop.set()
        self.assertIsInstance(outcome(), lease.Stopped)

    def test_evaluations_are_played_several_episodes_at_a_time(self):
        for mode in ("NextStep", "SameStep", "Disabled"):
            with self.subTest(mode):
                self.identity = None
                self.stop.clear()
                run = self.run_with(seed_rows=0)
                run.assignment = proto.EvaluationAssignment(evaluation_id=5, episodes=7, seed=3)
                made = [made_at_home(vector(mode=mode))]
                outcome = self.in_background(lambda m=made, r=run: self.play_in(m, r, role=roles.evaluate))
                self.assertTrue(run.wait_until(lambda r=run: r.reports), self.log.getvalue())
                self.stop.set()
                self.assertIsInstance(outcome(), lease.Stopped)
                (report,) = run.reports
                self.assertEqual(list(report.decisions), [4, 6, 9, 4, 6, 9, 4])
                self.assertEqual(list(report.returns), [length * (length + 1) / 2 for length in report.decisions])
                seeds = [seed for seed in made[0]._environment.seeds if isinstance(seed, list)]
                self.assertEqual(len({seed for each in seeds for seed in each if seed}), 7)

    def test_an_evaluation_that_is_always_cut_is_given_up(self):
        class Bad(Vector):
            def step(self, actions):
                observations, rewards, *rest = super().step(actions)
                rewards[rewards == 3] = numpy.nan
                return (observations, rewards, *rest)
        run = self.run_with(seed_rows=0)
        run.assignment = proto.EvaluationAssignment(evaluation_id=5, episodes=3, seed=3)
        outcome = self.in_background(lambda: self.play(run, Bad, role=roles.evaluate))
        self.wait_for_reason(run, "evaluation 5 is abandoned: episode 0 was cut 3 times: reward nan")
        self.stop.set()
        self.assertIsInstance(outcome(), lease.Stopped)
        self.assertEqual(run.reports, [])


class RefusedTest(unittest.TestCase):
    def test_what_cannot_be_used_is_refused_with_what_to_do(self):
        made = VectorEnvironment("it", Vector())
        settings = FakeRun.settings(action_repeat=2)
        with self.assertRaisesRegex(Refused, r"let its environments hold them, and set env.action_repeat: 1"):
            made.follow(settings)
        with self.assertRaisesRegex(Refused, "env.spec.action_size 7"):
            made.follow(FakeRun.settings(action_size=7))
        with self.assertRaisesRegex(Refused, "holds no environment"):
            VectorEnvironment("it", vector(num_envs=0)())
        with self.assertRaisesRegex(Refused, "no single_observation_space"):
            VectorEnvironment("it", types.SimpleNamespace(num_envs=2, single_action_space=Vector.single_action_space))

    def test_what_is_no_step_of_a_vector_is_told(self):
        def returning(*values):
            return type("Odd", (Vector,), {"step": lambda self, actions: values})
        good = (numpy.zeros((3, 2)), numpy.zeros(3), numpy.zeros(3, bool), numpy.zeros(3, bool), {})
        for words, values in (("returned", good[:4]), (r"rewards have shape \(2,\) for 3", (good[0], good[1][:2], *good[2:])),
                              (r"an observation has shape \(3,\)", (numpy.zeros((3, 3)), *good[1:])),
                              ("terminations is not an array of numbers", (*good[:2], "abc", *good[3:]))):
            with self.subTest(words), self.assertRaisesRegex(Refused, words):
                VectorEnvironment("it", returning(*values)()).try_out()
        self.assertTrue(is_vector(Vector()))
        self.assertFalse(is_vector(contrary.Counting()))

    def test_dicts_and_choices_go_in_and_out_of_vectors(self):
        class Composite(Vector):
            single_observation_space = types.SimpleNamespace(spaces={
                "at": contrary.box(-1, 1, (1,)), "key": types.SimpleNamespace(n=2, shape=(), dtype=numpy.int64)})
            single_action_space = types.SimpleNamespace(n=4, shape=(), dtype=numpy.dtype("int64"))

            def observe(self):
                return {"at": self.count[:, None], "key": numpy.array([0, 1, 0])}

            def step(self, actions):
                self.taken = actions
                return super().step(numpy.zeros((3, 3)))
        made = VectorEnvironment("it", Composite())
        self.assertEqual([each.tolist() for each in made.reset()], [[0, 1, 0], [0, 0, 1], [0, 1, 0]])
        outcomes = made.step([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
        self.assertEqual(made._environment.taken.tolist(), [1, 0, 3])
        self.assertEqual(outcomes[1].observation.tolist(), [1, 0, 1])


if __name__ == "__main__":
    unittest.main()
