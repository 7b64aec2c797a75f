#!/usr/bin/env python3
"""The Python actor against servers in this process: what it sends, waits for, gives up, and how it ends."""

import contextlib
import ctypes
import io
import math
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading
import unittest
import unittest.mock

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(ROOT / "python"), str(HERE.parent / "support")]
from needs import needs

needs("grpc", "google.protobuf", "numpy")
import google.protobuf
import grpc
import numpy

import contrary
from fake_run import SECONDS, FakeRun
from in_process import InProcessTest, made_at_home
from pompc import Failed, Refused, lease, limits, players, program, roles, shards, wire
from pompc import messages as proto
from pompc.log import Waits
from processes import PROXIES

NOBODY = "127.0.0.1:9"


def grasping(run, method, seconds=0.5):
    """Holds Python's interpreter lock in each call of that method, and has the run end its lease meanwhile."""
    class Grasping(contrary.Counting):
        harmless = False

        def _grasp(self):
            leases = len(run.registrations)
            if not self.harmless:
                ctypes.PyDLL(None).usleep(int(seconds * 1e6))
                run.heartbeat_errors = [grpc.StatusCode.NOT_FOUND]
                run.wait_until(lambda: len(run.registrations) > leases)

        def reset(self, seed=None):
            if method == "reset":
                self._grasp()
            return super().reset(seed)

        def step(self, action):
            if method == "step":
                self._grasp()
            return super().step(action)
    return Grasping


