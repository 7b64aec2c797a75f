#!/usr/bin/env python3
"""An actor, or with --evaluate an evaluator, of a pompc run whose environment is written in Python.

  actor.py --env Pendulum-v1 --print-config                 # settings of the run for --config: task and sizes
  actor.py --env Pendulum-v1 --learner HOST:PORT --planners HOST:PORT[,...] --replay HOST:PORT[,...]
  actor.py --env Pendulum-v1 --learner HOST:PORT --planners HOST:PORT[,...] --evaluate

--env is one of Gymnasium's ids, or module:function for a function that returns an environment with its interface. An
actor asks planners for each decision and sends what happened to the replay shards; it keeps nothing that matters, and
may be killed and started again at any time. It ends with status 0 when the run is over. docs/external-environments.md
says how a run with such an environment is started.
"""

import argparse
import itertools
import logging
import os
import queue
import re
import signal
import socket
import sys
import threading
import time

import grpc
import numpy

import environments
import wire

PLAN_SECONDS = 10       # after which another planner is asked
CALL_SECONDS = 5        # of the calls to the learner
STREAM_SECONDS = 600    # after which a stream to a shard is opened anew, between two episodes
ACK_SECONDS = 60        # without a word from a shard that does not say it is holding rows back
RETRY_SECONDS = 1
CHANNEL = [("grpc.keepalive_time_ms", 10000), ("grpc.keepalive_timeout_ms", 5000)]
# What passes by itself: the server is away, busy, or was asked for too short a time.
PASSING = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED,
           grpc.StatusCode.CANCELLED)

log = logging.getLogger("actor")


class LeaseEnded(Exception):
    """The learner restarted or did not hear of this process for too long: register again."""


class EpisodeRefused(Exception):
    """A shard does not take the episode's rows: begin another one."""


class Stopped(Exception):
    """The run is over, or this process was told to end."""


class Lease:
    """What the learner knows of this process, and what it says of the run. One thread sends the heartbeats."""

    def __init__(self, learner, role, environments_, stop):
        self._learner, self._stop = learner, stop
        # Messages take text alone; a host's name may be any bytes.
        host = os.fsencode(socket.gethostname()).decode("utf-8", "backslashreplace")
        self._name = f"{host}:{os.getpid()}"
        self.registration = self._register(role, environments_)
        self.run_id, self.config = self.registration.run_id, self.registration.config
        self._lock = threading.Lock()
        self._rows = self._episodes = 0
        self._last_return = 0.0
        self._phase, self._assignment = self.registration.phase, None
        self._ended = threading.Event()
        self._heartbeats = threading.Thread(target=self._beat, daemon=True)
        self._heartbeats.start()

    def _register(self, role, environments_):
        request = wire.run.RegisterRequest(header=wire.header(""), role=role, name=self._name,
                                           environments=environments_)
        while True:
            if self._stop.is_set():
                raise Stopped
            try:
                return self._learner.Register(request, timeout=CALL_SECONDS)
            except grpc.RpcError as error:
                if error.code() not in PASSING:
                    raise
                log.info("waiting for the learner: %s", error.details())
            self._stop.wait(RETRY_SECONDS)

    def _beat(self):
        while not self._stop.wait(self.registration.heartbeat_ms / 1000) and not self._ended.is_set():
            with self._lock:
                request = wire.run.HeartbeatRequest(
                    header=wire.header(self.run_id), lease_id=self.registration.lease_id, rows=self._rows,
                    episodes=self._episodes, last_return=self._last_return)
            try:
                reply = self._learner.Heartbeat(request, timeout=CALL_SECONDS)
            except grpc.RpcError as error:
                if error.code() not in PASSING:
                    log.info("lease: %s", error.details())
                    self._ended.set()
                continue
            with self._lock:
                self._phase = reply.phase
                self._assignment = reply.evaluation if reply.HasField("evaluation") else None

    def close(self):
        self._ended.set()

    def check(self):
        """Raises when there is nothing more to do under this lease."""
        if self._stop.is_set() or self.phase() in (wire.run.FINISHED, wire.run.STOPPING):
            raise Stopped
        if self._ended.is_set():
            raise LeaseEnded

    def phase(self):
        with self._lock:
            return self._phase

    def assignment(self):
        with self._lock:
            return self._assignment

    def count_row(self):
        with self._lock:
            self._rows += 1

    def count_episode(self, episode_return):
        with self._lock:
            self._episodes += 1
            self._last_return = episode_return

    def report(self, assignment, returns, decisions):
        self._learner.ReportEvaluation(wire.run.ReportEvaluationRequest(
            header=wire.header(self.run_id), lease_id=self.registration.lease_id,
            evaluation_id=assignment.evaluation_id, version=assignment.version, returns=returns, decisions=decisions),
            timeout=CALL_SECONDS)


