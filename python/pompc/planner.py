"""Plans for one observation or many, from the planners of a run."""

import dataclasses
import os
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any

import grpc
import numpy
from numpy.typing import ArrayLike

from pompc import limits, messages, wire
from pompc.errors import Failed, Refused
from pompc.planners import Planners
from pompc.wire import Floats


@dataclasses.dataclass(frozen=True)
class Plan:
    """The plan of one decision. A is the size of an action, H the planning horizon."""

    action: Floats       # [A], in [-1, 1]: what to execute
    mean: Floats         # [A]: Gaussian of the first decision
    std: Floats          # [A]
    value: float         # of the chosen elite; with CEM, mean of the elites' values
    sequence: Floats     # [H, A]: mean of the whole plan; the next plan begins with it (`previous`)
    version: tuple[int, int]  # of the parameters: start of the learner, number of the publication
    iterations: int      # of the search
    queue_ms: float      # that the request waited at the planner
    compute_ms: float    # that its batch took

    @staticmethod
    def _of(plan: messages.Plan) -> "Plan":
        action = wire.to_array(plan.action)
        return Plan(action, wire.to_array(plan.plan_mean), wire.to_array(plan.plan_std), plan.plan_value,
                    wire.to_array(plan.warm_start).reshape(-1, action.size),
                    (plan.version.incarnation, plan.version.number), plan.iterations, plan.queue_us / 1000,
                    plan.compute_us / 1000)


class _Session:
    """What Planners asks of a lease, where there is none: the run's id, and a deadline."""

    def __init__(self, run_id: str, seconds: float):
        self.run_id, self.config = run_id, messages.RunConfig()
        self.deadline, self.why = time.monotonic() + seconds, ""

    def check(self) -> None:
        if time.monotonic() >= self.deadline:
            raise Failed(f"no plan in time{': ' + self.why if self.why else ''}")

    def set(self, _: Any, why: str) -> None:
        """As Waits.set: the reason is part of the error."""
        self.why = why or self.why


class Planner:
    """Asks the planners of a run for plans. Thread-safe."""

    def __init__(self, planners: str | Iterable[str], *, run: str | None = None,
                 certificates: str | os.PathLike[str] | None = None, seconds: float = limits.PLAN_SECONDS):
        """`planners`: host:port of each, as a list or with commas between them. `run`: the run's id; None asks a
        planner, which must then serve one run alone. `seconds`: the deadline of a plan. Refused, Failed: there is no
        such planner, or it is not known which run is meant."""
        self._addresses = wire.parse_addresses(planners)
        if not self._addresses:
            raise Refused("no planners are named: host:port of each")
        if not (run is None or isinstance(run, str)):
            raise Refused(f"run is {run!r}; allowed: a run's id, or None")
        self._certificates = wire.certificates_folder(certificates)
        self._planners = Planners(self._addresses, self._certificates, give_up_seconds=0)
        self._seconds = wire.duration("seconds", seconds)
        self._random = numpy.random.default_rng()
        self._lock = threading.Lock()
        try:
            self.run_id = run if run is not None else self._find_run()
        except Failed:
            self.close()
            raise

    def _find_run(self) -> str:
        problems, named = [], False
        for address in self._addresses:
            stub = wire.Stub("PlannerService", address, self._certificates)
            try:
                reply = stub.Info(messages.PlannerInfoRequest(header=wire.header("")), timeout=limits.CALL_SECONDS)
            except grpc.RpcError as error:
                problems.append(f"planner {address}: {wire.words(error)}")
                continue
            finally:
                stub.close()
            runs = [info.run_id for info in reply.runs if info.run_id]
            if len(runs) == 1:
                return str(runs[0])
            served = ", ".join(runs) or "no run yet: its learner has not published"
            problems.append(f"planner {address} serves {served}")
            named = named or bool(runs)
        raise Failed(f"which run? {'; '.join(problems)}{'. Name it: Planner(..., run=ID)' if named else ''}")

    def plan(self, observation: ArrayLike, previous: Plan | None = None, *, evaluate: bool = True,
             seed: int | None = None) -> Plan:
        """The plan at one observation [O]. `previous`: the plan of the decision before, so that the search goes on
        from it; None at the start of an episode. `evaluate`: without exploration noise. `seed`: all noise of the plan
        follows from it; None draws one. Failed where no plan came in time, with what the planners say; they also say
        what is wrong with the observation."""
        return self.plan_many([observation], [previous], evaluate=evaluate, seeds=None if seed is None else [seed])[0]

    def plan_many(self, observations: Sequence[ArrayLike], previous: Sequence[Plan | None] | None = None, *,
                  evaluate: bool = True, seeds: Sequence[int] | None = None) -> list[Plan]:
        """The same at several observations, in one request for each 64 of them."""
        try:
            before = [None] * len(observations) if previous is None or len(previous) == 0 else previous
        except TypeError:
            raise Refused("observations and the plans before them must be sequences; plan() takes one") from None
        if len(before) != len(observations) or (seeds is not None and len(seeds) != len(observations)):
            raise Refused(f"{len(observations)} observations; as many plans before and seeds must be given, or none")
        plans: list[Plan] = []
        for begin in range(0, len(observations), limits.MAX_PLAN_QUERIES):
            queries = []
            for i in range(begin, min(begin + limits.MAX_PLAN_QUERIES, len(observations))):
                last = before[i]
                if not (last is None or isinstance(last, Plan)):
                    raise Refused(f"the plan before is a {type(last).__name__}; allowed: what plan() returned, or None")
                queries.append(messages.PlanQuery(
                    observation=wire.to_bytes(wire.floats("an observation", observations[i])),
                    seed=self._draw() if seeds is None else wire.whole("a seed", seeds[i]),
                    warm_start=b"" if last is None else wire.to_bytes(last.sequence)))
            plans += [Plan._of(plan) for plan in self._ask(messages.PlanRequest(queries=queries, evaluate=evaluate))]
        return plans

    def _draw(self) -> int:
        with self._lock:
            return int(self._random.integers(2**63))

    def _ask(self, request: messages.PlanRequest) -> list[messages.Plan]:
        session = _Session(self.run_id, self._seconds)
        plans = self._planners.plan(request, "plan", session, session,  # type: ignore[arg-type]
                                    deadline=session.deadline)
        assert plans is not None  # they are waited for
        return plans

    def close(self) -> None:
        """Calls under way are cancelled."""
        self._planners.close()

    def __enter__(self) -> "Planner":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()