class ActTest(InProcessTest):
    def test_rows_follow_each_other_whatever_the_environment_does_with_its_buffers(self):
        for kind in (contrary.OneBuffer, contrary.Spoiling, contrary.Freeing):
            with self.subTest(kind.__name__):
                run = self.run_with(rows=200, environments=2)
                self.assertIsInstance(self.play(run, kind), lease.Stopped)
                whole = [key for key, chunks in run.episodes.items() if chunks[-1].final_observation]
                self.assertEqual({environment for _, environment, _ in whole}, {0, 1})
                planned = 0
                for key in whole:
                    observations = run.column(key, "observations").reshape(-1, 2)
                    self.assertEqual(observations.tolist(), [[step, step] for step in range(20)])
                    final = wire.to_array(run.episodes[key][-1].final_observation)
                    self.assertEqual(final.tolist(), [20, 20])
                    rewards = run.column(key, "rewards").tolist()
                    self.assertEqual(rewards, list(range(1, 21)) if kind is contrary.OneBuffer else [1] * 20)
                    self.assertLessEqual(abs(run.column(key, "actions")).max(), 1)
                    planned += all(set(chunk.has_plan) == {1} for chunk in run.episodes[key])
                self.assertGreater(planned, 0)

    def test_rows_do_not_wait_for_a_chunk_that_slow_steps_fill(self):
        run = self.run_with(seed_rows=10**9, chunk_rows=1000, rows=10**9)

        class Slow(contrary.Counting):
            """Takes its last step once the first ones are stored."""
            def step(self, action):
                assert self.count < 19 or run.wait_until(lambda: run.stored() > 0)
                return super().step(action)
        with unittest.mock.patch.object(limits, "CHUNK_SECONDS", 0):
            outcome = self.in_background(lambda: self.play(run, Slow))
            self.assertTrue(run.wait_until(lambda: run.stored() >= 20))
            self.stop.set()
            self.assertIsInstance(outcome(), lease.Stopped)
        self.assertEqual({request.rows.count for request in run.appends}, {1})

    def test_rows_of_quick_steps_wait_until_their_chunk_is_full(self):
        run = self.run_with(seed_rows=10**9, chunk_rows=8, rows=10**9)
        with unittest.mock.patch.object(limits, "CHUNK_SECONDS", SECONDS):
            outcome = self.in_background(lambda: self.play(run, contrary.Counting))
            self.assertTrue(run.wait_until(lambda: run.stored() >= 40))
            self.stop.set()
            self.assertIsInstance(outcome(), lease.Stopped)
        self.assertEqual([request.rows.count for request in run.appends[:6]], [8, 8, 4, 8, 8, 4])

    def test_proxies_are_not_for_the_projects_own_traffic(self):
        with unittest.mock.patch.dict(os.environ, PROXIES):
            run = self.run_with(seed_rows=0)
            self.assertIsInstance(self.play(run, contrary.Counting), lease.Stopped)
        self.assertGreaterEqual(run.stored(), 100)
        self.assertGreater(run.plans, 0)

    def test_termination_that_the_config_does_not_know_ends_the_actor_and_the_learner_hears_why(self):
        run = self.run_with()
        error = self.play(run, contrary.Ending)
        self.assertIsInstance(error, Failed)
        self.assertIn("env.spec.terminates: true", str(error))
        self.assertEqual(run.stored(), 0)
        self.assertTrue(run.heartbeats[-1].leaving)
        self.assertIn("an episode ended in a terminal state", run.heartbeats[-1].error)

    def test_termination_that_it_knows_is_stored(self):
        run = self.run_with(terminates=True)
        self.assertIsInstance(self.play(run, contrary.Ending), lease.Stopped)
        self.assertEqual(run.heartbeats[-1].error, "")
        for chunks in run.episodes.values():
            self.assertIn(b"".join(chunk.terminated for chunk in chunks), (b"\0\0\1", b"\0\0", b"\0"))

    def test_a_message_that_never_fits_is_not_sent_again_for_ever(self):
        run = self.run_with(max_message_bytes=500, chunk_rows=16)
        error = self.play(run, contrary.Counting)
        self.assertIsInstance(error, Failed)
        self.assertRegex(str(error), f"shard {run.address}: RESOURCE_EXHAUSTED: .*larger than max")
        self.assertEqual(run.stored(), 0)

    def test_a_shard_that_is_short_of_something_is_asked_again(self):
        run = self.run_with()
        run.append_errors = [grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE]
        self.assertIsInstance(self.play(run, contrary.Counting), lease.Stopped)
        self.assertIn("an episode is abandoned: shard", self.log.getvalue())

    def test_an_error_of_the_shard_that_does_not_pass_ends_the_actor(self):
        for code, answered in ((grpc.StatusCode.FAILED_PRECONDITION, False), (grpc.StatusCode.UNIMPLEMENTED, True)):
            with self.subTest(code=code):
                run, self.identity = self.run_with(rows=10**9), None
                if not answered:
                    run.append_errors = [code] * 10000
                with unittest.mock.patch.object(limits, "GIVE_UP_SECONDS", 0.1):
                    outcome = self.in_background(lambda: self.play(run, contrary.Counting))
                    if answered:
                        self.assertTrue(run.wait_until(lambda: run.stored() > 8))
                        run.append_errors = [code] * 10000
                    self.assertRegex(str(outcome()), f"shard {run.address}: {code.name}")
                self.assertLess(len(run.append_errors), 9999)

    def test_an_error_of_the_shard_that_others_mend_meanwhile_is_outlived(self):
        run = self.run_with()
        run.append_errors = [grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.INTERNAL]
        self.assertIsInstance(self.play(run, contrary.Counting), lease.Stopped)

    def test_a_shard_that_was_taken_by_another_run_is_waited_for(self):
        run = self.run_with(rows=10**9)
        with unittest.mock.patch.object(limits, "GIVE_UP_SECONDS", 0):
            outcome = self.in_background(lambda: self.play(run, contrary.Counting))
            self.assertTrue(run.wait_until(lambda: run.stored() > 8))
            run.append_errors = [grpc.StatusCode.FAILED_PRECONDITION] * 10000
            self.wait_for_reason(run, f"shard {run.address} is used by another run and will be retried")
            run.append_errors, before = [], run.stored()
            self.assertTrue(run.wait_until(lambda: run.stored() > before + 8))
            heard = len(run.heartbeats) + 1
            self.assertTrue(run.wait_until(lambda: any(beat.waiting == "" for beat in run.heartbeats[heard:])))
            self.stop.set()
            self.assertIsInstance(outcome(), lease.Stopped)

    def test_rows_that_a_shard_refuses_again_and_again_end_the_actor(self):
        class Refusing(FakeRun):
            def _append(self, requests, context):
                for request in requests:
                    self._note(self.appends, request)
                    yield proto.AppendReply(stream=request.stream, verdict=proto.AppendReply.REFUSED, code=3,
                                            message="a row is bad")
        run = Refusing()
        self.addCleanup(run.stop)
        with unittest.mock.patch.object(limits, "GIVE_UP_SECONDS", 0.1):
            self.assertRegex(str(self.play(run, contrary.Counting)), f"shard {run.address} refused rows: a row is bad")
        self.assertGreater(len(run.appends), 1)

    def test_a_shard_that_cannot_be_reached_is_what_the_actor_waits_for(self):
        run = self.run_with()
        outcome = self.in_background(lambda: self.play(run, contrary.Counting, replay=[NOBODY]))
        words = f"environment 0: an episode is abandoned: shard {NOBODY}: UNAVAILABLE"
        self.wait_for_reason(run, words)
        first = next(i for i, beat in enumerate(run.heartbeats) if words in beat.waiting)
        self.assertTrue(run.wait_until(lambda: len(run.heartbeats) > first + 10))
        # It stands while the next episodes are played.
        self.assertEqual({f"shard {NOBODY}" in beat.waiting for beat in run.heartbeats[first:first + 10]}, {True})
        self.stop.set()
        self.assertIsInstance(outcome(), lease.Stopped)
        self.assertEqual(self.identity.waits.text(), "")

    def test_episodes_that_are_cut_in_their_first_step_are_what_the_actor_waits_for(self):
        run = self.run_with()
        kind = contrary.returning(reward=lambda step, good: numpy.nan)
        outcome = self.in_background(lambda: self.play(run, kind))
        self.wait_for_reason(run, "environment 0: an episode is cut in its first step: reward nan")
        self.stop.set()
        self.assertIsInstance(outcome(), lease.Stopped)

    def test_streams_are_renewed_within_episodes_and_while_a_shard_holds_rows_back(self):
        run = self.run_with(seed_rows=0)
        run.blocked = "rows run ahead of updates"
        with unittest.mock.patch.object(limits, "STREAM_SECONDS", 0.1):
            outcome = self.in_background(lambda: self.play(run, contrary.Counting))
            self.assertTrue(run.wait_until(lambda: len(run.appends) > 3))
            run.blocked = ""
            self.assertIsInstance(outcome(), lease.Stopped)
        self.assertNotIn("abandoned", self.log.getvalue())
        # All of one episode, sent again and again.
        self.assertEqual({(request.stream.episode, request.first_row) for request in run.appends[:4]}, {(0, 0)})

    def test_unstable_steps_cut_the_episode_before_them(self):
        for name in ("observation", "reward"):
            with self.subTest(name):
                run = self.run_with()
                kind = contrary.returning(**{name: lambda step, good: good if step != 6 else good * numpy.nan})
                self.assertIsInstance(self.play(run, kind), lease.Stopped)
                whole = [key for key, chunks in run.episodes.items() if chunks[-1].final_observation]
                self.assertGreater(len(whole), 5)
                for key in whole:
                    self.assertEqual(run.column(key, "observations")[::2].tolist(), list(range(5)))
                    self.assertEqual(wire.to_array(run.episodes[key][-1].final_observation).tolist(), [5, 5])

    def test_other_sizes_and_shards_are_refused(self):
        self.assertIsInstance(self.play(self.run_with(observation_size=4), contrary.Counting), Refused)
        run = self.run_with()
        flags = roles.Servers(planners=[run.address], replay=[run.address] * 2)
        with self.assertRaisesRegex(Refused, "names 2 shards; the run has 1"):
            roles.act(flags, wire.Stub("RunService", run.address), lease.Identity(proto.Role.ACTOR, 1), [], self.stop)

    def test_every_wait_is_told_to_log_and_learner(self):
        run = self.run_with()
        run.blocked = "rows run ahead of updates"
        outcome = self.in_background(lambda: self.play(run, contrary.Counting))
        self.wait_for_reason(run, run.blocked)
        self.assertIn(run.blocked, self.log.getvalue())
        self.stop.set()
        self.assertIsInstance(outcome(), lease.Stopped)

    def test_planners_that_are_away_are_told_and_others_are_asked(self):
        run = self.run_with(seed_rows=0)
        self.assertIsInstance(self.play(run, contrary.Counting, planners=[NOBODY, run.address]), lease.Stopped)
        run, self.identity = self.run_with(seed_rows=0), None
        outcome = self.in_background(lambda: self.play(run, contrary.Counting, planners=[NOBODY]))
        self.wait_for_reason(run, f"no plan: planner {NOBODY}: UNAVAILABLE")
        self.stop.set()
        self.assertIsInstance(outcome(), lease.Stopped)
        self.assertIn(f"no plan: planner {NOBODY}: UNAVAILABLE", self.log.getvalue())

    def test_a_planner_that_hangs_holds_each_environment_up_once_and_is_used_again_when_it_answers(self):
        run, hung = self.run_with(seed_rows=0, rows=10**9, environments=3), self.run_with()
        hung.plans_go_out.clear()
        seconds = (("PLAN_SECONDS", 0.2), ("BAR_SECONDS", 0.02), ("AWAY_SECONDS", 0.02), ("MAX_PLAN_SECONDS", 50))
        with contextlib.ExitStack() as patches:
            for name, value in seconds:
                patches.enter_context(unittest.mock.patch.object(limits, name, value))
            outcome = self.in_background(
                lambda: self.play(run, contrary.Counting, planners=[hung.address, run.address]))
            self.assertTrue(run.wait_until(lambda: run.plans > 200))
            self.assertTrue(hung.wait_until(lambda: any(timeout > 1 for timeout in hung.plan_timeouts)))
            before = run.plans
            self.assertTrue(run.wait_until(lambda: run.plans > before + 200))
            asked, probes = ([timeout for timeout in hung.plan_timeouts if (timeout > 1) == probe]
                             for probe in (False, True))
            # One waits at most from each, and one copy that nobody waits for.
            self.assertLessEqual(len(asked), 3)
            self.assertEqual(len(probes), 1)
            hung.plans_go_out.set()
            self.assertTrue(hung.wait_until(lambda: hung.plans > 20))
            self.stop.set()
            self.assertIsInstance(outcome(), lease.Stopped)

    def test_a_planner_that_hangs_is_left_as_soon_as_another_one_is_back(self):
        run, hung = self.run_with(seed_rows=0), self.run_with()
        hung.plans_go_out.clear()
        run.plans_away = True
        with unittest.mock.patch.object(limits, "PLAN_SECONDS", 0.2), \
                unittest.mock.patch.object(limits, "AWAY_SECONDS", 0.02):
            outcome = self.in_background(
                lambda: self.play(run, contrary.Counting, planners=[hung.address, run.address]))
            self.assertTrue(hung.wait_until(lambda: any(0.6 < timeout < 10 for timeout in hung.plan_timeouts)))
            self.assertEqual(hung.plans_withdrawn, 0)
            run.plans_away = False
            self.assertTrue(hung.wait_until(lambda: hung.plans_withdrawn > 0))
            self.assertIsInstance(outcome(), lease.Stopped)

    def test_a_planner_that_is_slow_is_given_more_and_more_time_and_told(self):
        run = self.run_with(seed_rows=0)
        run.plans_go_out.clear()
        with unittest.mock.patch.object(limits, "PLAN_SECONDS", 0.1), \
                unittest.mock.patch.object(limits, "MAX_PLAN_SECONDS", 1), \
                unittest.mock.patch.object(limits, "QUIET_SECONDS", 0):
            outcome = self.in_background(lambda: self.play(run, contrary.Counting))
            self.wait_for_reason(run, f"no plan: planner {run.address} has not answered yet")
            self.wait_for_reason(run, f"no plan: planner {run.address}: DEADLINE_EXCEEDED")
            self.assertTrue(run.wait_until(lambda: len([t for t in run.plan_timeouts if t > 0.5]) > 1))
            self.assertLess(max(run.plan_timeouts), 1.5)
            run.plans_go_out.set()
            self.assertIsInstance(outcome(), lease.Stopped)
        self.assertEqual(self.identity.waits.text(), "")

    def test_a_plan_that_is_not_wanted_any_more_is_not_waited_for(self):
        run = self.run_with(seed_rows=0)
        run.plans_go_out.clear()
        outcome = self.in_background(lambda: self.play(run, contrary.Counting))
        self.assertTrue(run.wait_until(lambda: run.plan_timeouts))
        self.stop.set()
        self.assertIsInstance(outcome(), lease.Stopped)
        self.assertFalse(run.plans_go_out.is_set())

    def test_messages_that_are_refused_for_their_size_are_not_sent_again(self):
        planner = self.run_with(max_message_bytes=10)
        error = self.play(self.run_with(seed_rows=0), contrary.Counting, planners=[planner.address])
        self.assertRegex(str(error), f"planner {planner.address}: RESOURCE_EXHAUSTED: .*larger than max")
        self.identity = None
        error = self.play(planner, contrary.Counting)
        self.assertRegex(str(error), f"learner {planner.address}: RESOURCE_EXHAUSTED: .*larger than max")

    def test_plans_of_another_size_or_with_nan_are_not_executed(self):
        class Odd(FakeRun):
            def _plan(self, request, context):
                reply = super()._plan(request, context)
                reply.plans[0].action = self.action
                return reply
        for action, words in ((b"1234", "action has 4 bytes for an action size of 3"),
                              (wire.to_bytes([0, numpy.nan, 0]), "NaN or infinity in its action")):
            Odd.action = action
            run = Odd(seed_rows=0)
            self.addCleanup(run.stop)
            with unittest.mock.patch.object(limits, "GIVE_UP_SECONDS", 0.1):
                error = self.play(run, contrary.Counting)
            self.assertRegex(str(error), f"planner {run.address}: .*{words}")
            self.assertEqual(run.stored(), 0)

    def test_an_environment_that_does_not_return_is_named_and_does_not_keep_the_process(self):
        entered, released = threading.Event(), threading.Event()
        self.addCleanup(released.set)

        class Hanging(contrary.Counting):
            def step(self, action):
                entered.set()
                released.wait()
                return super().step(action)
        run = self.run_with()
        with unittest.mock.patch.object(limits, "STUCK_SECONDS", 0), unittest.mock.patch.object(limits, "END_SECONDS", 0):
            outcome = self.in_background(lambda: self.play(run, Hanging))
            entered.wait()
            self.wait_for_reason(run, "has not returned from step()")
            self.stop.set()
            self.assertIsInstance(outcome(), lease.Stopped)

    def test_a_lease_that_ends_while_an_environment_does_not_return_is_followed_by_another_at_once(self):
        entered, released = threading.Event(), threading.Event()
        self.addCleanup(released.set)

        class Hanging(contrary.Counting):
            def step(self, action):
                entered.set()
                released.wait()
                return super().step(action)
        run = self.run_with()
        made = [made_at_home(Hanging)]
        with unittest.mock.patch.object(limits, "STUCK_SECONDS", 0):
            outcome = self.in_background(lambda: self.play_in(made, run))
            entered.wait(SECONDS)
            run.heartbeat_errors = [grpc.StatusCode.NOT_FOUND]
            self.assertIsInstance(outcome(), lease.LeaseEnded)
            outcome, before = self.in_background(lambda: self.play_in(made, run)), len(run.heartbeats)
            for words in ("has not returned from step()", "still does what it was told under an earlier lease"):
                self.assertTrue(run.wait_until(
                    lambda w=words: any(w in beat.waiting for beat in run.heartbeats[before:])))
            self.assertEqual(len(run.registrations), 2)
            released.set()
            self.assertIsInstance(outcome(), lease.Stopped)
        self.assertGreaterEqual(run.stored(), 100)

    def test_an_environment_stays_in_its_thread_over_all_leases(self):
        run = self.run_with(environments=2)
        made = [made_at_home(contrary.Bound) for _ in range(2)]
        outcome = self.in_background(lambda: self.play_in(made, run))
        self.assertTrue(run.wait_until(lambda: run.stored() > 8))
        run.heartbeat_errors = [grpc.StatusCode.NOT_FOUND]
        self.assertIsInstance(outcome(), lease.LeaseEnded)
        self.assertIsInstance(self.play_in(made, run), lease.Stopped)
        self.assertEqual(len(run.registrations), 2)

    def test_an_environment_that_holds_the_interpreter_lock_in_reset_is_named_and_its_episode_played(self):
        run = self.run_with(seed_rows=0, lease_ms=200, rows=10**9)
        made = [made_at_home(grasping(run, "reset"))]
        self.assertIsInstance(self.play_in(made, run), lease.LeaseEnded)
        outcome = self.in_background(lambda: self.play_in(made, run))
        self.wait_for_reason(run, "environment 0 in reset() held Python's interpreter lock for ")
        # Under the second lease, in the state that the reset of the first one returned.
        self.assertTrue(run.wait_until(lambda: run.stored() >= 20))
        self.assertIsInstance(outcome(), lease.LeaseEnded)
        self.assertEqual(set(run.episodes), {(2, 0, 0)})
        self.assertIn("environment 0 in reset() held", self.identity.waits.text())
        run.heartbeat_errors = []
        made[0]._environment.harmless = True
        outcome = self.in_background(lambda: self.play_in(made, run))
        self.assertTrue(run.wait_until(lambda: run.stored() >= 60))
        self.wait_for_no_reason()
        self.stop.set()
        self.assertIsInstance(outcome(), lease.Stopped)

    def test_leases_that_end_in_vain_for_the_interpreter_lock_end_the_actor_and_the_learner_hears_why(self):
        run = self.run_with(lease_ms=200)
        made = [made_at_home(grasping(run, "step"))]
        for _ in range(3):
            self.assertIsInstance(self.play_in(made, run), lease.LeaseEnded)
        error = self.play_in(made, run)
        words = r"3 leases in a row ended in vain: environment 0 in step\(\) held .*the GIL"
        self.assertIsInstance(error, Failed)
        self.assertRegex(str(error), words)
        self.assertTrue(run.heartbeats[-1].leaving)
        self.assertRegex(run.heartbeats[-1].error, words)

    def test_leases_that_end_for_another_reason_are_asked_for_again_and_again(self):
        run = self.run_with(rows=10**9)
        made = [made_at_home(contrary.Counting)]
        for _ in range(4):
            outcome = self.in_background(lambda: self.play_in(made, run))
            run.heartbeat_errors = [grpc.StatusCode.NOT_FOUND]
            self.assertIsInstance(outcome(), lease.LeaseEnded)
        self.assertEqual(self.identity.waits.text(), "")

    def test_the_process_is_recognised_when_it_registers_again_and_counts_on(self):
        run = self.run_with()
        identity = lease.Identity(proto.Role.ACTOR, 1)
        for _ in range(3):
            identity.count_row()
        held = lease.Lease(wire.Stub("RunService", run.address), identity, self.stop)
        # Once the second is sent, the first is known to be heard.
        self.assertTrue(run.wait_until(lambda: len(run.heartbeats) > 1))
        held.close()
        identity.count_row()
        again = lease.Lease(wire.Stub("RunService", run.address), identity, self.stop)
        again.leave("it broke")
        first, second = run.registrations
        self.assertEqual((first.HasField("former_index"), second.former_index), (False, 0))
        self.assertTrue(second.HasField("former_index"))
        self.assertEqual(first.process_id, second.process_id)
        self.assertNotEqual(first.process_id, 0)
        self.assertEqual(run.heartbeats[0].rows, 3)
        self.assertEqual((run.heartbeats[-1].rows, run.heartbeats[-1].leaving, run.heartbeats[-1].error),
                         (1, True, "it broke"))