class Planners:
    """Asks the planners of a run in turn. Plans are functions of their request, so asking twice is harmless."""

    def __init__(self, addresses, lease):
        self._stubs = [wire.PlannerStub(grpc.insecure_channel(address, CHANNEL)) for address in addresses]
        self._turn = itertools.count()
        self._lease = lease

    def plan(self, request, keep_waiting=lambda: True):
        """The plan of the request's one query; None once keep_waiting says no."""
        request.header.CopyFrom(wire.header(self._lease.run_id))
        failures = 0
        while keep_waiting():
            self._lease.check()
            try:
                return self._stubs[next(self._turn) % len(self._stubs)].Plan(request, timeout=PLAN_SECONDS).plans[0]
            except grpc.RpcError as error:
                if error.code() not in PASSING:
                    raise
                failures += 1
                if failures % len(self._stubs) == 0:
                    if failures % (30 * len(self._stubs)) == 0:
                        log.info("waiting for a planner: %s", error.details())
                    time.sleep(min(RETRY_SECONDS, 0.02 * failures))
        return None


class ShardStream:
    """One environment's stream of rows to its shard. After a chunk is sent, the next waits until it is acknowledged."""

    def __init__(self, address, lease, environment):
        self._stub = wire.ReplayStub(grpc.insecure_channel(address, CHANNEL))
        self._lease, self._environment = lease, environment
        self._opened = None
        self._requests = self._replies = None

    def _reader(self, call, replies):
        try:
            for reply in call:
                replies.put(reply)
            replies.put(EpisodeRefused("the shard ended the stream"))
        except grpc.RpcError as error:
            replies.put(error)

    def open(self):
        """Called between episodes."""
        if self._opened is not None and time.monotonic() - self._opened < STREAM_SECONDS / 2:
            return
        self.close()
        self._requests, self._replies = queue.SimpleQueue(), queue.SimpleQueue()
        call = self._stub.Append(iter(self._requests.get, None), timeout=STREAM_SECONDS)
        threading.Thread(target=self._reader, args=(call, self._replies), daemon=True).start()
        self._opened = time.monotonic()

    def close(self):
        if self._requests is not None:
            self._requests.put(None)
        self._opened = self._requests = None

    def send(self, episode, first_row, rows):
        """Returns when the shard holds the rows."""
        lease = self._lease
        stream = wire.trajectory.StreamId(
            actor_index=lease.registration.index, incarnation=lease.registration.incarnation,
            environment=self._environment, episode=episode)
        self._requests.put(wire.replay.AppendRequest(
            header=wire.header(lease.run_id), stream=stream, first_row=first_row, rows=rows))
        blocked, heard = "", time.monotonic()
        while True:
            lease.check()
            try:
                reply = self._replies.get(timeout=RETRY_SECONDS)
            except queue.Empty:
                if not blocked and time.monotonic() - heard > ACK_SECONDS:
                    self.close()
                    raise EpisodeRefused(f"no word from the shard for {ACK_SECONDS} s") from None
                continue
            heard = time.monotonic()
            self._check(reply)
            if reply.blocked != blocked:
                log.info("environment %d: %s", self._environment, reply.blocked or "goes on")
                blocked = reply.blocked
            # Acknowledgements are cumulative; those of an earlier episode may still come in.
            if reply.HasField("stream") and reply.stream.episode == episode:
                if reply.verdict == wire.replay.AppendReply.ACKED:
                    if reply.next_row >= first_row + rows.count and (reply.ended or not rows.final_observation):
                        return
                else:
                    raise EpisodeRefused(reply.message or "rows are missing at the shard")

    def _check(self, reply):
        if not isinstance(reply, Exception):
            if reply.verdict == wire.replay.AppendReply.REFUSED and reply.code == 3:  # INVALID_ARGUMENT
                raise SystemExit(f"replay refused rows: {reply.message}")
            return
        self.close()
        if isinstance(reply, grpc.RpcError) and reply.code() not in PASSING:
            raise reply
        raise EpisodeRefused(str(reply.details() if isinstance(reply, grpc.RpcError) else reply))


