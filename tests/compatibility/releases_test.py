#!/usr/bin/env python3
"""What earlier releases wrote and say, in tests/data/releases, with the programs of now (docs/compatibility.md)."""

import collections
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "support"))
from needs import needs

needs("grpc", "google.protobuf", "numpy")
import grpc
import numpy
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

from processes import Process, free_ports

PROGRAMS = pathlib.Path(sys.argv.pop(1))
RELEASES = sorted(path for path in (ROOT / "tests" / "data" / "releases").iterdir() if path.is_dir())
PACKAGE = "pompc.proto"
SECONDS = 60
Field = descriptor_pb2.FieldDescriptorProto


def pompc(*arguments, **more):
    """Its output. It must end well."""
    done = subprocess.run([PROGRAMS / "pompc", *map(str, arguments)], capture_output=True, text=True, timeout=SECONDS,
                          check=False, stdin=subprocess.DEVNULL, **more)
    if done.returncode != 0:
        raise AssertionError(f"pompc {' '.join(map(str, arguments))}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


class Messages:
    """The messages of one version, from their descriptions."""

    def __init__(self, descriptions):
        described = descriptor_pb2.FileDescriptorSet.FromString(descriptions)
        self.pool = descriptor_pool.DescriptorPool()
        self.messages, self.enums, self.services = {}, {}, {}
        for file in described.file:
            self.pool.AddSerializedFile(file.SerializeToString())
            if file.package == PACKAGE:
                for message in file.message_type:
                    self._note(PACKAGE, message)
                self.enums |= {f"{PACKAGE}.{enum.name}": enum for enum in file.enum_type}
                self.services |= {f"{PACKAGE}.{service.name}": service for service in file.service}

    def _note(self, scope, message):
        name = f"{scope}.{message.name}"
        self.messages[name] = message
        self.enums |= {f"{name}.{enum.name}": enum for enum in message.enum_type}
        for nested in message.nested_type:
            self._note(name, nested)

    def make(self, name):
        """The class of the message PACKAGE.name."""
        descriptor = self.pool.FindMessageTypeByName(name if name.startswith(PACKAGE) else f"{PACKAGE}.{name}")
        if hasattr(message_factory, "GetMessageClass"):
            return message_factory.GetMessageClass(descriptor)
        return message_factory.MessageFactory(self.pool).GetPrototype(descriptor)  # before protobuf 4.22

    def stub(self, service, address):
        """An object with a method for each call of the service."""
        channel = grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)])
        kinds = {(False, False): channel.unary_unary, (False, True): channel.unary_stream,
                 (True, False): channel.stream_unary, (True, True): channel.stream_stream}

        class Stub:
            pass

        for method in self.services[f"{PACKAGE}.{service}"].method:
            call = kinds[method.client_streaming, method.server_streaming](
                f"/{PACKAGE}.{service}/{method.name}",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=self.make(method.output_type.lstrip(".")).FromString)
            setattr(Stub, method.name, staticmethod(call))
        return Stub


def describe_now():
    with tempfile.TemporaryDirectory() as scratch:
        out = pathlib.Path(scratch) / "messages.binpb"
        files = sorted(f"proto/{path.name}" for path in (ROOT / "proto").glob("*.proto"))
        subprocess.run(["protoc", f"-I{ROOT}", "--include_imports", f"--descriptor_set_out={out}", *files], check=True,
                       timeout=SECONDS)
        return Messages(out.read_bytes())


def fill(message, depth=0):
    """Gives every field of it a value that is not the default."""
    for field in message.DESCRIPTOR.fields:
        if field.containing_oneof and len(field.containing_oneof.fields) > 1 and field.containing_oneof.fields[0] != field:
            continue  # setting another one of a oneof would clear the first
        repeated = field.label == field.LABEL_REPEATED
        if field.cpp_type == field.CPPTYPE_MESSAGE:
            if depth < 6 and not field.message_type.GetOptions().map_entry:
                fill(getattr(message, field.name).add() if repeated else getattr(message, field.name), depth + 1)
                if not repeated:
                    getattr(message, field.name).SetInParent()
            continue
        if field.cpp_type == field.CPPTYPE_ENUM:
            value = field.enum_type.values[-1].number
        elif field.cpp_type == field.CPPTYPE_STRING:
            value = bytes([field.number]) * 3 if field.type == field.TYPE_BYTES else f"text {field.number}"
        elif field.cpp_type == field.CPPTYPE_BOOL:
            value = True
        elif field.cpp_type in (field.CPPTYPE_DOUBLE, field.CPPTYPE_FLOAT):
            value = field.number + 0.5
        else:
            value = field.number + 1
        if repeated:
            getattr(message, field.name).append(value)
        else:
            setattr(message, field.name, value)


def is_reserved(message, number):
    return any(reserved.start <= number < reserved.end for reserved in message.reserved_range)


class WireTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.now = describe_now()
        cls.releases = {release.name: Messages((release / "messages.binpb").read_bytes()) for release in RELEASES}

    def test_every_field_keeps_number_name_and_type(self):
        for release, then in self.releases.items():
            for name, message in then.messages.items():
                with self.subTest(release=release, message=name):
                    self.assertIn(name, self.now.messages)
                    now = self.now.messages[name]
                    fields = {field.number: field for field in now.field}
                    for field in message.field:
                        if field.number not in fields:
                            self.assertTrue(is_reserved(now, field.number), f"{field.name} is gone and not reserved")
                            continue
                        kept = fields[field.number]
                        self.assertEqual((kept.name, kept.type, kept.label, kept.type_name),
                                         (field.name, field.type, field.label, field.type_name))

    def test_every_value_of_an_enumeration_keeps_its_number(self):
        for release, then in self.releases.items():
            for name, enum in then.enums.items():
                with self.subTest(release=release, enum=name):
                    self.assertIn(name, self.now.enums)
                    now = {value.name: value.number for value in self.now.enums[name].value}
                    for value in enum.value:
                        self.assertEqual(now.get(value.name), value.number, value.name)

    def test_every_call_keeps_its_messages(self):
        def calls(service):
            return {call.name: (call.input_type, call.output_type, call.client_streaming, call.server_streaming)
                    for call in service.method}

        for release, then in self.releases.items():
            for name, service in then.services.items():
                with self.subTest(release=release, service=name):
                    self.assertIn(name, self.now.services)
                    self.assertLessEqual(calls(service).items(), calls(self.now.services[name]).items())

    def test_full_messages_are_read_alike(self):
        for release, then in self.releases.items():
            for name in then.messages:
                with self.subTest(release=release, message=name):
                    sent = then.make(name)()
                    fill(sent)
                    received = self.now.make(name).FromString(sent.SerializeToString())
                    read, said = json_format.MessageToDict(received), json_format.MessageToDict(sent)
                    gone = {field.json_name for field in then.messages[name].field
                            if is_reserved(self.now.messages[name], field.number)}
                    self.assertEqual(read, {key: value for key, value in said.items() if key not in gone})


def settings_in(text):
    """How often the config in protobuf's text format has each setting, by its place: "learner.batch_size: 256"."""
    found, scope = collections.Counter(), []
    for line in map(str.strip, text.splitlines()):
        if line.endswith("{"):
            scope.append(line[:-1].strip())
        elif line == "}":
            scope.pop()
        elif line and not line.startswith("#"):
            found[".".join((*scope, line))] += 1
    return found


