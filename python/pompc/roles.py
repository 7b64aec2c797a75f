"""What an actor and an evaluator do under one lease."""

import concurrent.futures
import contextlib
import dataclasses
import functools
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from pompc import evaluations, limits, wire
from pompc.environment import Environment, Stepped
from pompc.errors import Refused
from pompc.home import Home
from pompc.lease import Identity, Lease, LeaseEnded, Stopped
from pompc.log import Waits, log
from pompc.planners import Planners
from pompc.players import Player, VectorPlayer
from pompc.shards import Shard, ShardStream
from pompc.vector import VectorEnvironment


@dataclasses.dataclass
class Servers:
    """Where the others of a run are: host:port of each."""

    planners: list[str]
    replay: list[str] = dataclasses.field(default_factory=list)
    certificates: str = ""


@contextlib.contextmanager
def leased(learner: wire.Stub, identity: Identity,
           stop: threading.Event) -> Iterator[tuple[Lease, contextlib.ExitStack]]:
    """A lease, and what holds the channels that end with it: an environment that has not returned by then finds them
    closed. The learner hears why it ended."""
    lease = Lease(learner, identity, stop)
    with contextlib.ExitStack() as channels:
        try:
            identity.check()
            yield lease, channels
        except Exception as error:
            leave(lease, error)
            raise


def connect_planners(servers: Servers, channels: contextlib.ExitStack) -> Planners:
    planners = Planners(servers.planners, servers.certificates)
    channels.callback(planners.close)
    return planners


def connect_shards(servers: Servers, channels: contextlib.ExitStack) -> list[Shard]:
    shards = []
    for address in servers.replay:
        shards.append(Shard(address, servers.certificates))
        channels.callback(shards[-1].stub.close)
    return shards


def act(servers: Servers, learner: wire.Stub, identity: Identity, environments: Sequence[Stepped],
        stop: threading.Event) -> None:
    """Under one lease; raises why it ended."""
    with leased(learner, identity, stop) as (lease, channels):
        registration = lease.registration
        log.info(f"acts in run {lease.run_id} as actor {registration.index}")
        if registration.num_shards != len(servers.replay):
            raise Refused(f"--replay names {len(servers.replay)} shards; the run has {registration.num_shards}")
        planners, shards = connect_planners(servers, channels), connect_shards(servers, channels)
        players: list[Callable[[], None]] = []
        index = 0
        for environment in environments:
            streams = [ShardStream(shards[registration.shards[i]], lease, i, identity.waits)
                       for i in range(index, index + environment.count)]
            if isinstance(environment, VectorEnvironment):
                players.append(VectorPlayer(index, environment, lease, identity, planners, streams).run)
            elif isinstance(environment, Environment):
                players.append(Player(index, environment, lease, identity, planners, streams[0]).run)
            index += environment.count
        run_workers(players, environments, lease, identity)


def evaluate(servers: Servers, learner: wire.Stub, identity: Identity, environments: Sequence[Stepped],
             stop: threading.Event) -> None:
    """Under one lease; raises why it ended."""
    (environment,) = environments
    with leased(learner, identity, stop) as (lease, channels):
        log.info(f"evaluates in run {lease.run_id}")
        planners = connect_planners(servers, channels)
        run_workers([lambda: evaluate_all(environment, planners, lease, identity, stop)], environments, lease, identity)


def leave(lease: Lease, error: BaseException) -> None:
    if isinstance(error, LeaseEnded):
        lease.close()
    else:
        lease.leave("" if isinstance(error, Stopped) else str(error))


def evaluate_all(environment: Stepped, planners: Planners, lease: Lease, identity: Identity,
                 stop: threading.Event) -> None:
    """Plays what is assigned, until the lease ends."""
    done = None
    try:
        while True:
            lease.check()
            assignment = lease.assignment()
            if assignment is not None and assignment != done:
                identity.waits.set("evaluation", "")
                if evaluations.evaluate_one(environment, planners, lease, identity.waits, assignment):
                    done = assignment
                    identity.note_success(lasting=True)
            else:
                if assignment is None:
                    identity.waits.set("evaluation", "")
                stop.wait(limits.RETRY_SECONDS)
    finally:
        identity.waits.set("evaluation", "")


def run_workers(workers: Sequence[Callable[[], None]], environments: Sequence[Stepped], lease: Lease,
                identity: Identity) -> None:
    """Runs each worker at its environment's home until the first one ends, and raises why that one did; the others see
    the same at their next check. When the lease has ended, environments that do not return are left to do so in their
    time, so that the learner hears of this process again at once."""
    outcomes: queue.SimpleQueue[BaseException] = queue.SimpleQueue()

    def work(environment: Stepped, worker: Callable[[], None]) -> None:
        try:
            environment.follow(lease.config.env)
            worker()
        except BaseException as error:
            outcomes.put(error)

    tasks = [home_of(environment).begin(functools.partial(work, environment, worker))
             for environment, worker in zip(environments, workers, strict=True)]
    outcome: BaseException | None = None
    while outcome is None:
        try:
            outcome = outcomes.get(timeout=limits.RETRY_SECONDS)
        except queue.Empty:
            watch(environments, tasks, identity.waits)
            try:
                lease.check()  # for those that are in their environments
            except (LeaseEnded, Stopped) as error:
                outcome = error
    lease.close()
    silence = lease.silence()
    if isinstance(outcome, LeaseEnded) and silence:
        note_silence(environments, *silence, identity)
    tasks = [task for task in tasks if not task.cancel()]
    deadline = time.monotonic() + (0 if isinstance(outcome, LeaseEnded) else limits.END_SECONDS)
    while not all(task.done() for task in tasks) and time.monotonic() < deadline:
        concurrent.futures.wait(tasks, timeout=limits.RETRY_SECONDS)
        watch(environments, [], identity.waits)
    for index in range(len(environments)):
        identity.waits.set(("environment", index), "")
    raise outcome


def home_of(environment: Stepped) -> Home:
    assert environment.home is not None  # all that are stepped under a lease have one
    return environment.home


def note_silence(environments: Sequence[Stepped], start: float, end: float, identity: Identity) -> None:
    """No thread of this process ran for longer than the lease: names the environments that can have seen to that."""
    calls = [(index, environment.was_in(start, end)) for index, environment in enumerate(environments)]
    those = " or ".join([f"environment {index} in {what}()" for index, what in calls if what][:4])
    if those:
        identity.note_silence(f"{those} held Python's interpreter lock for {end - start:.0f} s, so the lease ended: "
                              "release the lock (the GIL), or step the environment in a process of its own")


def watch(environments: Sequence[Stepped], tasks: "Sequence[concurrent.futures.Future[None]]", waits: Waits) -> None:
    """Says which environments do not return, and which of the tasks have not begun for that reason."""
    for index, environment in enumerate(environments):
        what, since = environment.inside or ("", time.monotonic())
        stuck = time.monotonic() - since > limits.STUCK_SECONDS
        waits.set(("inside", index), f"environment {index} has not returned from {what}() for "
                  f"{limits.STUCK_SECONDS:g} s" if stuck else "")
    for index, task in enumerate(tasks):
        waits.set(("environment", index), "" if task.running() or task.done() else
                  f"environment {index} still does what it was told under an earlier lease")