class EvaluateTest(InProcessTest):
    def test_a_result_that_the_learner_does_not_hear_is_told_again_not_played_again(self):
        run = self.run_with(seed_rows=0)
        run.assignment = proto.EvaluationAssignment(evaluation_id=5, episodes=2, seed=3)
        run.report_errors = [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED]
        outcome = self.in_background(lambda: self.play(run, contrary.Counting, role=roles.evaluate))
        self.assertTrue(run.wait_until(lambda: run.reports))
        self.stop.set()
        self.assertIsInstance(outcome(), lease.Stopped)
        (report,) = run.reports
        self.assertEqual((list(report.returns), list(report.decisions)), ([20, 20], [20, 20]))
        self.assertEqual(run.plans, 40)
        self.assertIn("waits for the learner: UNAVAILABLE", self.log.getvalue())

    def evaluate(self, run, kind, episodes=2):
        """Assigns an evaluation and has it played; waits for the end, once the test has set self.stop."""
        run.assignment = proto.EvaluationAssignment(evaluation_id=5, episodes=episodes, seed=3)
        return self.in_background(lambda: self.play(run, kind, role=roles.evaluate))

    def test_a_report_that_waits_under_a_lease_that_ends_is_no_reason_under_the_next(self):
        run = self.run_with(seed_rows=0)
        run.report_errors = [grpc.StatusCode.UNAVAILABLE] * 10000
        outcome = self.evaluate(run, contrary.Counting)
        self.wait_for_reason(run, "waits for the learner: UNAVAILABLE")
        run.heartbeat_errors = [grpc.StatusCode.NOT_FOUND]
        self.assertIsInstance(outcome(), lease.LeaseEnded)
        self.wait_for_no_reason()

    def test_plans_that_are_missing_under_a_lease_that_ends_are_no_reason_under_the_next(self):
        run = self.run_with(seed_rows=0)
        outcome = self.in_background(lambda: self.play(run, contrary.Counting, planners=[NOBODY]))
        self.wait_for_reason(run, "no plan")
        run.heartbeat_errors = [grpc.StatusCode.NOT_FOUND]
        self.assertIsInstance(outcome(), lease.LeaseEnded)
        self.wait_for_no_reason()

    def test_an_episode_that_is_cut_is_played_again_with_another_seed(self):
        seeds = []

        class CutAtFirst(contrary.Counting):
            """Rewards are costs: what is cut would look better than what is whole."""
            def reset(self, seed=None):
                seeds.append(seed)
                return super().reset(seed)

            def step(self, action):
                observation, _, terminated, truncated, info = super().step(action)
                return observation, math.nan if len(seeds) < 3 and self.count == 6 else -1, terminated, truncated, info
        run = self.run_with(seed_rows=0)
        outcome = self.evaluate(run, CutAtFirst)
        self.assertTrue(run.wait_until(lambda: run.reports))
        self.stop.set()
        self.assertIsInstance(outcome(), lease.Stopped)
        self.assertEqual((list(run.reports[0].returns), list(run.reports[0].decisions)), ([-20, -20], [20, 20]))
        self.assertEqual(len(set(seeds)), 4)

    def test_an_evaluation_with_an_episode_that_is_always_cut_is_given_up_and_told(self):
        for reward in (math.nan, 1e39, 10**20):
            with self.subTest(reward=reward):
                run, self.identity = self.run_with(seed_rows=0), None
                self.stop.clear()
                kind = contrary.returning(reward=lambda step, _, cut=reward: cut if step == 6 else -1)
                outcome = self.evaluate(run, kind)
                self.wait_for_reason(run, "evaluation 5 is abandoned: episode 0 was cut 3 times: reward")
                self.assertEqual(run.plans, 3 * 6)
                # The learner gives it up; the reason goes with it.
                with run.changed:
                    run.assignment, heard = None, len(run.heartbeats) + 1
                self.assertTrue(run.wait_until(lambda: any(beat.waiting == "" for beat in run.heartbeats[heard:])))
                self.stop.set()
                self.assertIsInstance(outcome(), lease.Stopped)
                self.assertEqual((run.reports, run.plans), ([], 3 * 6))