class FilesTest(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.scratch = pathlib.Path(scratch.name)

    def run_of(self, release):
        """A copy of its run directory."""
        folder = self.scratch / release.name
        with tarfile.open(release / "run.tar.gz") as archive:
            archive.extractall(folder, filter="data") if hasattr(tarfile, "data_filter") else archive.extractall(folder)
        return folder / "run"

    def test_configs_mean_what_they_meant(self):
        for release in RELEASES:
            for config in sorted((release / "configs").iterdir()):
                with self.subTest(release=release.name, config=config.name):
                    missing = settings_in(config.read_text()) - settings_in(pompc("config", "--config", config))
                    self.assertFalse(missing)

    def test_a_setting_is_known_by_its_place(self):
        then, now = "a {\n  x: 1\n}\nb {\n  x: 2\n}\n", "a {\n  x: 2\n}\nb {\n  x: 1\n  y: 3\n}\n"
        self.assertEqual(settings_in(then) - settings_in(now), {"a.x: 1": 1, "b.x: 2": 1})
        self.assertFalse(settings_in(then) - settings_in(then + now))

    def test_a_run_is_looked_into_and_goes_on(self):
        for release in RELEASES:
            with self.subTest(release=release.name):
                run = self.run_of(release)
                self.assertIn("policy", pompc("checkpoint", "inspect", run))
                pompc("checkpoint", "export", run, "--out", self.scratch / "weights.safetensors", "--onnx",
                      self.scratch / "policy.onnx", "--python", "")
                self.assertTrue((self.scratch / "policy.onnx").exists())
                self.assertIn("return", pompc("evaluate", "--run-dir", run, "--episodes", "1"))
                pompc("plot", "--run-dir", run)
                before = len((run / "evaluations.csv").read_text().splitlines())
                self.assertIn("FINISHED", pompc("train", "--run-dir", run, "--set", "stop.max_rows=900"))
                # Tables go on where they were: no column was put aside.
                self.assertGreater(len((run / "evaluations.csv").read_text().splitlines()), before)
                self.assertFalse(list(run.glob("evaluations.csv.old*")))
                self.assertEqual(self.rows_in(run), 900)

    def rows_in(self, run):
        out = self.scratch / "rows.safetensors"
        told = pompc("replay", "export", run, "--out", out)
        return int(told.rsplit(": ", 1)[1].split()[0])

    def test_a_data_set_is_learned_from(self):
        for release in RELEASES:
            with self.subTest(release=release.name):
                run = self.scratch / "offline"
                pompc("train", "--config", release / "configs" / "quickstart.textproto", "--offline", "--import",
                      release / "rows.safetensors", "--run-dir", run, "--set", "model.mlp_dim=16", "--set",
                      "learner.batch_size=16", "--set", "stop.max_updates=5", "--set", "evaluation.every_updates=0")
                self.assertTrue(list((run / "checkpoints").glob("update-*")))


class OldActor:
    """Acts at random as an actor of a release does, with that release's messages."""

    def __init__(self, messages, learner, shard):
        self.proto = messages.make
        self.learner, self.shard = messages.stub("RunService", learner), messages.stub("ReplayService", shard)
        self.header = self.proto("Header")(wire_version=2)

    def act(self, rows):
        """Writes a segment of so many rows as one chunk. Returns the shard's reply and the reply to a heartbeat."""
        lease = self.learner.Register(self.proto("RegisterRequest")(
            header=self.header, role=1, name="old", environments=1, process_id=1), timeout=SECONDS, wait_for_ready=True)
        self.header.run_id = lease.run_id
        spec = lease.config.env.spec
        random = numpy.random.default_rng(1)

        def floats(array):
            return numpy.asarray(array, "<f4").tobytes()

        request = self.proto("AppendRequest")(
            header=self.header, first_row=0,
            stream=self.proto("StreamId")(actor_index=lease.index, incarnation=lease.incarnation, episode=1),
            rows=self.proto("Rows")(
                count=rows, observations=floats(random.normal(size=(rows, spec.observation_size))),
                actions=floats(random.uniform(-1, 1, (rows, spec.action_size))), rewards=floats(numpy.ones(rows)),
                terminated=bytes(rows), plan_mean=floats(numpy.zeros((rows, spec.action_size))),
                plan_std=floats(numpy.ones((rows, spec.action_size))), plan_value=floats(numpy.zeros(rows)),
                has_plan=bytes(rows), versions=[self.proto("ParameterVersion")()] * rows,
                final_observation=floats(numpy.zeros(spec.observation_size))))
        done = threading.Event()

        def requests():
            yield request
            done.wait(SECONDS)  # the stream ends when its reply has come

        try:
            replies = self.shard.Append(requests(), timeout=SECONDS, wait_for_ready=True)
            reply = next(reply for reply in replies if reply.HasField("stream"))
        finally:
            done.set()
        beat = self.learner.Heartbeat(self.proto("HeartbeatRequest")(
            header=self.header, lease_id=lease.lease_id, rows=rows, episodes=1, last_return=rows, leaving=True),
            timeout=SECONDS)
        return reply, beat


class OldActorTest(unittest.TestCase):
    def test_it_acts_in_a_run_of_now(self):
        for release in RELEASES:
            with self.subTest(release=release.name), tempfile.TemporaryDirectory() as scratch:
                messages = Messages((release / "messages.binpb").read_bytes())
                shard, learner = (f"127.0.0.1:{port}" for port in free_ports(2))
                scratch = pathlib.Path(scratch)
                processes = []
                try:
                    processes.append(Process("replay", scratch, PROGRAMS / "pompc-replay", "--listen", shard))
                    processes.append(Process(
                        "learner", scratch, PROGRAMS / "pompc-learner", "--listen", learner, "--replay", shard,
                        "--run-dir", str(scratch / "run"), "--preset", "quickstart", "--set", "stop.return_mean=0",
                        "--set", "stop.max_rows=0", "--set", "learner.seed_rows=500", "--set", "replay.min_rows=300",
                        "--set", "actor.chunk_rows=100"))
                    reply, beat = OldActor(messages, learner, shard).act(100)
                    self.assertEqual((reply.verdict, reply.next_row, reply.ended), (1, 100, True), reply.message)
                    self.assertEqual(beat.phase, 1)
                    status = messages.stub("RunService", learner).GetRun(messages.make("GetRunRequest")(
                        header=messages.make("Header")(wire_version=2)), timeout=SECONDS).status
                    self.assertEqual(status.episodes, 1)
                    deadline = time.monotonic() + SECONDS
                    while processes[0].total("pompc_replay_accepted_rows_total") < 100:
                        self.assertLess(time.monotonic(), deadline, "the rows were never counted")
                finally:
                    for process in processes:
                        process.kill()


class StoredTest(unittest.TestCase):
    def test_no_release_is_newer_than_this_build(self):
        def numbers(version):
            return [int(number) for number in version.split(".")]

        now = numbers(pompc("--version").strip())
        self.assertTrue(RELEASES)
        for release in RELEASES:
            self.assertLessEqual(numbers(release.name), now)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[1:]])
