"""What an actor and an evaluator do under one lease."""

import concurrent.futures
import functools
import itertools
import queue
import time

import numpy

from pompc_actor import Failed, Refused, clients, wire
from pompc_actor.clients import EpisodeRefused, LeaseEnded, Stopped, log
from pompc_actor.environment import Unstable
from pompc_actor.wire import proto

CHUNK_SECONDS = 0.05  # that rows wait for others of their chunk, and for the step that ends after it
END_SECONDS = 20      # that the environments get to return once the process is told to
STUCK_SECONDS = 60    # after which log and status say that an environment does not return
EPISODE_TRIES = 3     # of an evaluation's episode that cannot be played to its end
COLUMNS = ("observations", "actions", "rewards", "plan_mean", "plan_std", "plan_value")


class Chunk:
    """Rows of an episode that were not sent yet."""

    def __init__(self, action_size):
        self._action_size = action_size
        self.clear()

    def clear(self):
        self.count, self._since = 0, 0.0
        self._rows = {name: [] for name in (*COLUMNS, "terminated", "has_plan", "versions")}

    def add(self, observation, action, reward, terminated, plan):
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
        rows["versions"].append(plan.version if plan else proto.ParameterVersion())

    def is_due(self, full):
        """Whether it is to be sent now: it has `full` rows, or its first one has waited."""
        return self.count >= full or (self.count > 0 and time.monotonic() - self._since >= CHUNK_SECONDS)

    def message(self, final_observation=None):
        rows = proto.Rows(count=self.count, versions=self._rows["versions"])
        for name in COLUMNS:
            setattr(rows, name, wire.to_bytes(self._rows[name]))
        for name in ("terminated", "has_plan"):
            setattr(rows, name, bytes(self._rows[name]))
        if final_observation is not None:
            rows.final_observation = wire.to_bytes(final_observation)
        return rows


def query(observation, warm_start, random):
    return proto.PlanQuery(observation=wire.to_bytes(observation), warm_start=warm_start,
                           seed=int(random.integers(2**63)))


class Player:
    """Plays episodes in one environment until the lease ends."""

    def __init__(self, index, environment, lease, identity, planners, shard):
        self._index, self._environment, self._lease = index, environment, lease
        self._identity, self._planners, self._shard = identity, planners, shard
        self._chunk_rows = clients.rows_per_chunk(lease.config)
        registration = lease.registration
        self._random = numpy.random.default_rng(
            [lease.config.seed, registration.index, registration.incarnation, index])

    def run(self):
        seed = int(self._random.integers(2**31))
        if self._environment.has_begun():
            seed = None  # under an earlier lease
        try:
            for episode in itertools.count():
                self._lease.check()
                try:
                    left_something = self._play(episode, seed)
                except EpisodeRefused as error:
                    self._wait(f"an episode is abandoned: {error}")
                    left_something = False
                if not left_something:
                    time.sleep(clients.RETRY_SECONDS)  # the next one may end as soon
                seed = None  # the environment's own generator continues over its episodes
        finally:
            self._shard.close()
            self._identity.waits.set(self._shard.who, "")

    def _wait(self, why):
        """Nothing gets into the replay, until the shard takes rows."""
        self._identity.waits.set(self._shard.who, f"environment {self._index}: {why}")

    def _play(self, episode, seed):
        """One episode. Returns whether the next one may follow at once: not if this one ended in its first step."""
        observation = self._environment.reset(seed)
        chunk, sent, total, warm_start, done = Chunk(self._environment.action_size), 0, 0.0, b"", False
        seed_phase = self._lease.phase() == proto.Phase.SEED
        while not done:
            self._lease.check()
            if seed_phase and self._lease.phase() != proto.Phase.SEED:
                return True  # rows of random actions are not taken any more
            plan, action = None, self._random.uniform(-1, 1, self._environment.action_size).astype(numpy.float32)
            if not seed_phase:
                plan = self._planners.plan(
                    proto.PlanRequest(queries=[query(observation, warm_start, self._random)]), ("plan", self._index),
                    self._lease, self._identity.waits)
                warm_start, action = plan.warm_start, numpy.clip(wire.to_array(plan.action), -1, 1)
            try:
                following, reward, terminated, truncated = self._environment.step(action)
            except Unstable as error:
                done = True
                if sent + chunk.count > 0:
                    self._identity.waits.tell(f"environment {self._index}: an episode is cut: {error}")
                else:
                    self._wait(f"an episode is cut in its first step: {error}")
            else:
                chunk.add(observation, action, reward, terminated, plan)
                self._identity.count_row()
                observation, total, done = following, total + reward, terminated or truncated
            if chunk.is_due(self._chunk_rows) or (done and sent + chunk.count > 0):
                self._shard.send(episode, sent, chunk.message(observation if done else None))
                self._identity.note_success(lasting=episode > 0)
                sent += chunk.count
                chunk.clear()
        if sent > 0:
            self._identity.count_episode(total)
        return sent > 0