class WaitsTest(InProcessTest):
    def test_each_reason_is_logged_when_it_comes_up_and_now_and_then(self):
        now = [0.0]
        waits = Waits(lambda: now[0])
        for who in range(64):
            waits.set(who, "no plan")
        waits.set("learner", "no learner")
        self.assertEqual(waits.text(), "no plan; no learner")
        self.assertEqual(self.logged(), ["no plan", "no learner"])
        now[0] = limits.LOG_SECONDS
        waits.set(1, "no plan")
        self.assertEqual(self.log.getvalue().count("no plan"), 2)
        for who in (*range(64), "learner"):
            waits.set(who, "")
        self.assertEqual(waits.text(), "")
        self.assertEqual(self.logged()[-1], "waits no longer")

    def logged(self):
        """The lines, without their times."""
        return [line.split(" ", 2)[2] for line in self.log.getvalue().splitlines()]


class WireTest(unittest.TestCase):
    def test_numbers_are_those_of_the_headers(self):
        def number(path, name):
            text = (ROOT / path).read_text()
            value = re.search(rf"\b{name} = ([^;]+);", text)[1]
            return eval(re.sub(r"uint64_t\{(\d+)\}", r"\1", value))  # pylint: disable=eval-used
        self.assertEqual(wire.WIRE_VERSION, number("common/rpc/wire.h", "kWireVersion"))
        self.assertEqual(limits.MAX_REPLY_BYTES, number("common/rpc/message_size.h", "kMaxReplyBytes"))
        self.assertEqual(limits.MAX_REQUEST_BYTES, number("common/rpc/message_size.h", "kMaxRequestBytes"))
        self.assertEqual(limits.FULL_REQUEST_BYTES, number("common/rpc/message_size.h", "kFullRequestBytes"))

    def test_the_largest_chunk_of_every_config_fits(self):
        for observation_size, action_size in ((1, 1), (100, 20), (27648, 6), (100000, 1000)):
            config = proto.RunConfig(env=proto.EnvConfig(spec=proto.EnvSpec(
                observation_size=observation_size, action_size=action_size)))
            config.actor.chunk_rows = 1024
            chunk = players.Chunk(action_size)
            for _ in range(shards.rows_per_chunk(config)):
                chunk.add(numpy.zeros(observation_size, numpy.float32), numpy.zeros(action_size), 0.0, False, None)
            size = chunk.message(numpy.zeros(observation_size)).ByteSize()
            self.assertLess(size, 2 * limits.FULL_REQUEST_BYTES)
            self.assertGreaterEqual(chunk.count, 1)
        self.assertEqual(shards.rows_per_chunk(proto.RunConfig()), 16)

    def test_messages_and_modules_have_no_name_that_others_use(self):
        loaded = {name.partition(".")[0] for name in sys.modules}
        self.assertEqual(loaded & {"environments", "wire", "actor", "proto", "environment"}, set())
        pool = google.protobuf.descriptor_pool.Default()
        for file in ("proto/common.proto", "proto/run.proto"):
            with self.assertRaises(KeyError):
                pool.FindFileByName(file)
        with self.assertRaises(KeyError):
            pool.FindMessageTypeByName("pompc.proto.Header")


