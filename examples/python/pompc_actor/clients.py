"""The servers of a run as an actor or evaluator sees them: the learner, planners and replay shards."""

import itertools
import logging
import os
import queue
import secrets
import socket
import threading
import time

import grpc
import numpy

from pompc_actor import Failed, wire
from pompc_actor.wire import proto

PLAN_SECONDS = 10       # after which another planner is asked
BAR_SECONDS = 30        # for which a planner that took longer is left out, while there are others
CALL_SECONDS = 5        # of the calls to the learner
LEAVE_SECONDS = 2       # of the last of them
STREAM_SECONDS = 600    # after which a stream to a shard ends, whatever its state; it is opened anew between episodes
ACK_SECONDS = 60        # without a word from a shard that does not say it is holding rows back
RETRY_SECONDS = 1
GIVE_UP_SECONDS = 10    # of errors that do not pass by themselves
LOG_SECONDS = 30        # between two lines that say the same
# What passes by itself: the server is away, busy, or was asked for too short a time.
PASSING = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED,
           grpc.StatusCode.CANCELLED, grpc.StatusCode.ABORTED)
INVALID_ARGUMENT = grpc.StatusCode.INVALID_ARGUMENT.value[0]

log = logging.getLogger("pompc_actor")


class LeaseEnded(Exception):
    """The learner restarted or did not hear of this process for too long: register again."""


class EpisodeRefused(Exception):
    """A shard does not take the episode's rows: begin another one."""


class Stopped(Exception):
    """The run is over, or this process was told to end."""


def words(error):
    """What an RpcError says."""
    return f"{error.code().name}: {error.details()}"


def for_status(text):
    """Text as the learner keeps it."""
    return text.encode(errors="replace")[:256].decode(errors="ignore")


class Waits:
    """What the process waits for just now, for its log and the run's status. Thread-safe."""

    def __init__(self, now=time.monotonic):
        self._now = now
        self._lock = threading.Lock()
        self._reasons = {}  # by who waits
        self._logged = {}   # text -> when it was logged last

    def set(self, who, why):
        """`who` waits for a reason; "": it goes on. A reason is logged when it comes up, and each LOG_SECONDS."""
        with self._lock:
            if why:
                self._reasons[who] = why
                self._log(why)
            elif self._reasons.pop(who, None) and not self._reasons:
                self._log("goes on")

    def text(self):
        """The reasons in words, empty if nothing waits."""
        with self._lock:
            return "; ".join(dict.fromkeys(self._reasons.values()))

    def tell(self, text):
        """Logs something that may come up often, unless it was logged just now."""
        with self._lock:
            self._log(text)

    def _log(self, text):
        now = self._now()
        self._logged = {old: at for old, at in self._logged.items() if now - at < LOG_SECONDS}
        if text not in self._logged:
            self._logged[text] = now
            log.info("%s", text)


class Identity:
    """What this process is to the learner, over all of its leases. Thread-safe."""

    def __init__(self, role, environments):
        self.role, self.environments = role, environments
        self.name = for_status(f"{socket.gethostname()}:{os.getpid()}")
        self.process_id = secrets.randbits(64) or 1
        self.former_index = None
        self.waits = Waits()
        self._lock = threading.Lock()
        self._rows = self._episodes = self._told_rows = self._told_episodes = 0
        self._last_return = 0.0

    def count_row(self):
        with self._lock:
            self._rows += 1

    def count_episode(self, episode_return):
        with self._lock:
            self._episodes += 1
            self._last_return = episode_return

    def counts(self):
        """(rows, episodes, return of the last episode) since the start."""
        with self._lock:
            return self._rows, self._episodes, self._last_return

    def told(self, rows, episodes):
        """The learner knows of so many."""
        with self._lock:
            self._told_rows, self._told_episodes = rows, episodes

    def told_counts(self):
        with self._lock:
            return self._told_rows, self._told_episodes


