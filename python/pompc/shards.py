"""The replay shards of a run, as those who write rows see them."""

import queue
import threading
import time
from collections.abc import Hashable
from typing import Any

import grpc

from pompc import limits, messages, wire
from pompc.errors import Failed
from pompc.lease import Lease
from pompc.log import Waits


class EpisodeRefused(Exception):
    """A shard does not take the episode's rows: begin another one."""


def rows_per_chunk(config: messages.RunConfig) -> int:
    """Rows in one message to a shard: fewer than actor.chunk_rows where rows are so large that it would pass
    FULL_REQUEST_BYTES. TrajectoryWriter does the same."""
    spec = config.env.spec
    row_bytes = 4 * (spec.observation_size + 3 * spec.action_size + 4)
    return max(1, min(config.actor.chunk_rows, limits.FULL_REQUEST_BYTES // row_bytes))


class Shard:
    """A replay shard, to all environments that write to it under one lease."""

    def __init__(self, address: str, certificates: str = ""):
        self.stub = wire.Stub("ReplayService", address, certificates)
        self.name = f"shard {address}"
        self.answered = False   # it is one of the run's


class ShardStream:
    """One environment's rows on their way to its shard. After a chunk is sent, the next waits until it is acknowledged.
    `who` waits for the shard, from a chunk that it does not take until one that it does."""

    def __init__(self, shard: Shard, lease: Lease, environment: int, waits: Waits):
        self.who: Hashable = ("rows", environment)
        self._shard, self._lease, self._environment, self._waits = shard, lease, environment, waits
        self._opened: float | None = None
        self._call: Any = None
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._replies: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._failing_since: float | None = None
        self._sent: messages.AppendRequest | None = None

    def _read(self, call: Any, replies: "queue.SimpleQueue[Any]") -> None:
        try:
            for reply in call:
                replies.put(reply)
            replies.put(EpisodeRefused(f"{self._shard.name} ended the stream"))
        except grpc.RpcError as error:
            replies.put(error)

    def _age(self) -> float:
        return 0 if self._opened is None else time.monotonic() - self._opened

    def _open(self) -> None:
        """Another stream, when there is none or it may end before a chunk's time is over."""
        if self._opened is not None:
            if self._age() < limits.STREAM_SECONDS / 2:
                return
            self.close()
        self._requests, self._replies = queue.SimpleQueue(), queue.SimpleQueue()
        self._call = self._shard.stub.Append(iter(self._requests.get, None), timeout=limits.STREAM_SECONDS)
        threading.Thread(target=self._read, args=(self._call, self._replies), daemon=True).start()
        self._opened = time.monotonic()

    def close(self) -> None:
        """All that was sent has been acknowledged, or is given up."""
        if self._opened is not None:
            self._requests.put(None)
            self._call.cancel()
        self._opened = None

    def send(self, episode: int, first_row: int, rows: messages.Rows) -> None:
        """Returns when the shard holds the rows."""
        self.begin(episode, first_row, rows)
        self.finish()

    def begin(self, episode: int, first_row: int, rows: messages.Rows) -> None:
        """Sends rows, for whose acknowledgement finish() waits; nothing else may come between the two."""
        request = messages.AppendRequest(header=wire.header(self._lease.run_id), stream=self._id(episode),
                                         first_row=first_row, rows=rows)
        if request.ByteSize() > limits.MAX_REQUEST_BYTES:
            raise Failed(f"{rows.count} rows take {request.ByteSize()} bytes; a message has at most "
                         f"{limits.MAX_REQUEST_BYTES}")
        self._open()
        self._sent = request
        self._requests.put(request)

    def finish(self) -> None:
        """Returns when the shard holds the rows of begin()."""
        request, self._sent = self._sent, None
        if request is not None:
            self._await(request)
            self._failing_since = None
            self._waits.set(self.who, "")

    def _id(self, episode: int) -> messages.StreamId:
        registration = self._lease.registration
        return messages.StreamId(actor_index=registration.index, incarnation=registration.incarnation,
                              environment=self._environment, episode=episode)

    def _await(self, request: messages.AppendRequest) -> None:
        """Until the request is acknowledged."""
        blocked, heard = "", time.monotonic()
        while True:
            self._lease.check()
            try:
                reply = self._replies.get(timeout=limits.RETRY_SECONDS)
            except queue.Empty:
                if not blocked:
                    self._waits.set(self.who, f"{self._shard.name} has not acknowledged rows")
                    if time.monotonic() - heard > limits.ACK_SECONDS:
                        self.close()
                        raise EpisodeRefused(f"no word from {self._shard.name} for {limits.ACK_SECONDS} s") from None
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

    def _is_acknowledged(self, request: messages.AppendRequest, reply: messages.AppendReply) -> bool:
        """Acknowledgements are cumulative; those of an earlier episode may still come in."""
        if not reply.HasField("stream") or reply.stream.episode != request.stream.episode:
            return False
        if reply.verdict == messages.AppendReply.ACKED:
            return (reply.next_row >= request.first_row + request.rows.count
                    and (reply.ended or not request.rows.final_observation))
        if reply.verdict == messages.AppendReply.REFUSED and reply.code == wire.INVALID_ARGUMENT:
            self._give_up(f"{self._shard.name} refused rows: {reply.message}", lasting=True)
        raise EpisodeRefused(reply.message or "rows are missing at the shard")

    def _send_again(self, request: messages.AppendRequest, error: Any) -> None:
        """The stream has ended. If only because it was old, the shard knows the episode on the next one as well."""
        old = self._age() >= limits.STREAM_SECONDS / 2
        self.close()
        if isinstance(error, EpisodeRefused):
            raise error
        if old and error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
            self._open()
            self._requests.put(request)
            return
        if wire.too_large(error):
            raise Failed(f"{self._shard.name}: {wire.words(error)} (of actor.chunk_rows rows)") from error
        # One that took rows of this run may belong to it again; one that never did was named by mistake.
        taken = self._shard.answered and error.code() == grpc.StatusCode.FAILED_PRECONDITION
        why = " is used by another run and will be retried" if taken else ""
        self._give_up(f"{self._shard.name}{why}: {wire.words(error)}", lasting=not (taken or wire.passing(error)))

    def _give_up(self, why: str, lasting: bool) -> None:
        """The episode; or the process, where for GIVE_UP_SECONDS nothing came between errors that do not pass."""
        now = time.monotonic()
        self._failing_since = (self._failing_since or now) if lasting else None
        if self._failing_since and now - self._failing_since >= limits.GIVE_UP_SECONDS:
            raise Failed(why)
        raise EpisodeRefused(why)
