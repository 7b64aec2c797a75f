"""The replay shards of a run: windows as the learner draws them, and rows as data sets hold them."""

import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy
from numpy.typing import NDArray

from pompc import limits, messages, tensor_file, wire
from pompc.errors import Failed, Refused

Arrays = dict[str, NDArray[Any]]

_READ_ROWS = 65536          # that one call looks at, at most
_MAX_DRAWS = 65536          # windows in one request
_REPLY_BYTES = 16 << 20     # of windows in one reply


def _numbers(data: bytes, dtype: str, shape: tuple[int, ...], name: str) -> NDArray[Any]:
    array = numpy.frombuffer(data, dtype)
    if array.size != numpy.prod(shape, dtype=int):
        raise Failed(f"a shard sent {array.size} numbers of {name}; expected {shape}")
    return array.reshape(shape)


class Replay:
    """The shards of one run. Not thread-safe."""

    def __init__(self, shards: str | Iterable[str], *, certificates: str | os.PathLike[str] | None = None):
        """`shards`: host:port of each, as a list or with commas between them. Failed where one does not answer, or
        where they belong to different runs."""
        folder = wire.certificates_folder(certificates)
        self._stubs = [wire.Stub("ReplayService", address, folder) for address in wire.parse_addresses(shards)]
        if not self._stubs:
            raise Refused("no shards are named: host:port of each")
        try:
            first = self._first_of_one_run()
        except Failed:
            self.close()
            raise
        self.run_id, self.task = first.run_id, first.task
        self.action_repeat: int = first.action_repeat
        self.observation_size: int = first.spec.observation_size
        self.action_size: int = first.spec.action_size
        self.horizon: int = first.horizon  # rows of a window

    def _first_of_one_run(self) -> messages.ShardDescription:
        """The first shard's. Failed where another one is of another run."""
        descriptions = self._descriptions()
        first = descriptions[0]
        for stub, description in zip(self._stubs, descriptions, strict=True):
            if description.run_id != first.run_id:
                raise Failed(f"{self._stubs[0].address} is of run {first.run_id}, {stub.address} of run "
                             f"{description.run_id}")
        if 0 < first.shard_count < len(self._stubs):
            raise Failed(f"{len(self._stubs)} shards are named, and run {first.run_id} has {first.shard_count}: two "
                         "addresses are of the same one")
        return first

    def _descriptions(self) -> list[messages.ShardDescription]:
        request = messages.DescribeRequest(header=wire.header(""))
        return [wire.asked(stub.Describe, request, limits.CALL_SECONDS, stub.address) for stub in self._stubs]

    def __len__(self) -> int:
        """Rows that are stored now."""
        return sum(int(description.info.stored_rows) for description in self._descriptions())

    def sample(self, count: int, *, table: str = "", seed: int | None = None) -> Arrays:
        """`count` windows of H = `horizon` rows, drawn with replacement from a table of the run (its first one) as the
        learner draws them, over all shards. They count as drawn. Where connections are secured only a learner's
        certificate may draw; rows() serves operators. Failed where there are no windows, or no such table (the error
        lists them). O and A are the sizes of observation and action.

          observations   [count, H+1, O] float32       actions, rewards          [count, H, A], [count, H] float32
          terminated     [count, H] bool               plan_mean, plan_std       [count, H+1, A] float32
          has_plan       [count, H+1] bool             addresses                 [count, H+1] uint64
          versions       [count, 2] uint64             draws                     [count] uint64
          probabilities  [count] float32: of the draw  shards                    [count] int64: which shard it is from
        """
        count = wire.whole("the number of windows", count, least=1, most=2**31 - 1)
        random = numpy.random.default_rng(None if seed is None else wire.whole("seed", seed))
        masses = numpy.array([self._mass(description, table) for description in self._descriptions()], float)
        if masses.sum() == 0:
            raise Failed(f"no shard of run {self.run_id} has a window{f' in table {table!r}' if table else ''} yet")
        shares = masses / masses.sum()
        parts: list[Arrays] = []
        for i, wanted in enumerate(random.multinomial(count, shares)):
            parts += self._windows(i, int(wanted), table, random, float(shares[i]))
        order = random.permutation(count)
        return {name: numpy.concatenate([part[name] for part in parts])[order] for name in parts[0]}

    @staticmethod
    def _mass(description: messages.ShardDescription, table: str) -> int:
        for info in description.info.tables:
            if table in ("", info.name):
                return int(info.mass)
        return int(description.info.windows)  # the shard says that there is no such table

    def _windows(self, shard: int, count: int, table: str, random: numpy.random.Generator,
                 share: float) -> Iterator[Arrays]:
        h, stub = self.horizon, self._stubs[shard]
        window_bytes = 4 * (h + 1) * (self.observation_size + 3 * self.action_size + 4)
        at_once = max(1, min(_MAX_DRAWS, _REPLY_BYTES // window_bytes))
        while count > 0:
            now, count = min(count, at_once), count - min(count, at_once)
            reply: messages.SampleReply = wire.asked(stub.Sample, messages.SampleRequest(
                header=wire.header(self.run_id), count=now, seed=int(random.integers(2**63)), table=table),
                limits.READ_SECONDS, stub.address)
            arrays = self._arrays_of(reply.windows)
            arrays["probabilities"] = arrays["probabilities"] * numpy.float32(share)
            yield {**arrays, "shards": numpy.full(now, shard, numpy.int64)}

    def _arrays_of(self, windows: messages.Windows) -> Arrays:
        b, h, o, a = windows.count, windows.horizon, self.observation_size, self.action_size
        shapes: dict[str, tuple[str, tuple[int, ...]]] = {
            "observations": ("<f4", (b, h + 1, o)), "actions": ("<f4", (b, h, a)), "rewards": ("<f4", (b, h)),
            "terminated": ("|b1", (b, h)), "plan_mean": ("<f4", (b, h + 1, a)), "plan_std": ("<f4", (b, h + 1, a)),
            "has_plan": ("|b1", (b, h + 1)), "addresses": ("<u8", (b, h + 1)), "versions": ("<u8", (b, 2)),
            "draws": ("<u8", (b,)), "probabilities": ("<f4", (b,))}
        return {name: _numbers(getattr(windows, name), dtype, shape, name) for name, (dtype, shape) in shapes.items()}

    def rows(self, *, actor: int | None = None, environment: int | None = None,
             episode: int | None = None) -> Arrays:
        """All stored rows, or those of one actor index, environment or episode, as the arrays of a data set
        (docs/datasets.md), in memory. Nothing is counted as drawn. Rows that are written or evicted meanwhile may be
        there or not."""
        selected = {field: wire.whole(name, value, most=2**bits - 1) for field, name, value, bits in (
            ("actor_index", "actor", actor, 32), ("environment", "environment", environment, 32),
            ("episode", "episode", episode, 64)) if value is not None}
        episodes = _Episodes(self.observation_size, self.action_size)
        for shard, stub in enumerate(self._stubs):
            for stored in self._stored(stub, selected):
                episodes.add(shard, stored)
        return episodes.arrays()

    def export(self, path: str | os.PathLike[str], *, actor: int | None = None, environment: int | None = None,
               episode: int | None = None) -> int:
        """Writes rows() to a data set, a safetensors file that `pompc replay import` and `pompc train --import` take.
        Returns the number of rows. For more rows than memory holds there is `pompc replay export`."""
        arrays = self.rows(actor=actor, environment=environment, episode=episode)
        metadata = {"format": "pompc rows 1", **({"task": self.task, "action_repeat": str(self.action_repeat)}
                                                 if self.task else {})}
        try:
            tensor_file.save(path, arrays, metadata)
        except OSError as error:
            raise Failed(f"cannot write {os.fspath(path)}: {error.strerror}") from error
        return len(arrays["rewards"])

    def _stored(self, stub: wire.Stub, selected: dict[str, int]) -> Iterator[messages.StoredRows]:
        address = 0
        end: int | None = None
        while end is None or address < end:
            reply: messages.ReadRowsReply = wire.asked(stub.ReadRows, messages.ReadRowsRequest(
                header=wire.header(self.run_id), address=address, max_rows=_READ_ROWS, all_columns=True, **selected),
                limits.READ_SECONDS, stub.address)
            yield from reply.runs
            # Rows that come later are not waited for.
            end = reply.end_address if end is None else end
            if reply.next_address <= address:
                break
            address = reply.next_address

    def close(self) -> None:
        for stub in self._stubs:
            stub.close()

    def __enter__(self) -> "Replay":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


class _Episodes:
    """Gathers stored rows by the segments that they belong to."""

    _COLUMNS = ("observations", "actions", "rewards", "terminated", "plan_mean", "plan_std", "plan_value", "has_plan")

    def __init__(self, observation_size: int, action_size: int):
        self._o, self._a = observation_size, action_size
        self._parts: dict[tuple[int, ...], list[Arrays]] = {}  # by shard, stream and number of the first row
        self._open: dict[tuple[int, ...], tuple[tuple[int, ...], int]] = {}  # stream -> (key, number of the next row)
        self._finals: dict[tuple[int, ...], NDArray[Any]] = {}

    def add(self, shard: int, stored: messages.StoredRows) -> None:
        stream = (shard, stored.stream.actor_index, stored.stream.incarnation, stored.stream.environment,
                  stored.stream.episode, stored.stream.segment)
        key, following = self._open.get(stream, ((*stream, stored.first_row), stored.first_row))
        if following != stored.first_row:  # rows between were evicted
            key = (*stream, stored.first_row)
        rows, n = stored.rows, stored.rows.count
        if n > 0:
            self._parts.setdefault(key, []).append(self._arrays_of(rows, stored.address))
            self._open[stream] = (key, stored.first_row + n)
        if rows.final_observation and key in self._parts:
            self._finals[key] = _numbers(rows.final_observation, "<f4", (self._o,), "final_observation")

    def _arrays_of(self, rows: messages.Rows, address: int) -> Arrays:
        n, o, a = rows.count, self._o, self._a
        shapes: dict[str, tuple[str, tuple[int, ...]]] = {
            "observations": ("<f4", (n, o)), "actions": ("<f4", (n, a)), "rewards": ("<f4", (n,)),
            "terminated": ("|b1", (n,)), "plan_mean": ("<f4", (n, a)), "plan_std": ("<f4", (n, a)),
            "plan_value": ("<f4", (n,)), "has_plan": ("|b1", (n,))}
        arrays = {name: _numbers(getattr(rows, name), dtype, shape, name) for name, (dtype, shape) in shapes.items()}
        versions = [(version.incarnation, version.number) for version in rows.versions]
        return {**arrays, "versions": numpy.array(versions, numpy.uint64).reshape(n, 2),
                "addresses": numpy.arange(address, address + n, dtype=numpy.uint64)}

    def arrays(self) -> Arrays:
        keys = sorted(self._parts)
        parts = [part for key in keys for part in self._parts[key]]
        lengths = [sum(len(part["rewards"]) for part in self._parts[key]) for key in keys]
        nothing = self._arrays_of(messages.Rows(), 0)
        arrays = {name: numpy.concatenate([part[name] for part in parts]) if parts else empty
                  for name, empty in nothing.items()}
        none = numpy.zeros(self._o, numpy.float32)
        return {**arrays, "episode_starts": numpy.cumsum([0, *lengths], dtype=numpy.int64)[:-1],
                "final_observations": numpy.array([self._finals.get(key, none) for key in keys],
                                                  numpy.float32).reshape(len(keys), self._o),
                "has_final_observation": numpy.array([key in self._finals for key in keys], bool),
                "episode_sources": numpy.array(keys, numpy.uint64).reshape(len(keys), 7)}
