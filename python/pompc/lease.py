"""What this process is to the learner of a run: its identity over all leases, and one lease."""

import contextlib
import os
import secrets
import socket
import threading
import time
from typing import Any

import grpc

from pompc import limits, messages, wire
from pompc.errors import Failed
from pompc.log import Waits, log


class LeaseEnded(Exception):
    """The learner restarted or did not hear of this process for too long: register again."""


class Stopped(Exception):
    """The run is over, or this process was told to end."""


class Identity:
    """What this process is to the learner, over all of its leases. Thread-safe."""

    def __init__(self, role: int, environments: int):
        self.role, self.environments = role, environments
        self.name = wire.for_status(f"{socket.gethostname()}:{os.getpid()}")
        self.process_id = secrets.randbits(64) or 1
        self.former_index: int | None = None
        self.waits = Waits()
        self._lock = threading.Lock()
        self._rows = self._episodes = self._told_rows = self._told_episodes = 0
        self._last_return = 0.0
        self._why_vain, self._vain_leases = "", 0

    def count_row(self) -> None:
        with self._lock:
            self._rows += 1

    def count_episode(self, episode_return: float) -> None:
        with self._lock:
            self._episodes += 1
            self._last_return = episode_return

    def counts(self) -> tuple[int, int, float]:
        """(rows, episodes, return of the last episode) since the start."""
        with self._lock:
            return self._rows, self._episodes, self._last_return

    def note_success(self, lasting: bool) -> None:
        """Rows are at their shard, or a result at the learner. `lasting`: and a whole episode went before it, so that
        what ended an earlier lease did not end this one."""
        with self._lock:
            self._why_vain, self._vain_leases = "", 0
        if lasting:
            self.waits.set("silence", "")

    def note_silence(self, why: str) -> None:
        """A lease has ended because this process could not send heartbeats, and why that was. Stays a reason to wait
        until there is a lasting success."""
        with self._lock:
            self._why_vain, self._vain_leases = why, self._vain_leases + 1
        self.waits.set("silence", why)

    def check(self) -> None:
        """Raises when further leases are of no use."""
        with self._lock:
            if self._vain_leases >= limits.VAIN_LEASES:
                raise Failed(f"{self._vain_leases} leases in a row ended in vain: {self._why_vain}")

    def told(self, rows: int, episodes: int) -> None:
        """The learner knows of so many."""
        with self._lock:
            self._told_rows, self._told_episodes = rows, episodes

    def told_counts(self) -> tuple[int, int]:
        with self._lock:
            return self._told_rows, self._told_episodes


