"""The servers of a run in this process, as Python actors see them: learner, planner and one shard at one address."""

import concurrent.futures
import pathlib
import threading
import time

import grpc
import numpy

from pompc import messages as proto
from pompc import wire

SECONDS = 60


class FakeRun:
    """Plans are zero actions; a random phase comes first. What a test is to see is kept in public members."""

    def __init__(self, seed_rows=30, rows=100, environments=1, max_message_bytes=-1, lease_ms=60000, certificates="",
                 **config):
        """Ends after so many rows. `certificates`: a folder with one certificate for all three roles."""
        chunk_rows = config.pop("chunk_rows", 4)
        self.config = proto.RunConfig(seed=1, env=self.settings(**config))
        self.config.actor.chunk_rows = chunk_rows
        self.environments, self._seed_rows, self._rows = environments, seed_rows, rows
        self._lease_ms = lease_ms
        self.changed = threading.Condition()
        self._pause = threading.Event()
        self.registrations, self.heartbeats, self.reports, self.appends = [], [], [], []
        self.plans = 0
        self.served_runs = ["run"]   # what the planner says
        self.plan_timeouts = []      # of each request for a plan, in seconds
        self.plans_go_out = threading.Event()
        self.plans_go_out.set()      # while it is not set, the planner hangs
        self.plans_withdrawn = 0     # by their callers, before their time was over
        self.plans_away = False      # the planner has no parameters
        self.full_for_ms = None      # the planner is full, and expects to have room after so long; "": it does not say
        self.plan_seconds = 0.0      # that a plan takes
        self.asked_at = []           # when plans were asked for, by the monotonic clock
        self.queries = []            # numbers of queries in the requests that were answered
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
            self._handlers("PlannerService", Plan=self._plan, Info=self._info), self._handlers("ReplayService", Append=self._append)])
        self.address = f"127.0.0.1:{self._listen(certificates)}"
        self._server.start()

    @staticmethod
    def settings(action_repeat=1, **sizes):
        """A run's `env`."""
        spec = dict(observation_size=2, action_size=3, episode_decisions=1000, terminates=False)
        assert not sizes.keys() - spec.keys(), sizes
        return proto.EnvConfig(task="external", action_repeat=action_repeat, spec=proto.EnvSpec(**{**spec, **sizes}))

    def _listen(self, certificates):
        if not certificates:
            return self._server.add_insecure_port("127.0.0.1:0")
        ca, own, key = (pathlib.Path(certificates, name).read_bytes() for name in ("ca.crt", "tls.crt", "tls.key"))
        credentials = grpc.ssl_server_credentials([(key, own)], ca, require_client_auth=True)
        return self._server.add_secure_port("127.0.0.1:0", credentials)

    @staticmethod
    def _handlers(service, **methods):
        handlers = {}
        for name, function in methods.items():
            make = (grpc.stream_stream_rpc_method_handler if name == "Append" else grpc.unary_unary_rpc_method_handler)
            kind = "PlannerInfo" if name == "Info" else name
            handlers[name] = make(function, request_deserializer=getattr(proto, f"{kind}Request").FromString,
                                  response_serializer=getattr(proto, f"{kind}Reply").SerializeToString)
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
        self._note(self.asked_at, time.monotonic())
        self._note(self.plan_timeouts, context.time_remaining())
        if self.full_for_ms is not None:
            if self.full_for_ms:
                context.set_trailing_metadata((("pompc-retry-after-ms", self.full_for_ms),))
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "the queue is full")
        if self.plan_seconds:
            self._pause.wait(self.plan_seconds)
        while not self.plans_go_out.wait(0.01) and context.is_active():
            pass
        if self.plans_away:
            context.abort(grpc.StatusCode.UNAVAILABLE, "as the test wants it")
        with self.changed:
            self.plans += 1
            self.queries.append(len(request.queries))
            self.plans_withdrawn += not context.is_active() and context.time_remaining() > 0.1
            self.changed.notify_all()
        size = self.config.env.spec.action_size
        return proto.PlanReply(plans=[proto.Plan(
            action=wire.to_bytes(numpy.zeros(size)), plan_mean=wire.to_bytes(numpy.zeros(size)),
            plan_std=wire.to_bytes(numpy.ones(size)), warm_start=wire.to_bytes(numpy.zeros(3 * size)),
            version=proto.ParameterVersion(incarnation=1, number=1)) for _ in request.queries])

    def _info(self, _request, _context):
        return proto.PlannerInfoReply(runs=[proto.PlannerRunInfo(run_id=run_id) for run_id in self.served_runs])

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