def act(flags, learner, identity, environments, stop):
    """Under one lease; raises why it ended."""
    lease = clients.Lease(learner, identity, stop)
    try:
        registration = lease.registration
        identity.check()
        log.info(f"acts in run {lease.run_id} as actor {registration.index}")
        if registration.num_shards != len(flags.replay):
            raise Refused(f"--replay names {len(flags.replay)} shards; the run has {registration.num_shards}")
        planners = clients.Planners(flags.planners)
        shards = [clients.Shard(address) for address in flags.replay]
        players = []
        for index, environment in enumerate(environments):
            shard = clients.ShardStream(shards[registration.shards[index]], lease, index, identity.waits)
            players.append(Player(index, environment, lease, identity, planners, shard).run)
        run_workers(players, environments, lease, identity)
    except Exception as error:
        leave(lease, error)
        raise


def evaluate(flags, learner, identity, environments, stop):
    """Under one lease; raises why it ended."""
    (environment,) = environments
    lease = clients.Lease(learner, identity, stop)
    try:
        identity.check()
        log.info(f"evaluates in run {lease.run_id}")
        planners = clients.Planners(flags.planners)
        run_workers([lambda: evaluate_all(environment, planners, lease, identity, stop)], environments, lease, identity)
    except Exception as error:
        leave(lease, error)
        raise


def leave(lease, error):
    if isinstance(error, LeaseEnded):
        lease.close()
    else:
        lease.leave("" if isinstance(error, Stopped) else str(error))


def evaluate_all(environment, planners, lease, identity, stop):
    done = None
    try:
        while True:
            lease.check()
            assignment = lease.assignment()
            if assignment is not None and assignment != done:
                identity.waits.set("evaluation", "")
                if evaluate_one(environment, planners, lease, identity.waits, assignment):
                    done = assignment
                    identity.note_success(lasting=True)
            else:
                if assignment is None:
                    identity.waits.set("evaluation", "")
                stop.wait(clients.RETRY_SECONDS)
    finally:
        identity.waits.set("evaluation", "")


def evaluate_one(environment, planners, lease, waits, assignment):
    """Plays and reports it. Returns whether it is done with: not when the learner withdrew it; yes when an episode
    cannot be played to its end. A part of a return is none, so nothing is reported, the status says why, and the
    learner gives it up in its time."""
    outcomes = []
    for index in range(assignment.episodes):
        try:
            outcome = evaluate_episode(environment, planners, lease, waits, assignment, index)
        except Unstable as error:
            waits.set("evaluation", f"evaluation {assignment.evaluation_id} is abandoned: episode {index} was cut "
                      f"{EPISODE_TRIES} times: {error}")
            return True
        if outcome is None:
            return False
        outcomes.append(outcome)
    returns, decisions = zip(*outcomes)
    lease.report(assignment, returns, decisions)
    log.info(f"evaluation {assignment.evaluation_id}: mean return {numpy.mean(returns):.1f}")
    return True