class Chunk:
    """Rows of an episode that were not sent yet."""

    def __init__(self, action_size):
        self._action_size = action_size
        self.clear()

    def clear(self):
        self.count = 0
        self._rows = {name: [] for name in ("observations", "actions", "rewards", "terminated", "plan_mean", "plan_std",
                                            "plan_value", "has_plan", "versions")}

    def add(self, observation, action, reward, terminated, plan):
        """`plan` is None for a random action."""
        rows = self._rows
        self.count += 1
        rows["observations"].append(observation)
        rows["actions"].append(action)
        rows["rewards"].append(reward)
        rows["terminated"].append(terminated)
        rows["has_plan"].append(plan is not None)
        rows["plan_mean"].append(wire.to_array(plan.plan_mean) if plan else numpy.zeros(self._action_size))
        rows["plan_std"].append(wire.to_array(plan.plan_std) if plan else numpy.ones(self._action_size))
        rows["plan_value"].append(plan.plan_value if plan else 0)
        rows["versions"].append(plan.version if plan else wire.common.ParameterVersion())

    def message(self, final_observation=None):
        rows = wire.trajectory.Rows(count=self.count, versions=self._rows["versions"])
        for name in ("observations", "actions", "rewards", "plan_mean", "plan_std", "plan_value"):
            setattr(rows, name, wire.to_bytes(self._rows[name]))
        for name in ("terminated", "has_plan"):
            setattr(rows, name, bytes(self._rows[name]))
        if final_observation is not None:
            rows.final_observation = wire.to_bytes(final_observation)
        return rows


class ActingEnvironment:
    """Plays episodes of one environment until the lease ends."""

    def __init__(self, index, environment, lease, planners, shard):
        self._index, self._environment, self._lease = index, environment, lease
        self._planners, self._shard = planners, shard
        registration = lease.registration
        self._random = numpy.random.default_rng(
            [lease.config.seed, registration.index, registration.incarnation, index])

    def run(self):
        seed = int(self._random.integers(2**31))
        for episode in itertools.count():
            self._lease.check()
            self._shard.open()
            try:
                self._play(episode, seed)
            except (EpisodeRefused, environments.Unstable) as error:
                log.info("environment %d: an episode is given up: %s", self._index, error)
                time.sleep(RETRY_SECONDS)
            seed = None  # the environment's own generator goes on over its episodes

    def _play(self, episode, seed):
        observation = self._environment.reset(seed)
        chunk, sent, total, warm_start, done = Chunk(self._environment.action_size), 0, 0.0, b"", False
        seed_phase = self._lease.phase() == wire.run.SEED
        while not done:
            self._lease.check()
            if seed_phase and self._lease.phase() != wire.run.SEED:
                return  # rows of random actions are not taken any more
            plan = None
            if seed_phase:
                action = self._random.uniform(-1, 1, self._environment.action_size)
            else:
                plan = self._planners.plan(wire.planner.PlanRequest(queries=[wire.planner.PlanQuery(
                    observation=wire.to_bytes(observation), warm_start=warm_start,
                    seed=int(self._random.integers(2**63)))]))
                warm_start, action = plan.warm_start, wire.to_array(plan.action)
            try:
                following, reward, terminated, truncated = self._environment.step(action)
            except environments.Unstable:
                if sent + chunk.count > 0:
                    self._shard.send(episode, sent, chunk.message(observation))
                raise
            chunk.add(observation, action, reward, terminated, plan)
            self._lease.count_row()
            observation, total, done = following, total + reward, terminated or truncated
            if done or chunk.count >= self._lease.config.actor.chunk_rows:
                self._shard.send(episode, sent, chunk.message(observation if done else None))
                sent += chunk.count
                chunk.clear()
        self._lease.count_episode(total)


def act(flags, stop):
    """Under one lease."""
    lease = Lease(flags.run, wire.run.ACTOR, flags.environments, stop)
    registration = lease.registration
    log.info("acts in run %s as actor %d", lease.run_id, registration.index)
    if registration.num_shards != len(flags.replay):
        raise SystemExit(f"--replay names {len(flags.replay)} shards; the run has {registration.num_shards}")
    planners = Planners(flags.planners, lease)
    failures = queue.SimpleQueue()

    def work(acting):
        try:
            acting.run()
        except BaseException as error:  # pylint: disable=broad-except
            failures.put(error)

    threads = []
    for index in range(flags.environments):
        shard = ShardStream(flags.replay[registration.shards[index]], lease, index)
        acting = ActingEnvironment(index, environment_of(flags, lease.config), lease, planners, shard)
        threads.append(threading.Thread(target=work, args=(acting,), daemon=True))
    for thread in threads:
        thread.start()
    try:
        # The first one to end says why; the others see the same at their next check.
        raise failures.get()
    finally:
        lease.close()
        for thread in threads:
            thread.join(PLAN_SECONDS + CALL_SECONDS)


