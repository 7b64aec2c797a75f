"""The planners of a run, as those who ask for plans see them."""

import itertools
import math
import threading
import time
from collections.abc import Callable, Hashable
from typing import Any

import grpc
import numpy

from pompc import limits, messages, wire
from pompc.errors import Failed
from pompc.lease import Lease
from pompc.log import Waits

# Share of a new measurement in what is known of a planner's answers.
_NEW_SHARE = 0.2
# Half of what a planner is behind the fastest is forgotten in so many seconds in which it answers nothing.
_HALF_SECONDS = 5.0
# Of a call whose caller has no time left.
_SHORTEST_SECONDS = 0.001


class _Planner:
    """One of them, as far as it is known. Guarded by the lock of Planners."""

    def __init__(self, address: str, certificates: str):
        self.stub = wire.Stub("PlannerService", address, certificates)
        self.patience = limits.PLAN_SECONDS
        self.avoided = False    # it did not answer, or could not be reached
        self.probe_at = 0.0     # when one that is avoided is tried again
        self.probing = False
        self.full_until = 0.0   # it has no room before, as far as it knows
        self.outstanding = 0    # queries that it has not answered
        self.seconds = 0.0      # from a request to its answer; 0: not known
        self.answered_at = 0.0

    def expected(self, fastest: float, now: float) -> float:
        """Seconds that one more query is expected to take: what is old counts less, and nothing known is the best."""
        behind: float = max(0.0, self.seconds - fastest) * 0.5 ** ((now - self.answered_at) / _HALF_SECONDS)
        return (max(fastest, 1e-4) + behind) * (1 + self.outstanding)


