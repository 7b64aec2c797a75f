"""The servers of a run in this process, as Python actors see them: learner, planner and one shard at one address."""

import concurrent.futures
import threading

import grpc
import numpy

from pompc import messages as proto
from pompc import wire

SECONDS = 60


class FakeRun:
    """Plans are zero actions; a random phase comes first. What a test is to see is kept in public members."""

    def __init__(self, seed_rows=30, rows=100, environments=1, max_message_bytes=-1, lease_ms=60000, **config):
        """Ends after so many rows."""
        spec = dict(observation_size=2, action_size=3, episode_decisions=1000, terminates=False)
        spec.update({name: config.pop(name) for name in list(config) if name in spec})
        self.config = proto.RunConfig(seed=1, env=proto.EnvConfig(
            task="external", action_repeat=config.pop("action_repeat", 1), spec=proto.EnvSpec(**spec)))
        self.config.actor.chunk_rows = config.pop("chunk_rows", 4)
        assert not config, config
        self.environments, self._seed_rows, self._rows = environments, seed_rows, rows
        self._lease_ms = lease_ms
        self.changed = threading.Condition()
        self.registrations, self.heartbeats, self.reports, self.appends = [], [], [], []
        self.plans = 0
        self.plan_timeouts = []      # of each request for a plan, in seconds
        self.plans_go_out = threading.Event()
        self.plans_go_out.set()      # while it is not set, the planner hangs
        self.plans_withdrawn = 0     # by their callers, before their time was over
        self.plans_away = False      # the planner has no parameters
        self.episodes = {}           # (incarnation, environment, episode) -> [Rows]
        self.assignment = None
        self.append_errors = []      # statuses that the next streams end with after their first request
        self.report_errors = []      # statuses of the next reports
        self.heartbeat_errors = []   # statuses of the next heartbeats
        self.blocked = ""            # what the shard says instead of taking rows
        self._server = grpc.server(concurrent.futures.ThreadPoolExecutor(32),
                                   options=[("grpc.max_receive_message_length", max_message_bytes)])
        self._server.add_generic_rpc_handlers([
            self._handlers("RunService", Register=self._register, Heartbeat=self._heartbeat,
                           ReportEvaluation=self._report),
            self._handlers("PlannerService", Plan=self._plan), self._handlers("ReplayService", Append=self._append)])
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    @staticmethod
    def _handlers(service, **methods):
        handlers = {}
        for name, function in methods.items():
            make = (grpc.stream_stream_rpc_method_handler if name == "Append" else grpc.unary_unary_rpc_method_handler)
            handlers[name] = make(function, request_deserializer=getattr(proto, f"{name}Request").FromString,
                                  response_serializer=getattr(proto, f"{name}Reply").SerializeToString)
        return grpc.method_handlers_generic_handler(f"pompc.proto.{service}", handlers)

    def stop(self):
        self.plans_go_out.set()
        self._server.stop(0).wait()

    def wait_until(self, condition):
        """Whether it came true in time."""
        with self.changed:
            return self.changed.wait_for(condition, SECONDS)

    def stored(self):
        """Rows taken so far."""
        with self.changed:
            return sum(rows.count for chunks in self.episodes.values() for rows in chunks)

    def phase(self):
        stored = self.stored()
        return (proto.Phase.SEED if stored < self._seed_rows else
                proto.Phase.TRAINING if stored < self._rows else proto.Phase.FINISHED)

    def _note(self, messages, message):
        with self.changed:
            messages.append(message)
            self.changed.notify_all()

    def _fail_with_next(self, errors, context):
        with self.changed:
            error = errors.pop(0) if errors else None
            self.changed.notify_all()
        if error:
            context.abort(error, "as the test wants it")

    def _register(self, request, _):
        self._note(self.registrations, request)
        return proto.RegisterReply(
            run_id="run", lease_id=len(self.registrations), index=0, incarnation=len(self.registrations),
            shards=[0] * self.environments, num_shards=1, lease_ms=self._lease_ms, heartbeat_ms=20, config=self.config,
            phase=self.phase())

    def _heartbeat(self, request, context):
        self._note(self.heartbeats, request)
        self._fail_with_next(self.heartbeat_errors, context)
        with self.changed:
            return proto.HeartbeatReply(phase=self.phase(), evaluation=self.assignment)

    def _report(self, request, context):
        self._fail_with_next(self.report_errors, context)
        self._note(self.reports, request)
        with self.changed:
            self.assignment = None
        return proto.ReportEvaluationReply()

    def _plan(self, request, context):
        self._note(self.plan_timeouts, context.time_remaining())
        while not self.plans_go_out.wait(0.01) and context.is_active():
            pass
        if self.plans_away:
            context.abort(grpc.StatusCode.UNAVAILABLE, "as the test wants it")
        with self.changed:
            self.plans += 1
            self.plans_withdrawn += not context.is_active() and context.time_remaining() > 0.1
            self.changed.notify_all()
        size = self.config.env.spec.action_size
        return proto.PlanReply(plans=[proto.Plan(
            action=wire.to_bytes(numpy.zeros(size)), plan_mean=wire.to_bytes(numpy.zeros(size)),
            plan_std=wire.to_bytes(numpy.ones(size)), warm_start=wire.to_bytes(numpy.zeros(3 * size)),
            version=proto.ParameterVersion(incarnation=1, number=1)) for _ in request.queries])

    def _append(self, requests, context):
        for request in requests:
            self._note(self.appends, request)
            self._fail_with_next(self.append_errors, context)
            if self.blocked:
                yield proto.AppendReply(blocked=self.blocked)
                continue
            stream, rows = request.stream, request.rows
            if self.stored() >= self._seed_rows and not all(rows.has_plan):
                yield proto.AppendReply(stream=stream, verdict=proto.AppendReply.REFUSED, code=9,
                                        message="the seed phase is over")
                continue
            with self.changed:
                chunks = self.episodes.setdefault((stream.incarnation, stream.environment, stream.episode), [])
                assert request.first_row == sum(chunk.count for chunk in chunks)
                chunks.append(rows)
                self.changed.notify_all()
            yield proto.AppendReply(stream=stream, verdict=proto.AppendReply.ACKED,
                                    next_row=request.first_row + rows.count, ended=bool(rows.final_observation))

    def column(self, key, name):
        """A column of an episode's rows."""
        return numpy.concatenate([wire.to_array(getattr(rows, name)) for rows in self.episodes[key]])
