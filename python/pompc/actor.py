"""Actors and evaluators of a run, for environments with Gymnasium's interface."""

import concurrent.futures
import math
import numbers
import os
import sys
import threading
from collections.abc import Iterable, Sequence

from pompc import limits, messages, roles, wire
from pompc.environment import Environment, Maker, Stepped, named
from pompc.errors import Refused
from pompc.home import MAX_EVENT_LOOPS, Home
from pompc.lease import Identity, LeaseEnded, Stopped
from pompc.log import log
from pompc.vector import VectorEnvironment, is_vector


def make_at_home(name: str, make: Maker, home: Home) -> Stepped:
    """The environment that `make` makes, in the thread of that home."""
    def made() -> Stepped:
        environment = make()
        return VectorEnvironment(name, environment, home) if is_vector(environment) else Environment(
            name, environment, home)
    return home.call(made)


def make_all(make_env: Maker | str, count: int) -> list[Stepped]:
    """The environments that `count` calls make, tried out, each in a home of its own. Refused if they are of no use to
    any run."""
    name, make = named(make_env)
    made: list[Stepped] = []
    for _ in range(count):
        made.append(make_at_home(name, make, Home(event_loop=count <= MAX_EVENT_LOOPS)))
        if any(made[-1].is_the_same_as(other) for other in made[:-1]):
            raise Refused(f"{name} returned the same environment twice: with --environments each call must make a new "
                          "one")
    if sum(one.count for one in made) > limits.MAX_ENVIRONMENTS:
        raise Refused(f"{sum(one.count for one in made)} environments; a process has at most {limits.MAX_ENVIRONMENTS}")
    roles.home_of(made[0]).call(made[0].try_out)
    return made


class Actor:
    """An actor, or an evaluator, of a run whose environment is `make_env`: a function that returns a new environment
    with Gymnasium's interface each time, or a vector environment; or one of Gymnasium's ids, or "module:function".

    An actor asks planners for each decision and sends what happened to the replay shards. It keeps nothing that
    matters, and may be ended and started again at any time."""

    def __init__(self, make_env: Maker | str):
        self._make_env = make_env

    def config(self, *, action_repeat: int = 1, episode_steps: int | None = None, terminates: bool = False) -> str:
        """What the config of a run with this environment needs, as text for --config: the task and its sizes.
        `terminates`: episodes can end in true terminal states, beside the time limit. Refused if the environment cannot
        be used, or does not tell how long its episodes are and `episode_steps` does not either."""
        (made,) = make_all(self._make_env, 1)
        try:
            return config_text(made, action_repeat, episode_steps, terminates)
        finally:
            close_all([made])

    def run(self, learner: str, planners: str | Iterable[str], replay: str | Iterable[str] = (), *,
            environments: int = 1, evaluate: bool = False, certificates: str | os.PathLike[str] | None = None,
            stop: threading.Event | None = None) -> None:
        """Acts until the run is over or `stop` is set; with `evaluate` plays the evaluations instead, for which no
        replay is needed.

        `learner`, `planners`, `replay`: host:port; of planners and shards several, as a list or with commas between
        them, the shards in the learner's order. `environments`: how many calls of make_env are stepped at the same
        time, each in a thread of its own. `certificates`: a folder with ca.crt, tls.crt and tls.key of the role actor
        (default: the environment variable POMPC_CERTIFICATES; without both, connections are plaintext).

        Refused: this environment cannot be used, or not with this run. Failed: something else is wrong that does not
        pass by itself. What passes (servers that are away, full or slow) is waited for, and told to stderr and to the
        run's status."""
        servers = roles.Servers(wire.parse_addresses(planners), wire.parse_addresses(replay),
                                wire.certificates_folder(certificates))
        if not servers.planners or not (servers.replay or evaluate):
            raise Refused(f"{'replay' if servers.planners else 'planners'} is missing: host:port of each")
        if log.stream is None:
            log.stream = sys.stderr
        # Before any channel is made: environments that fork would disturb gRPC.
        made = make_all(self._make_env, 1 if evaluate else environments)
        try:
            play(made, wire.parse_address(learner), servers, evaluate, stop or threading.Event())
        finally:
            close_all([one for one in made if one.inside is None])

    def main(self, arguments: Sequence[str] | None = None) -> int:
        """A program of this actor: takes its flags (--help lists them), acts or evaluates until the run is over or a
        signal comes, and returns the exit status: 0, 2 for what cannot be used, 1 for what else is wrong. The process
        is to end then: what keeps it longer than 10 s is cut short."""
        from pompc import program
        return program.main(self._make_env, arguments)


def play(environments: Sequence[Stepped], learner: str, servers: roles.Servers, evaluate: bool,
         stop: threading.Event) -> None:
    """Until the run is over, or `stop` is set."""
    role = messages.Role.EVALUATOR if evaluate else messages.Role.ACTOR
    identity = Identity(role, 0 if evaluate else sum(one.count for one in environments))
    while True:
        # A channel for each lease, so that certificates that were renewed meanwhile count.
        stub = wire.Stub("RunService", learner, servers.certificates)
        try:
            (roles.evaluate if evaluate else roles.act)(servers, stub, identity, environments, stop)
        except LeaseEnded:
            continue
        except Stopped:
            break
        finally:
            stub.close()
    log.info("ends")


def close_all(environments: Sequence[Stepped]) -> None:
    """Each in its home; waits EXIT_SECONDS at most."""
    closed = [roles.home_of(one).begin(one.close) for one in environments]
    concurrent.futures.wait(closed, timeout=limits.EXIT_SECONDS)


def config_text(made: Stepped, action_repeat: int, episode_steps: int | None, terminates: bool) -> str:
    steps = episode_steps or made.max_episode_steps
    if not isinstance(steps, numbers.Integral) or int(steps) < 1:
        raise Refused(f"{made.name} does not tell how long its episodes are: give --episode-steps")
    last = "\n         terminates: true" if terminates else ""
    return (f'env {{\n  task: "external"\n  action_repeat: {action_repeat}\n'
            f"  spec {{ observation_size: {made.observation_size} action_size: {made.action_size} "
            f"episode_decisions: {math.ceil(int(steps) / action_repeat)}{last} }}\n}}\n")