def evaluate_episode(environment, planners, lease, waits, assignment, index):
    """(return, decisions); None when the learner wants it no more. An episode that is cut is played again with another
    seed; the last try raises Unstable."""
    for further in [()] + [(i,) for i in range(1, EPISODE_TRIES)]:
        random = numpy.random.default_rng([assignment.seed, index, *further])
        try:
            return play_evaluation(environment, planners, lease, waits, assignment, random)
        except Unstable as error:
            waits.tell(f"episode {index} of an evaluation is cut: {error}")
            cut = error
    raise cut


def play_evaluation(environment, planners, lease, waits, assignment, random):
    """(return, decisions) of one episode; None when the learner wants it no more."""
    observation = environment.reset(int(random.integers(2**31)))
    total, decisions, warm_start, done = 0.0, 0, b"", False
    while not done:
        plan = planners.plan(
            proto.PlanRequest(evaluate=True, pinned_version=assignment.version,
                              queries=[query(observation, warm_start, random)]),
            "plan", lease, waits, keep_waiting=lambda: lease.assignment() == assignment)
        if plan is None:
            return None
        observation, reward, terminated, truncated = environment.step(wire.to_array(plan.action))
        warm_start, total, decisions, done = plan.warm_start, total + reward, decisions + 1, terminated or truncated
    return total, decisions


def run_workers(workers, environments, lease, identity):
    """Runs each worker at its environment's home until the first one ends, and raises why that one did; the others see
    the same at their next check. When the lease has ended, environments that do not return are left to do so in their
    time, so that the learner hears of this process again at once."""
    outcomes = queue.SimpleQueue()

    def work(environment, worker):
        try:
            environment.follow(lease.config.env)
            worker()
        except BaseException as error:  # pylint: disable=broad-except
            outcomes.put(error)

    tasks = [environment.home.begin(functools.partial(work, environment, worker))
             for environment, worker in zip(environments, workers)]
    outcome = None
    while outcome is None:
        try:
            outcome = outcomes.get(timeout=clients.RETRY_SECONDS)
        except queue.Empty:
            watch(environments, tasks, identity.waits)
            try:
                lease.check()  # for those that are in their environments
            except (LeaseEnded, Stopped) as error:
                outcome = error
    lease.close()
    if isinstance(outcome, LeaseEnded) and lease.silence():
        note_silence(environments, *lease.silence(), identity)
    tasks = [task for task in tasks if not task.cancel()]
    deadline = time.monotonic() + (0 if isinstance(outcome, LeaseEnded) else END_SECONDS)
    while not all(task.done() for task in tasks) and time.monotonic() < deadline:
        concurrent.futures.wait(tasks, timeout=clients.RETRY_SECONDS)
        watch(environments, [], identity.waits)
    for index in range(len(environments)):
        identity.waits.set(("environment", index), "")
    raise outcome


def note_silence(environments, start, end, identity):
    """No thread of this process ran for longer than the lease: names the environments that can have seen to that."""
    calls = [(index, environment.was_in(start, end)) for index, environment in enumerate(environments)]
    those = " or ".join([f"environment {index} in {what}()" for index, what in calls if what][:4])
    if those:
        identity.note_silence(f"{those} held Python's interpreter lock for {end - start:.0f} s, so the lease ended: "
                              "release the lock (the GIL), or step the environment in a process of its own")


def watch(environments, tasks, waits):
    """Says which environments do not return, and which of the tasks have not begun for that reason."""
    for index, environment in enumerate(environments):
        what, since = environment.inside or ("", time.monotonic())
        stuck = time.monotonic() - since > STUCK_SECONDS
        waits.set(("inside", index),
                  f"environment {index} has not returned from {what}() for {STUCK_SECONDS} s" if stuck else "")
    for index, task in enumerate(tasks):
        waits.set(("environment", index), "" if task.running() or task.done() else
                  f"environment {index} still does what it was told under an earlier lease")
