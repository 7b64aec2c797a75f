"""One evaluation: its episodes, played without noise with the version that the learner assigned."""

from collections.abc import Callable

import numpy

from pompc import limits, messages, wire
from pompc.environment import Environment, Stepped
from pompc.lease import Lease
from pompc.log import Waits, log
from pompc.planners import Planners
from pompc.players import Random, query
from pompc.spaces import Unstable
from pompc.vector import VectorEnvironment

# (return, decisions) of an episode.
Result = tuple[float, int]


def evaluate_one(environment: Stepped, planners: Planners, lease: Lease, waits: Waits,
                 assignment: messages.EvaluationAssignment) -> bool:
    """Plays and reports it. Returns whether it is done with: not when the learner withdrew it; yes when an episode
    cannot be played to its end. A part of a return is none, so nothing is reported, the status says why, and the
    learner gives it up in its time."""
    try:
        if isinstance(environment, VectorEnvironment):
            results = play_rounds(environment, planners, lease, waits, assignment)
        else:
            assert isinstance(environment, Environment)
            results = play_episodes(environment, planners, lease, waits, assignment)
    except Unstable as error:
        waits.set("evaluation", f"evaluation {assignment.evaluation_id} is abandoned: {error}")
        return True
    if results is None:
        return False
    returns = [result[0] for result in results]
    lease.report(assignment, returns, [result[1] for result in results])
    log.info(f"evaluation {assignment.evaluation_id}: mean return {numpy.mean(returns):.1f}")
    return True


def generator(assignment: messages.EvaluationAssignment, index: int, tries: int) -> Random:
    """An episode that is cut is played again with another seed."""
    return numpy.random.default_rng([assignment.seed, index, *([tries] if tries else [])])


def cut(index: int, error: object) -> Unstable:
    return Unstable(f"episode {index} was cut {limits.EPISODE_TRIES} times: {error}")


def play_episodes(environment: Environment, planners: Planners, lease: Lease, waits: Waits,
                  assignment: messages.EvaluationAssignment) -> list[Result] | None:
    """None when the learner wants them no more. Unstable if an episode was cut EPISODE_TRIES times."""
    results = []
    for index in range(assignment.episodes):
        for tries in range(limits.EPISODE_TRIES):
            try:
                result = play_episode(environment, planners, lease, waits, assignment,
                                      generator(assignment, index, tries))
                break
            except Unstable as error:
                waits.tell(f"episode {index} of an evaluation is cut: {error}")
                if tries + 1 == limits.EPISODE_TRIES:
                    raise cut(index, error) from error
        if result is None:
            return None
        results.append(result)
    return results


def _plans(queries: list[messages.PlanQuery], planners: Planners, lease: Lease, waits: Waits,
           assignment: messages.EvaluationAssignment) -> list[messages.Plan] | None:
    wanted: Callable[[], bool] = lambda: lease.assignment() == assignment  # noqa: E731
    plans: list[messages.Plan] = []
    for begin in range(0, len(queries), limits.MAX_PLAN_QUERIES):
        request = messages.PlanRequest(evaluate=True, pinned_version=assignment.version,
                                       queries=queries[begin:begin + limits.MAX_PLAN_QUERIES])
        some = planners.plan(request, "plan", lease, waits, keep_waiting=wanted)
        if some is None:
            return None
        plans += some
    return plans


def play_episode(environment: Environment, planners: Planners, lease: Lease, waits: Waits,
                 assignment: messages.EvaluationAssignment, random: Random) -> Result | None:
    """None when the learner wants it no more."""
    observation = environment.reset(int(random.integers(2**31)))
    total, decisions, warm_start, done = 0.0, 0, b"", False
    while not done:
        plans = _plans([query(observation, warm_start, random)], planners, lease, waits, assignment)
        if plans is None:
            return None
        observation, reward, terminated, truncated = environment.step(wire.to_array(plans[0].action))
        warm_start, total, decisions, done = plans[0].warm_start, total + reward, decisions + 1, terminated or truncated
    return total, decisions


def play_rounds(environment: VectorEnvironment, planners: Planners, lease: Lease, waits: Waits,
                assignment: messages.EvaluationAssignment) -> list[Result] | None:
    """As play_episodes, as many episodes at a time as the vector has environments."""
    results: dict[int, Result] = {}
    tries = dict.fromkeys(range(assignment.episodes), 0)
    while len(results) < assignment.episodes:
        now = [index for index in tries if index not in results][:environment.count]
        played = play_round(environment, planners, lease, waits, assignment, [(index, tries[index]) for index in now])
        if played is None:
            return None
        for index, result in zip(now, played, strict=True):
            if not isinstance(result, str):
                results[index] = result
                continue
            waits.tell(f"episode {index} of an evaluation is cut: {result}")
            tries[index] += 1
            if tries[index] == limits.EPISODE_TRIES:
                raise cut(index, result)
    return [results[index] for index in tries]


def play_round(environment: VectorEnvironment, planners: Planners, lease: Lease, waits: Waits,
               assignment: messages.EvaluationAssignment, episodes: list[tuple[int, int]]) -> list[Result | str] | None:
    """The first episode of each environment, one for each (episode, tries): its result, or why it was cut. None when
    the learner wants it no more."""
    randoms = [generator(assignment, index, tries) for index, tries in episodes]
    seeds = [int(random.integers(2**31)) for random in randoms] + [0] * (environment.count - len(episodes))
    observations = list(environment.reset(seeds))
    results: list[Result | str | None] = [None] * len(episodes)
    totals, decisions = [0.0] * len(episodes), 0
    warm_starts = [b""] * len(episodes)
    while None in results:
        going_on = [i for i, result in enumerate(results) if result is None]
        plans = _plans([query(observations[i], warm_starts[i], randoms[i]) for i in going_on], planners, lease, waits,
                       assignment)
        if plans is None:
            return None
        actions = [numpy.zeros(environment.action_size, numpy.float32)] * environment.count
        for i, plan in zip(going_on, plans, strict=True):
            actions[i], warm_starts[i] = wire.to_array(plan.action), plan.warm_start
        outcomes, decisions = environment.step(actions), decisions + 1
        for i in going_on:
            outcome = outcomes[i]
            if outcome.unstable or outcome.observation is None:
                results[i] = outcome.unstable or "the environment reset itself"
                continue
            totals[i] += outcome.reward
            observations[i] = outcome.observation
            if outcome.terminated or outcome.truncated or decisions >= environment.episode_decisions:
                results[i] = (totals[i], decisions)
    return [result for result in results if result is not None]