class Planners:
    """Asks those of a run's planners that are expected to answer first, by how they answered before and what they owe.
    One that does not answer is avoided while there are others, and is tried with copies of requests that nobody waits
    for until it answers one. One that is full is left alone until it expects to have room. Plans are functions of
    their request, so asking twice is harmless. Thread-safe."""

    def __init__(self, addresses: list[str], certificates: str = "", give_up_seconds: float | None = None):
        """`give_up_seconds`: for how long an error that does not pass by itself may come again and again (default:
        limits.GIVE_UP_SECONDS)."""
        self._give_up_seconds = give_up_seconds
        self._planners = [_Planner(address, certificates) for address in addresses]
        self._turn = itertools.cycle(self._planners)
        self._lock = threading.Lock()

    def plan(self, request: messages.PlanRequest, who: Hashable, lease: Lease, waits: Waits,
             keep_waiting: Callable[[], bool] = lambda: True,
             deadline: float = math.inf) -> list[messages.Plan] | None:
        """A plan for each of the request's queries; None once keep_waiting says no. `who` waits for it. `deadline`, by
        the monotonic clock, is when the lease's check() raises: no call and no pause lasts longer."""
        request.header.CopyFrom(wire.header(lease.run_id))
        try:
            return self._plan(request, lease, lambda why: waits.set(who, why), keep_waiting, deadline)
        finally:
            waits.set(who, "")

    def close(self) -> None:
        for planner in self._planners:
            planner.stub.close()

    def _plan(self, request: messages.PlanRequest, lease: Lease, tell: Callable[[str], None],
              keep_waiting: Callable[[], bool], deadline: float) -> list[messages.Plan] | None:
        failures, failing_since = 0, None
        give_up = limits.GIVE_UP_SECONDS if self._give_up_seconds is None else self._give_up_seconds
        while keep_waiting():
            lease.check()
            planner = self._next()
            address, lasting = planner.stub.address, True
            try:
                reply = self._ask(planner, request, lease, keep_waiting, tell if failures == 0 else lambda why: None,
                                  deadline)
                if reply is None:
                    continue
                problem = problem_of(reply, len(request.queries), lease.config.env.spec.action_size)
                if not problem:
                    return list(reply.plans)
            except grpc.RpcError as error:
                problem, lasting = wire.words(error), not wire.passing(error)
                if wire.too_large(error):
                    raise Failed(f"planner {address}: {problem}") from error
            now = time.monotonic()
            failing_since = (failing_since or now) if lasting else None
            if failing_since and now - failing_since >= give_up:
                raise Failed(f"planner {address}: {problem}")
            failures += 1
            if failures % len(self._planners) == 0 or self._all_are_full():
                tell(f"no plan: planner {address}: {problem}")
                self._pause(failures, lease, keep_waiting, deadline)
        return None

    def _all_are_full(self) -> bool:
        """Those that can be reached, of which there is one."""
        now = time.monotonic()
        with self._lock:
            return all(planner.full_until > now for planner in self._planners if not planner.avoided)

    def _pause(self, failures: int, lease: Lease, keep_waiting: Callable[[], bool], deadline: float) -> None:
        """All have been asked in vain. Until the first of those that are full expects to have room; where none says
        when, a little longer each time."""
        now = time.monotonic()
        with self._lock:
            room_at = min((planner.full_until for planner in self._planners if not planner.avoided), default=0.0)
        until = min(deadline, room_at if room_at > now else now + min(limits.RETRY_SECONDS, 0.02 * failures))
        while (left := until - time.monotonic()) > 0 and keep_waiting():
            lease.check()
            time.sleep(min(left, 0.1))

    def _next(self) -> _Planner:
        """Of those that are neither avoided nor full the one that is expected to answer first; of those that are
        avoided, where there are no others, the next one in turn."""
        now = time.monotonic()
        with self._lock:
            in_turn = list(itertools.islice(self._turn, len(self._planners)))
            next(self._turn)  # so that another one is the first of equals the next time
            there = [planner for planner in in_turn if not planner.avoided]
            usable = [planner for planner in there if planner.full_until <= now]
            if not usable:
                return min(there, key=lambda planner: planner.full_until) if there else in_turn[0]
            fastest = min((planner.seconds for planner in usable if planner.seconds > 0), default=0.0)
            return min(usable, key=lambda planner: planner.expected(fastest, now))

    def _ask(self, planner: _Planner, request: messages.PlanRequest, lease: Lease, keep_waiting: Callable[[], bool],
             tell: Callable[[str], None], deadline: float) -> messages.PlanReply | None:
        """The reply; None when it is not waited for any longer: nobody wants it, or another planner is to be asked."""
        self._probe(request, planner)
        began = time.monotonic()
        timeout = min(planner.patience, max(deadline - began, _SHORTEST_SECONDS))
        with self._lock:
            planner.outstanding += len(request.queries)
        call = planner.stub.Plan.future(request, timeout=timeout)
        try:
            while True:
                try:
                    left = max(deadline - time.monotonic(), 0)
                    reply: messages.PlanReply = call.result(timeout=min(limits.RETRY_SECONDS, left))
                    break
                except grpc.FutureTimeoutError:
                    lease.check()
                    self._probe(request, planner)
                    if not keep_waiting() or (planner.avoided and self._have_others()):
                        return None
                    if time.monotonic() - began > limits.QUIET_SECONDS:
                        tell(f"no plan: planner {planner.stub.address} has not answered yet")
        except grpc.RpcError as error:
            # It is no fault of a planner that the caller cannot wait.
            if timeout == planner.patience or error.code() != grpc.StatusCode.DEADLINE_EXCEEDED:
                self._note_failure(planner, error, timeout)
            raise
        finally:
            call.cancel()
            late = deadline <= time.monotonic()
            with self._lock:
                planner.outstanding -= len(request.queries)
                if late:  # an answer would have taken longer than this, so that others are asked first
                    planner.seconds, planner.answered_at = max(planner.seconds, timeout), time.monotonic()
        self._note_answer(planner, time.monotonic() - began)
        return reply

    def _have_others(self) -> bool:
        with self._lock:
            return any(not planner.avoided for planner in self._planners)

    def _probe(self, request: messages.PlanRequest, asked: _Planner) -> None:
        """Sends a copy to those that are avoided and whose time has come, but for the one that is asked just now."""
        now = time.monotonic()
        with self._lock:
            due = [planner for planner in self._planners
                   if planner is not asked and planner.avoided and not planner.probing and planner.probe_at <= now]
            for planner in due:
                planner.probing = True
        for planner in due:
            call = planner.stub.Plan.future(
                request, timeout=limits.MAX_PLAN_SECONDS)
            call.add_done_callback(lambda call, planner=planner: self._probed(planner, call, now))

    def _probed(self, planner: _Planner, call: Any, began: float) -> None:
        if call.code() == grpc.StatusCode.OK:
            self._note_answer(planner, time.monotonic() - began)
        else:
            self._note_failure(planner, call, planner.patience / 2)
        with self._lock:
            planner.probing = False

    def _note_answer(self, planner: _Planner, seconds: float) -> None:
        with self._lock:
            if planner.avoided:
                planner.seconds = 0.0  # one that has come back is taken to be as good as the best
            else:
                planner.seconds += (seconds - planner.seconds) * (_NEW_SHARE if planner.seconds else 1)
            planner.avoided, planner.full_until, planner.answered_at = False, 0.0, time.monotonic()
            planner.patience = min(max(limits.PLAN_SECONDS, 2 * seconds), limits.MAX_PLAN_SECONDS)

    def _note_failure(self, planner: _Planner, error: Any, timeout: float) -> None:
        """The next request waits twice as long as one that waited in vain, or that was refused since it would have."""
        late = error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        full = error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        hint = wire.retry_after(error) if full else None
        now = time.monotonic()
        with self._lock:
            if late or full:
                planner.patience = max(planner.patience, min(2 * timeout, limits.MAX_PLAN_SECONDS))
            planner.avoided = late or error.code() == grpc.StatusCode.UNAVAILABLE
            planner.probe_at = now + (limits.BAR_SECONDS if late else limits.AWAY_SECONDS)
            planner.full_until = now + min(hint, limits.FULL_SECONDS) if hint else 0.0


def problem_of(reply: messages.PlanReply, queries: int, action_size: int) -> str:
    """What is wrong with the reply to so many queries; empty if nothing is. An `action_size` of 0 is not known."""
    if len(reply.plans) != queries:
        return f"sent {len(reply.plans)} plans for {'one query' if queries == 1 else f'{queries} queries'}"
    for plan in reply.plans:
        action_size = action_size or len(plan.action) // 4
        for name in ("action", "plan_mean", "plan_std"):
            data = getattr(plan, name)
            if len(data) != 4 * action_size:
                return f"sent a plan whose {name} has {len(data)} bytes for an action size of {action_size}"
            if not numpy.isfinite(wire.to_array(data)).all():
                return f"sent a plan with NaN or infinity in its {name}"
    return ""