class Lease:
    """What the learner knows of this process, and what it says of the run. One thread sends the heartbeats."""

    def __init__(self, learner, identity, stop):
        self._learner, self._identity, self._stop = learner, identity, stop
        # A lease counts what no heartbeat under an earlier one told.
        self._base = identity.told_counts()
        self.registration = self._register()
        identity.former_index = self.registration.index
        self.run_id, self.config = self.registration.run_id, self.registration.config
        self._lock = threading.Lock()
        self._phase, self._assignment = self.registration.phase, None
        self._ended = threading.Event()
        self._heartbeats = threading.Thread(target=self._beat, daemon=True)
        self._heartbeats.start()

    def _register(self):
        identity = self._identity
        request = proto.RegisterRequest(
            header=wire.header(""), role=identity.role, name=identity.name, environments=identity.environments,
            process_id=identity.process_id, former_index=identity.former_index)
        while True:
            if self._stop.is_set():
                raise Stopped
            try:
                reply = self._learner.Register(request, timeout=CALL_SECONDS)
                identity.waits.set("learner", "")
                return reply
            except grpc.RpcError as error:
                if error.code() not in PASSING:
                    raise Failed(f"learner {self._learner.address}: {words(error)}") from error
                identity.waits.set("learner", f"waits for the learner {self._learner.address}: {words(error)}")
            self._stop.wait(RETRY_SECONDS)

    def _heartbeat(self, timeout, **more):
        rows, episodes, last_return = self._identity.counts()
        reply = self._learner.Heartbeat(proto.HeartbeatRequest(
            header=wire.header(self.run_id), lease_id=self.registration.lease_id, rows=rows - self._base[0],
            episodes=episodes - self._base[1], last_return=last_return, waiting=for_status(self._identity.waits.text()),
            **more), timeout=timeout)
        self._identity.told(rows, episodes)
        return reply

    def _beat(self):
        while not self._ended.wait(self.registration.heartbeat_ms / 1000):
            try:
                reply = self._heartbeat(CALL_SECONDS)
            except grpc.RpcError as error:
                if error.code() in PASSING:
                    self._identity.waits.tell(f"the learner does not answer: {words(error)}")
                else:
                    log.info("the lease has ended: %s", words(error))
                    self._ended.set()
                continue
            with self._lock:
                self._phase = reply.phase
                self._assignment = reply.evaluation if reply.HasField("evaluation") else None

    def close(self):
        """Whoever checks it from now on hears that it has ended."""
        self._ended.set()

    def leave(self, error=""):
        """Tells the learner that the process ends, with which error; it may not hear it."""
        self.close()
        try:
            self._heartbeat(LEAVE_SECONDS, leaving=True, error=for_status(error))
        except grpc.RpcError as unheard:
            log.debug("the learner did not hear that this process ends: %s", words(unheard))

    def check(self):
        """Raises when there is nothing more to do under this lease."""
        if self._stop.is_set() or self.phase() in (proto.Phase.FINISHED, proto.Phase.STOPPING):
            raise Stopped
        if self._ended.is_set():
            raise LeaseEnded

    def phase(self):
        with self._lock:
            return self._phase

    def assignment(self):
        with self._lock:
            return self._assignment

    def report(self, assignment, returns, decisions):
        """Returns when the learner has the result, or wants it no more."""
        request = proto.ReportEvaluationRequest(
            header=wire.header(self.run_id), lease_id=self.registration.lease_id,
            evaluation_id=assignment.evaluation_id, version=assignment.version, returns=returns, decisions=decisions)
        while self.assignment() == assignment:
            self.check()
            try:
                self._learner.ReportEvaluation(request, timeout=CALL_SECONDS)
                break
            except grpc.RpcError as error:
                if error.code() == grpc.StatusCode.NOT_FOUND:
                    raise LeaseEnded from error
                if error.code() not in PASSING:
                    log.info("evaluation %d is not taken: %s", assignment.evaluation_id, words(error))
                    break
                self._identity.waits.set("report", f"waits for the learner: {words(error)}")
            self._stop.wait(RETRY_SECONDS)
        self._identity.waits.set("report", "")


class Planners:
    """Asks the planners of a run in turn. Plans are functions of their request, so asking twice is harmless.
    Thread-safe."""

    def __init__(self, addresses):
        self._stubs = [wire.stub("PlannerService", address) for address in addresses]
        self._turn = itertools.count()
        self._barred_until = [0.0] * len(addresses)

    def _next(self):
        """The next one in turn that is not barred, or just the next one."""
        now = time.monotonic()
        for _ in self._stubs:
            i = next(self._turn) % len(self._stubs)
            if self._barred_until[i] <= now:
                return i
        return next(self._turn) % len(self._stubs)

    def plan(self, request, who, lease, waits, keep_waiting=lambda: True):
        """The plan of the request's one query; None once keep_waiting says no. `who` waits for it."""
        request.header.CopyFrom(wire.header(lease.run_id))
        failures, failing_since = 0, None
        while keep_waiting():
            lease.check()
            i = self._next()
            stub = self._stubs[i]
            try:
                reply = stub.Plan(request, timeout=PLAN_SECONDS)
                problem = _problem_of(reply, lease.config.env.spec.action_size)
                if not problem:
                    waits.set(who, "")
                    return reply.plans[0]
                passing = False
            except grpc.RpcError as error:
                problem, passing = words(error), error.code() in PASSING
                if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
                    self._barred_until[i] = time.monotonic() + BAR_SECONDS
            now = time.monotonic()
            failing_since = None if passing else failing_since or now
            if failing_since and now - failing_since >= GIVE_UP_SECONDS:
                raise Failed(f"planner {stub.address}: {problem}")
            failures += 1
            if failures % len(self._stubs) == 0:
                waits.set(who, f"no plan: planner {stub.address}: {problem}")
                time.sleep(min(RETRY_SECONDS, 0.02 * failures))
        waits.set(who, "")
        return None