OWN_MODULES = {
    "environments.py": "mine = True\n", "wire.py": "mine = True\n", "actor.py": "mine = True\n",
    "environment.py": "mine = True\n", "clients.py": "mine = True\n", "proto/__init__.py": "mine = True\n",
    "own.py": """
import actor, clients, contrary, environment, environments, proto, wire
from google.protobuf import descriptor_pb2, descriptor_pool
assert all(module.mine for module in (actor, clients, environment, environments, proto, wire))
for package in ("mine", "pompc.proto"):
    file = descriptor_pb2.FileDescriptorProto(name="proto/common.proto", package=package)
    file.name = "proto/common.proto" if package == "mine" else "proto/run.proto"
    file.message_type.add(name="Header").field.add(name="other", number=1, type=9, label=1)
    descriptor_pool.Default().AddSerializedFile(file.SerializeToString())
make = contrary.Counting
"""}


class FlagsTest(unittest.TestCase):
    def parsed(self, *arguments):
        """(flags or exit status, what was printed)."""
        with contextlib.redirect_stderr(io.StringIO()) as stderr:
            try:
                return program.parse_flags(arguments), stderr.getvalue()
            except SystemExit as ended:
                return ended.code, stderr.getvalue()

    def test_what_is_no_value_of_a_flag_is_refused(self):
        for words, arguments in (
                ("'0' is not a whole number from 1 to 4096", ("--environments", "0")),
                ("'4097' is not a whole number", ("--environments", "4097")),
                ("'010' is not a whole number", ("--environments", "010")),
                ("'-1' is not a whole number", ("--episode-steps=-1",)),
                ("'1e2' is not a whole number", ("--action-repeat", "1e2")),
                ("'0x10' is not a whole number", ("--action-repeat", "0x10")),
                ("'1_0' is not a whole number", ("--action-repeat", "1_0")),
                ("'\u0661' is not a whole number", ("--action-repeat", "\u0661")),
                ("'101' is not a whole number", ("--action-repeat", "101")),
                ("'18446744073709551617' is not", ("--episode-steps", "18446744073709551617")),
                ("'nowhere' is not an address", ("--learner", "nowhere")),
                ("':1' is not an address", ("--learner", ":1")),
                ("'a:70000' is not an address", ("--planners", "b:1,a:70000")),
                ("'' is not an address", ("--replay", "a:1,")),
                ("'a:080' is not an address", ("--learner", "a:080")), ("'a:0' is not an address", ("--learner", "a:0")),
                ("--learner is missing", ()), ("--planners is missing", ("--learner", "a:1")),
                ("--replay is missing", ("--learner", "a:1", "--planners", "a:1")),
                ("unrecognized", ("--learn", "a:1", "--planners", "a:1", "--evaluate"))):
            with self.subTest(words=words):
                status, printed = self.parsed("--env", "x", *arguments)
                self.assertEqual(status, 2)
                self.assertIn(words, printed)

    def test_values_are_taken_as_the_other_programs_take_them(self):
        flags, _ = self.parsed("--env", "x", "--environments", "10", "--learner", "dns:///learner:1", "--planners",
                               "a:1, b:2", "--replay", "[::1]:5")
        self.assertEqual((flags.environments, flags.learner, flags.planners, flags.replay),
                         (10, "dns:///learner:1", ["a:1", "b:2"], ["[::1]:5"]))


