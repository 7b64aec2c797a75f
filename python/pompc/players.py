"""Episodes: environments are stepped with planned or random actions, and the rows go to their shards."""

import time
from typing import Any, TypeAlias

import numpy

from pompc import limits, messages, wire
from pompc.environment import Environment
from pompc.lease import Identity, Lease
from pompc.log import Waits
from pompc.planners import Planners
from pompc.shards import EpisodeRefused, ShardStream, rows_per_chunk
from pompc.spaces import Floats, Unstable
from pompc.vector import Outcome, VectorEnvironment

Random: TypeAlias = numpy.random.Generator
COLUMNS = ("observations", "actions", "rewards", "plan_mean", "plan_std", "plan_value")


class Chunk:
    """Rows of an episode that were not sent yet."""

    def __init__(self, action_size: int):
        self._action_size = action_size
        self.clear()

    def clear(self) -> None:
        self.count, self._since = 0, 0.0
        self._rows: dict[str, list[Any]] = {name: [] for name in (*COLUMNS, "terminated", "has_plan", "versions")}

    def add(self, observation: Floats, action: Floats, reward: float, terminated: bool,
            plan: messages.Plan | None) -> None:
        """`plan` is None for a random action. The arrays are kept, not copied: nobody may change them any more."""
        rows = self._rows
        if self.count == 0:
            self._since = time.monotonic()
        self.count += 1
        rows["observations"].append(observation)
        rows["actions"].append(action)
        rows["rewards"].append(reward)
        rows["terminated"].append(terminated)
        rows["has_plan"].append(plan is not None)
        rows["plan_mean"].append(wire.to_array(plan.plan_mean) if plan else numpy.zeros(self._action_size))
        rows["plan_std"].append(wire.to_array(plan.plan_std) if plan else numpy.ones(self._action_size))
        rows["plan_value"].append(plan.plan_value if plan else 0)
        rows["versions"].append(plan.version if plan else messages.ParameterVersion())

    def is_due(self, full: int) -> bool:
        """Whether it is to be sent now: it has `full` rows, or its first one has waited."""
        waited = self.count > 0 and time.monotonic() - self._since >= limits.CHUNK_SECONDS
        return self.count >= full or waited

    def message(self, final_observation: Floats | None = None) -> messages.Rows:
        rows = messages.Rows(count=self.count, versions=self._rows["versions"])
        for name in COLUMNS:
            setattr(rows, name, wire.to_bytes(self._rows[name]))
        for name in ("terminated", "has_plan"):
            setattr(rows, name, bytes(self._rows[name]))
        if final_observation is not None:
            rows.final_observation = wire.to_bytes(final_observation)
        return rows


def query(observation: Floats, warm_start: bytes, random: Random) -> messages.PlanQuery:
    return messages.PlanQuery(observation=wire.to_bytes(observation), warm_start=warm_start,
                              seed=int(random.integers(2**63)))


class EpisodeRows:
    """The rows of one environment's episodes, of which the newest goes on, on their way to a shard."""

    def __init__(self, index: int, action_size: int, lease: Lease, identity: Identity, shard: ShardStream):
        self._index, self._lease, self._identity, self.shard = index, lease, identity, shard
        self._full = rows_per_chunk(lease.config)
        self._chunk = Chunk(action_size)
        self._episode, self.sent, self._total, self._sending = -1, 0, 0.0, 0

    @property
    def count(self) -> int:
        """Rows of the episode."""
        return self.sent + self._chunk.count

    def begin(self) -> None:
        """Another episode; rows of the one before that were not sent are dropped."""
        self._episode += 1
        self.sent, self._total, self._sending = 0, 0.0, 0
        self._chunk.clear()

    def add(self, observation: Floats, action: Floats, reward: float, terminated: bool,
            plan: messages.Plan | None) -> None:
        self._chunk.add(observation, action, reward, terminated, plan)
        self._total += reward
        self._identity.count_row()

    def send_if_due(self, final_observation: Floats | None) -> bool:
        """Sends a full or old chunk, or the last one with the final observation. Returns whether finish() must
        follow."""
        if not (self._chunk.is_due(self._full) or (final_observation is not None and self.count > 0)):
            return False
        self._sending = self._chunk.count
        self.shard.begin(self._episode, self.sent, self._chunk.message(final_observation))
        return True

    def finish(self) -> None:
        """Waits until the shard holds what was sent."""
        self.shard.finish()
        self._identity.note_success(lasting=self._episode > 0)
        self.sent += self._sending
        self._chunk.clear()

    def end(self) -> bool:
        """The episode is over. Returns whether something of it is stored."""
        if self.sent > 0:
            self._identity.count_episode(self._total)
        return self.sent > 0

    def cut(self, why: str) -> None:
        """Says that the environment's numbers ended the episode."""
        if self.count > 0:
            self._identity.waits.tell(f"environment {self._index}: an episode is cut: {why}")
        else:
            self.wait(f"an episode is cut in its first step: {why}")

    def wait(self, why: str) -> None:
        """Nothing gets into the replay, until the shard takes rows."""
        self._identity.waits.set(self.shard.who, f"environment {self._index}: {why}")

    def close(self) -> None:
        self.shard.close()
        self._identity.waits.set(self.shard.who, "")