def evaluate(flags, stop):
    """Under one lease."""
    lease = Lease(flags.run, wire.run.EVALUATOR, 0, stop)
    log.info("evaluates in run %s", lease.run_id)
    planners = Planners(flags.planners, lease)
    environment = environment_of(flags, lease.config)
    done = None
    try:
        while True:
            lease.check()
            assignment = lease.assignment()
            if assignment is None or assignment == done:
                stop.wait(RETRY_SECONDS)
                continue
            returns, decisions = [], []
            for i in range(assignment.episodes):
                outcome = evaluate_episode(environment, planners, lease, assignment, i)
                if outcome is None:
                    break
                returns.append(outcome[0])
                decisions.append(outcome[1])
            if len(returns) == assignment.episodes and lease.assignment() == assignment:
                try:
                    lease.report(assignment, returns, decisions)
                    log.info("evaluation %d: mean return %.1f", assignment.evaluation_id, numpy.mean(returns))
                    done = assignment
                except grpc.RpcError as error:
                    log.info("evaluation %d: %s", assignment.evaluation_id, error.details())
    finally:
        lease.close()


def evaluate_episode(environment, planners, lease, assignment, index):
    """(return, decisions); None when the learner wants it no more."""
    random = numpy.random.default_rng([assignment.seed, index])
    observation = environment.reset(int(random.integers(2**31)))
    total, decisions, warm_start, done = 0.0, 0, b"", False
    while not done:
        plan = planners.plan(
            wire.planner.PlanRequest(evaluate=True, pinned_version=assignment.version, queries=[wire.planner.PlanQuery(
                observation=wire.to_bytes(observation), warm_start=warm_start, seed=int(random.integers(2**63)))]),
            keep_waiting=lambda: lease.assignment() == assignment)
        if plan is None:
            return None
        try:
            observation, reward, terminated, truncated = environment.step(wire.to_array(plan.action))
        except environments.Unstable as error:
            log.info("an evaluation's episode ends early: %s", error)
            break
        warm_start, total, decisions, done = plan.warm_start, total + reward, decisions + 1, terminated or truncated
    return total, decisions


def environment_of(flags, config):
    spec = config.env.spec
    environment = environments.Environment(environments.make(flags.env), config.env.action_repeat,
                                           spec.episode_decisions)
    for name in ("observation_size", "action_size"):
        if getattr(environment, name) != getattr(spec, name):
            raise SystemExit(f"the run expects env.spec.{name} {getattr(spec, name)}; {flags.env} has "
                             f"{getattr(environment, name)}")
    return environment


def print_config(flags):
    environment = environments.make(flags.env)
    sizes = environments.Environment(environment, 1)
    steps = flags.episode_steps or getattr(getattr(environment, "spec", None), "max_episode_steps", None)
    if not steps:
        raise SystemExit(f"{flags.env} does not tell how long its episodes are: give --episode-steps")
    print(f'env {{\n  task: "external"\n  action_repeat: {flags.action_repeat}\n'
          f"  spec {{ observation_size: {sizes.observation_size} action_size: {sizes.action_size} "
          f"episode_decisions: {-(-steps // flags.action_repeat)} }}\n}}")


def integer(low, high):
    """Reads a whole number as pompc's programs do: in decimal alone, without a leading zero."""
    def parse(text):
        if not re.fullmatch("0|[1-9][0-9]{0,18}", text, re.ASCII) or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f'"{text}"; allowed: integer in decimal, {low} to {high}')
        return int(text)
    return parse


def parse_flags():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", required=True, help="an id of Gymnasium's, or module:function")
    parser.add_argument("--learner", help="host:port")
    parser.add_argument("--planners", type=lambda text: text.split(","), help="host:port of each, comma-separated")
    parser.add_argument("--replay", type=lambda text: text.split(","), default=[],
                        help="host:port of each shard, in the learner's order")
    parser.add_argument("--environments", type=integer(1, 4096), default=1,
                        help="stepped at the same time (default: 1)")
    parser.add_argument("--evaluate", action="store_true", help="play the evaluations instead")
    parser.add_argument("--print-config", action="store_true", help="print what the run's config needs, and stop")
    parser.add_argument("--action-repeat", type=integer(1, 100), default=1, help="for --print-config (default: 1)")
    parser.add_argument("--episode-steps", type=integer(1, 10**8),
                        help="for --print-config, if the environment does not tell")
    flags = parser.parse_args()
    wanted = [] if flags.print_config else ["learner", "planners"] + ([] if flags.evaluate else ["replay"])
    for name in wanted:
        if not getattr(flags, name):
            parser.error(f"--{name} is missing")
    return flags


def main():
    flags = parse_flags()
    if flags.print_config:
        print_config(flags)
        return
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # nohup has SIGHUP ignored, which stays so.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda *_: stop.set())
    flags.run = wire.RunStub(grpc.insecure_channel(flags.learner, CHANNEL))
    while True:
        try:
            (evaluate if flags.evaluate else act)(flags, stop)
        except LeaseEnded:
            continue
        except Stopped:
            log.info("ends")
            return
        except grpc.RpcError as error:
            sys.exit(f"{error.code().name}: {error.details()}")


if __name__ == "__main__":
    main()