def delete_current(folder):
    """Of the process that is about to start."""
    os.chdir(folder)
    folder.rmdir()


class ProcessTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def start(self, *arguments, path=(), **more):
        variables = {**os.environ, **PROXIES, "PYTHONPATH": os.pathsep.join(map(str, (*path, ROOT / "python", HERE))),
                     "PYTHONDONTWRITEBYTECODE": "1", **more.pop("variables", {})}
        process = subprocess.Popen(
            [sys.executable, *more.pop("program", ("-m", "pompc")), *map(str, arguments)],
            text=True,
            stdout=more.pop("stdout", subprocess.PIPE), stderr=subprocess.PIPE, env=variables, cwd=self.folder, **more)
        self.addCleanup(process.stderr.close)
        if process.stdout:
            self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def test_refusals_are_one_line_and_a_status(self):
        servers = ("--learner", NOBODY, "--planners", NOBODY, "--replay", NOBODY)
        (self.folder / "broken").mkdir()
        (self.folder / "broken" / "grpc.py").write_text("raise ImportError('it was built for another Python')")
        (self.folder / "leaving.py").write_text("import sys; sys.exit(0)")
        full = open("/dev/full", "w", encoding="utf-8")
        self.addCleanup(full.close)
        started = []
        for status, words, arguments, more in (
                (2, "no module nothing_here", ("--env", "nothing_here:make", *servers), {}),
                (2, "RuntimeError: no licence .*contrary.py", ("--env", "contrary:Raising", *servers), {}),
                (2, "OldGym: reset", ("--env", "contrary:OldGym", *servers), {}),
                (2, "importing leaving raised SystemExit: 0", ("--env", "leaving:make", *servers), {}),
                (1, "it was built for another Python", ("--env", "x"), {"path": [self.folder / "broken"]}),
                (1, "No space left", ("--env", "contrary:Counting", "--print-config"), {"stdout": full})):
            started.append((status, words, self.start(*arguments, **more)))
        for status, words, process in started:
            with self.subTest(words=words):
                _, stderr = process.communicate(timeout=SECONDS)
                self.assertRegex(stderr, words)
                self.assertEqual(process.returncode, status, stderr)
                self.assertRegex(stderr, r"^pompc: .*\n$")

    def test_an_environment_imports_its_own_modules_and_messages(self):
        (self.folder / "proto").mkdir()
        for name, text in OWN_MODULES.items():
            (self.folder / name).write_text(text)
        for name, path in (("current folder", ()), ("PYTHONPATH", [self.folder])):
            with self.subTest(name):
                process = self.start("--env", "own:make", "--print-config", path=path)
                stdout, stderr = process.communicate(timeout=SECONDS)
                self.assertIn("observation_size: 2 action_size: 3 episode_decisions: 20", stdout, stderr)

    def test_the_program_runs_where_python_does_not_look_in_the_current_folder(self):
        safe = self.start("--env", "contrary:Counting", "--print-config", variables={"PYTHONSAFEPATH": "1"})
        stdout, stderr = safe.communicate(timeout=SECONDS)
        self.assertIn("observation_size: 2", stdout, stderr)

    def test_only_what_is_not_installed_is_said_to_be_needed(self):
        for text, hint in (("import numpy.nothing", True), ("import nothing", False),
                           ("raise ImportError('it was built for another Python')", False)):
            with self.subTest(text):
                (self.folder / "grpc.py").write_text(text)
                _, stderr = self.start("--env", "x", path=[self.folder]).communicate(timeout=SECONDS)
                self.assertEqual("Debian: python3-numpy" in stderr, hint, stderr)

    def test_an_environment_may_start_worker_processes_of_every_kind(self):
        for method in ("Spawning", "ForkServing", "Forking"):
            with self.subTest(method):
                run = FakeRun(seed_rows=30, rows=60)
                self.addCleanup(run.stop)
                process = self.start("--env", f"workers:{method}", "--learner", run.address, "--planners", run.address,
                                     "--replay", run.address)
                _, stderr = process.communicate(timeout=SECONDS)
                self.assertEqual(process.returncode, 0, stderr)
                self.assertGreaterEqual(run.stored(), 60)
                self.assertNotIn("has not ended", stderr)

    def test_an_environment_is_closed_in_the_thread_that_made_it(self):
        run = FakeRun()
        self.addCleanup(run.stop)
        servers = ("--learner", run.address, "--planners", run.address, "--replay", run.address)
        for arguments in (servers, ("--print-config",)):
            with self.subTest(arguments):
                process = self.start("--env", "contrary:Bound", *arguments)
                stdout, stderr = process.communicate(timeout=SECONDS)
                self.assertEqual(process.returncode, 0, stderr)
                self.assertIn("closed\n", stdout + stderr)

    def test_a_current_folder_that_was_deleted_is_no_trouble(self):
        gone = self.folder / "gone"
        gone.mkdir()
        process = self.start("--env", "contrary:Counting", "--print-config", preexec_fn=lambda: delete_current(gone))
        stdout, stderr = process.communicate(timeout=SECONDS)
        self.assertIn("observation_size: 2", stdout, stderr)
        self.assertEqual((process.returncode, stderr), (0, ""))

    def test_what_an_environment_raises_or_hides_is_told(self):
        run = FakeRun(seed_rows=10**9, rows=10**9)
        self.addCleanup(run.stop)
        started = [(words, self.start("--env", f"contrary:{name}", "--learner", run.address, "--planners", run.address,
                                      "--replay", run.address))
                   for name, words in (("Interrupting", "raised KeyboardInterrupt"),
                                       ("Hiding", "raised RuntimeError: the simulator is gone"))]
        for words, process in started:
            with self.subTest(words):
                _, stderr = process.communicate(timeout=SECONDS)
                self.assertEqual(process.returncode, 1, stderr)
                self.assertRegex(stderr, rf"^[^\n]* acts in run run as actor 0\npompc: .*{words} \(.*\)\n$")

    def test_code_of_an_environment_that_does_not_end_does_not_keep_the_process(self):
        (self.folder / "hasty.py").write_text("""
import sys
from pompc import limits, program
limits.EXIT_SECONDS = 0.1
sys.exit(program.main(None))
""")
        process = self.start("--env", "contrary:Staying", "--print-config", program=["hasty.py"])
        stdout, stderr = process.communicate(timeout=SECONDS)
        self.assertIn("observation_size: 2", stdout, stderr)
        self.assertEqual(process.returncode, 0)
        self.assertRegex(stderr, r"^hasty\.py: code of the environment has not ended within 0\.1 s; .*\n$")

    def test_lengths_of_episodes_that_are_none_are_not_printed(self):
        (self.folder / "odd.py").write_text("""
import contrary, types
def made(steps):
    return lambda: contrary.with_spaces(spec=types.SimpleNamespace(max_episode_steps=steps))()
text, negative, nothing = made("many"), made(-1), made(None)
""")
        for name in ("text", "negative", "nothing"):
            process = self.start("--env", f"odd:{name}", "--print-config")
            stdout, stderr = process.communicate(timeout=SECONDS)
            self.assertEqual((process.returncode, stdout), (2, ""))
            self.assertRegex(stderr, r"^pompc: odd:\w+ does not tell how long its episodes are: .*\n$")

    def test_the_config_is_all_that_is_printed(self):
        process = self.start("--env", "contrary:Printing", "--print-config", "--terminates", "--action-repeat", "7")
        stdout, stderr = process.communicate(timeout=SECONDS)
        self.assertEqual(process.returncode, 0, stderr)
        self.assertEqual(stdout.split(), ["env", "{", "task:", '"external"', "action_repeat:", "7", "spec", "{",
                                          "observation_size:", "2", "action_size:", "3", "episode_decisions:", "3",
                                          "terminates:", "true", "}", "}"])
        self.assertIn("hello from the simulator", stderr)

    def test_signals_end_it_in_order(self):
        run = FakeRun(seed_rows=10**9, rows=10**9)
        self.addCleanup(run.stop)
        names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGXCPU")
        processes = [self.start("--env", "contrary:Counting", "--learner", run.address, "--planners", run.address,
                                "--replay", run.address) for _ in names]
        for process in processes:
            # Each has a lease, so it is on its way: the handlers were there before it registered.
            self.assertTrue(run.wait_until(lambda p=process: any(
                registration.name.endswith(f":{p.pid}") for registration in run.registrations)))
        for name, process in zip(names, processes):
            process.send_signal(getattr(signal, name))
        for name, process in zip(names, processes):
            with self.subTest(name):
                _, stderr = process.communicate(timeout=SECONDS)
                self.assertEqual(process.returncode, 0, stderr)
                self.assertTrue(stderr.endswith(" ends\n"), stderr)
        leaving = [beat for beat in run.heartbeats if beat.leaving]
        self.assertEqual([beat.error for beat in leaving], [""] * len(names))


if __name__ == "__main__":
    unittest.main()