def _generator(lease: Lease, index: int) -> Random:
    registration = lease.registration
    return numpy.random.default_rng([lease.config.seed, registration.index, registration.incarnation, index])


class Player:
    """Plays episodes in one environment until the lease ends."""

    def __init__(self, index: int, environment: Environment, lease: Lease, identity: Identity, planners: Planners,
                 shard: ShardStream):
        self._index, self._environment, self._lease = index, environment, lease
        self._waits, self._planners = identity.waits, planners
        self._rows = EpisodeRows(index, environment.action_size, lease, identity, shard)
        self._random = _generator(lease, index)

    def run(self) -> None:
        seed: int | None = int(self._random.integers(2**31))
        if self._environment.has_begun():
            seed = None  # under an earlier lease
        try:
            while True:
                self._lease.check()
                try:
                    left_something = self._play(seed)
                except EpisodeRefused as error:
                    self._rows.wait(f"an episode is abandoned: {error}")
                    left_something = False
                if not left_something:
                    time.sleep(limits.RETRY_SECONDS)  # the next one may end as soon
                seed = None  # the environment's own generator continues over its episodes
        finally:
            self._rows.close()

    def _play(self, seed: int | None) -> bool:
        """One episode. Returns whether the next one may follow at once: not if this one ended in its first step."""
        observation = self._environment.reset(seed)
        warm_start, done = b"", False
        self._rows.begin()
        seed_phase = self._lease.phase() == messages.Phase.SEED
        while not done:
            self._lease.check()
            if seed_phase and self._lease.phase() != messages.Phase.SEED:
                return True  # rows of random actions are not taken any more
            plan = None
            action = self._random.uniform(-1, 1, self._environment.action_size).astype(numpy.float32)
            if not seed_phase:
                request = messages.PlanRequest(queries=[query(observation, warm_start, self._random)])
                plans = self._planners.plan(request, ("plan", self._index), self._lease, self._waits)
                assert plans is not None  # they are waited for
                plan = plans[0]
                warm_start, action = plan.warm_start, numpy.clip(wire.to_array(plan.action), -1, 1)
            try:
                following, reward, terminated, truncated = self._environment.step(action)
            except Unstable as error:
                done = True
                self._rows.cut(str(error))
            else:
                self._rows.add(observation, action, reward, terminated, plan)
                observation, done = following, terminated or truncated
            if self._rows.send_if_due(observation if done else None):
                self._rows.finish()
        return self._rows.end()


class _Slot:
    """One environment of a vector: its episode, or that it waits for the next one."""

    def __init__(self, rows: EpisodeRows):
        self.rows = rows
        self.observation: Floats | None = None  # of the episode that goes on; None: nothing is stored until the next
        self.warm_start, self.decisions = b"", 0

    def begin(self, observation: Floats) -> None:
        self.rows.begin()
        self.observation, self.warm_start, self.decisions = observation, b"", 0


