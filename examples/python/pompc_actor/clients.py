"""The servers of a run as an actor or evaluator sees them: the learner, planners and replay shards."""

import contextlib
import itertools
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

PLAN_SECONDS = 10       # after which a plan is requested again, from another planner where there is one
MAX_PLAN_SECONDS = 120  # to which that grows with planners that are slow
QUIET_SECONDS = 5       # of waiting for a plan that nobody is told of
BAR_SECONDS = 30        # until a planner that did not answer is tried again, while there are others
AWAY_SECONDS = 2        # likewise, of one that could not be reached
CALL_SECONDS = 5        # of the calls to the learner
LEAVE_SECONDS = 2       # of the last of them
STREAM_SECONDS = 600    # that a stream to a shard lasts at most; one half as old is reopened before the next chunk
ACK_SECONDS = 60        # without a word from a shard that does not say it is holding rows back
RETRY_SECONDS = 1
GIVE_UP_SECONDS = 10    # of errors that do not pass by themselves
VAIN_LEASES = 3         # in a row, after which it is no use to ask for another one
LOG_SECONDS = 30        # between two lines that say the same
# What passes by itself: the server is away, busy, or was asked for too short a time.
PASSING = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED,
           grpc.StatusCode.CANCELLED, grpc.StatusCode.ABORTED)
INVALID_ARGUMENT = grpc.StatusCode.INVALID_ARGUMENT.value[0]



class Log:
    """Lines for whoever runs the process. Not of the package logging, whose settings are the environment's: it may
    silence what is there already. Thread-safe."""

    def __init__(self):
        self.stream = None  # nothing is written before it is set
        self._lock = threading.Lock()

    def info(self, text):
        now = time.time()
        self.say(f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(now))},{int(now % 1 * 1000):03} {text}")

    def say(self, line):
        """A log that cannot be written stops nobody."""
        with self._lock, contextlib.suppress(OSError, ValueError, AttributeError):
            self.stream.write(line + "\n")


log = Log()


class LeaseEnded(Exception):
    """The learner restarted or did not hear of this process for too long: register again."""


class EpisodeRefused(Exception):
    """A shard does not take the episode's rows: begin another one."""


class Stopped(Exception):
    """The run is over, or this process was told to end."""


def words(error):
    """What an RpcError says."""
    return f"{error.code().name}: {error.details()}"


def too_large(error):
    """Whether gRPC refused a message for its size; a server that is short of something uses the same code, and
    recovers."""
    return error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in (error.details() or "")


def passing(error):
    """Whether the same call may succeed later without anyone doing anything about this process."""
    return error.code() in PASSING and not too_large(error)


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
        """`who` waits for a reason; "" means that it has resumed. A reason is logged when it comes up, and each LOG_SECONDS."""
        with self._lock:
            if why:
                self._reasons[who] = why
                self._log(why)
            elif self._reasons.pop(who, None) and not self._reasons:
                self._log("waits no longer")

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
            log.info(text)


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
        self._why_vain, self._vain_leases = "", 0

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

    def note_success(self, lasting):
        """Rows are at their shard, or a result at the learner. `lasting`: and a whole episode went before it, so that
        what ended an earlier lease did not end this one."""
        with self._lock:
            self._why_vain, self._vain_leases = "", 0
        if lasting:
            self.waits.set("silence", "")

    def note_silence(self, why):
        """A lease has ended because this process could not send heartbeats, and why that was. Stays a reason to wait
        until there is a lasting success."""
        with self._lock:
            self._why_vain, self._vain_leases = why, self._vain_leases + 1
        self.waits.set("silence", why)

    def check(self):
        """Raises when further leases are of no use."""
        with self._lock:
            if self._vain_leases >= VAIN_LEASES:
                raise Failed(f"{self._vain_leases} leases in a row ended in vain: {self._why_vain}")

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
        self._silence = None
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
                if not passing(error):
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
        last = time.monotonic()
        while not self._ended.wait(self.registration.heartbeat_ms / 1000):
            self._note_silence(last)
            sent, last = last, time.monotonic()
            try:
                reply = self._heartbeat(CALL_SECONDS)
            except grpc.RpcError as error:
                if passing(error):
                    self._identity.waits.tell(f"the learner does not answer: {words(error)}")
                else:
                    log.info(f"the lease has ended: {words(error)}")
                    if self.silence() is None:
                        self._note_silence(sent)
                    self._ended.set()
                continue
            with self._lock:
                self._phase = reply.phase
                self._assignment = reply.evaluation if reply.HasField("evaluation") else None

    def _note_silence(self, since):
        now = time.monotonic()
        if now - since > self.registration.lease_ms / 1000:
            with self._lock:
                self._silence = (since, now)

    def silence(self):
        """(from, to) by the monotonic clock: for longer than the lease this process did not come to send a heartbeat.
        None if there was no such time."""
        with self._lock:
            return self._silence

    def close(self):
        """Whoever checks it from now on hears that it has ended."""
        self._ended.set()

    def leave(self, error=""):
        """Tells the learner that the process ends, with which error; it may not hear it."""
        self.close()
        with contextlib.suppress(grpc.RpcError):
            self._heartbeat(LEAVE_SECONDS, leaving=True, error=for_status(error))

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
        try:
            while self.assignment() == assignment:
                self.check()
                problem = self._try_to_report(request)
                if not problem:
                    break
                self._identity.waits.set("report", f"waits for the learner: {problem}")
                self._stop.wait(RETRY_SECONDS)
        finally:
            self._identity.waits.set("report", "")

    def _try_to_report(self, request):
        """Why it must be tried again; empty if it need not."""
        try:
            self._learner.ReportEvaluation(request, timeout=CALL_SECONDS)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.NOT_FOUND:
                raise LeaseEnded from error
            if too_large(error):
                raise Failed(f"learner {self._learner.address}: {words(error)}") from error
            if passing(error):
                return words(error)
            log.info(f"evaluation {request.evaluation_id} is not taken: {words(error)}")
        return ""