class Lease:
    """What the learner knows of this process, and what it says of the run. One thread sends the heartbeats."""

    def __init__(self, learner: wire.Stub, identity: Identity, stop: threading.Event):
        self._learner, self._identity, self._stop = learner, identity, stop
        # A lease counts what no heartbeat under an earlier one told.
        self._base = identity.told_counts()
        self.registration = self._register()
        identity.former_index = self.registration.index
        self.run_id: str = self.registration.run_id
        self.config: messages.RunConfig = self.registration.config
        self._lock = threading.Lock()
        self._phase: int = self.registration.phase
        self._assignment: messages.EvaluationAssignment | None = None
        self._silence: tuple[float, float] | None = None
        self._ended = threading.Event()
        self._heartbeats = threading.Thread(target=self._beat, daemon=True)
        self._heartbeats.start()

    def _register(self) -> messages.RegisterReply:
        identity = self._identity
        request = messages.RegisterRequest(
            header=wire.header(""), role=identity.role, name=identity.name, environments=identity.environments,
            process_id=identity.process_id, former_index=identity.former_index)
        while True:
            if self._stop.is_set():
                raise Stopped
            try:
                reply = self._learner.Register(request, timeout=limits.CALL_SECONDS)
                identity.waits.set("learner", "")
                return reply  # type: ignore[no-any-return]
            except grpc.RpcError as error:
                if not wire.passing(error):
                    raise Failed(f"learner {self._learner.address}: {wire.words(error)}") from error
                identity.waits.set("learner", f"waits for the learner {self._learner.address}: {wire.words(error)}")
            self._stop.wait(limits.RETRY_SECONDS)

    def _heartbeat(self, timeout: float, **more: Any) -> messages.HeartbeatReply:
        rows, episodes, last_return = self._identity.counts()
        reply = self._learner.Heartbeat(messages.HeartbeatRequest(
            header=wire.header(self.run_id), lease_id=self.registration.lease_id, rows=rows - self._base[0],
            episodes=episodes - self._base[1], last_return=last_return,
            waiting=wire.for_status(self._identity.waits.text()), **more), timeout=timeout)
        self._identity.told(rows, episodes)
        return reply  # type: ignore[no-any-return]

    def _beat(self) -> None:
        last = time.monotonic()
        while not self._ended.wait(self.registration.heartbeat_ms / 1000):
            self._note_silence(last)
            sent, last = last, time.monotonic()
            try:
                reply = self._heartbeat(limits.CALL_SECONDS)
            except grpc.RpcError as error:
                if wire.passing(error):
                    self._identity.waits.tell(f"the learner does not answer: {wire.words(error)}")
                else:
                    log.info(f"the lease has ended: {wire.words(error)}")
                    if self.silence() is None:
                        self._note_silence(sent)
                    self._ended.set()
                continue
            with self._lock:
                self._phase = reply.phase
                self._assignment = reply.evaluation if reply.HasField("evaluation") else None

    def _note_silence(self, since: float) -> None:
        now = time.monotonic()
        if now - since > self.registration.lease_ms / 1000:
            with self._lock:
                self._silence = (since, now)

    def silence(self) -> tuple[float, float] | None:
        """(from, to) by the monotonic clock: for longer than the lease this process did not come to send a heartbeat.
        None if there was no such time."""
        with self._lock:
            return self._silence

    def close(self) -> None:
        """Whoever checks it from now on hears that it has ended."""
        self._ended.set()

    def leave(self, error: str = "") -> None:
        """Tells the learner that the process ends, with which error; it may not hear it."""
        self.close()
        with contextlib.suppress(grpc.RpcError):
            self._heartbeat(limits.LEAVE_SECONDS, leaving=True, error=wire.for_status(error))

    def check(self) -> None:
        """Raises when there is nothing more to do under this lease."""
        if self._stop.is_set() or self.phase() in (messages.Phase.FINISHED, messages.Phase.STOPPING):
            raise Stopped
        if self._ended.is_set():
            raise LeaseEnded

    def phase(self) -> int:
        with self._lock:
            return self._phase

    def assignment(self) -> messages.EvaluationAssignment | None:
        with self._lock:
            return self._assignment

    def report(self, assignment: messages.EvaluationAssignment, returns: list[float],
               decisions: list[int]) -> None:
        """Returns when the learner has the result, or wants it no more."""
        request = messages.ReportEvaluationRequest(
            header=wire.header(self.run_id), lease_id=self.registration.lease_id,
            evaluation_id=assignment.evaluation_id, version=assignment.version, returns=returns, decisions=decisions)
        try:
            while self.assignment() == assignment:
                self.check()
                problem = self._try_to_report(request)
                if not problem:
                    break
                self._identity.waits.set("report", f"waits for the learner: {problem}")
                self._stop.wait(limits.RETRY_SECONDS)
        finally:
            self._identity.waits.set("report", "")

    def _try_to_report(self, request: messages.ReportEvaluationRequest) -> str:
        """Why it must be tried again; empty if it need not."""
        try:
            self._learner.ReportEvaluation(request, timeout=limits.CALL_SECONDS)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.NOT_FOUND:
                raise LeaseEnded from error
            if wire.too_large(error):
                raise Failed(f"learner {self._learner.address}: {wire.words(error)}") from error
            if wire.passing(error):
                return wire.words(error)
            log.info(f"evaluation {request.evaluation_id} is not taken: {wire.words(error)}")
        return ""