class VectorPlayer:
    """Plays episodes in a vector environment until the lease ends: one request for the plans of all, one step of all.
    Where an episode cannot go on (its numbers, a shard), that environment is stepped with zeros until its next one
    begins."""

    def __init__(self, index: int, environment: VectorEnvironment, lease: Lease, identity: Identity,
                 planners: Planners, shards: list[ShardStream]):
        """`index` is that of the first environment; `shards` has a stream for each."""
        self._index, self._environment, self._lease = index, environment, lease
        self._waits, self._planners = identity.waits, planners
        self._slots = [_Slot(EpisodeRows(index + i, environment.action_size, lease, identity, shard))
                       for i, shard in enumerate(shards)]
        self._random = _generator(lease, index)

    def run(self) -> None:
        seed: int | None = int(self._random.integers(2**31))
        if self._environment.has_begun():
            seed = None  # under an earlier lease
        try:
            seed_phase = self._begin(seed)
            while True:
                self._lease.check()
                if seed_phase and self._lease.phase() != messages.Phase.SEED:
                    seed_phase = self._begin(None)  # rows of random actions are not taken any more
                left_something = self._step(seed_phase)
                if not left_something:
                    time.sleep(limits.RETRY_SECONDS)
        finally:
            for slot in self._slots:
                slot.rows.close()

    def _begin(self, seed: int | None) -> bool:
        """Returns whether it is the seed phase."""
        for slot, observation in zip(self._slots, self._environment.reset(seed), strict=True):
            slot.begin(observation)
        return self._lease.phase() == messages.Phase.SEED

    def _step(self, seed_phase: bool) -> bool:
        """One decision of all. Returns whether the next one may follow at once: not if an episode ended and left
        nothing."""
        size = self._environment.action_size
        live = [slot for slot in self._slots if slot.observation is not None]
        plans = [None] * len(live) if seed_phase else plans_for(
            [(slot.observation, slot.warm_start) for slot in live if slot.observation is not None], self._random,
            self._planners, ("plan", self._index), self._lease, self._waits)
        chosen = {id(slot): (plan, self._random.uniform(-1, 1, size).astype(numpy.float32) if plan is None
                             else numpy.clip(wire.to_array(plan.action), -1, 1))
                  for slot, plan in zip(live, plans, strict=True)}
        nothing = (None, numpy.zeros(size, numpy.float32))
        outcomes = self._environment.step([chosen.get(id(slot), nothing)[1] for slot in self._slots])
        sending, ended = [], []
        for slot, outcome in zip(self._slots, outcomes, strict=True):
            if slot.observation is not None:
                plan, action = chosen[id(slot)]
                final = self._take(slot, slot.observation, action, plan, outcome)
                if final is not None or outcome.unstable:
                    ended.append(slot)
                if self._try(slot, lambda slot=slot, final=final: slot.rows.send_if_due(final)):
                    sending.append(slot)
        for slot in sending:
            self._try(slot, lambda slot=slot: slot.rows.finish() or True)
        left_something = all([slot.rows.end() for slot in ended])
        for slot, outcome in zip(self._slots, outcomes, strict=True):
            if outcome.first is not None:
                slot.begin(outcome.first)
            elif slot in ended and not (outcome.terminated or outcome.truncated or outcome.unstable):
                # Cut by the run's time limit alone: the environment goes on, and the next episode begins here.
                assert outcome.observation is not None
                slot.begin(outcome.observation)
        return left_something

    def _take(self, slot: _Slot, observation: Floats, action: Floats, plan: messages.Plan | None,
              outcome: Outcome) -> Floats | None:
        """Adds the row. Returns the episode's final observation if it has ended."""
        if outcome.unstable:
            slot.rows.cut(outcome.unstable)
            slot.observation = None
            return observation
        assert outcome.observation is not None
        slot.rows.add(observation, action, outcome.reward, outcome.terminated, plan)
        slot.warm_start, slot.decisions = plan.warm_start if plan else b"", slot.decisions + 1
        done = (outcome.terminated or outcome.truncated
                or slot.decisions >= self._environment.episode_decisions)
        slot.observation = None if done else outcome.observation
        return outcome.observation if done else None

    def _try(self, slot: _Slot, function: Any) -> bool:
        """Of what a shard may refuse."""
        try:
            return bool(function())
        except EpisodeRefused as error:
            slot.rows.wait(f"an episode is abandoned: {error}")
            slot.observation = None
            if slot.rows.sent == 0:
                time.sleep(limits.RETRY_SECONDS)
            return False


def plans_for(queries: list[tuple[Floats, bytes]], random: Random, planners: Planners, who: Any, lease: Lease,
              waits: Waits) -> list[messages.Plan]:
    """A plan for each (observation, warm start)."""
    plans: list[messages.Plan] = []
    for begin in range(0, len(queries), limits.MAX_PLAN_QUERIES):
        request = messages.PlanRequest(queries=[
            query(observation, warm_start, random)
            for observation, warm_start in queries[begin:begin + limits.MAX_PLAN_QUERIES]])
        some = planners.plan(request, who, lease, waits)
        assert some is not None  # they are waited for
        plans += some
    return plans