class _Planner:
    """One of them, as far as it is known. Guarded by the lock of Planners."""

    def __init__(self, address):
        self.stub = wire.stub("PlannerService", address)
        self.patience = PLAN_SECONDS
        self.avoided = False    # it did not answer, or could not be reached
        self.probe_at = 0.0     # when one that is avoided is tried again
        self.probing = False


class Planners:
    """Asks the planners of a run in turn. One that does not answer is avoided while there are others, and is tried with
    copies of requests that nobody waits for until it answers one. Plans are functions of their request, so asking twice
    is harmless. Thread-safe."""

    def __init__(self, addresses):
        self._planners = [_Planner(address) for address in addresses]
        self._turn = itertools.cycle(self._planners)
        self._lock = threading.Lock()

    def plan(self, request, who, lease, waits, keep_waiting=lambda: True):
        """The plan of the request's one query; None once keep_waiting says no. `who` waits for it."""
        request.header.CopyFrom(wire.header(lease.run_id))
        try:
            return self._plan(request, lease, lambda why: waits.set(who, why), keep_waiting)
        finally:
            waits.set(who, "")

    def _plan(self, request, lease, tell, keep_waiting):
        failures, failing_since = 0, None
        while keep_waiting():
            lease.check()
            planner = self._next()
            address, lasting = planner.stub.address, True
            try:
                reply = self._ask(planner, request, lease, keep_waiting, tell if failures == 0 else lambda why: None)
                if reply is None:
                    continue
                problem = _problem_of(reply, lease.config.env.spec.action_size)
                if not problem:
                    return reply.plans[0]
            except grpc.RpcError as error:
                problem, lasting = words(error), not passing(error)
                if too_large(error):
                    raise Failed(f"planner {address}: {problem}") from error
            now = time.monotonic()
            failing_since = (failing_since or now) if lasting else None
            if failing_since and now - failing_since >= GIVE_UP_SECONDS:
                raise Failed(f"planner {address}: {problem}")
            failures += 1
            if failures % len(self._planners) == 0:
                tell(f"no plan: planner {address}: {problem}")
                time.sleep(min(RETRY_SECONDS, 0.02 * failures))
        return None

    def _next(self):
        """The next one in turn that is not avoided, or just the next one."""
        with self._lock:
            return next((planner for planner in itertools.islice(self._turn, len(self._planners))
                         if not planner.avoided), None) or next(self._turn)

    def _ask(self, planner, request, lease, keep_waiting, tell):
        """The reply; None when it is not waited for any longer: nobody wants it, or another planner is to be asked."""
        self._probe(request, planner)
        timeout, began = planner.patience, time.monotonic()
        call = planner.stub.Plan.future(request, timeout=timeout)
        try:
            while True:
                try:
                    reply = call.result(timeout=RETRY_SECONDS)
                    break
                except grpc.FutureTimeoutError:
                    lease.check()
                    self._probe(request, planner)
                    if not keep_waiting() or (planner.avoided and self._have_others()):
                        return None
                    if time.monotonic() - began > QUIET_SECONDS:
                        tell(f"no plan: planner {planner.stub.address} has not answered yet")
        except grpc.RpcError as error:
            self._note_failure(planner, error.code(), timeout)
            raise
        finally:
            call.cancel()
        self._note_answer(planner, time.monotonic() - began)
        return reply

    def _have_others(self):
        with self._lock:
            return any(not planner.avoided for planner in self._planners)

    def _probe(self, request, asked):
        """Sends a copy to those that are avoided and whose time has come, but for the one that is asked just now."""
        now = time.monotonic()
        with self._lock:
            due = [planner for planner in self._planners
                   if planner is not asked and planner.avoided and not planner.probing and planner.probe_at <= now]
            for planner in due:
                planner.probing = True
        for planner in due:
            call = planner.stub.Plan.future(request, timeout=MAX_PLAN_SECONDS)
            call.add_done_callback(lambda call, planner=planner: self._probed(planner, call.code(), now))

    def _probed(self, planner, code, began):
        if code == grpc.StatusCode.OK:
            self._note_answer(planner, time.monotonic() - began)
        else:
            self._note_failure(planner, code, planner.patience / 2)
        with self._lock:
            planner.probing = False

    def _note_answer(self, planner, seconds):
        with self._lock:
            planner.avoided = False
            planner.patience = min(max(PLAN_SECONDS, 2 * seconds), MAX_PLAN_SECONDS)

    def _note_failure(self, planner, code, timeout):
        """The next request waits twice as long as one that waited in vain."""
        late = code == grpc.StatusCode.DEADLINE_EXCEEDED
        with self._lock:
            if late:
                planner.patience = max(planner.patience, min(2 * timeout, MAX_PLAN_SECONDS))
            planner.avoided = late or code == grpc.StatusCode.UNAVAILABLE
            planner.probe_at = time.monotonic() + (BAR_SECONDS if late else AWAY_SECONDS)


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