def _problem_of(reply, action_size):
    """What is wrong with the reply to one query; empty if nothing is."""
    if len(reply.plans) != 1:
        return f"sent {len(reply.plans)} plans for one query"
    plan = reply.plans[0]
    for name in ("action", "plan_mean", "plan_std"):
        data = getattr(plan, name)
        if len(data) != 4 * action_size:
            return f"sent a plan whose {name} has {len(data)} bytes for an action size of {action_size}"
        if not numpy.isfinite(wire.to_array(data)).all():
            return f"sent a plan with NaN or infinity in its {name}"
    return ""


def rows_per_chunk(config):
    """Rows in one message to a shard: fewer than actor.chunk_rows where rows are so large that it would pass
    FULL_REQUEST_BYTES. TrajectoryWriter does the same."""
    spec = config.env.spec
    row_bytes = 4 * (spec.observation_size + 3 * spec.action_size + 4)
    return max(1, min(config.actor.chunk_rows, wire.FULL_REQUEST_BYTES // row_bytes))


class ShardStream:
    """One environment's stream of rows to its shard. After a chunk is sent, the next waits until it is acknowledged."""

    def __init__(self, address, lease, environment, waits):
        self._stub = wire.stub("ReplayService", address)
        self._lease, self._environment, self._waits = lease, environment, waits
        self._opened = None
        self._call = self._requests = self._replies = None

    def _read(self, call, replies):
        try:
            for reply in call:
                replies.put(reply)
            replies.put(EpisodeRefused(f"shard {self._stub.address} ended the stream"))
        except grpc.RpcError as error:
            replies.put(error)

    def open(self):
        """Called between episodes."""
        if self._opened is not None and time.monotonic() - self._opened < STREAM_SECONDS / 2:
            return
        self.close()
        self._requests, self._replies = queue.SimpleQueue(), queue.SimpleQueue()
        self._call = self._stub.Append(iter(self._requests.get, None), timeout=STREAM_SECONDS)
        threading.Thread(target=self._read, args=(self._call, self._replies), daemon=True).start()
        self._opened = time.monotonic()

    def close(self):
        """All that was sent has been acknowledged, or is given up."""
        if self._opened is not None:
            self._requests.put(None)
            self._call.cancel()
        self._opened = None

    def send(self, episode, first_row, rows):
        """Returns when the shard holds the rows."""
        request = proto.AppendRequest(header=wire.header(self._lease.run_id), stream=self._id(episode),
                                      first_row=first_row, rows=rows)
        if request.ByteSize() > wire.MAX_REQUEST_BYTES:
            raise Failed(f"{rows.count} rows take {request.ByteSize()} bytes; a message has at most "
                         f"{wire.MAX_REQUEST_BYTES}")
        self._requests.put(request)
        try:
            self._await(episode, first_row, rows)
        finally:
            self._waits.set(self._environment, "")

    def _id(self, episode):
        registration = self._lease.registration
        return proto.StreamId(actor_index=registration.index, incarnation=registration.incarnation,
                              environment=self._environment, episode=episode)

    def _await(self, episode, first_row, rows):
        blocked, heard = "", time.monotonic()
        while True:
            self._lease.check()
            try:
                reply = self._replies.get(timeout=RETRY_SECONDS)
            except queue.Empty:
                silent = time.monotonic() - heard
                if not blocked:
                    self._waits.set(self._environment, f"shard {self._stub.address} has not acknowledged rows")
                    if silent > ACK_SECONDS:
                        self.close()
                        raise EpisodeRefused(f"no word from shard {self._stub.address} for {ACK_SECONDS} s") from None
                continue
            heard = time.monotonic()
            if isinstance(reply, Exception):
                self._fail(reply)
            blocked = reply.blocked
            self._waits.set(self._environment, blocked)
            # Acknowledgements are cumulative; those of an earlier episode may still come in.
            if reply.HasField("stream") and reply.stream.episode == episode:
                if reply.verdict == proto.AppendReply.ACKED:
                    if reply.next_row >= first_row + rows.count and (reply.ended or not rows.final_observation):
                        return
                elif reply.verdict == proto.AppendReply.REFUSED and reply.code == INVALID_ARGUMENT:
                    raise Failed(f"shard {self._stub.address} refused rows: {reply.message}")
                else:
                    raise EpisodeRefused(reply.message or "rows are missing at the shard")

    def _fail(self, error):
        """The stream has ended."""
        self.close()
        if isinstance(error, EpisodeRefused):
            raise error
        where = f"shard {self._stub.address}: {words(error)}"
        # gRPC's own refusal of a message; a shard that is short of something uses the same code, and recovers.
        too_large = error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in (error.details() or "")
        if too_large or error.code() not in PASSING:
            raise Failed(f"{where} (of actor.chunk_rows rows)" if too_large else where) from error
        raise EpisodeRefused(where) from error