class Shard:
    """A replay shard, to all environments that write to it under one lease."""

    def __init__(self, address):
        self.stub = wire.stub("ReplayService", address)
        self.name = f"shard {address}"
        self.answered = False   # it is one of the run's


class ShardStream:
    """One environment's rows on their way to its shard. After a chunk is sent, the next waits until it is acknowledged.
    `who` waits for the shard, from a chunk that it does not take until one that it does."""

    def __init__(self, shard, lease, environment, waits):
        self.who = ("rows", environment)
        self._shard, self._lease, self._environment, self._waits = shard, lease, environment, waits
        self._opened = None
        self._call = self._requests = self._replies = None
        self._failing_since = None

    def _read(self, call, replies):
        try:
            for reply in call:
                replies.put(reply)
            replies.put(EpisodeRefused(f"{self._shard.name} ended the stream"))
        except grpc.RpcError as error:
            replies.put(error)

    def _age(self):
        return 0 if self._opened is None else time.monotonic() - self._opened

    def _open(self):
        """Another stream, when there is none or it may end before a chunk's time is over."""
        if self._opened is not None:
            if self._age() < STREAM_SECONDS / 2:
                return
            self.close()
        self._requests, self._replies = queue.SimpleQueue(), queue.SimpleQueue()
        self._call = self._shard.stub.Append(iter(self._requests.get, None), timeout=STREAM_SECONDS)
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
        self._open()
        self._requests.put(request)
        self._await(request)
        self._failing_since = None
        self._waits.set(self.who, "")

    def _id(self, episode):
        registration = self._lease.registration
        return proto.StreamId(actor_index=registration.index, incarnation=registration.incarnation,
                              environment=self._environment, episode=episode)

    def _await(self, request):
        """Until the request is acknowledged."""
        blocked, heard = "", time.monotonic()
        while True:
            self._lease.check()
            try:
                reply = self._replies.get(timeout=RETRY_SECONDS)
            except queue.Empty:
                if not blocked:
                    self._waits.set(self.who, f"{self._shard.name} has not acknowledged rows")
                    if time.monotonic() - heard > ACK_SECONDS:
                        self.close()
                        raise EpisodeRefused(f"no word from {self._shard.name} for {ACK_SECONDS} s") from None
                continue
            heard = time.monotonic()
            if isinstance(reply, Exception):
                blocked = ""
                self._send_again(request, reply)
                continue
            self._shard.answered = True
            if reply.blocked or blocked:
                self._waits.set(self.who, reply.blocked)
            blocked = reply.blocked
            if self._is_acknowledged(request, reply):
                return

    def _is_acknowledged(self, request, reply):
        """Acknowledgements are cumulative; those of an earlier episode may still come in."""
        if not reply.HasField("stream") or reply.stream.episode != request.stream.episode:
            return False
        if reply.verdict == proto.AppendReply.ACKED:
            return (reply.next_row >= request.first_row + request.rows.count
                    and (reply.ended or not request.rows.final_observation))
        if reply.verdict == proto.AppendReply.REFUSED and reply.code == INVALID_ARGUMENT:
            self._give_up(f"{self._shard.name} refused rows: {reply.message}", lasting=True)
        raise EpisodeRefused(reply.message or "rows are missing at the shard")

    def _send_again(self, request, error):
        """The stream has ended. If only because it was old, the shard knows the episode on the next one as well."""
        old = self._age() >= STREAM_SECONDS / 2
        self.close()
        if isinstance(error, EpisodeRefused):
            raise error
        if old and error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
            self._open()
            self._requests.put(request)
            return
        if too_large(error):
            raise Failed(f"{self._shard.name}: {words(error)} (of actor.chunk_rows rows)") from error
        # One that took rows of this run may belong to it again; one that never did was named by mistake.
        taken = self._shard.answered and error.code() == grpc.StatusCode.FAILED_PRECONDITION
        why = " is used by another run and will be retried" if taken else ""
        self._give_up(f"{self._shard.name}{why}: {words(error)}", lasting=not (taken or passing(error)))

    def _give_up(self, why, lasting):
        """The episode; or the process, where for GIVE_UP_SECONDS nothing came between errors that do not pass."""
        now = time.monotonic()
        self._failing_since = (self._failing_since or now) if lasting else None
        if self._failing_since and now - self._failing_since >= GIVE_UP_SECONDS:
            raise Failed(why)
        raise EpisodeRefused(why)
